-- title: Column of the type char(n)
-- severity: info
-- group: types
-- uses: columns
-- why: char(n) pads with blanks: it takes the space, compares by rules of its own, and saves nothing over text.
-- fix: Use text, with a CHECK where the length is a rule.
-- sources: https://wiki.postgresql.org/wiki/Don%27t_Do_This#Don.27t_use_char.28n.29
--   https://github.com/mfvanek/pg-index-health
SELECT
    c.relation, NULL::text AS schema, ARRAY[c.name::text] AS columns, NULL::text AS object, NULL::text AS severity,
    jsonb_build_object('summary', format('%s is %s', c.name, c.type), 'type', c.type) AS evidence,
    NULL::jsonb AS fix
FROM columns AS c
WHERE c.base = 'bpchar'::regtype
