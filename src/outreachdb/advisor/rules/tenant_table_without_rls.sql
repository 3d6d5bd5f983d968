-- title: Tenant table outside row-level security
-- severity: error
-- group: isolation
-- uses: tables
-- why: Other tables with the same tenant column are behind row-level security; this one is not, and others than its
--   owner may read it.
-- fix: Enable row-level security and give it the same policy.
-- sources: https://www.postgresql.org/docs/current/ddl-rowsecurity.html https://github.com/supabase/splinter
WITH tenant AS (
    -- Columns that the policies of at least two tables compare.
    SELECT a.attname, count(DISTINCT p.polrelid) AS tables
    FROM pg_policy AS p
    JOIN tables AS t ON t.oid = p.polrelid AND t.relrowsecurity AND NOT t.relispartition
    JOIN pg_attribute AS a ON a.attrelid = p.polrelid AND a.attnum > 0
    JOIN pg_depend AS d
        ON d.classid = 'pg_policy'::regclass AND d.objid = p.oid AND d.refobjid = p.polrelid AND d.refobjsubid = a.attnum
    WHERE a.attname ~ '(_id|_key|_code|_name)$'
    GROUP BY a.attname
    HAVING count(DISTINCT p.polrelid) >= 2
)

SELECT
    t.oid AS relation, NULL::text AS schema, ARRAY[a.attname::text] AS columns, NULL::text AS object, NULL::text AS severity,
    jsonb_build_object(
        'summary', format('%s other tables protect %s by policies', n.tables, n.attname), 'readers', g.names
    ) AS evidence,
    NULL::jsonb AS fix
FROM tables AS t
JOIN pg_attribute AS a ON a.attrelid = t.oid AND a.attnum > 0 AND NOT a.attisdropped
JOIN tenant AS n ON n.attname = a.attname
JOIN LATERAL (
    SELECT jsonb_agg(DISTINCT coalesce(r.rolname, 'PUBLIC')) AS names
    FROM aclexplode(t.relacl) AS x
    LEFT JOIN pg_roles AS r ON r.oid = x.grantee
    WHERE x.privilege_type = 'SELECT' AND x.grantee <> t.relowner AND NOT coalesce(r.rolbypassrls, false)
        -- Roles that may see all rows of the protected tables, by a policy of their own, see no more here.
        AND NOT EXISTS (
            SELECT FROM pg_policy AS p
            WHERE
                x.grantee = ANY (p.polroles) AND x.grantee <> 0 AND p.polcmd IN ('*', 'r')
                AND pg_get_expr(p.polqual, p.polrelid) = 'true'
        )
) AS g ON g.names IS NOT NULL
WHERE NOT t.relrowsecurity
