-- title: Table with one column or none
-- severity: info
-- group: design
-- uses: tables
-- why: A table without columns holds nothing, and one with a single column often is a list that belongs into a CHECK
--   or lacks what it was made for.
-- fix: Finish it or drop it.
-- sources: https://github.com/mfvanek/pg-index-health
SELECT
    t.oid AS relation, NULL::text AS schema, '{}'::text[] AS columns, NULL::text AS object, NULL::text AS severity,
    jsonb_build_object('summary', format('%s columns', n.columns)) AS evidence, NULL::jsonb AS fix
FROM tables AS t
JOIN LATERAL (
    SELECT count(*) AS columns FROM pg_attribute AS a WHERE a.attrelid = t.oid AND a.attnum > 0 AND NOT a.attisdropped
) AS n ON n.columns < 2
WHERE NOT t.relispartition
