-- title: Score without a range
-- severity: warning
-- group: constraints
-- weigh: size
-- uses: columns checked
-- why: A score outside its range ranks first or last for ever. The range proposed, 0 to 100 (0 to 1 for
--   probabilities), is a guess from the name: `violating_rows` shows whether it holds.
-- fix: Add a CHECK with the range that is meant.
-- sources: https://www.postgresql.org/docs/current/ddl-constraints.html#DDL-CONSTRAINTS-CHECK-CONSTRAINTS
SELECT
    c.relation, NULL::text AS schema, ARRAY[c.name::text] AS columns, NULL::text AS object, NULL::text AS severity,
    jsonb_build_object('summary', format('nothing keeps what is no valid score out of %s', c.name)) AS evidence,
    jsonb_build_object(
        'kind', 'add_check', 'name', left(format('ck_%s_%s', c.table_name, c.name), 63), 'expression', CASE
            WHEN c.name ~* '(probability|confidence)$' THEN format('%I BETWEEN 0 AND 1', c.name)
            ELSE format('%I BETWEEN 0 AND 100', c.name) END
    ) AS fix
FROM columns AS c
JOIN pg_type AS y ON y.oid = c.base
WHERE
    c.name ~* '(^|_)(score|rating|percent|percentage|pct|probability|confidence)$'
    AND y.typcategory = 'N'
    AND c.attgenerated = ''
    AND NOT EXISTS (SELECT FROM checked AS k WHERE k.relation = c.relation AND k.attnum = c.attnum)
