-- title: Tables never analysed
-- group: queries
-- unit: tables
-- yellow: 1
-- red: 10
-- given: min_rows=1000
-- why: Without statistics the planner guesses: it takes a full table for an empty one. Autovacuum never analyses the
--   parent of partitions; what is asked of all of them is planned by the parent's statistics.
-- advice: Run ANALYZE on them; parents of partitions need it from a job (outreachdb jobs list).
-- sources: https://www.postgresql.org/docs/current/routine-vacuuming.html#VACUUM-FOR-STATISTICS
WITH never AS (
    SELECT format('%I.%I', n.nspname, c.relname) AS name
    FROM pg_class AS c
    JOIN pg_namespace AS n ON n.oid = c.relnamespace
    CROSS JOIN given AS g
    WHERE
        c.relkind IN ('r', 'm', 'p') AND c.relpersistence <> 't'
        AND n.nspname NOT IN ('pg_catalog', 'information_schema', 'pg_toast')
        -- Column statistics are what the planner needs; who may not read pg_statistic still sees these two marks.
        AND (c.reltuples < 0 OR (c.relkind <> 'p' AND pg_stat_get_last_analyze_time(c.oid) IS NULL
            AND pg_stat_get_last_autoanalyze_time(c.oid) IS NULL AND pg_stat_get_mod_since_analyze(c.oid) >= g.min_rows))
        AND CASE WHEN c.relkind = 'p'
            THEN (SELECT coalesce(sum(pg_stat_get_live_tuples(t.relid)), 0) FROM pg_partition_tree(c.oid) AS t WHERE t.isleaf)
            ELSE pg_stat_get_live_tuples(c.oid) END >= g.min_rows
)

SELECT
    count(*) AS value,
    jsonb_build_object(
        'summary', CASE WHEN count(*) = 0 THEN 'none' ELSE array_to_string((array_agg(n.name ORDER BY n.name))[1:5], ', ') END
    ) AS evidence
FROM never AS n
