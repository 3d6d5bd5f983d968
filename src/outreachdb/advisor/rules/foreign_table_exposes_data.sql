-- title: Foreign table open to others
-- severity: warning
-- group: isolation
-- why: Foreign tables know no row-level security: who may read one reads all that the mapped login sees on the other
--   server.
-- fix: Grant a view instead.
-- sources: https://www.postgresql.org/docs/current/sql-createforeigntable.html https://github.com/supabase/splinter
SELECT
    v.oid AS relation, NULL::text AS schema, '{}'::text[] AS columns, v.relname::text AS object, NULL::text AS severity,
    jsonb_build_object('summary', format('%s may read it, past any policy', g.names ->> 0), 'readers', g.names) AS evidence,
    NULL::jsonb AS fix
FROM pg_class AS v
JOIN LATERAL (
    SELECT jsonb_agg(DISTINCT coalesce(r.rolname, 'PUBLIC')) AS names
    FROM aclexplode(v.relacl) AS x
    LEFT JOIN pg_roles AS r ON r.oid = x.grantee
    WHERE x.privilege_type = 'SELECT' AND x.grantee <> v.relowner AND NOT coalesce(r.rolbypassrls OR r.rolsuper, false)
) AS g ON g.names IS NOT NULL
WHERE v.relkind = 'f'
