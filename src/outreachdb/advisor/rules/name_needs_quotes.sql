-- title: Name that needs quotes
-- severity: info
-- group: design
-- uses: tables
-- why: A name with capitals, blanks or a reserved word must be quoted at each use, and fails where it is forgotten.
-- fix: Rename it while few use it.
-- sources: https://wiki.postgresql.org/wiki/Don%27t_Do_This#Don.27t_use_upper_case_table_or_column_names
--   https://github.com/mfvanek/pg-index-health
SELECT
    t.oid AS relation, NULL::text AS schema,
    coalesce(array_agg(DISTINCT a.attname::text) FILTER (WHERE quote_ident(a.attname) <> a.attname), '{}') AS columns,
    CASE WHEN quote_ident(t.name) <> t.name THEN t.name::text END AS object, NULL::text AS severity,
    jsonb_build_object('summary', format('%s', string_agg(DISTINCT n.name, ', '))) AS evidence, NULL::jsonb AS fix
FROM tables AS t
JOIN pg_attribute AS a ON a.attrelid = t.oid AND a.attnum > 0 AND NOT a.attisdropped
CROSS JOIN LATERAL (VALUES (t.name::text), (a.attname::text)) AS n (name)
WHERE NOT t.relispartition AND quote_ident(n.name) <> n.name
GROUP BY t.oid, t.name
