-- title: Index that no query used
-- severity: warning
-- group: indexes
-- weigh: size
-- uses: indexes reset
-- why: An index that is never scanned still costs a write per row, blocks HOT updates of its columns, and takes memory. The
--   count is only as old as the statistics, and each standby keeps its own: an index may serve reports there, or once a
--   year. Indexes that enforce a rule or serve a foreign key's check are not reported.
-- fix: Look at every standby, wait for a whole business cycle, then drop it.
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
)

SELECT
    c.relation, NULL::text AS schema, c.columns::text[] AS columns, c.name::text AS object,
    CASE WHEN coalesce(r.days, 0) < 30 OR r.standbys > 0 THEN 'info' END AS severity,
    jsonb_strip_nulls(jsonb_build_object(
        'summary', format(
            'no scan %s; %s', CASE WHEN r.days IS NULL THEN 'since the statistics began, at a time that the server does not know'
            ELSE format('in the %s days that statistics count', r.days) END,
            CASE
                WHEN r.standby THEN 'this is a standby: look at the primary and the others too'
                WHEN r.standbys = 1 THEN 'a standby keeps counts of its own: look there'
                WHEN r.standbys > 1 THEN format('%s standbys keep counts of their own: look there', r.standbys)
                WHEN coalesce(r.days, 0) < 30 THEN 'that is too short to drop it'
                ELSE 'standbys, if there are any, keep counts of their own'
            END
        ),
        'scans', c.scans, 'index_bytes', c.total, 'statistics_since', r.stats_reset, 'statistics_days', r.days,
        'standbys', r.standbys
    )) AS evidence,
    jsonb_build_object(
        'kind', 'drop_index', 'schema', c.schema, 'name', c.name, 'definition', pg_get_indexdef(c.oid),
        'partitioned', c.relkind = 'I'
    ) AS fix
FROM counted AS c
CROSS JOIN reset AS r
WHERE c.scans = 0
ORDER BY c.name
