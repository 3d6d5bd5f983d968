-- title: Foreign key stated twice
-- severity: warning
-- group: constraints
-- uses: tables
-- why: Two foreign keys over the same columns to the same table check every row twice.
-- fix: Drop one of them; where their actions differ, decide which is meant.
-- sources: https://github.com/mfvanek/pg-index-health
SELECT
    k.conrelid AS relation, NULL::text AS schema,
    ARRAY(SELECT a.attname::text FROM unnest(k.conkey) WITH ORDINALITY AS u (attnum, place)
        JOIN pg_attribute AS a ON a.attrelid = k.conrelid AND a.attnum = u.attnum ORDER BY u.place) AS columns,
    k.conname::text AS object, NULL::text AS severity,
    jsonb_build_object('summary', format('%s says the same', o.conname), 'same_as', o.conname) AS evidence,
    CASE WHEN (k.confdeltype, k.confupdtype, k.confmatchtype, k.condeferrable) = (o.confdeltype, o.confupdtype, o.confmatchtype, o.condeferrable)
        AND o.convalidated
        THEN jsonb_build_object(
            'kind', 'statement', 'do', jsonb_build_array(format('ALTER TABLE %s DROP CONSTRAINT %I', t.quoted, k.conname)),
            'undo', jsonb_build_array(
                format('ALTER TABLE %s ADD CONSTRAINT %I %s%s', t.quoted, k.conname, pg_get_constraintdef(k.oid),
                    CASE WHEN t.relkind = 'r' AND k.convalidated THEN ' NOT VALID' ELSE '' END),
                format('ALTER TABLE %s VALIDATE CONSTRAINT %I', t.quoted, k.conname)
            )
        ) END AS fix
FROM pg_constraint AS k
JOIN tables AS t ON t.oid = k.conrelid
JOIN LATERAL (
    SELECT o.* FROM pg_constraint AS o
    WHERE
        o.conrelid = k.conrelid AND o.contype = 'f' AND o.conparentid = 0 AND o.oid <> k.oid
        AND o.confrelid = k.confrelid AND o.conkey @> k.conkey AND k.conkey @> o.conkey AND o.confkey @> k.confkey
        AND (o.convalidated, -o.oid::int8) > (k.convalidated, -k.oid::int8)
    ORDER BY o.convalidated DESC, o.oid LIMIT 1
) AS o ON true
WHERE k.contype = 'f' AND k.conparentid = 0
