-- title: Room wasted in tables
-- group: storage
-- unit: %
-- yellow: 20
-- red: 40
-- faults: table_bloat
-- why: Empty room in files is read and cached like rows. The share of the database's size that stands empty in bloated
--   tables counts, estimated from the planner's statistics.
-- advice: Run pg_repack, or VACUUM FULL where readers can wait; outreachdb advise --rule table_bloat tells which.
-- sources: https://www.postgresql.org/docs/current/routine-vacuuming.html https://github.com/ankane/pghero
SELECT
    100.0 * coalesce(sum(w.bytes), 0) / pg_database_size(current_database()) AS value,
    jsonb_build_object(
        'summary', format('%s in %s tables', pg_size_pretty(coalesce(sum(w.bytes), 0)::bigint), count(*)), 'bytes', coalesce(sum(w.bytes), 0)
    ) AS evidence
FROM (
    SELECT ((f.evidence ->> 'pages')::numeric - (f.evidence ->> 'pages_needed')::numeric) * 8192 AS bytes FROM table_bloat AS f
) AS w
