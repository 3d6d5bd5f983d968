-- title: Waits for locks
-- group: locks
-- unit: s
-- yellow: 5
-- red: 60
-- why: Who waits for a lock makes others wait behind it. The chains show who is at their head: ending that one frees all.
-- advice: End the session at the head of the chain (SELECT pg_terminate_backend(pid)); give migrations a lock_timeout.
-- sources: https://www.postgresql.org/docs/current/view-pg-locks.html https://wiki.postgresql.org/wiki/Lock_Monitoring
WITH RECURSIVE waiting AS MATERIALIZED (
    SELECT
        l.pid, pg_blocking_pids(l.pid) AS blockers,
        greatest(extract(epoch FROM clock_timestamp() - coalesce(min(l.waitstart), clock_timestamp())), 0) AS seconds
    FROM pg_locks AS l
    WHERE NOT l.granted
    GROUP BY l.pid
),

heads AS (
    SELECT DISTINCT b.pid
    FROM waiting AS w
    CROSS JOIN LATERAL unnest(w.blockers) AS b (pid)
    WHERE NOT EXISTS (SELECT FROM waiting AS o WHERE o.pid = b.pid)
),

chains (head, pid, depth) AS (
    SELECT h.pid, h.pid, 0 FROM heads AS h
    UNION
    SELECT c.head, w.pid, c.depth + 1
    FROM chains AS c
    JOIN waiting AS w ON c.pid = ANY (w.blockers)
    WHERE c.depth < 20
),

told AS (
    SELECT
        c.head AS pid, a.usename AS login, a.application_name AS application, a.state,
        count(DISTINCT c.pid) FILTER (WHERE c.depth > 0) AS sessions_behind, max(c.depth) AS depth
    FROM chains AS c
    LEFT JOIN pg_stat_activity AS a ON a.pid = c.head
    GROUP BY 1, 2, 3, 4
)

SELECT
    coalesce(max(w.seconds), 0) AS value,
    jsonb_build_object(
        'summary', CASE WHEN count(*) = 0 THEN 'nobody waits' ELSE format(
            '%s sessions wait; at the head: %s', count(*),
            coalesce((SELECT string_agg(format('pid %s', t.pid), ', ' ORDER BY t.sessions_behind DESC, t.pid) FROM told AS t), 'a circle')
        ) END,
        'chains', (SELECT jsonb_agg(to_jsonb(t) ORDER BY t.sessions_behind DESC, t.pid) FROM told AS t)
    ) AS evidence
FROM waiting AS w
