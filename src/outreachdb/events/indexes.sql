-- Whom each index of this room serves; the form is told in outreachdb/db/index_catalogue.py.

-- name: pk_email_events
-- A redelivered event meets itself: which events of a batch are there already.
SELECT e.event_key
FROM outreach.email_events AS e
WHERE e.workspace_id = %(workspace_id)s AND e.event_key = ANY (%(event_keys)s::text[])
  AND e.created_at BETWEEN %(day)s AND %(next_day)s;

-- name: ix_email_events_created_at
-- The newest events of a workspace (R3: idx_email_events_workspace_created).
SELECT e.created_at, e.event, e.recipient
FROM outreach.email_events AS e
WHERE e.workspace_id = %(workspace_id)s AND e.created_at >= %(since)s
ORDER BY e.created_at DESC
LIMIT %(limit)s;

-- name: ix_email_events_campaign
-- Events of a kind in a campaign, newest first (R3: counts of opens per campaign).
SELECT e.created_at, e.lead_id
FROM outreach.email_events AS e
WHERE e.workspace_id = %(workspace_id)s AND e.campaign_id = %(campaign_id)s AND e.event = %(event)s
  AND e.created_at >= %(launched_at)s
ORDER BY e.created_at DESC
LIMIT %(limit)s;

-- name: ix_email_events_lead
-- What a lead did, and segments by a kind of event.
SELECT e.created_at, e.campaign_id
FROM outreach.email_events AS e
WHERE e.workspace_id = %(workspace_id)s AND e.lead_id = %(lead_id)s AND e.event = %(event)s
ORDER BY e.created_at DESC
LIMIT %(limit)s;

-- name: ix_email_events_unmatched
-- as: trusted
-- Events that came in before the log knew by which name their relay calls the message; few rows, as most name their send.
SELECT e.event_key, e.created_at, e.message_id
FROM outreach.email_events AS e
WHERE e.workspace_id = %(workspace_id)s AND e.send_id IS NULL AND e.message_id IS NOT NULL AND e.received_at >= %(since)s;

-- name: brin_email_events_created_at
-- as: reader
-- stays: PostgreSQL 18 skips through the other index from workspace to workspace, 15 to 17 can't; and skipping costs more with each workspace.
-- What each provider reported within a day, over all workspaces, for monitoring; rows arrive nearly in the order of time.
-- Among few workspaces PostgreSQL 18 may skip through ix_email_events_created_at instead.
SELECT e.provider, e.event, count(*)
FROM outreach.email_events AS e
WHERE e.created_at >= %(day)s AND e.created_at < %(next_day)s
GROUP BY e.provider, e.event;

-- name: pk_webhook_endpoints
-- One endpoint is revoked.
SELECT w.provider FROM outreach.webhook_endpoints AS w WHERE w.workspace_id = %(workspace_id)s AND w.id = %(id)s;

-- name: uq_webhook_endpoints_token
-- query: find_endpoint
-- Every delivery: the token's hash leads to the provider's key.

-- name: pk_inboxes
-- query: inbox_password
-- Each poll reads one inbox's password and notes how far it got.

-- name: uq_inboxes_folder
-- Whether a folder is read already.
SELECT i.id FROM outreach.inboxes AS i
WHERE i.workspace_id = %(workspace_id)s AND i.imap_host = %(imap_host)s AND i.username = %(username)s AND i.folder = %(folder)s;

-- name: pk_lead_activities
-- One activity by its id.
SELECT a.activity_type
FROM outreach.lead_activities AS a
WHERE a.workspace_id = %(workspace_id)s AND a.id = %(id)s AND a.created_at >= %(since)s;

-- name: ix_lead_activities_lead
-- The timeline of a lead, one kind of activity or all (R2).
SELECT a.created_at, a.campaign_id, a.details
FROM outreach.lead_activities AS a
WHERE a.workspace_id = %(workspace_id)s AND a.lead_id = %(lead_id)s AND a.activity_type = %(activity_type)s
ORDER BY a.created_at DESC
LIMIT %(limit)s;

-- name: brin_lead_activities_created_at
-- as: trusted
-- Retention to the day, over all workspaces: whole months go as partitions, this finds the rest.
DELETE FROM outreach.lead_activities AS a WHERE a.created_at < %(horizon)s;
