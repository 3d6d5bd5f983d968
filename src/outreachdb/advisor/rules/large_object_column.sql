-- title: Column that refers to large objects
-- severity: info
-- group: types
-- uses: columns
-- why: Large objects are not deleted with their row, are dumped apart, and know no row-level security.
-- fix: Use bytea, or keep files outside.
-- sources: https://www.postgresql.org/docs/current/largeobjects.html https://github.com/mfvanek/pg-index-health
SELECT
    c.relation, NULL::text AS schema, ARRAY[c.name::text] AS columns, NULL::text AS object, NULL::text AS severity,
    jsonb_build_object('summary', format('%s is %s', c.name, c.type), 'type', c.type) AS evidence,
    NULL::jsonb AS fix
FROM columns AS c
WHERE c.base IN ('oid'::regtype) OR c.type IN ('lo', 'public.lo')
