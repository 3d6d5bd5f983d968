-- title: Materialised view that shows what row-level security hides
-- severity: error
-- group: isolation
-- why: A materialised view holds what its owner saw. It has no row-level security of its own: who may read it reads
--   all tenants' rows. Readers whom the table itself shows every row are not reported: its owner, who may pass over
--   row-level security, and who has a policy whose condition is true.
-- fix: Revoke the rights and grant a security-barrier view that filters by tenant. For a role that is meant to see all
--   tenants, monitoring for one, say so on the table: CREATE POLICY ... FOR SELECT TO role USING (true).
-- sources: https://www.postgresql.org/docs/current/rules-materializedviews.html https://github.com/supabase/splinter
WITH readers AS (
    SELECT v.oid, v.relname, t.oid AS table_oid, coalesce(r.rolname::text, 'PUBLIC') AS reader
    FROM pg_class AS v
    JOIN pg_rewrite AS w ON w.ev_class = v.oid
    JOIN pg_depend AS d
        ON d.classid = 'pg_rewrite'::regclass AND d.objid = w.oid AND d.refclassid = 'pg_class'::regclass AND d.refobjid <> v.oid
    JOIN pg_class AS t ON t.oid = d.refobjid AND t.relrowsecurity
    CROSS JOIN LATERAL aclexplode(v.relacl) AS x
    LEFT JOIN pg_roles AS r ON r.oid = x.grantee
    -- The policies that speak to the reader: each permissive one adds rows, each restrictive one may take rows away.
    CROSS JOIN LATERAL (
        SELECT
            coalesce(bool_or(p.polpermissive AND pg_get_expr(p.polqual, p.polrelid) = 'true'), false)
            AND NOT coalesce(bool_or(NOT p.polpermissive AND pg_get_expr(p.polqual, p.polrelid) <> 'true'), false) AS all_rows
        FROM pg_policy AS p
        WHERE
            p.polrelid = t.oid AND p.polcmd IN ('*', 'r')
            AND EXISTS (
                SELECT FROM unnest(p.polroles) AS m (oid)
                WHERE CASE WHEN m.oid = 0 OR x.grantee = 0 THEN m.oid = 0 ELSE pg_has_role(x.grantee, m.oid, 'USAGE') END
            )
    ) AS s
    WHERE
        v.relkind = 'm' AND x.privilege_type = 'SELECT' AND x.grantee <> v.relowner
        AND NOT coalesce(r.rolbypassrls OR r.rolsuper, false) AND NOT s.all_rows
        AND CASE WHEN x.grantee = 0 OR t.relforcerowsecurity THEN true ELSE NOT pg_has_role(x.grantee, t.relowner, 'USAGE') END
)

SELECT
    e.oid AS relation, NULL::text AS schema, '{}'::text[] AS columns, e.relname::text AS object, NULL::text AS severity,
    jsonb_build_object(
        'summary', format(
            '%s may read it, though row-level security of %s hides rows from it', min(e.reader), min(e.table_oid::regclass::text)
        ),
        'tables', jsonb_agg(DISTINCT e.table_oid::regclass::text), 'readers', jsonb_agg(DISTINCT e.reader)
    ) AS evidence,
    NULL::jsonb AS fix
FROM readers AS e
GROUP BY e.oid, e.relname
