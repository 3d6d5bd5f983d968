-- title: B-tree index on an array
-- severity: warning
-- group: indexes
-- uses: indexes
-- why: A B-tree over whole arrays answers only questions about the whole array; membership and overlap need GIN.
-- fix: Build GIN, then drop the B-tree unless whole arrays are compared.
-- sources: https://www.postgresql.org/docs/current/indexes-types.html#INDEXES-TYPES-GIN
--   https://github.com/mfvanek/pg-index-health
SELECT
    i.relation, NULL::text AS schema, i.columns::text[] AS columns, i.name::text AS object, NULL::text AS severity,
    jsonb_build_object('summary', format('%s is an array', a.attname)) AS evidence,
    jsonb_build_object('kind', 'create_index', 'columns', jsonb_build_array(quote_ident(a.attname)), 'using', 'gin') AS fix
FROM indexes AS i
JOIN pg_attribute AS a ON a.attrelid = i.relation AND a.attnum = i.keys[0]
JOIN pg_type AS y ON y.oid = a.atttypid AND y.typcategory = 'A'
WHERE i.method = 'btree' AND NOT i.indisunique AND NOT i.attached
