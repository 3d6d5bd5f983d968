-- Whom each index of this room serves; the form is told in outreachdb/db/index_catalogue.py.

-- name: pk_index_usage_stats
-- as: reader
-- One row by its id.
SELECT u.index_name FROM ops.index_usage_stats AS u WHERE u.id = %(id)s;

-- name: ix_index_usage_stats_captured_at
-- as: reader
-- The latest capture (R3: ORDER BY captured_at DESC), and clearing away old ones.
SELECT u.captured_at, u.index_name, u.index_scans
FROM ops.index_usage_stats AS u
ORDER BY u.captured_at DESC
LIMIT %(limit)s;

-- name: ix_index_usage_stats_index
-- as: reader
-- How the use of one index developed.
SELECT u.captured_at, u.index_scans, u.index_bytes
FROM ops.index_usage_stats AS u
WHERE u.schema_name = %(schema_name)s AND u.index_name = %(index_name)s
ORDER BY u.captured_at DESC;

-- name: pk_health_snapshots
-- as: reader
-- One snapshot by its id.
SELECT h.checks FROM ops.health_snapshots AS h WHERE h.id = %(id)s;

-- name: ix_health_snapshots_captured_at
-- as: reader
-- The latest snapshots, for trends.
SELECT h.captured_at, h.status FROM ops.health_snapshots AS h ORDER BY h.captured_at DESC LIMIT %(limit)s;

-- name: pk_maintenance_runs
-- as: trusted
-- A run that ends writes its row.
SELECT m.status FROM ops.maintenance_runs AS m WHERE m.id = %(id)s;

-- name: ix_maintenance_runs_job
-- as: trusted
-- The latest runs of a job.
SELECT m.status, m.started_at, m.error
FROM ops.maintenance_runs AS m
WHERE m.job = %(job)s
ORDER BY m.started_at DESC
LIMIT %(limit)s;

-- name: ix_maintenance_runs_running
-- as: trusted
-- What is noted as running, when a job begins: whose process died is marked.
SELECT m.id FROM ops.maintenance_runs AS m WHERE m.status = 'running' AND m.job = %(job)s;
