-- title: Policy without row-level security
-- severity: error
-- group: isolation
-- uses: tables
-- why: The policies stand there and do nothing: everybody with SELECT sees every row.
-- fix: Enable row-level security, after a look at who works under it.
-- sources: https://www.postgresql.org/docs/current/ddl-rowsecurity.html https://github.com/supabase/splinter
SELECT
    t.oid AS relation, NULL::text AS schema, '{}'::text[] AS columns, NULL::text AS object, NULL::text AS severity,
    jsonb_build_object(
        'summary', format('policies that do nothing: %s', string_agg(p.polname, ', ' ORDER BY p.polname)),
        'policies', jsonb_agg(p.polname ORDER BY p.polname)
    ) AS evidence,
    jsonb_build_object(
        'kind', 'statement', 'do', jsonb_build_array(format('ALTER TABLE %s ENABLE ROW LEVEL SECURITY', t.quoted)),
        'undo', jsonb_build_array(format('ALTER TABLE %s DISABLE ROW LEVEL SECURITY', t.quoted))
    ) AS fix
FROM tables AS t
JOIN pg_policy AS p ON p.polrelid = t.oid
WHERE NOT t.relrowsecurity
GROUP BY t.oid, t.quoted
