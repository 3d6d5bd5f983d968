-- name: intend
-- Before the detach; committed by itself. A partition of a table that is archived goes like this only while it is empty.
INSERT INTO ops.partition_drops AS d (relation, table_name, partition_name, range_start, range_end, only_if_empty)
SELECT p.partition::bigint, r.table_name, p.qualified, p.range_from, p.range_to, r.archive
FROM ops.partitioned_tables AS r
CROSS JOIN LATERAL ops.partitions_of(ops.partitioned_relation(r.table_name)) AS p
WHERE r.table_name = %(table_name)s AND p.qualified = %(partition_name)s
ON CONFLICT (relation) DO UPDATE
SET table_name = excluded.table_name, partition_name = excluded.partition_name, range_start = excluded.range_start,
    range_end = excluded.range_end, only_if_empty = excluded.only_if_empty, created_at = excluded.created_at,
    detached_at = NULL, detached_as = NULL
WHERE d.detached_at IS NOT NULL;

-- name: drops
-- state: half detached, apart (by us, and nobody touched it since); or the record is stale: attached (detached never or attached
-- again), archived (somebody archives it instead), touched (detached by a person, renamed ...), gone.
SELECT d.relation, d.table_name, d.partition_name, d.range_start, d.range_end, d.only_if_empty, d.created_at,
       CASE
           WHEN c.oid IS NULL THEN 'gone'
           WHEN EXISTS (
               SELECT FROM ops.partition_archives AS a
               WHERE a.table_name = d.table_name AND a.partition_name = d.partition_name AND a.state IN ('writing', 'verified')
           ) THEN 'archived'
           WHEN i.inhrelid IS NULL AND c.xmin::text::bigint = d.detached_as THEN 'apart'
           WHEN i.inhrelid IS NULL THEN 'touched'
           WHEN i.inhdetachpending AND d.detached_at IS NULL THEN 'half'
           ELSE 'attached'
       END AS state,
       coalesce(nullif(pg_stat_get_live_tuples(c.oid), 0), greatest(c.reltuples, 0)::bigint, 0) AS rows,
       coalesce(pg_total_relation_size(c.oid), 0) AS bytes
FROM ops.partition_drops AS d
LEFT JOIN (
    SELECT t.oid, t.xmin, t.reltuples, format('%%I.%%I', n.nspname, t.relname) AS qualified
    FROM pg_class AS t
    JOIN pg_namespace AS n ON n.oid = t.relnamespace
) AS c ON c.oid = d.relation::oid AND c.qualified = d.partition_name
LEFT JOIN pg_inherits AS i ON i.inhrelid = c.oid
WHERE (%(table_name)s::text IS NULL OR d.table_name = %(table_name)s)
  AND (%(partition_name)s::text IS NULL OR d.partition_name = %(partition_name)s)
ORDER BY d.created_at, d.partition_name;

-- name: forget
DELETE FROM ops.partition_drops AS d WHERE d.relation = %(relation)s;
