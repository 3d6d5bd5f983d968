-- title: Function with a mutable search_path
-- severity: error
-- group: isolation
-- why: A function that does not pin its search_path finds whatever the caller's path finds first. In a SECURITY
--   DEFINER function that is a way to run one's own code with the owner's rights. Bodies in SQL-standard form are
--   bound when they are made and need none.
-- fix: ALTER FUNCTION ... SET search_path = ''; and qualify the names in its body.
-- sources: https://www.postgresql.org/docs/current/sql-createfunction.html#SQL-CREATEFUNCTION-SECURITY
--   https://github.com/supabase/splinter
SELECT
    NULL::oid AS relation, n.nspname::text AS schema, '{}'::text[] AS columns,
    format('%s(%s)', p.proname, pg_get_function_identity_arguments(p.oid)) AS object,
    CASE WHEN p.prosecdef THEN 'error' ELSE 'info' END AS severity,
    jsonb_build_object(
        'summary', CASE WHEN p.prosecdef THEN 'it runs with its owner''s rights and the caller''s search_path'
            ELSE 'it runs with the caller''s search_path' END,
        'security_definer', p.prosecdef
    ) AS evidence,
    jsonb_build_object(
        'kind', 'statement',
        'do', jsonb_build_array(format('ALTER %s %I.%I(%s) SET search_path = %s',
            CASE WHEN p.prokind = 'p' THEN 'PROCEDURE' ELSE 'FUNCTION' END, n.nspname, p.proname,
            pg_get_function_identity_arguments(p.oid), 'pg_catalog, ' || quote_ident(n.nspname) || ', pg_temp')),
        'undo', jsonb_build_array(format('ALTER %s %I.%I(%s) RESET search_path',
            CASE WHEN p.prokind = 'p' THEN 'PROCEDURE' ELSE 'FUNCTION' END, n.nspname, p.proname,
            pg_get_function_identity_arguments(p.oid)))
    ) AS fix
FROM pg_proc AS p
JOIN pg_namespace AS n ON n.oid = p.pronamespace
JOIN pg_language AS l ON l.oid = p.prolang
WHERE
    p.prokind IN ('f', 'p') AND l.lanname NOT IN ('c', 'internal') AND p.prosqlbody IS NULL
    AND n.nspname NOT IN ('pg_catalog', 'information_schema') AND n.nspname !~ '^pg_temp'
    AND NOT EXISTS (SELECT FROM unnest(p.proconfig) AS c WHERE c LIKE 'search\_path=%')
    AND NOT EXISTS (
        SELECT FROM pg_depend AS d WHERE d.classid = 'pg_proc'::regclass AND d.objid = p.oid AND d.deptype = 'e'
    )
