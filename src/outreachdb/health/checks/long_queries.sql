-- title: Longest running query
-- group: connections
-- unit: s
-- yellow: 300
-- red: 1800
-- why: A query that nobody waits for any more still reads, sorts and holds back VACUUM.
-- advice: Look at its plan; end it (SELECT pg_cancel_backend(pid)), and set statement_timeout where people wait.
-- sources: https://www.postgresql.org/docs/current/monitoring-stats.html https://github.com/ankane/pghero
WITH running AS (
    SELECT
        a.pid, a.usename AS login, a.application_name AS application,
        greatest(extract(epoch FROM clock_timestamp() - a.query_start), 0) AS seconds
    FROM pg_stat_activity AS a
    WHERE a.state = 'active' AND a.backend_type = 'client backend' AND a.pid <> pg_backend_pid()
)

SELECT
    coalesce(max(r.seconds), 0) AS value,
    jsonb_build_object(
        'summary', format('%s queries are running', count(*)),
        'sessions', (SELECT jsonb_agg(to_jsonb(o) ORDER BY o.seconds DESC) FROM (SELECT * FROM running ORDER BY seconds DESC LIMIT 5) AS o)
    ) AS evidence
FROM running AS r
