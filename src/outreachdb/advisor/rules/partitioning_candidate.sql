-- title: Table worth partitioning
-- severity: info
-- group: storage
-- uses: tables columns
-- why: A table of this size that grows with time is slow to vacuum and can lose old rows only by deleting them one by
--   one; partitions by time are dropped in an instant.
-- fix: Make a partitioned table by that column, attach the old one as its first partition, and create the next ahead
--   of time.
-- sources: https://www.postgresql.org/docs/current/ddl-partitioning.html
SELECT
    t.oid AS relation, NULL::text AS schema, ARRAY[c.name::text] AS columns, NULL::text AS object,
    CASE WHEN t.reltuples >= 1e9 OR t.bytes >= 200 * 1024::bigint ^ 3 THEN 'warning' END AS severity,
    jsonb_build_object(
        'summary', format('%s rows, %s, and %s to divide them by', to_char(greatest(t.reltuples, 0), 'FM999,999,999,999'), pg_size_pretty(t.bytes), c.name),
        'rows', t.reltuples, 'table_bytes', t.bytes
    ) AS evidence,
    NULL::jsonb AS fix
FROM tables AS t
JOIN LATERAL (
    SELECT c.name FROM columns AS c
    WHERE c.relation = t.oid AND c.base IN ('timestamptz'::regtype, 'timestamp'::regtype, 'date'::regtype) AND c.attnotnull
    ORDER BY c.name ~ '^(created|inserted|occurred|logged|event|sent)' DESC, c.attnum LIMIT 1
) AS c ON true
WHERE t.relkind = 'r' AND NOT t.relispartition AND (t.reltuples >= 1e8 OR t.bytes >= 50 * 1024::bigint ^ 3)
