-- title: Foreign keys that overlap
-- severity: info
-- group: constraints
-- uses: tables
-- why: One foreign key's columns contain another's, to the same table: the smaller is implied where the parent's keys
--   are, and costs a check per row.
-- fix: Keep the wider one if the parent's rows carry both columns.
-- sources: https://github.com/mfvanek/pg-index-health
SELECT
    k.conrelid AS relation, NULL::text AS schema,
    ARRAY(SELECT a.attname::text FROM unnest(k.conkey) WITH ORDINALITY AS u (attnum, place)
        JOIN pg_attribute AS a ON a.attrelid = k.conrelid AND a.attnum = u.attnum ORDER BY u.place) AS columns,
    k.conname::text AS object, NULL::text AS severity,
    jsonb_build_object('summary', format('%s holds its columns and more', min(o.conname)), 'within', min(o.conname)) AS evidence,
    NULL::jsonb AS fix
FROM pg_constraint AS k
JOIN tables AS t ON t.oid = k.conrelid
JOIN pg_constraint AS o
    ON o.conrelid = k.conrelid AND o.contype = 'f' AND o.conparentid = 0 AND o.confrelid = k.confrelid
    AND o.conkey @> k.conkey AND NOT k.conkey @> o.conkey
WHERE k.contype = 'f' AND k.conparentid = 0
GROUP BY k.oid, k.conrelid, k.conkey, k.conname
