-- name: create_campaign
INSERT INTO outreach.campaigns (workspace_id, name, segment_id, definition, settings, priority, window_from, window_to,
                                window_days, window_zone)
VALUES (%(workspace_id)s, %(name)s, %(segment_id)s, %(definition)s, %(settings)s, %(priority)s, %(window_from)s::time,
        %(window_to)s::time, %(window_days)s::smallint[], %(window_zone)s)
RETURNING id;

-- name: create_steps
INSERT INTO outreach.campaign_steps (
    workspace_id, campaign_id, step, delay_seconds, condition, subject, body_text, body_html, variants)
SELECT %(workspace_id)s, %(campaign_id)s, d.step, d.delay_seconds, d.condition, d.subject, d.body_text, d.body_html, d.variants
FROM jsonb_to_recordset(%(steps)s) AS d (
    step smallint, delay_seconds bigint, condition text, subject text, body_text text, body_html text, variants jsonb);

-- name: put_mailbox
-- Of a known mailbox only what is given changes, and never the server: other campaigns send from it. No row: another server.
INSERT INTO outreach.mailboxes AS m
    (workspace_id, address, display_name, smtp_host, smtp_port, security, username, password_encrypted, daily_cap,
     min_spacing_ms, ramp_first, ramp_increase)
VALUES (%(workspace_id)s, %(address)s, %(display_name)s, %(host)s, %(port)s, %(security)s, %(username)s, %(password)s,
        %(daily_cap)s, coalesce(%(min_spacing_ms)s, 0), %(ramp_first)s, %(ramp_increase)s)
ON CONFLICT (workspace_id, address_key) DO UPDATE
SET display_name = coalesce(excluded.display_name, m.display_name), daily_cap = coalesce(excluded.daily_cap, m.daily_cap),
    password_encrypted = coalesce(excluded.password_encrypted, m.password_encrypted),
    min_spacing_ms = coalesce(%(min_spacing_ms)s, m.min_spacing_ms),
    ramp_first = coalesce(excluded.ramp_first, m.ramp_first), ramp_increase = coalesce(excluded.ramp_increase, m.ramp_increase)
WHERE (lower(m.smtp_host), m.smtp_port, m.security, m.username)
      IS NOT DISTINCT FROM (lower(excluded.smtp_host), excluded.smtp_port, excluded.security, excluded.username)
RETURNING id;

-- name: limit_mailbox
UPDATE outreach.mailboxes AS m
SET daily_cap = coalesce(%(daily_cap)s, m.daily_cap), min_spacing_ms = coalesce(%(min_spacing_ms)s, m.min_spacing_ms),
    ramp_first = coalesce(%(ramp_first)s, m.ramp_first), ramp_increase = coalesce(%(ramp_increase)s, m.ramp_increase)
WHERE m.workspace_id = %(workspace_id)s AND m.address_key = lower(%(address)s)
RETURNING m.id;

-- name: assign_mailboxes
INSERT INTO outreach.campaign_mailboxes (workspace_id, campaign_id, mailbox_id)
SELECT %(workspace_id)s, %(campaign_id)s, mailbox_id FROM unnest(%(mailboxes)s::bigint[]) AS mailbox_id;

-- name: find_campaign
SELECT c.id, c.name, c.run, s.name AS segment, c.definition, c.status, c.created_at, c.launched_at, c.completed_at
FROM outreach.campaigns AS c
LEFT JOIN outreach.segments AS s ON s.workspace_id = c.workspace_id AND s.id = c.segment_id
WHERE c.workspace_id = %(workspace_id)s AND (c.name = %(name)s OR c.id = %(id)s)
ORDER BY c.name = %(name)s DESC, c.run DESC
LIMIT 1;

-- name: list_campaigns
SELECT c.id, c.name, c.run, s.name AS segment, c.definition, c.status, c.created_at, c.launched_at, c.completed_at
FROM outreach.campaigns AS c
LEFT JOIN outreach.segments AS s ON s.workspace_id = c.workspace_id AND s.id = c.segment_id
WHERE c.workspace_id = %(workspace_id)s
ORDER BY c.created_at DESC, c.id DESC
LIMIT %(limit)s;

-- name: campaign_sends
SELECT s.status, count(*) AS sends
FROM outreach.email_sends AS s
WHERE s.workspace_id = %(workspace_id)s AND s.campaign_id = %(campaign_id)s AND s.created_at = %(launched_at)s
GROUP BY s.status;

-- name: campaign_exclusions
SELECT e.reason, count(*) AS leads
FROM outreach.send_exclusions AS e
WHERE e.workspace_id = %(workspace_id)s AND e.campaign_id = %(campaign_id)s
GROUP BY e.reason;

-- name: campaign_steps
SELECT t.step, t.delay_seconds, t.condition, t.subject, t.variants
FROM outreach.campaign_steps AS t
WHERE t.workspace_id = %(workspace_id)s AND t.campaign_id = %(campaign_id)s
ORDER BY t.step;

-- name: campaign_mailboxes
SELECT m.address, m.display_name, m.smtp_host, m.smtp_port, m.security, m.daily_cap, m.ramp_first, m.ramp_increase,
       m.ramp_from, m.min_spacing_ms, m.status
FROM outreach.campaign_mailboxes AS cm
JOIN outreach.mailboxes AS m ON m.workspace_id = cm.workspace_id AND m.id = cm.mailbox_id
WHERE cm.workspace_id = %(workspace_id)s AND cm.campaign_id = %(campaign_id)s
ORDER BY m.address;

-- name: campaign_variants
SELECT s.step, s.variant, count(*) AS sends, count(s.sent_at) AS sent, count(s.opened_at) AS opened,
       count(s.clicked_at) AS clicked, count(s.replied_at) AS replied
FROM outreach.email_sends AS s
WHERE s.workspace_id = %(workspace_id)s AND s.campaign_id = %(campaign_id)s AND s.created_at = %(launched_at)s
  AND s.variant IS NOT NULL
GROUP BY s.step, s.variant
ORDER BY s.step, s.variant;

-- name: set_status
SELECT outreach.set_campaign_status(%(campaign_id)s, %(status)s);
