-- What `outreachdb bench analytics` fills a scratch database with. A mail has 1.7 events on average: 97.5 % are delivered, the
-- others bounce; of all mails 40 % are opened (half of those again, a day later), 8 % clicked, 3 % answered, 0.1 % complained of.

-- name: make_schema
CREATE SCHEMA bench;
CREATE FUNCTION bench.mails(p_first bigint, p_last bigint, p_mails bigint, p_campaigns bigint, p_leads bigint)
RETURNS TABLE (n bigint, campaign bigint, lead bigint, mailbox bigint, domain text, step smallint, sent_at timestamptz,
               delivered_at timestamptz, opened_at timestamptz, again_at timestamptz, clicked_at timestamptz, replied_at timestamptz,
               bounced_at timestamptz, complained_at timestamptz)
LANGUAGE sql STABLE AS $$
  SELECT m.n, m.campaign, m.lead, 1 + m.lead % 20, 'buyer' || m.lead % 5000 || '.example', (1 + m.n % 3)::smallint, m.sent_at,
         CASE WHEN m.n % 40 > 0 THEN m.sent_at + interval '5 seconds' END,
         CASE WHEN m.h < 400 THEN m.sent_at + m.h * interval '7 minutes' END,
         CASE WHEN m.h < 200 THEN m.sent_at + m.h * interval '7 minutes' + interval '1 day' END,
         CASE WHEN m.h < 80 THEN m.sent_at + m.h * interval '9 minutes' END,
         CASE WHEN m.h < 30 THEN m.sent_at + m.h * interval '60 minutes' END,
         CASE WHEN m.n % 40 = 0 THEN m.sent_at + interval '9 seconds' END,
         CASE WHEN m.h = 999 THEN m.sent_at + interval '2 hours' END
  FROM (SELECT g.n, 1 + g.n * p_campaigns / p_mails AS campaign, 1 + g.n * 7919 % p_leads AS lead,
               abs(hashint8(g.n)) % 1000 AS h,
               date_trunc('day', now()) - interval '303 days' + g.n * (interval '300 days' / p_mails)
               + (g.n % 36000) * interval '1 second' AS sent_at
        FROM generate_series(p_first, p_last) AS g (n)) AS m
$$;
CREATE FUNCTION bench.events(p_first bigint, p_last bigint, p_mails bigint, p_campaigns bigint, p_leads bigint)
RETURNS TABLE (n bigint, campaign bigint, lead bigint, mailbox bigint, domain text, step smallint, kind text, at timestamptz,
               again boolean)
LANGUAGE sql STABLE AS $$
  -- Not VALUES: its expressions are set up anew for each mail, which took most of the time.
  SELECT m.n, m.campaign, m.lead, m.mailbox, m.domain, m.step, k.kind, k.at, k.again
  FROM bench.mails(p_first, p_last, p_mails, p_campaigns, p_leads) AS m
  CROSS JOIN LATERAL unnest(
    '{delivered,opened,opened,clicked,replied,bounced,complained}'::text[],
    ARRAY[m.delivered_at, m.opened_at, m.again_at, m.clicked_at, m.replied_at, m.bounced_at, m.complained_at],
    '{f,f,t,f,f,f,f}'::boolean[]) AS k (kind, at, again)
  WHERE k.at IS NOT NULL
$$;

-- name: add_mailboxes
INSERT INTO outreach.mailboxes (workspace_id, id, address, smtp_host)
SELECT %(ws)s, n, 'bench' || n || '@sender.example', '127.0.0.1' FROM generate_series(1, 20) AS n;

-- name: add_leads
INSERT INTO outreach.leads (workspace_id, id, email, status, created_at)
SELECT %(ws)s, n, 'lead' || n || '@buyer' || n %% 5000 || '.example', 'contacted', now() - n %% 365 * interval '1 day'
FROM generate_series(1, %(leads)s::bigint) AS n;

-- name: add_engagement
INSERT INTO outreach.lead_engagement (
    workspace_id, lead_id, last_contacted_at, sent_count, open_count, click_count, reply_count, last_opened_at, last_clicked_at,
    last_replied_at)
SELECT %(ws)s, n, now() - n %% 300 * interval '1 day', 20, n %% 9, n %% 3, (n %% 20 = 0)::integer,
       CASE WHEN n %% 9 > 0 THEN now() - n %% 290 * interval '1 day' END,
       CASE WHEN n %% 3 > 0 THEN now() - n %% 290 * interval '1 day' END,
       CASE WHEN n %% 20 = 0 THEN now() - n %% 280 * interval '1 day' END
FROM generate_series(1, %(leads)s::bigint) AS n;

-- name: add_campaigns
INSERT INTO outreach.campaigns (workspace_id, id, name, status, launched_at, completed_at)
SELECT %(ws)s, n, 'campaign ' || n, 'completed',
       date_trunc('day', now()) - interval '303 days' + (n - 1) * (interval '300 days' / %(campaigns)s::integer), now()
FROM generate_series(1, %(campaigns)s::bigint) AS n;

-- name: make_months
SELECT outreach.ensure_partitions('email_events', now() - interval '305 days', now() + interval '1 day');

-- name: add_events
INSERT INTO outreach.email_events (
    workspace_id, event_key, created_at, event, provider, send_id, campaign_id, lead_id, step, recipient)
SELECT %(ws)s, 'b:' || e.n || e.kind || e.again::integer, e.at, e.kind, 'bench', e.n, e.campaign, e.lead, e.step,
       'lead' || e.lead || '@' || e.domain
FROM bench.events(%(first)s, %(last)s, %(mails)s, %(campaigns)s, %(leads)s) AS e;

-- name: add_rollups
INSERT INTO analytics.rollups AS r (workspace_id, grain, key, kind, day, total, mails, people)
SELECT %(ws)s,
       CASE grouping(c.campaign, c.step, c.mailbox, c.domain)
            WHEN 15 THEN 'workspace' WHEN 7 THEN 'campaign' WHEN 3 THEN 'step' WHEN 13 THEN 'mailbox' ELSE 'domain' END AS grain,
       CASE grouping(c.campaign, c.step, c.mailbox, c.domain)
            WHEN 15 THEN '' WHEN 7 THEN c.campaign::text WHEN 3 THEN c.campaign || ':' || c.step WHEN 13 THEN c.mailbox::text
            ELSE c.domain END AS key,
       c.kind, c.day, count(*), count(*) FILTER (WHERE NOT c.again), 0
FROM (
    SELECT e.campaign, e.step, e.mailbox, e.domain, e.kind, timezone('UTC', e.at)::date AS day, e.again
    FROM bench.events(%(first)s, %(last)s, %(mails)s, %(campaigns)s, %(leads)s) AS e
    UNION ALL
    SELECT m.campaign, m.step, m.mailbox, m.domain, 'sent', timezone('UTC', m.sent_at)::date, false
    FROM bench.mails(%(first)s, %(last)s, %(mails)s, %(campaigns)s, %(leads)s) AS m
) AS c
GROUP BY GROUPING SETS (
    (c.kind, c.day), (c.campaign, c.kind, c.day), (c.campaign, c.step, c.kind, c.day), (c.mailbox, c.kind, c.day),
    (c.domain, c.kind, c.day))
ON CONFLICT (workspace_id, grain, key, kind, day) DO UPDATE
SET total = r.total + excluded.total, mails = r.mails + excluded.mails;

-- name: add_people
INSERT INTO analytics.people_first AS p (workspace_id, lead_id, grain, key, opened_at, clicked_at, replied_at)
SELECT %(ws)s, m.lead, k.grain, k.key, min(m.opened_at), min(m.clicked_at), min(m.replied_at)
FROM bench.mails(%(first)s, %(last)s, %(mails)s, %(campaigns)s, %(leads)s) AS m
CROSS JOIN LATERAL (VALUES ('workspace', ''), ('campaign', m.campaign::text), ('mailbox', m.mailbox::text),
    ('domain', m.domain)) AS k (grain, key)
WHERE m.opened_at IS NOT NULL
GROUP BY m.lead, k.grain, k.key
ORDER BY m.lead, k.grain, k.key
-- Mails come in the order of time: what is there is earlier.
ON CONFLICT (workspace_id, lead_id, grain, key) DO UPDATE
SET clicked_at = coalesce(p.clicked_at, excluded.clicked_at), replied_at = coalesce(p.replied_at, excluded.replied_at)
WHERE p.clicked_at IS NULL AND excluded.clicked_at IS NOT NULL OR p.replied_at IS NULL AND excluded.replied_at IS NOT NULL;

-- name: count_people
UPDATE analytics.rollups AS r
SET people = c.people
FROM (
    SELECT p.grain, p.key, k.kind, timezone('UTC', k.at)::date AS day, count(*) AS people
    FROM analytics.people_first AS p
    CROSS JOIN LATERAL (VALUES ('opened', p.opened_at), ('clicked', p.clicked_at), ('replied', p.replied_at)) AS k (kind, at)
    WHERE p.workspace_id = %(ws)s AND k.at IS NOT NULL
    GROUP BY 1, 2, 3, 4
) AS c
WHERE r.workspace_id = %(ws)s AND r.grain = c.grain AND r.key = c.key AND r.kind = c.kind AND r.day = c.day AND r.people <> c.people;

-- name: count_totals
INSERT INTO analytics.totals AS t (workspace_id, grain, key, kind, total, mails, people)
SELECT r.workspace_id, r.grain, r.key, r.kind, sum(r.total), sum(r.mails), sum(r.people)
FROM analytics.rollups AS r
WHERE r.workspace_id = %(ws)s
GROUP BY 1, 2, 3, 4
ON CONFLICT (workspace_id, grain, key, kind) DO UPDATE
SET total = excluded.total, mails = excluded.mails, people = excluded.people;

-- name: add_new_campaign
INSERT INTO outreach.campaigns (workspace_id, name, status, launched_at)
VALUES (%(ws)s, 'new ' || clock_timestamp(), 'running', date_trunc('second', now()) - interval '3 hours')
RETURNING id, launched_at;

-- name: add_new_sends
INSERT INTO outreach.email_sends (
    workspace_id, created_at, campaign_id, lead_id, mailbox_id, step, status, recipient, scheduled_at, sent_at)
SELECT %(ws)s, %(launched_at)s, %(campaign_id)s, n, 1 + n %% 20, 1, 'sent', 'lead' || n || '@buyer' || n %% 5000 || '.example',
       %(launched_at)s, %(launched_at)s
FROM generate_series(1, %(sends)s::bigint) AS n;

-- name: first_new_send
SELECT min(s.id) FROM outreach.email_sends AS s
WHERE s.workspace_id = %(ws)s AND s.campaign_id = %(campaign_id)s AND s.created_at = %(launched_at)s;

-- name: take_in
-- As an ingest calls it, with the batch made on the spot: delivered, opened twice, clicked.
SELECT b.stored FROM outreach.batch_update_email_status((
    SELECT jsonb_agg(jsonb_build_object(
        'event_key', 'new:' || s.id || ':' || k.n, 'created_at', s.created_at + k.n * interval '5 minutes', 'event', k.event,
        'provider', 'bench', 'recipient', s.recipient, 'send_id', s.id, 'month', timezone('UTC', s.created_at)::date))
    FROM outreach.email_sends AS s
    CROSS JOIN (VALUES (1, 'delivered'), (2, 'opened'), (3, 'opened'), (4, 'clicked')) AS k (n, event)
    WHERE s.workspace_id = %(ws)s AND s.id >= %(first)s AND s.id < %(next)s AND s.created_at = %(launched_at)s)) AS b;

-- name: count_deltas
SELECT count(*) FROM analytics.rollup_deltas AS d WHERE d.workspace_id = %(ws)s;

-- name: recount
-- What a tool without rollups asks for one table of campaigns.
SELECT count(*) FROM (
    SELECT e.campaign_id, e.event, count(*), count(DISTINCT e.lead_id)
    FROM outreach.email_events AS e
    WHERE e.workspace_id = %(ws)s
    GROUP BY e.campaign_id, e.event) AS counted;

-- name: rescan_scores
-- A materialised view of all scores would compute and compare this at every refresh.
SELECT count(*), sum(s.score) FROM (
    SELECT e.lead_id, outreach.engagement_score(e.open_count, e.click_count, e.reply_count, e.bounce_count, e.last_opened_at,
                                                e.last_clicked_at, e.last_replied_at, now()) AS score
    FROM outreach.lead_engagement AS e OFFSET 0) AS s;
