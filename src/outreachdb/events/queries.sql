-- name: prepare_months
-- The months that the batch needs, within the horizon; the rest of it will be rejected.
SELECT outreach.ensure_partitions(r.table_name, span.first, span.last)
FROM ops.partitioned_tables AS r
JOIN ops.partitioned_tables AS e ON e.table_name = 'email_events'
CROSS JOIN LATERAL (
  SELECT greatest(%(first)s::timestamptz, now() - make_interval(months => coalesce(e.retention_months, 120)::integer)) AS first,
         least(%(last)s::timestamptz, now() + interval '1 day') AS last
) AS span
WHERE r.table_name IN ('email_events', 'lead_activities') AND span.first <= span.last;

-- name: store
SELECT received, stored, duplicates, rejected, unknown, reasons FROM outreach.batch_update_email_status(%(events)s::jsonb);

-- name: fold
SELECT outreach.fold_when_pending(%(least)s, %(limit)s);

-- name: create_endpoint
INSERT INTO outreach.webhook_endpoints (workspace_id, provider, token_hash, key_encrypted)
VALUES (%(workspace_id)s, %(provider)s, %(token_hash)s, %(key_encrypted)s)
RETURNING id, provider, created_at;

-- name: list_endpoints
SELECT id, provider, created_at FROM outreach.webhook_endpoints WHERE workspace_id = %(workspace_id)s ORDER BY id;

-- name: revoke_endpoint
DELETE FROM outreach.webhook_endpoints WHERE workspace_id = %(workspace_id)s AND id = %(id)s RETURNING id;

-- name: find_endpoint
SELECT e.provider, e.key_encrypted, w.name AS workspace
FROM outreach.webhook_endpoints AS e
JOIN outreach.workspaces AS w ON w.id = e.workspace_id
WHERE e.workspace_id = %(workspace_id)s AND e.token_hash = %(token_hash)s AND w.id = %(workspace_id)s;
