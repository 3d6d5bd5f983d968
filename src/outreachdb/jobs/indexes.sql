-- Whom each index of this room serves; the form is told in outreachdb/db/index_catalogue.py.

-- name: pk_scheduled_jobs
-- as: trusted
-- A job that runs reads its row.
SELECT j.lock, j.limit_seconds FROM ops.scheduled_jobs AS j WHERE j.name = %(job)s;

-- name: pk_weekly_reports
-- as: trusted
-- query: latest_report
-- The latest report.

-- name: pk_background_jobs
-- The newest background jobs of a workspace.
SELECT b.id, b.kind, b.status
FROM outreach.background_jobs AS b
WHERE b.workspace_id = %(workspace_id)s
ORDER BY b.id DESC
LIMIT %(limit)s;

-- name: ix_background_jobs_open
-- as: trusted
-- What runs or waits, over all workspaces: asked every minute, to find what a lost worker had.
SELECT b.workspace_id, b.id, b.queue_id FROM outreach.background_jobs AS b WHERE b.status IN ('queued', 'running');

-- name: pk_queue_leases
-- as: trusted
-- Whether somebody works on an item: asked for every candidate of a claim.
SELECT q.lease_until
FROM outreach.queue_leases AS q
WHERE q.workspace_id = %(workspace_id)s AND q.queue = %(queue)s AND q.item_id = %(item_id)s;
