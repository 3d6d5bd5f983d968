-- title: One name, several types
-- severity: info
-- group: types
-- uses: columns
-- why: Columns of one name that hold different types are joined and compared through casts, which keep indexes from
--   being used.
-- fix: Give them one type, or different names.
-- sources: https://github.com/mfvanek/pg-index-health
SELECT
    NULL::oid AS relation, c.schema::text AS schema, ARRAY[c.name::text] AS columns, c.name::text AS object, NULL::text AS severity,
    jsonb_build_object(
        'summary', format('%s is %s', c.name, string_agg(DISTINCT c.type, ' and ')),
        'tables', jsonb_object_agg(c.table_name, c.type)
    ) AS evidence,
    NULL::jsonb AS fix
FROM columns AS c
WHERE c.name ~ '_(id|key|code|no|number)$'
GROUP BY c.schema, c.name
HAVING count(DISTINCT c.base) > 1
