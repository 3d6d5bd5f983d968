-- title: Room wasted in indexes
-- group: storage
-- unit: %
-- yellow: 20
-- red: 40
-- faults: index_bloat
-- why: Empty room in files is read and cached like rows. The share of the database's size that stands empty in bloated
--   indexes counts, estimated from the planner's statistics.
-- advice: REINDEX INDEX CONCURRENTLY; outreachdb advise --rule index_bloat tells which.
-- sources: https://www.postgresql.org/docs/current/routine-vacuuming.html https://github.com/ankane/pghero
SELECT
    100.0 * coalesce(sum(w.bytes), 0) / pg_database_size(current_database()) AS value,
    jsonb_build_object(
        'summary', format('%s in %s indexes', pg_size_pretty(coalesce(sum(w.bytes), 0)::bigint), count(*)), 'bytes', coalesce(sum(w.bytes), 0)
    ) AS evidence
FROM (
    SELECT ((f.evidence ->> 'pages')::numeric - (f.evidence ->> 'pages_needed')::numeric) * 8192 AS bytes FROM index_bloat AS f
) AS w
