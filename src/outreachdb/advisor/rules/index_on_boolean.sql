-- title: Index on a boolean
-- severity: info
-- group: indexes
-- uses: indexes
-- why: Half of the table stands behind each of two values: such an index is used only where one of them is rare, and
--   then a partial index is smaller and serves more.
-- fix: Use the boolean as the predicate of an index over what the queries sort or filter by.
-- sources: https://www.postgresql.org/docs/current/indexes-partial.html https://github.com/mfvanek/pg-index-health
SELECT
    i.relation, NULL::text AS schema, i.columns::text[] AS columns, i.name::text AS object, NULL::text AS severity,
    jsonb_build_object('summary', format('%s has two values', a.attname), 'index_bytes', i.bytes) AS evidence, NULL::jsonb AS fix
FROM indexes AS i
JOIN pg_attribute AS a ON a.attrelid = i.relation AND a.attnum = i.keys[0] AND a.atttypid = 'bool'::regtype
WHERE i.indnkeyatts = 1 AND i.predicate = '' AND NOT i.indisunique AND NOT i.attached
