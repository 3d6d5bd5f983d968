-- title: Idle in a transaction
-- group: connections
-- unit: s
-- yellow: 300
-- red: 900
-- why: A session that forgot to commit keeps its locks, holds a place of the pool, and stops VACUUM from removing dead rows.
-- advice: End it (SELECT pg_terminate_backend(pid)), mend the application, and set idle_in_transaction_session_timeout.
-- sources: https://www.postgresql.org/docs/current/runtime-config-client.html https://github.com/CrunchyData/pgmonitor
WITH idle AS (
    SELECT
        a.pid, a.usename AS login, a.application_name AS application,
        greatest(extract(epoch FROM clock_timestamp() - a.state_change), 0) AS seconds
    FROM pg_stat_activity AS a
    WHERE a.state LIKE 'idle in transaction%' AND a.pid <> pg_backend_pid()
)

SELECT
    coalesce(max(i.seconds), 0) AS value,
    jsonb_build_object(
        'summary', format('%s sessions wait inside a transaction', count(*)),
        'sessions', (SELECT jsonb_agg(to_jsonb(o) ORDER BY o.seconds DESC) FROM (SELECT * FROM idle ORDER BY seconds DESC LIMIT 5) AS o)
    ) AS evidence
FROM idle AS i
