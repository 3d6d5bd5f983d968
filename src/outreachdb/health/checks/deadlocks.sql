-- title: Deadlocks
-- group: locks
-- unit: per day
-- yellow: 1
-- red: 10
-- why: Two transactions that take the same locks in another order end with one of them rolled back.
-- advice: Take locks in one order everywhere; the server's log names both statements.
-- sources: https://www.postgresql.org/docs/current/explicit-locking.html#LOCKING-DEADLOCKS
SELECT
    s.deadlocks / greatest(extract(epoch FROM now() - b.since) / 86400, 1) AS value,
    jsonb_build_object(
        'summary', format('%s since %s', s.deadlocks, to_char(b.since, 'YYYY-MM-DD')), 'deadlocks', s.deadlocks, 'since', b.since
    ) AS evidence
FROM pg_stat_database AS s
CROSS JOIN LATERAL (SELECT coalesce(s.stats_reset, pg_postmaster_start_time()) AS since) AS b
WHERE s.datname = current_database()
