-- title: All columns but the key may be null
-- severity: info
-- group: design
-- uses: columns
-- why: Nothing but the key has to be there: rows without content come in, and every reader must expect nulls.
-- fix: State NOT NULL where a value is always there.
-- sources: https://github.com/mfvanek/pg-index-health
SELECT
    c.relation, NULL::text AS schema, '{}'::text[] AS columns, NULL::text AS object, NULL::text AS severity,
    jsonb_build_object('summary', format('%s columns, none of them needed', count(*))) AS evidence, NULL::jsonb AS fix
FROM columns AS c
LEFT JOIN pg_index AS i ON i.indrelid = c.relation AND i.indisprimary
WHERE NOT coalesce(c.attnum = ANY (i.indkey::int2[]), false)
GROUP BY c.relation
HAVING count(*) > 2 AND NOT bool_or(c.attnotnull) AND bool_and(i.indexrelid IS NOT NULL)
