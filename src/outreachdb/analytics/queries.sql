-- name: fold
SELECT outreach.fold_rollup_deltas(%(limit)s);

-- name: workspaces_with_deltas
-- One index probe per workspace, however many deltas it has.
WITH RECURSIVE found AS (
  (SELECT d.workspace_id FROM analytics.rollup_deltas AS d ORDER BY d.workspace_id LIMIT 1)
  UNION ALL
  SELECT (SELECT d.workspace_id FROM analytics.rollup_deltas AS d WHERE d.workspace_id > f.workspace_id
          ORDER BY d.workspace_id LIMIT 1)
  FROM found AS f
  WHERE f.workspace_id IS NOT NULL
)
SELECT w.id, w.name FROM found AS f JOIN outreach.workspaces AS w ON w.id = f.workspace_id ORDER BY w.id;

-- name: workspaces
SELECT w.id, w.name FROM outreach.workspaces AS w ORDER BY w.id;

-- name: reconcile
SELECT r.days, r.buckets, r.drifted FROM outreach.reconcile_rollups(%(days)s, %(repair)s) AS r;

-- name: refresh_view
SELECT r.rows, extract(epoch FROM clock_timestamp() - statement_timestamp())::float8 AS seconds
FROM (SELECT outreach.refresh_view(%(view)s) AS rows OFFSET 0) AS r;

-- name: score
SELECT s.looked, s.changed FROM outreach.score_engaged_leads(%(workspace_id)s, %(limit)s) AS s;

-- name: rescore
SELECT outreach.rescore_leads(%(workspace_id)s, %(after)s, %(limit)s);

-- name: note_refresh
SELECT extract(epoch FROM clock_timestamp() - %(began)s::timestamptz)
FROM (SELECT outreach.note_refresh(%(view)s, %(began)s::timestamptz, %(rows)s)) AS noted;

-- name: view_ages
SELECT r.view_name, r.refreshed_at, r.duration, r.row_count, statement_timestamp() - r.refreshed_at AS age
FROM analytics.view_refreshes AS r;

-- name: report
-- Rates are of mails by mails: how often one mail was opened does not count. Only the kinds among the wanted columns are read.
SELECT clock.as_of, r.*,
       r.delivered_mails::float8 / nullif(r.sent, 0) AS delivery_rate,
       r.opened_mails::float8 / nullif(r.delivered_mails, 0) AS open_rate,
       r.clicked_mails::float8 / nullif(r.delivered_mails, 0) AS click_rate,
       r.replied_mails::float8 / nullif(r.delivered_mails, 0) AS reply_rate,
       r.hard_bounced::float8 / nullif(r.sent, 0) AS bounce_rate,
       r.complained::float8 / nullif(r.delivered_mails, 0) AS complaint_rate,
       outreach.reputation_score(r.sent, r.hard_bounced, r.delivered_mails, r.complained) AS reputation_score,
       outreach.reputation(outreach.reputation_score(r.sent, r.hard_bounced, r.delivered_mails, r.complained)) AS reputation
FROM (SELECT statement_timestamp() AS as_of) AS clock
LEFT JOIN outreach.rollup_report(%(grain)s, %(keys)s, %(since)s, %(until)s, %(by_day)s,
    ARRAY(SELECT k.kind FROM unnest(outreach.reported_kinds()) AS k (kind) WHERE k.kind = ANY (%(wanted)s::text[]))) AS r ON true
ORDER BY r.day;

-- name: busiest_keys
SELECT b.key FROM outreach.busiest_keys(%(grain)s, %(limit)s) AS b;

-- name: campaign_keys
SELECT k.key FROM outreach.campaign_keys(%(campaign_id)s, %(grain)s) AS k ORDER BY length(k.key), k.key;

-- name: mailbox_names
SELECT m.id::text AS key, m.address AS name FROM outreach.mailboxes AS m
WHERE m.workspace_id = %(workspace_id)s AND m.id = ANY (%(ids)s);

-- name: campaign_names
SELECT c.id::text AS key, c.name FROM outreach.campaigns AS c
WHERE c.workspace_id = %(workspace_id)s AND c.id = ANY (%(ids)s);

-- name: growth
SELECT g.day, g.new_leads, g.total_leads, g.growth_rate, g.contacted, g.replied, g.qualified, g.converted, g.as_of
FROM outreach.get_lead_growth_analytics(%(since)s, %(until)s) AS g;

-- name: levels
SELECT e.level, e.leads FROM outreach.engagement_by_level() AS e;

-- name: top_leads
SELECT s.lead_id, l.email, s.engagement_score, s.engagement_level, s.sent_count, s.open_count, s.click_count, s.reply_count,
       s.bounce_count, s.last_engaged_at
FROM outreach.lead_engagement_scores AS s
LEFT JOIN outreach.leads AS l ON l.workspace_id = %(workspace_id)s AND l.id = s.lead_id
WHERE s.workspace_id = %(workspace_id)s AND s.engagement_score > 0
ORDER BY s.engagement_score DESC, s.lead_id
LIMIT %(limit)s;

-- name: as_of
SELECT outreach.view_as_of(%(view)s);
