-- name: find_table
-- A registered table, its owner, and how long its rows stay (NULL: for ever).
SELECT r.table_name, p.oid, p.oid::regclass::text AS parent, pg_get_userbyid(p.relowner) AS owner,
       now() - (make_interval(months => r.retention_months::integer, days => r.retention_days::integer)) AS horizon
FROM ops.partitioned_tables AS r
JOIN pg_class AS p ON p.oid = ops.partitioned_relation(r.table_name)
WHERE r.table_name = %(table)s;

-- name: find_partition
-- By its own name, or with its schema before it.
SELECT p.partition, p.qualified, nullif(p.range_from, '-infinity') AS range_from, nullif(p.range_to, 'infinity') AS range_to
FROM ops.partitions_of(%(parent)s) AS p
WHERE %(name)s IN (p.qualified, p.partition_name, p.schema_name || '.' || p.partition_name);

-- name: pending
SELECT p.qualified FROM ops.partitions_of(%(parent)s) AS p WHERE p.detaching;

-- name: note_detached
-- In the transaction of the detach, or right after it: the version of the table's row in the catalogue that it made.
UPDATE ops.partition_drops AS d
SET detached_at = now(), detached_as = c.xmin::text::bigint
FROM pg_class AS c
JOIN pg_namespace AS n ON n.oid = c.relnamespace
WHERE d.partition_name = %(partition)s AND d.detached_at IS NULL AND c.oid = d.relation::oid
  AND format('%%I.%%I', n.nspname, c.relname) = d.partition_name;

-- name: keep
-- Somebody detaches it for a reason of theirs: what retention had in mind no longer holds.
DELETE FROM ops.partition_drops AS d WHERE d.partition_name = %(partition)s;

-- name: holder
-- Whether the session that keeps a detach from ending is asleep by now: it takes this lock first.
SELECT EXISTS (SELECT FROM pg_locks AS l WHERE l.pid = %(pid)s AND l.locktype = 'advisory' AND l.granted) AS asleep;

-- name: hold_half
SELECT pg_advisory_xact_lock(hashtextextended('outreachdb.half', pg_backend_pid())), pg_sleep(%(seconds)s);

-- name: defaults
SELECT p.qualified FROM ops.partitions_of(%(parent)s) AS p WHERE p.range_from IS NULL;

-- name: try_lock
-- Polled, not waited for: whoever waits in pg_advisory_lock holds a snapshot, and DETACH CONCURRENTLY would wait for it.
SELECT pg_try_advisory_lock(hashtext('outreachdb.detach.' || %(table)s)) AS locked;

-- name: unlock
SELECT pg_advisory_unlock(hashtext('outreachdb.detach.' || %(table)s));

-- name: open_campaigns
-- Sends of a run all stand at its launch instant, so the campaigns of a month are those that were launched in it.
SELECT c.workspace_id, c.id, c.name, c.status
FROM outreach.campaigns AS c
WHERE c.launched_at >= %(range_from)s AND c.launched_at < %(range_to)s AND c.status NOT IN ('completed', 'cancelled')
ORDER BY c.workspace_id, c.id
LIMIT 5;
