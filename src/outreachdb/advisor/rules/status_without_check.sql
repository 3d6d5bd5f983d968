-- title: Status column without a list of values
-- severity: warning
-- group: constraints
-- weigh: size
-- uses: columns checked
-- why: A column that holds a state takes any text: a typing error makes rows that no query finds.
-- fix: Add a CHECK with the list (from the planner's statistics where these know every value), an enum, or a table to
--   refer to.
-- sources: https://www.postgresql.org/docs/current/ddl-constraints.html#DDL-CONSTRAINTS-CHECK-CONSTRAINTS
SELECT
    c.relation, NULL::text AS schema, ARRAY[c.name::text] AS columns, NULL::text AS object, NULL::text AS severity,
    jsonb_strip_nulls(jsonb_build_object(
        'summary', format('%s takes any text', c.name), 'values_seen', to_jsonb(s.most_common_vals::text::text[]),
        'distinct', s.n_distinct
    )) AS evidence,
    CASE WHEN s.n_distinct BETWEEN 1 AND 20 AND cardinality(s.most_common_vals::text::text[]) = s.n_distinct
        THEN jsonb_build_object(
            'kind', 'add_check', 'name', left(format('ck_%s_%s', c.table_name, c.name), 63),
            'expression', format('%I IN (%s)', c.name, (
                SELECT string_agg(quote_literal(v), ', ' ORDER BY v) FROM unnest(s.most_common_vals::text::text[]) AS v
            ))
        ) END AS fix
FROM columns AS c
LEFT JOIN pg_stats AS s
    ON s.schemaname = c.schema AND s.tablename = c.table_name AND s.attname = c.name AND s.inherited = (c.relkind = 'p')
WHERE
    c.name ~* '(^|_)(status|stage|phase|lifecycle|severity)$|_(state|kind)$|^kind$'
    AND c.base IN ('text'::regtype, 'varchar'::regtype, 'bpchar'::regtype)
    AND c.attgenerated = ''
    AND NOT EXISTS (SELECT FROM checked AS k WHERE k.relation = c.relation AND k.attnum = c.attnum)
    AND NOT EXISTS (
        SELECT FROM pg_constraint AS k
        WHERE k.conrelid = c.relation AND k.contype = 'f' AND k.conkey @> ARRAY[c.attnum]
    )
