-- title: Bloated table
-- severity: warning
-- group: storage
-- weigh: size
-- uses: tables
-- why: Much of the table's file is room that deleted and replaced rows left. Every scan reads it, and the cache holds
--   it. Estimated from the planner's statistics, within some ten per cent; pgstattuple measures it.
-- fix: See why autovacuum is late (long transactions, its settings); then pg_repack, or VACUUM FULL, which locks
--   readers out.
-- sources: https://www.postgresql.org/docs/current/routine-vacuuming.html https://github.com/supabase/splinter
--   https://github.com/mfvanek/pg-index-health
WITH widths AS (
    SELECT
        t.oid, sum((1 - s.null_frac) * s.avg_width) AS width, count(*) AS known, bool_or(s.null_frac > 0) AS nulls
    FROM tables AS t
    JOIN pg_stats AS s ON s.schemaname = t.schema AND s.tablename = t.name AND NOT s.inherited
    GROUP BY t.oid
),

estimated AS (
    SELECT
        t.*,
        ceil(
            t.reltuples
            * (4 + ceil((23 + CASE WHEN w.nulls THEN ceil(t.relnatts / 8.0) ELSE 0 END) / 8.0) * 8 + ceil(w.width / 8.0) * 8)
            / ((8192 - 24) * coalesce(
                (SELECT o.option_value::int FROM pg_options_to_table(t.reloptions) AS o WHERE o.option_name = 'fillfactor'), 100
            ) / 100.0)
        ) AS pages
    FROM tables AS t
    JOIN widths AS w ON w.oid = t.oid
    WHERE t.reltuples >= 0 AND t.relpages >= 128
)

SELECT
    e.oid AS relation, NULL::text AS schema, '{}'::text[] AS columns, NULL::text AS object, NULL::text AS severity,
    jsonb_build_object(
        'summary', format('some %s of %s are empty', pg_size_pretty(((e.relpages - e.pages) * 8192)::bigint), pg_size_pretty(e.relpages * 8192::bigint)),
        'pages', e.relpages, 'pages_needed', e.pages, 'share', round((1 - e.pages / e.relpages)::numeric, 2)
    ) AS evidence,
    NULL::jsonb AS fix
FROM estimated AS e
WHERE 1 - e.pages / e.relpages >= 0.4
