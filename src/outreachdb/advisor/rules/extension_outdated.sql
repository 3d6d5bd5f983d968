-- title: Extension older than its files
-- severity: info
-- group: isolation
-- why: The server has a newer version of the extension than this database uses: its fixes are not in force.
-- fix: ALTER EXTENSION ... UPDATE.
-- sources: https://www.postgresql.org/docs/current/sql-alterextension.html https://github.com/supabase/splinter
SELECT
    NULL::oid AS relation, n.nspname::text AS schema, '{}'::text[] AS columns, e.extname::text AS object, NULL::text AS severity,
    jsonb_build_object('summary', format('%s is %s; the server has %s', e.extname, e.extversion, a.default_version)) AS evidence,
    jsonb_build_object('kind', 'statement', 'do', jsonb_build_array(format('ALTER EXTENSION %I UPDATE', e.extname))) AS fix
FROM pg_extension AS e
JOIN pg_namespace AS n ON n.oid = e.extnamespace
JOIN pg_available_extensions AS a ON a.name = e.extname
WHERE a.default_version <> e.extversion
