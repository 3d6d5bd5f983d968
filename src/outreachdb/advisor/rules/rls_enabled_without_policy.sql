-- title: Row-level security without a policy
-- severity: warning
-- group: isolation
-- uses: tables
-- why: With row-level security on and no policy, everybody but the owner sees an empty table: an application that
--   should read it can't, and often gets the owner's login instead.
-- fix: Write the policy, or revoke the rights if nobody should read it.
-- sources: https://www.postgresql.org/docs/current/ddl-rowsecurity.html https://github.com/supabase/splinter
SELECT
    t.oid AS relation, NULL::text AS schema, '{}'::text[] AS columns, NULL::text AS object, NULL::text AS severity,
    jsonb_build_object('summary', 'row-level security is on and no policy lets a row through') AS evidence,
    NULL::jsonb AS fix
FROM tables AS t
WHERE t.relrowsecurity AND NOT t.relispartition AND NOT EXISTS (SELECT FROM pg_policy AS p WHERE p.polrelid = t.oid)
