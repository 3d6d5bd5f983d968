-- title: Table without primary key
-- severity: warning
-- group: design
-- uses: tables
-- why: Rows can't be told apart: duplicates come in, logical replication can't send updates and deletes, and no foreign key
--   can refer to it.
-- fix: Add a primary key; `evidence.candidates` names unique indexes over columns that are not null, which can become it
--   without a second build.
-- sources: https://www.postgresql.org/docs/current/logical-replication-publication.html
--   https://github.com/supabase/splinter https://github.com/mfvanek/pg-index-health
SELECT
    t.oid AS relation, NULL::text AS schema, '{}'::text[] AS columns, NULL::text AS object, NULL::text AS severity,
    jsonb_strip_nulls(jsonb_build_object(
        'summary', CASE WHEN u.names IS NULL THEN 'it has no primary key' ELSE format(
            'it has no primary key; the unique index %s could become it', u.names[1]) END,
        'candidates', to_jsonb(u.names), 'table_bytes', t.bytes
    )) AS evidence,
    CASE WHEN u.names IS NOT NULL AND t.relkind = 'r' THEN jsonb_build_object(
        'kind', 'statement',
        'do', jsonb_build_array(format('ALTER TABLE %s ADD CONSTRAINT %I PRIMARY KEY USING INDEX %I', t.quoted, u.names[1], u.names[1])),
        'undo', jsonb_build_array(
            format('ALTER TABLE %s DROP CONSTRAINT %I', t.quoted, u.names[1]), u.definitions[1]
        )
    ) END AS fix
FROM tables AS t
LEFT JOIN LATERAL (
    SELECT
        array_agg(c.relname::text ORDER BY i.indnkeyatts, c.relname) AS names,
        array_agg(pg_get_indexdef(i.indexrelid) ORDER BY i.indnkeyatts, c.relname) AS definitions
    FROM pg_index AS i
    JOIN pg_class AS c ON c.oid = i.indexrelid
    WHERE
        i.indrelid = t.oid AND i.indisunique AND i.indimmediate AND i.indisvalid AND i.indpred IS NULL
        AND i.indexprs IS NULL AND i.indnatts = i.indnkeyatts
        AND NOT EXISTS (SELECT FROM pg_constraint AS k WHERE k.conindid = i.indexrelid)
        AND NOT EXISTS (
            SELECT FROM pg_attribute AS a
            WHERE a.attrelid = t.oid AND a.attnum = ANY (i.indkey::int2[]) AND NOT a.attnotnull
        )
) AS u ON true
WHERE
    NOT t.relispartition
    AND NOT EXISTS (SELECT FROM pg_index AS i WHERE i.indrelid = t.oid AND i.indisprimary)
