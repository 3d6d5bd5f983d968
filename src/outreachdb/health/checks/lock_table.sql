-- title: Lock table in use
-- group: locks
-- unit: %
-- yellow: 50
-- red: 80
-- why: All sessions share one table of locks; when it is full, statements fail. Queries over many partitions fill it.
-- advice: Raise max_locks_per_transaction (needs a restart), and let queries name the month so that few partitions are locked.
-- sources: https://www.postgresql.org/docs/current/runtime-config-locks.html https://github.com/monitoring-mixins
SELECT
    100.0 * count(*) FILTER (WHERE NOT l.fastpath) / r.most AS value,
    jsonb_build_object(
        'summary', format('%s of %s places', count(*) FILTER (WHERE NOT l.fastpath), r.most),
        'locks', count(*), 'sessions', count(DISTINCT l.pid)
    ) AS evidence
FROM pg_locks AS l
CROSS JOIN (
    SELECT
        current_setting('max_locks_per_transaction')::bigint
        * (current_setting('max_connections')::bigint + current_setting('max_prepared_transactions')::bigint) AS most
) AS r
GROUP BY r.most
