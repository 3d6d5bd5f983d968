-- title: Oldest open transaction
-- group: connections
-- unit: s
-- yellow: 3600
-- red: 14400
-- why: Rows that were deleted after it began can't be removed: tables and indexes swell. Prepared transactions that were
--   forgotten do the same, and outlive restarts.
-- advice: End the session or finish the prepared transaction (ROLLBACK PREPARED); split long work into portions.
-- sources: https://www.postgresql.org/docs/current/routine-vacuuming.html https://github.com/CrunchyData/pgmonitor
WITH open AS (
    SELECT
        'session ' || a.pid AS who, a.usename AS login,
        greatest(extract(epoch FROM clock_timestamp() - a.xact_start), 0) AS seconds
    FROM pg_stat_activity AS a
    WHERE a.xact_start IS NOT NULL AND a.pid <> pg_backend_pid() AND a.backend_type = 'client backend'
    UNION ALL
    SELECT 'prepared transaction ' || p.gid, p.owner, greatest(extract(epoch FROM clock_timestamp() - p.prepared), 0)
    FROM pg_prepared_xacts AS p
)

SELECT
    coalesce(max(o.seconds), 0) AS value,
    jsonb_build_object(
        'summary', format('%s transactions are open', count(*)),
        'transactions', (SELECT jsonb_agg(to_jsonb(t) ORDER BY t.seconds DESC) FROM (SELECT * FROM open ORDER BY seconds DESC LIMIT 5) AS t)
    ) AS evidence
FROM open AS o
