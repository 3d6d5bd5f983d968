-- Whom each index of this room serves; the form is told in outreachdb/db/index_catalogue.py.

-- name: pk_partitioned_tables
-- as: trusted
-- How long the months of a table stay: asked before every batch is written.
SELECT t.interval, t.retention_months FROM ops.partitioned_tables AS t WHERE t.table_name = %(table_name)s;

-- name: pk_partition_adoptions
-- as: trusted
-- Whether a table is being taken over, and how far.
SELECT a.state, a.copied_to, a.rows_copied FROM ops.partition_adoptions AS a WHERE a.table_name = %(table_name)s;

-- name: pk_partition_archives
-- as: trusted
-- An archive changes its state: written, verified, dropped, restored.
SELECT a.state, a.file FROM ops.partition_archives AS a WHERE a.id = %(id)s;

-- name: ix_partition_archives_table
-- as: trusted
-- The archives of a table by month; a month may have several.
SELECT a.range_start, a.file, a.state
FROM ops.partition_archives AS a
WHERE a.table_name = %(table_name)s AND a.range_start >= %(since)s
ORDER BY a.range_start;

-- name: uq_partition_archives_under_way
-- as: trusted
-- One archive of a partition is under way at a time; whoever comes next goes on with it.
SELECT a.id, a.state FROM ops.partition_archives AS a
WHERE a.table_name = %(table_name)s AND a.partition_name = %(partition)s AND a.state IN ('writing', 'verified');

-- name: pk_archive_erasures
-- as: trusted
-- An erasure by its number: its rows are counted, its end is noted.
SELECT e.done_at, e.rows_removed FROM ops.archive_erasures AS e WHERE e.id = %(id)s;

-- name: ix_archive_erasures_open
-- as: trusted
-- Whom queries and restores of a workspace leave out, until the files have been rewritten.
SELECT e.id, e.lead_ids, e.addresses FROM ops.archive_erasures AS e
WHERE e.done_at IS NULL AND e.workspace_id = %(workspace_id)s;

-- name: pk_partition_drops
-- as: trusted
-- What retention said of a table before it was detached.
SELECT d.table_name, d.partition_name, d.detached_at FROM ops.partition_drops AS d WHERE d.relation = %(id)s;

-- name: pk_retention_holds
-- as: trusted
-- A hold is released by its number.
SELECT h.reason FROM ops.retention_holds AS h WHERE h.id = %(id)s AND h.released_at IS NULL;

-- name: ix_retention_holds_active
-- as: trusted
-- The holds of a table that stand: asked before anything leaves.
SELECT h.id, h.reason FROM ops.retention_holds AS h WHERE h.released_at IS NULL AND h.table_name = %(table_name)s;

-- name: pk_workspace_retention
-- as: trusted
-- How long a workspace keeps a table.
SELECT p.retention_months FROM ops.workspace_retention AS p
WHERE p.workspace_id = %(workspace_id)s AND p.table_name = %(table_name)s;
