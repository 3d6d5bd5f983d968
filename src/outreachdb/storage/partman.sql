-- name: extension
SELECT quote_ident(n.nspname) AS place, e.extversion AS version
FROM pg_extension AS e JOIN pg_namespace AS n ON n.oid = e.extnamespace
WHERE e.extname = 'pg_partman';

-- name: fill_up
-- To the end of a whole period, where pg_partman begins, also after a change of the interval.
SELECT ops.create_partitions(r.table_name, now(), max(p.range_to)) AS made
FROM ops.partitioned_tables AS r
CROSS JOIN LATERAL ops.partitions_of(ops.partitioned_relation(r.table_name)) AS p
WHERE r.table_name = %(table)s AND isfinite(p.range_to)
GROUP BY r.table_name
HAVING max(p.range_to) >= now();

-- name: table
-- What pg_partman wants to know. It knows nothing of archives and campaigns: it drops only where neither has a say.
SELECT n.nspname || '.' || c.relname AS parent, n.nspname AS schema_name, c.relname AS table_name, k.attname AS control,
       pg_get_userbyid(c.relowner) AS owner, r.ahead::integer AS premake,
       CASE r."interval" WHEN 'day' THEN 'daily' WHEN 'week' THEN 'weekly' WHEN 'month' THEN 'monthly' ELSE 'quarterly' END AS every,
       timezone('UTC', greatest(
           ops.partition_start(r."interval", now()),
           (SELECT timezone('UTC', max(p.range_to)) FROM ops.partitions_of(c.oid) AS p WHERE isfinite(p.range_to))))::text AS start,
       CASE WHEN NOT r.archive AND r.table_name <> 'email_sends' THEN
           (make_interval(months => r.retention_months::integer, days => r.retention_days::integer))::text END AS retention
FROM ops.partitioned_tables AS r
JOIN pg_class AS c ON c.oid = ops.partitioned_relation(r.table_name)
JOIN pg_namespace AS n ON n.oid = c.relnamespace
JOIN pg_partitioned_table AS t ON t.partrelid = c.oid
JOIN pg_attribute AS k ON k.attrelid = c.oid AND k.attnum = t.partattrs[0]
WHERE r.table_name = %(table)s;

-- name: strangers
-- What pg_partman made with the rights of whoever called it.
SELECT p.qualified, pg_get_userbyid(c.relowner) <> pg_get_userbyid(s.relowner) AS foreign_owner,
       c.relrowsecurity AND NOT s.relrowsecurity AND c.relnamespace <> 'parts'::regnamespace AS open_rows,
       p.range_from IS NULL AS is_default, pg_get_userbyid(c.relowner) AS owner
FROM pg_class AS c
CROSS JOIN LATERAL ops.partitions_of(c.oid) AS p
JOIN pg_class AS s ON s.oid = p.partition
WHERE c.oid = ops.partitioned_relation(%(table)s) AND s.relnamespace <> 'parts'::regnamespace;

-- name: count
SELECT count(*) AS n FROM ops.partitions_of(ops.partitioned_relation(%(table)s));
