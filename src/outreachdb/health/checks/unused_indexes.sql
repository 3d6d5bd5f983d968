-- title: Indexes that no query uses
-- group: indexes
-- unit: %
-- yellow: 5
-- red: 20
-- given: min_days=30 min_mb=10 min_reads=100
-- faults: unused_index
-- uses: reset
-- why: Each index costs a write per row and memory. The share of the database's size that those above min_mb take counts, once the
--   statistics are min_days old and their table was read min_reads times: sooner, an index may only not have had its turn.
-- advice: Look at standbys and rare reports, then drop them; outreachdb advise --rule unused_index has the statements.
-- sources: https://www.postgresql.org/docs/current/monitoring-stats.html https://github.com/ankane/pghero
SELECT
    CASE WHEN r.days >= g.min_days
        THEN 100.0 * coalesce(sum((f.evidence ->> 'index_bytes')::numeric), 0) / pg_database_size(current_database()) END AS value,
    format('statistics count for certain since %s days; %s are needed', r.days, g.min_days) AS reason,
    jsonb_build_object(
        'summary', format('%s, %s', count(f.object), pg_size_pretty(coalesce(sum((f.evidence ->> 'index_bytes')::bigint), 0))),
        'indexes', (array_agg(f.object ORDER BY (f.evidence ->> 'index_bytes')::numeric DESC, f.object))[1:5], 'days', r.days
    ) AS evidence
FROM reset AS r
CROSS JOIN given AS g
LEFT JOIN unused_index AS f ON (f.evidence ->> 'index_bytes')::numeric >= g.min_mb * 1048576
GROUP BY r.days, g.min_days
