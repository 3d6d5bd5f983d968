-- title: Tables never analysed
-- group: queries
-- unit: tables
-- yellow: 1
-- red: 10
-- given: min_rows=1000 min_parent_rows=50000
-- why: Without statistics the planner guesses: it takes a full table for an empty one. Autovacuum never analyses the
--   parent of partitions; what is asked of all of them is planned by the parent's statistics. A table that autovacuum comes for by
--   itself, as it is on for the table and has a worker free, is not counted.
-- advice: Run ANALYZE on them; parents of partitions need it from a job (analyze_hot_tables of outreachdb worker).
-- sources: https://www.postgresql.org/docs/current/routine-vacuuming.html#VACUUM-FOR-STATISTICS
WITH never AS (
    SELECT
        format('%I.%I', n.nspname, c.relname) AS name,
        -- What has changed enough is taken at autovacuum's next look, a naptime away.
        c.relkind <> 'p' AND u.enabled AND pg_stat_get_mod_since_analyze(c.oid) > u.threshold + u.scale * greatest(c.reltuples, 0) AS awaited
    FROM pg_class AS c
    JOIN pg_namespace AS n ON n.oid = c.relnamespace
    CROSS JOIN given AS g
    CROSS JOIN LATERAL (
        SELECT
            current_setting('autovacuum')::boolean AND current_setting('track_counts')::boolean
            AND coalesce(max(o.option_value) FILTER (WHERE o.option_name = 'autovacuum_enabled'), 'on')::boolean AS enabled,
            coalesce(
                max(o.option_value) FILTER (WHERE o.option_name = 'autovacuum_analyze_threshold'),
                current_setting('autovacuum_analyze_threshold')
            )::float8 AS threshold,
            coalesce(
                max(o.option_value) FILTER (WHERE o.option_name = 'autovacuum_analyze_scale_factor'),
                current_setting('autovacuum_analyze_scale_factor')
            )::float8 AS scale
        FROM pg_options_to_table(c.reloptions) AS o
    ) AS u
    WHERE
        c.relkind IN ('r', 'm', 'p') AND c.relpersistence <> 't'
        AND n.nspname NOT IN ('pg_catalog', 'information_schema', 'pg_toast')
        -- Column statistics are what the planner needs; who may not read pg_statistic still sees these two marks.
        AND (c.reltuples < 0 OR (c.relkind <> 'p' AND pg_stat_get_last_analyze_time(c.oid) IS NULL
            AND pg_stat_get_last_autoanalyze_time(c.oid) IS NULL AND pg_stat_get_mod_since_analyze(c.oid) >= g.min_rows))
        AND CASE WHEN c.relkind = 'p'
            THEN (SELECT coalesce(sum(pg_stat_get_live_tuples(t.relid)), 0) FROM pg_partition_tree(c.oid) AS t WHERE t.isleaf) >= g.min_parent_rows
            ELSE pg_stat_get_live_tuples(c.oid) >= g.min_rows END
),

-- Whether autovacuum could come at all: with every worker at another table it may take hours.
workers AS (
    SELECT count(*) < current_setting('autovacuum_max_workers')::int AS free
    FROM pg_stat_activity AS a
    WHERE a.backend_type = 'autovacuum worker'
)

SELECT
    count(n.name) FILTER (WHERE NOT n.waits) AS value,
    jsonb_build_object(
        'summary', concat_ws(
            '; ', coalesce(array_to_string((array_agg(n.name ORDER BY n.name) FILTER (WHERE NOT n.waits))[1:5], ', '), 'none'),
            CASE WHEN bool_or(n.waits) THEN format(
                '%s new wait for autovacuum, which looks every %s', count(*) FILTER (WHERE n.waits), current_setting('autovacuum_naptime')
            ) END
        ),
        'awaited', coalesce(jsonb_agg(n.name ORDER BY n.name) FILTER (WHERE n.waits), '[]')
    ) AS evidence
FROM (SELECT v.name, v.awaited AND w.free AS waits FROM never AS v CROSS JOIN workers AS w) AS n
