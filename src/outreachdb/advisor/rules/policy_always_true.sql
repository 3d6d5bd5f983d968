-- title: Policy that lets everybody write
-- severity: error
-- group: isolation
-- uses: tables
-- why: A permissive policy with USING (true) or WITH CHECK (true) for writes, for everybody, is no policy at all;
--   policies are joined by OR, so it opens the others as well.
-- fix: Name the roles it is meant for, or state the condition.
-- sources: https://www.postgresql.org/docs/current/sql-createpolicy.html https://github.com/supabase/splinter
SELECT
    t.oid AS relation, NULL::text AS schema, '{}'::text[] AS columns, p.polname::text AS object, NULL::text AS severity,
    jsonb_build_object('summary', format('%s lets every role write every row', p.polname)) AS evidence, NULL::jsonb AS fix
FROM tables AS t
JOIN pg_policy AS p ON p.polrelid = t.oid
WHERE
    t.relrowsecurity AND p.polpermissive AND p.polroles = '{0}'::oid[] AND p.polcmd IN ('*', 'a', 'w', 'd')
    AND coalesce(pg_get_expr(p.polwithcheck, p.polrelid), pg_get_expr(p.polqual, p.polrelid)) = 'true'
