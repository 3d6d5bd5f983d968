-- title: Name as long as names can be
-- severity: info
-- group: design
-- why: Names end at 63 bytes: a longer one was cut without an error, and two that differ behind that place collide.
-- fix: Give it a shorter name.
-- sources: https://www.postgresql.org/docs/current/sql-syntax-lexical.html https://github.com/mfvanek/pg-index-health
SELECT
    CASE WHEN c.relkind IN ('r', 'p', 'm', 'v') THEN c.oid ELSE i.indrelid END AS relation, n.nspname::text AS schema,
    '{}'::text[] AS columns, c.relname::text AS object, NULL::text AS severity,
    jsonb_build_object('summary', format('%s bytes', octet_length(c.relname))) AS evidence, NULL::jsonb AS fix
FROM pg_class AS c
JOIN pg_namespace AS n ON n.oid = c.relnamespace
LEFT JOIN pg_index AS i ON i.indexrelid = c.oid
WHERE
    octet_length(c.relname) >= 63 AND n.nspname NOT IN ('pg_catalog', 'information_schema', 'pg_toast')
    AND c.relpersistence <> 't' AND NOT c.relispartition
