-- Whom each index of this room serves; the form is told in outreachdb/db/index_catalogue.py.

-- name: pk_alerts
-- as: trusted
-- Where a check stands, read and written at each round.
SELECT a.state, a.bad, a.good FROM ops.alerts AS a WHERE a.check_name = %(check_name)s;

-- name: pk_alert_messages
-- as: trusted
-- A message that was told, or not.
UPDATE ops.alert_messages AS m SET sent_at = clock_timestamp() WHERE m.id = %(id)s;

-- name: ix_alert_messages_waiting
-- as: trusted
-- What is still to be told by a channel, the oldest first.
SELECT m.id, m.check_name, m.document
FROM ops.alert_messages AS m
WHERE m.channel = %(channel)s AND m.sent_at IS NULL
ORDER BY m.id
LIMIT %(limit)s;

-- name: pk_counter_epochs
-- as: trusted
-- How the database's counters stood at the last snapshot.
SELECT e.reset_at, e.transactions FROM ops.counter_epochs AS e WHERE e.source = %(source_name)s;

-- name: pk_daily_figures
-- as: reader
-- How the size of one table, or of the database, developed.
SELECT f.day, f.value
FROM ops.daily_figures AS f
WHERE f.kind = %(kind)s AND f.name = %(name)s
ORDER BY f.day DESC
LIMIT %(limit)s;

-- name: pk_index_counters
-- as: trusted
-- The count of an index at the last snapshot.
SELECT c.scans FROM ops.index_counters AS c WHERE c.index_id = %(id)s;

-- name: pk_query_counters
-- as: trusted
-- What was counted of a statement at the last snapshot.
SELECT c.calls, c.total_ms FROM ops.query_counters AS c WHERE c.user_id = 10 AND c.query_id = %(id)s;

-- name: pk_query_days
-- as: reader
-- How one statement developed.
SELECT q.day, q.calls, q.total_ms FROM ops.query_days AS q WHERE q.query_id = %(import_id)s ORDER BY q.day DESC;

-- name: pk_query_texts
-- as: reader
-- The text of a statement.
SELECT t.query FROM ops.query_texts AS t WHERE t.query_id = %(id)s;

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
