-- title: E-mail address without validation
-- severity: warning
-- group: constraints
-- weigh: size
-- uses: columns checked
-- why: A column for addresses takes any text. What is not an address bounces later, or is sent to the wrong one.
-- fix: Add a CHECK without validating, mend the rows that break it (`violating_rows`), validate.
-- sources: https://www.postgresql.org/docs/current/ddl-constraints.html#DDL-CONSTRAINTS-CHECK-CONSTRAINTS
SELECT
    c.relation, NULL::text AS schema, ARRAY[c.name::text] AS columns, NULL::text AS object, NULL::text AS severity,
    jsonb_build_object('summary', format('nothing keeps what is no address out of %s', c.name)) AS evidence,
    jsonb_build_object(
        'kind', 'add_check', 'name', left(format('ck_%s_%s', c.table_name, c.name), 63), 'expression', format('%I ~ ''^[^@[:space:]]+@[^@[:space:]]+\.[^@[:space:]]+$''', c.name)
    ) AS fix
FROM columns AS c
JOIN pg_type AS y ON y.oid = c.base
WHERE
    c.name ~* '(^|_)e?mail(_?address)?$'
    AND y.typname IN ('text', 'varchar', 'bpchar', 'citext')
    AND c.attgenerated = ''
    AND NOT EXISTS (SELECT FROM checked AS k WHERE k.relation = c.relation AND k.attnum = c.attnum)
