-- Whom each index of this room serves; the form is told in outreachdb/db/index_catalogue.py.

-- name: pk_campaigns
-- The campaigns in the order of ids, page by page; the parent side of the foreign keys of steps, mailboxes and exclusions.
-- One campaign by its id is found as well in uq_campaigns_launched_at, which begins like this.
SELECT c.id, c.name, c.status
FROM outreach.campaigns AS c
WHERE c.workspace_id = %(workspace_id)s AND c.id > %(after)s
ORDER BY c.id
LIMIT %(limit)s;

-- name: uq_campaigns_name
-- The latest run of a campaign, by its name.
SELECT c.id, c.run
FROM outreach.campaigns AS c
WHERE c.workspace_id = %(workspace_id)s AND c.name = %(campaign_name)s
ORDER BY c.run DESC
LIMIT 1;

-- name: uq_campaigns_launched_at
-- The launch instant of some campaigns, which names the partition of their sends. The sends' foreign key needs it: it ties
-- every send's created_at to that instant.
SELECT c.id, c.launched_at
FROM outreach.campaigns AS c
WHERE c.workspace_id = %(workspace_id)s AND c.id = ANY (%(campaign_ids)s::bigint[]);

-- name: ix_campaigns_status_created
-- Campaigns of a status, newest first (R2); those that run are asked for with every claim.
SELECT c.id, c.launched_at
FROM outreach.campaigns AS c
WHERE c.workspace_id = %(workspace_id)s AND c.status = %(campaign_status)s
ORDER BY c.created_at DESC;

-- name: ix_campaigns_created_at
-- The campaigns of a workspace, newest first.
SELECT c.id, c.name, c.status
FROM outreach.campaigns AS c
WHERE c.workspace_id = %(workspace_id)s
ORDER BY c.created_at DESC
LIMIT %(limit)s;

-- name: ix_campaigns_segment_id
-- Which campaigns use a segment; covers the foreign key to segments.
SELECT c.id, c.name FROM outreach.campaigns AS c WHERE c.workspace_id = %(workspace_id)s AND c.segment_id = %(segment_id)s;

-- left out: idx_campaigns_workspace_status (campaigns, (workspace_id, status)) served by ix_campaigns_status_created
-- R3's pair is how the other index begins.
SELECT count(*) FROM outreach.campaigns AS c WHERE c.workspace_id = %(workspace_id)s AND c.status = %(campaign_status)s;

-- name: pk_campaign_steps
-- The steps of a campaign in their order; covers the foreign key to campaigns.
SELECT t.step, t.subject
FROM outreach.campaign_steps AS t
WHERE t.workspace_id = %(workspace_id)s AND t.campaign_id = %(campaign_id)s
ORDER BY t.step;

-- name: pk_mailboxes
-- The mailbox that a send leaves from.
SELECT m.address, m.smtp_host FROM outreach.mailboxes AS m WHERE m.workspace_id = %(workspace_id)s AND m.id = %(mailbox_id)s;

-- name: uq_mailboxes_address
-- A mailbox by its address.
SELECT m.id FROM outreach.mailboxes AS m WHERE m.workspace_id = %(workspace_id)s AND m.address_key = %(address_key)s;

-- name: pk_campaign_mailboxes
-- The mailboxes of a campaign; covers the foreign key to campaigns.
SELECT x.mailbox_id
FROM outreach.campaign_mailboxes AS x
WHERE x.workspace_id = %(workspace_id)s AND x.campaign_id = %(campaign_id)s;

-- name: ix_campaign_mailboxes_mailbox_id
-- Which campaigns send from a mailbox; covers the foreign key to mailboxes.
SELECT x.campaign_id
FROM outreach.campaign_mailboxes AS x
WHERE x.workspace_id = %(workspace_id)s AND x.mailbox_id = %(mailbox_id)s;
