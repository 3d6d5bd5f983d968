-- name: tables
SELECT r.table_name, r."interval", r.ahead, r.retention_months, r.retention_days, r.archive, r.backend,
       c.oid IS NOT NULL AS there, pg_get_userbyid(c.relowner) AS owner
FROM ops.partitioned_tables AS r
LEFT JOIN pg_class AS c ON c.oid = ops.partitioned_relation(r.table_name)
WHERE %(table)s::text IS NULL OR r.table_name = %(table)s
ORDER BY r.table_name;

-- name: partitions
-- Python's datetimes know no infinity.
SELECT i.table_name, i.partition_name, nullif(i.range_from, '-infinity') AS range_from, nullif(i.range_to, 'infinity') AS range_to, i.row_estimate, i.bytes, i.state
FROM outreach.get_partition_info(%(table)s) AS i;

-- name: performance
SELECT * FROM outreach.analyze_partition_performance(%(table)s);

-- name: register
SELECT outreach.register_partitioned_table(
    %(table)s, %(interval)s, %(ahead)s, %(retention)s::interval, %(archive)s) AS registered;

-- name: unregister
DELETE FROM ops.partitioned_tables WHERE table_name = %(table)s;

-- name: create
-- By the login's own rights, so that a table of another owner is served too.
SELECT ops.create_partitions(%(table)s, %(first)s, %(last)s) AS made;

-- name: create_ahead
SELECT ops.create_partitions(r.table_name, now(), now() + r.ahead * ops.partition_step(r."interval")) AS made
FROM ops.partitioned_tables AS r
WHERE r.table_name = %(table)s;

-- name: backend
UPDATE ops.partitioned_tables SET backend = %(backend)s WHERE table_name = %(table)s;
