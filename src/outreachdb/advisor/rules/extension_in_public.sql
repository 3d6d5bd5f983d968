-- title: Extension in the schema public
-- severity: info
-- group: isolation
-- why: Its functions stand in everybody's search_path, beside whatever others put there.
-- fix: ALTER EXTENSION ... SET SCHEMA extensions, where it is relocatable.
-- sources: https://www.postgresql.org/docs/current/extend-extensions.html https://github.com/supabase/splinter
SELECT
    NULL::oid AS relation, n.nspname::text AS schema, '{}'::text[] AS columns, e.extname::text AS object, NULL::text AS severity,
    jsonb_build_object('summary', format('%s %s stands in public', e.extname, e.extversion), 'relocatable', e.extrelocatable) AS evidence,
    NULL::jsonb AS fix
FROM pg_extension AS e
JOIN pg_namespace AS n ON n.oid = e.extnamespace
WHERE n.nspname = 'public'
