-- title: Primary key of text
-- severity: info
-- group: types
-- uses: columns
-- why: Every child row and every index of it repeats the text; a changed name becomes a cascade through all children.
-- fix: Use a bigint or uuid key, and a unique constraint on the natural one.
-- sources: https://github.com/mfvanek/pg-index-health
SELECT
    c.relation, NULL::text AS schema, array_agg(c.name::text) AS columns, NULL::text AS object, NULL::text AS severity,
    jsonb_build_object('summary', format('the key holds %s', string_agg(c.name || ' ' || c.type, ', '))) AS evidence,
    NULL::jsonb AS fix
FROM columns AS c
JOIN pg_index AS i ON i.indrelid = c.relation AND i.indisprimary AND i.indnkeyatts = 1 AND c.attnum = ANY (i.indkey::int2[])
WHERE c.base IN ('text'::regtype, 'varchar'::regtype, 'bpchar'::regtype)
GROUP BY c.relation
