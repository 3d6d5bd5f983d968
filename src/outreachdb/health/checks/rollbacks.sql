-- title: Transactions rolled back
-- group: locks
-- unit: %
-- yellow: 10
-- red: 30
-- given: min_transactions=1000
-- why: Work that is done and thrown away; a sudden rise is an application that fails.
-- advice: Read the server's log for the errors behind them.
-- sources: https://www.postgresql.org/docs/current/monitoring-stats.html https://github.com/monitoring-mixins
SELECT
    CASE WHEN s.xact_commit + s.xact_rollback >= g.min_transactions
        THEN 100.0 * s.xact_rollback / (s.xact_commit + s.xact_rollback) END AS value,
    format('only %s transactions since the statistics began', s.xact_commit + s.xact_rollback) AS reason,
    jsonb_build_object(
        'summary', format('%s of %s', s.xact_rollback, s.xact_commit + s.xact_rollback), 'commits', s.xact_commit,
        'rollbacks', s.xact_rollback
    ) AS evidence
FROM pg_stat_database AS s
CROSS JOIN given AS g
WHERE s.datname = current_database()
