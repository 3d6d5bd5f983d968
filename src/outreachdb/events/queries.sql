-- name: prepare_months
-- The months that the batch needs, within the horizon; the rest of it will be rejected.
SELECT outreach.ensure_partitions(r.table_name, span.first, span.last)
FROM ops.partitioned_tables AS r
JOIN ops.partitioned_tables AS e ON e.table_name = 'email_events'
CROSS JOIN LATERAL (
  SELECT greatest(%(first)s::timestamptz, now() - make_interval(months => coalesce(e.retention_months, 120)::integer, days => e.retention_days::integer)) AS first,
         least(%(last)s::timestamptz, now() + interval '1 day') AS last
) AS span
WHERE r.table_name IN ('email_events', 'lead_activities', 'message_log') AND span.first <= span.last;

-- name: store
SELECT received, stored, duplicates, rejected, unknown, reasons FROM outreach.batch_update_email_status(%(events)s::jsonb);

-- name: store_by_relay
SELECT received, stored, duplicates, rejected, unknown, reasons
FROM outreach.batch_update_email_status(outreach.with_sends_of_relays(%(events)s::jsonb));

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

-- name: tracked_send
-- One partition: the link names the month.
SELECT s.recipient, s.created_at, s.begun_at, s.sent_at, s.unsubscribed_at, split_part(m.address, '@', -1) AS domain
FROM outreach.email_sends AS s
JOIN outreach.mailboxes AS m ON m.workspace_id = %(workspace_id)s AND m.id = s.mailbox_id
WHERE s.workspace_id = %(workspace_id)s AND s.id = %(id)s
  AND s.created_at >= %(month)s::timestamptz AND s.created_at < %(month)s::timestamptz + interval '1 month';

-- name: add_inbox
INSERT INTO outreach.inboxes (workspace_id, address, imap_host, imap_port, security, username, password_encrypted, folder)
VALUES (%(workspace_id)s, %(address)s, %(host)s, %(port)s, %(security)s, %(username)s, %(password)s, %(folder)s)
RETURNING id, address, imap_host, imap_port, security, username, folder, uid_validity, last_uid, polled_at, problem;

-- name: list_inboxes
SELECT id, address, imap_host, imap_port, security, username, folder, uid_validity, last_uid, polled_at, problem
FROM outreach.inboxes WHERE workspace_id = %(workspace_id)s ORDER BY id;

-- name: inbox_password
SELECT password_encrypted FROM outreach.inboxes WHERE workspace_id = %(workspace_id)s AND id = %(id)s;

-- name: remove_inbox
DELETE FROM outreach.inboxes WHERE workspace_id = %(workspace_id)s AND id = %(id)s RETURNING id;

-- name: read_until
-- Of two pollers the one that got further counts; another validity starts a new count.
UPDATE outreach.inboxes AS i
SET last_uid = CASE WHEN i.uid_validity = %(uid_validity)s THEN greatest(i.last_uid, %(last_uid)s) ELSE %(last_uid)s END,
    uid_validity = %(uid_validity)s, polled_at = clock_timestamp(), problem = NULL
WHERE i.workspace_id = %(workspace_id)s AND i.id = %(id)s;

-- name: could_not_poll
UPDATE outreach.inboxes SET polled_at = clock_timestamp(), problem = %(problem)s
WHERE workspace_id = %(workspace_id)s AND id = %(id)s;
