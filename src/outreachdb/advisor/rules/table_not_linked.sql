-- title: Table that nothing is linked to
-- severity: info
-- group: design
-- uses: tables
-- why: No foreign key leads in or out: either its references are kept by the application alone, or it is left over.
-- fix: State the foreign keys, or drop what nobody uses.
-- sources: https://github.com/mfvanek/pg-index-health
SELECT
    t.oid AS relation, NULL::text AS schema, '{}'::text[] AS columns, NULL::text AS object, NULL::text AS severity,
    jsonb_build_object('summary', format('%s look like references and state none', string_agg(a.attname, ', ' ORDER BY a.attnum))) AS evidence,
    NULL::jsonb AS fix
FROM tables AS t
JOIN pg_attribute AS a ON a.attrelid = t.oid AND a.attnum > 0 AND NOT a.attisdropped AND a.attname ~ '_id$'
WHERE
    NOT t.relispartition
    AND NOT EXISTS (SELECT FROM pg_constraint AS k WHERE k.contype = 'f' AND t.oid IN (k.conrelid, k.confrelid))
    AND NOT EXISTS (
        SELECT FROM pg_index AS i WHERE i.indrelid = t.oid AND i.indisprimary AND a.attnum = ANY (i.indkey::int2[])
    )
GROUP BY t.oid
