-- title: Policy that asks a function for each row
-- severity: warning
-- group: isolation
-- uses: tables
-- why: A call such as current_setting() or auth.uid() that stands bare in a policy runs once per row. In a sub-select
--   it runs once per query.
-- fix: Write (SELECT f()) instead of f().
-- sources: https://www.postgresql.org/docs/current/ddl-rowsecurity.html https://github.com/supabase/splinter
WITH wrapped AS (
    -- A sub-select without FROM, with parentheses in it to four levels: what it calls is called once.
    SELECT replace(replace(
        '\(\s*SELECT #*(?:\(@\)#*)*\)', '@', replace(replace(replace(p, '@', p), '@', p), '@', '[^()]*')),
        '#', '(?:(?!\mFROM\M)[^()])') AS pattern
    FROM (VALUES ('[^()]*(?:\(@\)[^()]*)*')) AS inside (p)
),

said AS (
    SELECT
        p.polrelid, p.polname,
        regexp_replace(
            concat_ws(' ', pg_get_expr(p.polqual, p.polrelid), pg_get_expr(p.polwithcheck, p.polrelid)),
            w.pattern, '', 'g'
        ) AS bare
    FROM pg_policy AS p
    CROSS JOIN wrapped AS w
)

SELECT
    t.oid AS relation, NULL::text AS schema, '{}'::text[] AS columns, s.polname::text AS object, NULL::text AS severity,
    jsonb_build_object(
        'summary', format('%s calls %s for each row', s.polname, string_agg(DISTINCT f.call[1], ', ')),
        'calls', jsonb_agg(DISTINCT f.call[1])
    ) AS evidence,
    NULL::jsonb AS fix
FROM tables AS t
JOIN said AS s ON s.polrelid = t.oid
CROSS JOIN LATERAL regexp_matches(s.bare, '((?:[\w"]+\.)*[\w"]+\(\)|current_setting\([^()]*\))', 'g') AS f (call)
GROUP BY t.oid, s.polname
