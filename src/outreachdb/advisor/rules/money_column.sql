-- title: Column of the type money
-- severity: warning
-- group: types
-- uses: columns
-- why: The number of decimals and the currency depend on lc_monetary of whoever reads it: a dump restored elsewhere
--   holds other amounts.
-- fix: Use numeric, and a column for the currency.
-- sources: https://wiki.postgresql.org/wiki/Don%27t_Do_This#Don.27t_use_money
--   https://github.com/mfvanek/pg-index-health
SELECT
    c.relation, NULL::text AS schema, ARRAY[c.name::text] AS columns, NULL::text AS object, NULL::text AS severity,
    jsonb_build_object('summary', format('%s is money', c.name), 'type', c.type) AS evidence,
    NULL::jsonb AS fix
FROM columns AS c
WHERE c.base = 'money'::regtype
