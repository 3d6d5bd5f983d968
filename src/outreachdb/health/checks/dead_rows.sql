-- title: Dead rows
-- group: storage
-- unit: %
-- yellow: 20
-- red: 40
-- given: min_rows=10000
-- why: Rows that were deleted or replaced stay until VACUUM has passed; scans read them all. The worst table counts,
--   from min_rows dead ones on.
-- advice: Run VACUUM on it; if they come back, look for old transactions and lower autovacuum_vacuum_scale_factor there.
-- sources: https://www.postgresql.org/docs/current/routine-vacuuming.html
WITH worst AS (
    SELECT
        format('%I.%I', s.schemaname, s.relname) AS name, s.n_dead_tup AS dead, s.n_live_tup AS live,
        100.0 * s.n_dead_tup / (s.n_dead_tup + s.n_live_tup) AS share
    FROM pg_stat_user_tables AS s
    CROSS JOIN given AS g
    WHERE s.n_dead_tup >= greatest(g.min_rows, 1)
)

SELECT
    coalesce(max(w.share), 0) AS value,
    jsonb_build_object(
        'summary', coalesce((
            SELECT format('%s: %s dead beside %s', o.name, o.dead, o.live) FROM worst AS o ORDER BY o.share DESC, o.name LIMIT 1
        ), 'no table has many'),
        'tables', (SELECT jsonb_agg(to_jsonb(o) ORDER BY o.share DESC) FROM (SELECT * FROM worst ORDER BY share DESC LIMIT 5) AS o)
    ) AS evidence
FROM worst AS w
