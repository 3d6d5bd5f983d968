-- title: Materialised view that shows what row-level security hides
-- severity: error
-- group: isolation
-- why: A materialised view holds what its owner saw. It has no row-level security of its own: who may read it reads
--   all tenants' rows.
-- fix: Revoke the rights and grant a security-barrier view that filters by tenant.
-- sources: https://www.postgresql.org/docs/current/rules-materializedviews.html https://github.com/supabase/splinter
SELECT
    v.oid AS relation, NULL::text AS schema, '{}'::text[] AS columns, v.relname::text AS object, NULL::text AS severity,
    jsonb_build_object(
        'summary', format('%s may read it, though %s has row-level security', g.names ->> 0, min(t.oid::regclass::text)),
        'tables', jsonb_agg(DISTINCT t.oid::regclass::text), 'readers', g.names
    ) AS evidence,
    NULL::jsonb AS fix
FROM pg_class AS v
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
WHERE v.relkind = 'm'
GROUP BY v.oid, v.relname, g.names
