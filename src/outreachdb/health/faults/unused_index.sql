-- title: Index that no query used
-- severity: warning
-- group: indexes
-- weigh: size
-- uses: indexes reset
-- given: min_days=30 min_reads=100
-- why: An index that is never scanned still costs a write per row, blocks HOT updates of its columns, and takes memory. It is
--   told once the counts are min_days old and the table was read min_reads times since: before that it had no chance to be of
--   use. Each standby keeps counts of its own: an index may serve reports there, or once a year. Indexes that enforce a
--   rule or serve a foreign key's check are not reported.
-- fix: Look at every standby, wait for a whole business cycle (--unused-days), then drop it.
-- sources: https://www.postgresql.org/docs/current/monitoring-stats.html#MONITORING-PG-STAT-ALL-INDEXES-VIEW
--   https://github.com/ankane/pghero https://github.com/mfvanek/pg-index-health
WITH counted AS (
    SELECT
        i.*,
        CASE WHEN i.relkind = 'I' THEN (
            SELECT coalesce(sum(pg_stat_get_numscans(p.relid)), 0) FROM pg_partition_tree(i.oid) AS p WHERE p.isleaf
        ) ELSE pg_stat_get_numscans(i.oid) END AS scans,
        CASE WHEN i.relkind = 'I' THEN (
            SELECT coalesce(sum(pg_relation_size(p.relid)), 0) FROM pg_partition_tree(i.oid) AS p WHERE p.isleaf
        ) ELSE i.bytes END AS total
    FROM indexes AS i
    WHERE
        i.indisvalid AND NOT i.attached AND NOT i.backs AND NOT i.indisunique AND NOT i.indisexclusion
        AND NOT i.indisreplident AND NOT i.indisclustered
        AND NOT EXISTS (
            SELECT FROM pg_constraint AS k
            WHERE
                k.contype = 'f' AND k.conrelid = i.relation
                AND (
                    k.conkey @> i.keys[0 : least(cardinality(k.conkey), i.indnkeyatts) - 1]
                    OR (i.method = 'gin' AND k.conkey && i.keys)
                )
        )
),

-- How often the table was asked for anything, in whole or by another of its indexes.
asked AS (
    SELECT w.relation, coalesce(sum(s.seq_scan + coalesce(s.idx_scan, 0)), 0) AS reads
    FROM (SELECT DISTINCT c.relation FROM counted AS c WHERE c.scans = 0) AS w
    CROSS JOIN LATERAL (SELECT w.relation AS oid UNION SELECT p.relid FROM pg_partition_tree(w.relation) AS p WHERE p.isleaf) AS l
    JOIN pg_stat_all_tables AS s ON s.relid = l.oid
    GROUP BY w.relation
)

SELECT
    c.relation, NULL::text AS schema, c.columns::text[] AS columns, c.name::text AS object,
    CASE WHEN r.standbys > 0 OR r.standby THEN 'info' END AS severity,
    jsonb_strip_nulls(jsonb_build_object(
        'summary', format(
            'no scan in the %s days that statistics count, while the table was read %s times; %s', r.days, a.reads,
            CASE
                WHEN r.standby THEN 'this is a standby: look at the primary and the others too'
                WHEN r.standbys = 1 THEN 'a standby keeps counts of its own: look there'
                WHEN r.standbys > 1 THEN format('%s standbys keep counts of their own: look there', r.standbys)
                ELSE 'standbys, if there are any, keep counts of their own'
            END
        ),
        'scans', c.scans, 'table_reads', a.reads, 'index_bytes', c.total, 'statistics_since', r.stats_reset,
        'statistics_days', r.days, 'standbys', r.standbys
    )) AS evidence,
    jsonb_build_object(
        'kind', 'drop_index', 'schema', c.schema, 'name', c.name, 'definition', pg_get_indexdef(c.oid),
        'partitioned', c.relkind = 'I'
    ) AS fix
FROM counted AS c
JOIN asked AS a ON a.relation = c.relation
CROSS JOIN reset AS r
CROSS JOIN given AS g
WHERE c.scans = 0 AND r.days >= g.min_days AND a.reads >= g.min_reads
ORDER BY c.name
