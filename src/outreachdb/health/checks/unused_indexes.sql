-- title: Indexes that no query uses
-- group: indexes
-- unit: %
-- yellow: 5
-- red: 20
-- given: min_days=30 min_mb=10
-- faults: unused_index
-- uses: reset
-- why: Each index costs a write per row and memory. The share of the database's size that those above min_mb take counts, once the
--   statistics are min_days old: sooner, an index may only not have had its turn.
-- advice: Look at standbys and rare reports, then drop them; outreachdb advise --rule unused_index has the statements.
-- sources: https://www.postgresql.org/docs/current/monitoring-stats.html https://github.com/ankane/pghero
SELECT
    CASE WHEN c.days >= g.min_days
        THEN 100.0 * coalesce(sum((f.evidence ->> 'index_bytes')::numeric), 0) / pg_database_size(current_database()) END AS value,
    format('statistics count for certain since %s days; %s are needed', c.days, g.min_days) AS reason,
    jsonb_build_object(
        'summary', format('%s, %s', count(f.object), pg_size_pretty(coalesce(sum((f.evidence ->> 'index_bytes')::bigint), 0))),
        'indexes', (array_agg(f.object ORDER BY (f.evidence ->> 'index_bytes')::numeric DESC, f.object))[1:5], 'days', c.days
    ) AS evidence
FROM reset AS r
-- Statistics that were never reset are at least as old as the server's start.
CROSS JOIN LATERAL (SELECT coalesce(r.days, extract(day FROM now() - pg_postmaster_start_time())::int) AS days) AS c
CROSS JOIN given AS g
LEFT JOIN unused_index AS f ON (f.evidence ->> 'index_bytes')::numeric >= g.min_mb * 1048576
GROUP BY c.days, g.min_days
