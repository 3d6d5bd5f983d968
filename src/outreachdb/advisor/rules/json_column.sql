-- title: Column of the type json
-- severity: info
-- group: types
-- uses: columns
-- why: json is text that is parsed at each access; it has no equality (DISTINCT and UNION fail) and no containment
--   index.
-- fix: Use jsonb unless the exact text, with its order and its repeated keys, must be kept.
-- sources: https://www.postgresql.org/docs/current/datatype-json.html https://github.com/mfvanek/pg-index-health
SELECT
    c.relation, NULL::text AS schema, ARRAY[c.name::text] AS columns, NULL::text AS object, NULL::text AS severity,
    jsonb_build_object('summary', format('%s is json', c.name), 'type', c.type) AS evidence,
    NULL::jsonb AS fix
FROM columns AS c
WHERE c.base = 'json'::regtype
