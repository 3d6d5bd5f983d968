-- title: Column that holds object identifiers
-- severity: warning
-- group: types
-- uses: columns
-- why: regclass, regproc and their like hold OIDs, which differ after a restore; pg_upgrade refuses most of them.
-- fix: Store the name as text.
-- sources: https://www.postgresql.org/docs/current/pgupgrade.html https://github.com/supabase/splinter
SELECT
    c.relation, NULL::text AS schema, ARRAY[c.name::text] AS columns, NULL::text AS object, NULL::text AS severity,
    jsonb_build_object('summary', format('%s is %s', c.name, c.type), 'type', c.type) AS evidence,
    NULL::jsonb AS fix
FROM columns AS c
WHERE c.base IN ('regcollation'::regtype, 'regconfig'::regtype, 'regdictionary'::regtype, 'regnamespace'::regtype, 'regoper'::regtype, 'regoperator'::regtype,
    'regproc'::regtype, 'regprocedure'::regtype, 'regclass'::regtype, 'regrole'::regtype, 'regtype'::regtype)
