-- title: Several permissive policies for one role and command
-- severity: info
-- group: isolation
-- uses: tables
-- why: Permissive policies are joined by OR: each row is tested against all of them, and the widest decides.
-- fix: Join them into one, or make the narrowing ones RESTRICTIVE.
-- sources: https://www.postgresql.org/docs/current/sql-createpolicy.html https://github.com/supabase/splinter
SELECT
    t.oid AS relation, NULL::text AS schema, '{}'::text[] AS columns,
    string_agg(p.polname, ', ' ORDER BY p.polname) AS object, NULL::text AS severity,
    jsonb_build_object(
        'summary', format('%s policies are asked for %s by %s', count(*), c.word, coalesce(g.rolname, 'everybody')),
        'policies', jsonb_agg(p.polname ORDER BY p.polname), 'command', c.word
    ) AS evidence,
    NULL::jsonb AS fix
FROM tables AS t
JOIN pg_policy AS p ON p.polrelid = t.oid AND p.polpermissive
CROSS JOIN LATERAL unnest(p.polroles) AS r (role)
LEFT JOIN pg_roles AS g ON g.oid = r.role
CROSS JOIN (VALUES ('r', 'SELECT'), ('a', 'INSERT'), ('w', 'UPDATE'), ('d', 'DELETE')) AS c (letter, word)
WHERE t.relrowsecurity AND p.polcmd::text IN (c.letter, '*')
GROUP BY t.oid, r.role, g.rolname, c.word
HAVING count(*) > 1
