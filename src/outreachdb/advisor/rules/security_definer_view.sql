-- title: View that reads past row-level security
-- severity: error
-- group: isolation
-- why: A view reads with its owner's rights unless it is made WITH (security_invoker): if the owner owns the tables,
--   their policies don't apply. Views that are security barriers and name the tenant themselves are accepted.
-- fix: ALTER VIEW ... SET (security_invoker = true), or filter by tenant in a security-barrier view.
-- sources: https://www.postgresql.org/docs/current/rules-privileges.html https://github.com/supabase/splinter
SELECT
    v.oid AS relation, NULL::text AS schema, '{}'::text[] AS columns, v.relname::text AS object, NULL::text AS severity,
    jsonb_build_object(
        'summary', format('it reads %s with the rights of %s, whom no policy stops', min(t.oid::regclass::text), o.rolname),
        'tables', jsonb_agg(DISTINCT t.oid::regclass::text), 'readers', g.names
    ) AS evidence,
    jsonb_build_object(
        'kind', 'statement', 'do', jsonb_build_array(format('ALTER VIEW %I.%I SET (security_invoker = true)', n.nspname, v.relname)),
        'undo', jsonb_build_array(format('ALTER VIEW %I.%I RESET (security_invoker)', n.nspname, v.relname))
    ) AS fix
FROM pg_class AS v
JOIN pg_namespace AS n ON n.oid = v.relnamespace AND n.nspname NOT IN ('pg_catalog', 'information_schema')
JOIN pg_roles AS o ON o.oid = v.relowner
JOIN pg_rewrite AS w ON w.ev_class = v.oid
JOIN pg_depend AS d
    ON d.classid = 'pg_rewrite'::regclass AND d.objid = w.oid AND d.refclassid = 'pg_class'::regclass AND d.refobjid <> v.oid
JOIN pg_class AS t ON t.oid = d.refobjid AND t.relrowsecurity
JOIN LATERAL (
    SELECT jsonb_agg(DISTINCT coalesce(r.rolname, 'PUBLIC')) AS names
    FROM aclexplode(v.relacl) AS x
    LEFT JOIN pg_roles AS r ON r.oid = x.grantee
    WHERE x.privilege_type = 'SELECT' AND x.grantee <> v.relowner AND NOT coalesce(r.rolbypassrls OR r.rolsuper, false)
) AS g ON g.names IS NOT NULL
WHERE
    v.relkind = 'v'
    AND NOT coalesce(v.reloptions && ARRAY['security_invoker=true', 'security_invoker=on', 'security_invoker=1'], false)
    AND (o.rolsuper OR o.rolbypassrls OR (v.relowner = t.relowner AND NOT t.relforcerowsecurity))
    AND NOT (
        coalesce(v.reloptions && ARRAY['security_barrier=true', 'security_barrier=on', 'security_barrier=1'], false)
        AND pg_get_viewdef(v.oid) ~* '\m(current_setting|current_user|session_user|current_\w+|\w*uid|\w*tenant\w*)\('
    )
GROUP BY v.oid, v.relname, n.nspname, o.rolname, g.names
