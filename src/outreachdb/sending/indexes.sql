-- Whom each index of this room serves; the form is told in outreachdb/db/index_catalogue.py.

-- name: pk_email_sends
-- A send by its id and the instant of its run: claimed, begun, recorded, marked by events.
SELECT s.status
FROM outreach.email_sends AS s
WHERE s.workspace_id = %(workspace_id)s AND s.id = %(send_id)s AND s.created_at = %(launched_at)s;

-- name: uq_email_sends_exactly_once
-- One send per lead and step of a run, ever; covers the foreign key to campaigns.
SELECT s.lead_id
FROM outreach.email_sends AS s
WHERE s.workspace_id = %(workspace_id)s AND s.campaign_id = %(campaign_id)s AND s.created_at = %(launched_at)s
  AND s.step = %(step)s::smallint AND s.lead_id = %(lead_id)s;

-- name: ix_email_sends_lead_id
-- What was sent to a lead, latest first; covers the foreign key to leads.
SELECT s.campaign_id, s.step, s.status
FROM outreach.email_sends AS s
WHERE s.workspace_id = %(workspace_id)s AND s.lead_id = %(lead_id)s
ORDER BY s.created_at DESC
LIMIT %(limit)s;

-- name: ix_email_sends_due
-- as: trusted
-- What a mailbox has to send next of a campaign: the claim. The campaign stands before the time, so that a large one does
-- not hold up those that share its mailboxes.
SELECT s.id
FROM outreach.email_sends AS s
WHERE s.workspace_id = %(workspace_id)s AND s.mailbox_id = %(mailbox_id)s AND s.campaign_id = %(campaign_id)s
  AND s.status = 'scheduled'
  AND s.scheduled_at <= %(now)s AND s.created_at = %(running_at)s
ORDER BY s.scheduled_at
LIMIT %(limit)s;

-- name: ix_email_sends_leases
-- as: trusted
-- Claims whose worker was lost.
SELECT s.id, s.created_at
FROM outreach.email_sends AS s
WHERE s.workspace_id = %(workspace_id)s AND s.status = 'claimed' AND s.lease_expires_at <= %(now)s
  AND s.created_at = ANY (%(running_ats)s::timestamptz[]);

-- name: ix_email_sends_campaign_status
-- The sends of a campaign in a status (R2): what failed, and whether anything is left to send.
SELECT s.id, s.lead_id, s.last_error
FROM outreach.email_sends AS s
WHERE s.workspace_id = %(workspace_id)s AND s.campaign_id = %(campaign_id)s AND s.created_at = %(launched_at)s
  AND s.status = %(send_status)s;

-- name: pk_send_exclusions
-- Whom a launch left out; covers the foreign key to campaigns.
SELECT x.lead_id, x.reason
FROM outreach.send_exclusions AS x
WHERE x.workspace_id = %(workspace_id)s AND x.campaign_id = %(campaign_id)s;

-- name: ix_send_exclusions_lead_id
-- Why a lead did not get a mail.
SELECT x.campaign_id, x.reason
FROM outreach.send_exclusions AS x
WHERE x.workspace_id = %(workspace_id)s AND x.lead_id = %(lead_id)s;

-- name: pk_message_log
-- One message of the log.
SELECT m.subject
FROM outreach.message_log AS m
WHERE m.workspace_id = %(workspace_id)s AND m.id = %(id)s AND m.created_at >= %(since)s;

-- name: ix_message_log_lead_id
-- The correspondence with a lead, latest first.
SELECT m.created_at, m.direction, m.subject
FROM outreach.message_log AS m
WHERE m.workspace_id = %(workspace_id)s AND m.lead_id = %(lead_id)s
ORDER BY m.created_at DESC
LIMIT %(limit)s;

-- name: ix_message_log_provider_id
-- The message that a relay calls so: its events name nothing else. Messages of other relays take no room in it.
SELECT m.send_id, m.campaign_id
FROM outreach.message_log AS m
WHERE m.workspace_id = %(workspace_id)s AND m.provider_id = %(provider_id)s;

-- name: brin_message_log_created_at
-- as: trusted
-- Pruning to the day, over all workspaces: whole months go as partitions, this finds the rest (R0). Rows arrive in the order
-- of time.
DELETE FROM outreach.message_log AS m WHERE m.created_at < %(horizon)s;

-- name: pk_sending_limits
-- The frequency cap of a workspace: asked by every claim and launch; covers the foreign key to workspaces.
SELECT f.frequency_sends, f.frequency_days FROM outreach.sending_limits AS f WHERE f.workspace_id = %(workspace_id)s;

-- name: pk_campaign_leads
-- Whom earlier runs of a campaign mailed; covers the foreign key to workspaces.
SELECT x.lead_id FROM outreach.campaign_leads AS x WHERE x.workspace_id = %(workspace_id)s AND x.name = %(campaign_name)s;
