-- title: Large table that is read whole
-- severity: warning
-- group: indexes
-- weigh: size
-- uses: tables
-- why: Most scans of this table read all of it, many rows each: queries filter by something that no index knows.
-- fix: Find the queries (the rules of the workload do) and build what they need.
-- sources: https://www.postgresql.org/docs/current/monitoring-stats.html https://github.com/mfvanek/pg-index-health
--   https://github.com/ankane/pghero
SELECT
    t.oid AS relation, NULL::text AS schema, '{}'::text[] AS columns, NULL::text AS object, NULL::text AS severity,
    jsonb_build_object(
        'summary', format('%s of %s scans read the whole table, %s rows each', s.seq_scan, s.seq_scan + coalesce(s.idx_scan, 0), s.seq_tup_read / s.seq_scan),
        'sequential_scans', s.seq_scan, 'index_scans', coalesce(s.idx_scan, 0), 'rows_per_scan', s.seq_tup_read / s.seq_scan
    ) AS evidence,
    NULL::jsonb AS fix
FROM tables AS t
JOIN pg_stat_all_tables AS s ON s.relid = t.oid
WHERE s.seq_scan >= 20 AND s.seq_scan > coalesce(s.idx_scan, 0) AND s.seq_tup_read / s.seq_scan >= 10000
