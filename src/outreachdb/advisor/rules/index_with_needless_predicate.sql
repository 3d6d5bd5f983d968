-- title: Index predicate that always holds
-- severity: info
-- group: indexes
-- uses: indexes
-- why: The index says `WHERE column IS NOT NULL` of a column that can't be null: it holds every row, and tools take it
--   for a partial one.
-- fix: Leave the predicate out when it is next rebuilt.
-- sources: https://github.com/mfvanek/pg-index-health
SELECT
    i.relation, NULL::text AS schema, i.columns::text[] AS columns, i.name::text AS object, NULL::text AS severity,
    jsonb_build_object('summary', format('%s can''t be null', a.attname), 'predicate', i.predicate) AS evidence, NULL::jsonb AS fix
FROM indexes AS i
JOIN pg_attribute AS a ON a.attrelid = i.relation AND a.attnotnull AND a.attnum > 0
WHERE NOT i.attached AND i.predicate = format('(%I IS NOT NULL)', a.attname)
