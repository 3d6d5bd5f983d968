-- name: publish_job
-- A job whose schedule is another one now begins anew: ticks of before don't count.
INSERT INTO ops.scheduled_jobs AS j
    (name, description, schedule, time_zone, minutes, hours, days, months, weekdays, lock, limit_seconds, statement)
VALUES (%(name)s, %(description)s, %(schedule)s, %(time_zone)s, %(minutes)s, %(hours)s, %(days)s, %(months)s,
        %(weekdays)s, %(lock)s, %(limit_seconds)s, %(statement)s)
ON CONFLICT (name) DO UPDATE
SET description = excluded.description, schedule = excluded.schedule, time_zone = excluded.time_zone,
    minutes = excluded.minutes, hours = excluded.hours, days = excluded.days, months = excluded.months,
    weekdays = excluded.weekdays, lock = excluded.lock, limit_seconds = excluded.limit_seconds,
    statement = excluded.statement,
    registered_at = CASE WHEN (j.schedule, j.time_zone) = (excluded.schedule, excluded.time_zone)
                         THEN j.registered_at ELSE excluded.registered_at END
WHERE (j.description, j.schedule, j.time_zone, j.lock, j.limit_seconds, coalesce(j.statement, ''))
      <> (excluded.description, excluded.schedule, excluded.time_zone, excluded.lock, excluded.limit_seconds,
          coalesce(excluded.statement, ''));

-- name: forget_jobs
DELETE FROM ops.scheduled_jobs AS j WHERE j.name <> ALL (%(names)s::text[]);

-- name: list_scheduled
WITH due AS MATERIALIZED (SELECT d.job FROM outreach.due_jobs() AS d)
SELECT j.name, j.schedule, j.time_zone, j.description, j.limit_seconds, j.statement IS NOT NULL AS pg_cron,
       outreach.last_tick(j, now()) AS last_tick, j.name IN (SELECT due.job FROM due) AS due,
       coalesce(r.status = 'running' AND outreach.job_lock_is_held(j.lock), false) AS running,
       r.started_at AS last_run, r.status AS last_status, r.driver AS last_driver,
       extract(epoch FROM r.finished_at - r.started_at)::float8 AS last_seconds, r.error AS last_error
FROM ops.scheduled_jobs AS j
LEFT JOIN LATERAL (
    SELECT m.started_at, m.finished_at, m.status, m.driver, m.error
    FROM ops.maintenance_runs AS m WHERE m.job = j.name ORDER BY m.started_at DESC LIMIT 1) AS r ON true
ORDER BY j.name;

-- name: due_jobs
SELECT d.job, d.due_at FROM outreach.due_jobs() AS d;

-- name: take_job_lock
SELECT pg_try_advisory_lock(k.space, k.key) AS taken FROM outreach.job_lock(%(lock)s) AS k;

-- name: open_run
SELECT outreach.open_run(%(job)s, %(driver)s, %(scheduled)s);

-- name: close_run
SELECT outreach.close_run(%(run)s, %(status)s, %(rows)s, %(error)s, %(details)s);

-- name: history
SELECT m.id, m.job, m.driver, m.status, m.due_at, m.started_at, m.finished_at,
       extract(epoch FROM m.finished_at - m.started_at)::float8 AS seconds, m.rows_affected, m.error, m.details
FROM ops.maintenance_runs AS m
WHERE %(job)s::text IS NULL OR m.job = %(job)s
ORDER BY m.started_at DESC
LIMIT %(limit)s;

-- name: latest_report
SELECT w.id, w.created_at, w.document FROM ops.weekly_reports AS w ORDER BY w.id DESC LIMIT 1;

-- name: workspaces_with_due_campaigns
-- Campaigns are few: read whole.
SELECT w.id AS workspace_id, w.name
FROM outreach.workspaces AS w
WHERE w.id IN (
    SELECT c.workspace_id FROM outreach.campaigns AS c
    WHERE c.status = 'scheduled' AND coalesce((c.settings ->> 'start')::timestamptz, now()) <= now())
ORDER BY w.id;

-- name: workspaces_with_lost_sends
-- One probe of the index of leases per workspace that has launched anything, and month.
SELECT w.id AS workspace_id, w.name
FROM outreach.workspaces AS w
WHERE w.id IN (SELECT c.workspace_id FROM outreach.campaigns AS c
               WHERE c.status IN ('running', 'paused', 'cancelled') AND c.launched_at IS NOT NULL)
  AND EXISTS (SELECT FROM outreach.email_sends AS s
              WHERE s.workspace_id = w.id AND s.status = 'claimed' AND s.lease_expires_at <= now())
ORDER BY w.id;

-- name: workspaces_with_inboxes
SELECT w.id AS workspace_id, w.name
FROM outreach.workspaces AS w
WHERE EXISTS (SELECT FROM outreach.inboxes AS i WHERE i.workspace_id = w.id)
ORDER BY w.id;

-- name: workspaces_with_unmatched_events
-- One look-up for each workspace and the months of the last days.
SELECT w.id AS workspace_id, w.name
FROM outreach.workspaces AS w
WHERE EXISTS (SELECT FROM outreach.email_events AS e
              WHERE e.workspace_id = w.id AND e.send_id IS NULL AND e.message_id IS NOT NULL
                AND e.received_at >= now() - interval '1 hour' AND e.created_at >= now() - interval '4 days')
ORDER BY w.id;

-- name: workspaces_with_running_imports
-- Imports are few: read whole.
SELECT w.id AS workspace_id, w.name
FROM outreach.workspaces AS w
WHERE w.id IN (SELECT i.workspace_id FROM outreach.imports AS i
               WHERE i.status = 'running' AND i.started_at < now() - interval '10 seconds')
ORDER BY w.id;

-- name: tables_to_vacuum
SELECT v.table_name, v.dead, v.inserted FROM outreach.tables_to_vacuum() AS v;

-- name: perform_maintenance_tasks
SELECT p.task, p.done, p.due FROM outreach.perform_maintenance_tasks() AS p;

-- name: invalid_leftovers
SELECT x.indexrelid::regclass::text AS index_name
FROM pg_index AS x
JOIN pg_class AS c ON c.oid = x.indexrelid
WHERE NOT x.indisvalid AND c.relname ~ '_cc(new|old)\d*$'
  AND c.relnamespace::regnamespace::text IN ('outreach', 'parts', 'analytics', 'ops');

-- name: bloated_indexes
-- What a B-tree would need for its rows: the width of its columns by the statistics, a header of 12 bytes each, nine tenths of
-- every page. Indexes with deduplicated entries need less, so an estimate of air errs towards leaving them alone.
SELECT c.oid::regclass::text AS index_name, pg_relation_size(c.oid) AS index_bytes, e.needed::bigint AS needed_bytes
FROM pg_class AS c
JOIN pg_am AS a ON a.oid = c.relam AND a.amname = 'btree'
JOIN pg_index AS x ON x.indexrelid = c.oid AND x.indisvalid
JOIN pg_class AS t ON t.oid = x.indrelid
CROSS JOIN LATERAL (
    SELECT coalesce(sum(coalesce(s.avg_width, 8)), 8) AS width
    FROM unnest(x.indkey::smallint[]) AS k (attnum)
    LEFT JOIN pg_attribute AS n ON n.attrelid = x.indrelid AND n.attnum = k.attnum
    LEFT JOIN pg_stats AS s ON s.schemaname = t.relnamespace::regnamespace::text AND s.tablename = t.relname
                           AND s.attname = n.attname AND NOT s.inherited) AS w
CROSS JOIN LATERAL (SELECT greatest(c.reltuples, 0) * (w.width + 12 + 4) / 0.9 + 8192 * 2 AS needed) AS e
WHERE c.relkind = 'i' AND c.relnamespace::regnamespace::text IN ('outreach', 'parts', 'analytics', 'ops', 'procrastinate')
  AND c.reltuples >= 0 AND pg_relation_size(c.oid) >= %(least_bytes)s
  AND 1 - e.needed / pg_relation_size(c.oid) > %(bloat)s
ORDER BY pg_relation_size(c.oid) - e.needed DESC;

-- name: index_bytes
SELECT pg_relation_size(to_regclass(%(index_name)s)) AS index_bytes;

-- name: add_background
INSERT INTO outreach.background_jobs (workspace_id, kind, title, arguments)
VALUES (%(workspace_id)s, %(kind)s, %(title)s, %(arguments)s)
RETURNING id;

-- name: set_queue_id
UPDATE outreach.background_jobs SET queue_id = %(queue_id)s
WHERE workspace_id = %(workspace_id)s AND id = %(id)s;

-- name: find_background
SELECT b.id, b.kind, b.title, b.arguments, b.status, b.phase, b.done, b.total, b.attempts, b.result, b.error, b.queue_id,
       b.created_at, b.started_at, b.finished_at
FROM outreach.background_jobs AS b
WHERE b.workspace_id = %(workspace_id)s AND b.id = %(id)s;

-- name: list_background
SELECT b.id, b.kind, b.title, b.arguments, b.status, b.phase, b.done, b.total, b.attempts, b.result, b.error, b.queue_id,
       b.created_at, b.started_at, b.finished_at
FROM outreach.background_jobs AS b
WHERE b.workspace_id = %(workspace_id)s
ORDER BY b.id DESC
LIMIT %(limit)s;

-- name: begin_background
-- The first attempt's instant stays: it is what a launch is known by when it is begun again.
UPDATE outreach.background_jobs AS b
SET status = 'running', attempts = b.attempts + 1, started_at = coalesce(b.started_at, %(now)s), phase = NULL, error = NULL
WHERE b.workspace_id = %(workspace_id)s AND b.id = %(id)s AND b.status IN ('queued', 'running')
RETURNING b.kind, b.title, b.arguments, b.attempts, b.started_at, b.created_at;

-- name: put_back
UPDATE outreach.background_jobs AS b SET status = 'queued'
WHERE b.workspace_id = %(workspace_id)s AND b.id = %(id)s AND b.status = 'running';

-- name: show_progress
UPDATE outreach.background_jobs AS b
SET phase = %(phase)s, done = %(done)s, total = %(total)s
WHERE b.workspace_id = %(workspace_id)s AND b.id = %(id)s AND b.status = 'running';

-- name: end_background
UPDATE outreach.background_jobs AS b
SET status = %(status)s, result = %(result)s, error = %(error)s, finished_at = %(finished_at)s
WHERE b.workspace_id = %(workspace_id)s AND b.id = %(id)s AND b.status IN ('queued', 'running')
  AND (%(only)s::text IS NULL OR b.status = %(only)s);

-- name: requeue_background
UPDATE outreach.background_jobs AS b
SET status = 'queued', error = NULL, result = NULL, finished_at = NULL
WHERE b.workspace_id = %(workspace_id)s AND b.id = %(id)s AND b.status IN ('failed', 'cancelled')
RETURNING b.id;

-- name: lost_background
-- Whoever runs a job holds its lock.
SELECT b.workspace_id, b.id, b.queue_id
FROM outreach.background_jobs AS b
WHERE b.status = 'running' AND NOT outreach.job_lock_is_held('background ' || b.id)
ORDER BY b.workspace_id, b.id;

-- name: orphaned_background
-- Queued, but its place in the queue is gone.
SELECT b.workspace_id, b.id
FROM outreach.background_jobs AS b
WHERE b.status IN ('queued', 'running') AND b.created_at < now() - interval '1 minute'
  AND NOT EXISTS (SELECT FROM procrastinate.procrastinate_jobs AS q WHERE q.id = b.queue_id)
  AND NOT outreach.job_lock_is_held('background ' || b.id)
ORDER BY b.workspace_id, b.id;

-- name: workspace_of
SELECT w.name, w.read_limit_ms FROM outreach.workspaces AS w WHERE w.id = %(workspace_id)s;
