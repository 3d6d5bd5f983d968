-- Whom each index of this room serves; the form is told in outreachdb/db/index_catalogue.py.

-- name: pk_rollups
-- as: trusted
-- The days of a campaign, and the row that folding adds to.
SELECT r.kind, r.day, r.total, r.people
FROM analytics.rollups AS r
WHERE r.workspace_id = %(workspace_id)s AND r.grain = %(grain)s AND r.key = %(key)s;

-- name: ix_rollups_day
-- as: trusted
-- All buckets of a day: compared with a recount, and the last thirty days of mailboxes and domains.
SELECT r.key, r.kind, r.total, r.mails, r.people
FROM analytics.rollups AS r
WHERE r.workspace_id = %(workspace_id)s AND r.day = %(rollup_day)s AND r.grain = %(grain)s;

-- name: pk_rollup_deltas
-- as: trusted
-- What is not folded yet: of a campaign for exact totals, of a workspace in this order for folding.
SELECT d.kind, d.total, d.people
FROM analytics.rollup_deltas AS d
WHERE d.workspace_id = %(workspace_id)s AND d.grain = %(grain)s AND d.key = %(key)s;

-- name: pk_totals
-- as: trusted
-- The totals of a campaign, however long it ran.
SELECT t.kind, t.total, t.mails, t.people
FROM analytics.totals AS t
WHERE t.workspace_id = %(workspace_id)s AND t.grain = %(grain)s AND t.key = %(key)s;

-- name: ix_totals_busiest
-- as: trusted
-- The domains, mailboxes or campaigns with the most of anything, of which a workspace may have a million.
SELECT t.key, t.kind, t.total
FROM analytics.totals AS t
WHERE t.workspace_id = %(workspace_id)s AND t.grain = %(grain)s
ORDER BY t.total DESC
LIMIT %(limit)s;

-- name: pk_people_first
-- as: trusted
-- Whether a lead did this before: asked whenever a mail is opened, clicked or answered for the first time.
SELECT p.opened_at
FROM analytics.people_first AS p
WHERE p.workspace_id = %(workspace_id)s AND p.lead_id = %(lead_id)s AND p.grain = %(grain)s;

-- name: pk_engaged_leads
-- as: trusted
-- The batches whose leads wait for a new score, oldest first.
SELECT e.id, e.leads
FROM analytics.engaged_leads AS e
WHERE e.workspace_id = %(workspace_id)s
ORDER BY e.id
LIMIT %(limit)s;

-- name: pk_engagement_levels
-- as: trusted
-- How many leads have each level.
SELECT g.level, g.leads
FROM analytics.engagement_levels AS g
WHERE g.workspace_id = %(workspace_id)s;

-- name: pk_rollup_checks
-- as: trusted
-- When the days of a workspace were last compared with a recount.
SELECT c.day, c.checked_at
FROM analytics.rollup_checks AS c
WHERE c.workspace_id = %(workspace_id)s;

-- name: pk_rollup_drifts
-- as: trusted
-- One difference that was found.
SELECT f.grain, f.key, f.kind, f.day, f.total
FROM analytics.rollup_drifts AS f
WHERE f.workspace_id = %(workspace_id)s AND f.id = %(id)s;

-- name: ix_rollup_drifts_found_at
-- as: trusted
-- The differences found last.
SELECT f.grain, f.key, f.kind, f.day, f.total
FROM analytics.rollup_drifts AS f
WHERE f.workspace_id = %(workspace_id)s AND f.found_at >= %(since)s;

-- name: pk_rollup_freezes
-- as: trusted
-- Up to which day a workspace's rows were dropped.
SELECT f.frozen_through
FROM analytics.rollup_freezes AS f
WHERE f.workspace_id = %(workspace_id)s;

-- name: pk_view_refreshes
-- as: trusted
-- When a view was brought up to date: read with every row of it.
SELECT r.refreshed_at FROM analytics.view_refreshes AS r WHERE r.view_name = %(view_name)s;

-- name: uq_campaign_analytics
-- as: trusted
-- The rates of a campaign; and REFRESH ... CONCURRENTLY compares by it, as by those of all views.
SELECT m.open_rate FROM analytics.campaign_analytics AS m
WHERE m.workspace_id = %(workspace_id)s AND m.campaign_id = %(campaign_id)s;

-- name: uq_campaign_performance
-- as: trusted
-- The steps and variants of a campaign.
SELECT m.step, m.variant, m.open_rate FROM analytics.campaign_performance AS m
WHERE m.workspace_id = %(workspace_id)s AND m.campaign_id = %(campaign_id)s;

-- name: uq_lead_analytics
-- as: trusted
-- How a workspace's leads grew in some days.
SELECT m.day, m.new_leads, m.total_leads FROM analytics.lead_analytics AS m
WHERE m.workspace_id = %(workspace_id)s AND m.day >= %(since)s;

-- name: uq_email_deliverability_metrics
-- as: trusted
-- Bounces, complaints and reputation of a mailbox.
SELECT m.bounce_rate, m.complaint_rate FROM analytics.email_deliverability_metrics AS m
WHERE m.workspace_id = %(workspace_id)s AND m.scope = %(scope)s AND m.key = %(key)s;

-- name: uq_workspace_usage_analytics
-- as: trusted
-- What a workspace uses.
SELECT m.lead_count, m.emails_sent FROM analytics.workspace_usage_analytics AS m WHERE m.workspace_id = %(workspace_id)s;
