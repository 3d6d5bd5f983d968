-- title: Column fed by a serial sequence
-- severity: info
-- group: types
-- uses: columns
-- why: A serial's sequence has owner and rights of its own, and nothing keeps a row from bringing a value that it will
--   give again.
-- fix: Use GENERATED ... AS IDENTITY for new tables.
-- sources: https://wiki.postgresql.org/wiki/Don%27t_Do_This#Don.27t_use_serial
--   https://github.com/mfvanek/pg-index-health
SELECT
    c.relation, NULL::text AS schema, ARRAY[c.name::text] AS columns, NULL::text AS object, NULL::text AS severity,
    jsonb_build_object('summary', format('%s takes its values from a sequence that it owns', c.name), 'type', c.type) AS evidence,
    NULL::jsonb AS fix
FROM columns AS c
WHERE c.attidentity = '' AND EXISTS (
    SELECT FROM pg_depend AS d
    JOIN pg_class AS s ON s.oid = d.objid AND s.relkind = 'S'
    WHERE d.classid = 'pg_class'::regclass AND d.refobjid = c.relation AND d.refobjsubid = c.attnum AND d.deptype = 'a'
)
