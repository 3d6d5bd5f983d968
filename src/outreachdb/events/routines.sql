-- requires: 0010

-- owner: outreachdb_trusted
-- Stores a batch of delivery events and all that follows from those which are new, in one transaction: first-time people,
-- rollup deltas, instants on the sends, lead engagement, suppressions, lead status, activities. A send whose fate was unknown
-- is settled as sent by any event that only a mail that left can have. Idempotent: an event that is
-- there already changes nothing, in whatever order events arrive.
--
-- p_events: array of objects {event_key, created_at, event, provider, severity, recipient, message_id, reason, url, raw,
-- prefetched, send_id, month}; the first four are required; send_id counts only with month, any date in the month (UTC) of the
-- send's created_at. What a machine opened or clicked (prefetched) is stored and counted apart, as "prefetched": no person did it.
-- The caller has made the months of the batch before (outreach.ensure_partitions).
-- received = stored + duplicates + rejected; unknown counts stored events whose send is not in this workspace.
CREATE OR REPLACE FUNCTION outreach.batch_update_email_status(p_events jsonb)
RETURNS TABLE (received bigint, stored bigint, duplicates bigint, rejected bigint, unknown bigint, reasons jsonb)
LANGUAGE plpgsql
SECURITY DEFINER
SET search_path = pg_catalog, pg_temp
-- Named here so that what the body sets ends with it.
SET plan_cache_mode = auto
AS $$
#variable_conflict use_column
DECLARE
    ws constant bigint := outreach.required_workspace();
    arrived constant timestamptz := statement_timestamp();
    known constant text[] := ARRAY['queued', 'sent', 'delivered', 'deferred', 'opened', 'clicked', 'replied', 'bounced', 'complained',
                                   'unsubscribed', 'subscribed', 'rejected', 'failed', 'autoresponded', 'unknown'];
    horizon timestamptz;
    months record;
    sends record;
    ids bigint[] := '{}';
    instants timestamptz[] := '{}';
    campaigns bigint[] := '{}';
    steps smallint[] := '{}';
    leads bigint[] := '{}';
    mailboxes bigint[] := '{}';
    addresses text[] := '{}';
    statuses text[] := '{}';
    begun timestamptz[] := '{}';
    variants text[] := '{}';
    delivered timestamptz[] := '{}';
    opened timestamptz[] := '{}';
    clicked timestamptz[] := '{}';
    replied timestamptz[] := '{}';
    bounced timestamptz[] := '{}';
    complained timestamptz[] := '{}';
    unsubscribed timestamptz[] := '{}';
    why text;
    result record;
BEGIN
    IF jsonb_typeof(p_events) IS DISTINCT FROM 'array' THEN
        RAISE EXCEPTION 'the events must be a JSON array' USING ERRCODE = 'invalid_parameter_value';
    END IF;
    -- A provider that was told "stored" does not report again.
    PERFORM outreach.commit_durably();
    -- Where the workspace keeps its events for less time, those that left must not come again and be counted twice.
    SELECT arrived - least(
               make_interval(months => coalesce(r.retention_months, 120)::integer, days => r.retention_days::integer),
               make_interval(months => p.retention_months::integer))
    INTO horizon
    FROM ops.partitioned_tables AS r
    LEFT JOIN ops.workspace_retention AS p ON p.workspace_id = ws AND p.table_name = r.table_name
    WHERE r.table_name = 'email_events';

    -- The sends, month by month so that one partition is planned. OFFSET 0 makes it one look-up by key each, and (SELECT ws) keeps
    -- the planner from taking a workspace that its statistics don't know yet for an empty one: right after a launch it would
    -- read a million new sends by any index that begins with the workspace. Locked here, first of all and by id, as
    -- record_sends does (sends, engagement, suppressions, leads): nobody waits in a circle.
    FOR months IN
        SELECT date_trunc('month', e.month) AS first, array_agg(DISTINCT e.send_id) AS wanted
        FROM jsonb_to_recordset(p_events) AS e (send_id bigint, month timestamp)
        WHERE e.send_id IS NOT NULL AND e.month IS NOT NULL
        GROUP BY 1
        ORDER BY 1
    LOOP
        SELECT array_agg(s.id) AS ids, array_agg(s.created_at) AS instants, array_agg(s.campaign_id) AS campaigns,
               array_agg(s.step) AS steps, array_agg(s.lead_id) AS leads, array_agg(s.mailbox_id) AS mailboxes,
               array_agg(lower(s.recipient)) AS addresses, array_agg(s.status) AS statuses, array_agg(s.begun_at) AS begun,
               array_agg(s.variant) AS variants, array_agg(s.delivered_at) AS delivered, array_agg(s.opened_at) AS opened,
               array_agg(s.clicked_at) AS clicked, array_agg(s.replied_at) AS replied, array_agg(s.bounced_at) AS bounced,
               array_agg(s.complained_at) AS complained, array_agg(s.unsubscribed_at) AS unsubscribed
        INTO sends
        FROM (
            SELECT l.*
            FROM unnest(months.wanted) AS w (id)
            CROSS JOIN LATERAL (
                SELECT * FROM outreach.email_sends AS e
                WHERE e.workspace_id = (SELECT ws) AND e.id = w.id
                  AND e.created_at >= timezone('UTC', months.first)
                  AND e.created_at < timezone('UTC', months.first + interval '1 month')
                OFFSET 0
                FOR NO KEY UPDATE) AS l
        ) AS s;
        ids := ids || sends.ids;
        instants := instants || sends.instants;
        campaigns := campaigns || sends.campaigns;
        steps := steps || sends.steps;
        leads := leads || sends.leads;
        mailboxes := mailboxes || sends.mailboxes;
        addresses := addresses || sends.addresses;
        statuses := statuses || sends.statuses;
        begun := begun || sends.begun;
        variants := variants || sends.variants;
        delivered := delivered || sends.delivered;
        opened := opened || sends.opened;
        clicked := clicked || sends.clicked;
        replied := replied || sends.replied;
        bounced := bounced || sends.bounced;
        complained := complained || sends.complained;
        unsubscribed := unsubscribed || sends.unsubscribed;
    END LOOP;

    IF 'unknown' = ANY (statuses) THEN
        PERFORM outreach.ensure_partitions('message_log', b.first, arrived)
        FROM (SELECT least(min(u), arrived) AS first FROM unnest(begun) AS u) AS b;
    END IF;

    -- A generic plan would take the arrays for ten elements long. Not for the statements below: their foreign keys' checks would
    -- be planned anew for every row.
    SET LOCAL plan_cache_mode = force_custom_plan;
    WITH found AS MATERIALIZED (
        SELECT * FROM unnest(ids, instants, campaigns, steps, leads, mailboxes, addresses, statuses, begun)
            AS f (send_id, launched_at, campaign_id, step, lead_id, mailbox_id, address, status, begun_at)
    ), before AS MATERIALIZED (
        -- What the rollups ask of the sends: their keys, and the instants that they had.
        SELECT f.send_id, f.lead_id, f.step, f.campaign_id::text AS campaign, f.mailbox_id::text AS mailbox,
               split_part(f.address, '@', -1) AS domain, f.variant, f.delivered_at, f.opened_at, f.clicked_at, f.replied_at,
               f.bounced_at, f.complained_at, f.unsubscribed_at
        FROM unnest(ids, leads, steps, campaigns, mailboxes, addresses, variants, delivered, opened, clicked, replied, bounced,
                    complained, unsubscribed)
            AS f (send_id, lead_id, step, campaign_id, mailbox_id, address, variant, delivered_at, opened_at, clicked_at,
                  replied_at, bounced_at, complained_at, unsubscribed_at)
    ), given AS MATERIALIZED (
        SELECT e.*,
               CASE WHEN e.event_key IS NULL OR e.created_at IS NULL OR e.event IS NULL OR e.provider IS NULL THEN 'incomplete'
                    WHEN e.event <> ALL (known) THEN 'unknown_event'
                    WHEN e.severity NOT IN ('hard', 'soft') THEN 'unknown_severity'
                    WHEN e.created_at < horizon THEN 'too_old'
                    WHEN e.created_at > arrived + interval '1 day' THEN 'in_the_future'
               END AS refusal
        FROM jsonb_to_recordset(p_events) AS e (
            event_key text, created_at timestamptz, event text, provider text, severity text, recipient text,
            message_id text, reason text, url text, raw jsonb, prefetched boolean, send_id bigint)
    ), added AS (
        -- In key order: two batches with the same events would wait for each other otherwise.
        INSERT INTO outreach.email_events (
            workspace_id, event_key, created_at, received_at, event, severity, provider, send_id, campaign_id, lead_id, step,
            recipient, message_id, reason, url, raw, prefetched)
        SELECT ws, g.event_key, g.created_at, arrived, g.event, g.severity, g.provider, f.send_id, f.campaign_id, f.lead_id,
               f.step, g.recipient, g.message_id, g.reason, g.url, g.raw, coalesce(g.prefetched, false)
        FROM given AS g
        LEFT JOIN found AS f ON f.send_id = g.send_id
        WHERE g.refusal IS NULL
        ORDER BY g.created_at, g.event_key
        ON CONFLICT (workspace_id, event_key, created_at) DO NOTHING
        RETURNING email_events.created_at, email_events.event, email_events.severity, email_events.send_id,
                  email_events.recipient, email_events.reason, email_events.url, email_events.prefetched,
                  CASE WHEN email_events.event IN ('replied', 'autoresponded') THEN email_events.raw END AS raw
    ), told AS MATERIALIZED (
        SELECT a.created_at, timezone('UTC', a.created_at)::date AS day,
               CASE WHEN a.prefetched AND a.event IN ('opened', 'clicked') THEN 'prefetched' ELSE a.event END AS event,
               a.severity, a.reason, a.url, a.recipient, a.raw, f.*
        FROM added AS a
        JOIN found AS f ON f.send_id = a.send_id
    ), settled AS MATERIALIZED (
        -- Sends of which nobody knew whether they left, and whose mail was seen now.
        SELECT t.send_id, t.campaign_id, t.step, t.lead_id, t.mailbox_id, t.address, t.begun_at,
               coalesce(t.begun_at, min(t.created_at)) AS sent_at
        FROM told AS t
        WHERE t.status = 'unknown'
          AND (t.event IN ('delivered', 'opened', 'clicked', 'replied', 'complained', 'unsubscribed')
               OR t.event = 'bounced' AND t.severity IS DISTINCT FROM 'soft')
        GROUP BY t.send_id, t.campaign_id, t.step, t.lead_id, t.mailbox_id, t.address, t.begun_at
    ), logged AS (
        -- Their worker did not live to log them.
        INSERT INTO outreach.message_log (
            workspace_id, created_at, lead_id, campaign_id, send_id, sender, recipient, response)
        SELECT ws, coalesce(s.begun_at, arrived), s.lead_id, s.campaign_id, s.send_id, b.address, s.address,
               'settled by an event'
        FROM settled AS s
        LEFT JOIN outreach.mailboxes AS b ON b.workspace_id = ws AND b.id = s.mailbox_id
    ), marks AS (
        SELECT t.send_id, t.launched_at,
               min(t.created_at) FILTER (WHERE t.event = 'delivered') AS delivered_at,
               min(t.created_at) FILTER (WHERE t.event = 'opened') AS opened_at,
               min(t.created_at) FILTER (WHERE t.event = 'clicked') AS clicked_at,
               min(t.created_at) FILTER (WHERE t.event = 'replied') AS replied_at,
               min(t.created_at) FILTER (WHERE t.event = 'bounced' AND t.severity IS DISTINCT FROM 'soft') AS bounced_at,
               min(t.created_at) FILTER (WHERE t.event = 'complained') AS complained_at,
               min(t.created_at) FILTER (WHERE t.event = 'unsubscribed') AS unsubscribed_at
        FROM told AS t
        GROUP BY t.send_id, t.launched_at
    ), fresh AS MATERIALIZED (
        -- What a mail met for the first time, or earlier than was known: then it moves between days.
        SELECT f.send_id, f.lead_id, f.campaign, f.mailbox, f.domain, k.kind, k.at, k.was
        FROM marks AS m
        JOIN before AS f ON f.send_id = m.send_id
        CROSS JOIN LATERAL (VALUES
            ('delivered', m.delivered_at, f.delivered_at), ('opened', m.opened_at, f.opened_at),
            ('clicked', m.clicked_at, f.clicked_at), ('replied', m.replied_at, f.replied_at),
            ('bounced', m.bounced_at, f.bounced_at), ('complained', m.complained_at, f.complained_at),
            ('unsubscribed', m.unsubscribed_at, f.unsubscribed_at)) AS k (kind, at, was)
        WHERE k.at < coalesce(k.was, 'infinity')
    ), firsts AS (
        -- People: only what is new to a mail can be new to its lead.
        INSERT INTO analytics.people_first AS p (
            workspace_id, lead_id, grain, key, opened_at, clicked_at, replied_at, bounced_at, complained_at, unsubscribed_at)
        SELECT ws, n.lead_id, k.grain, k.key,
               min(n.at) FILTER (WHERE n.kind = 'opened'), min(n.at) FILTER (WHERE n.kind = 'clicked'),
               min(n.at) FILTER (WHERE n.kind = 'replied'), min(n.at) FILTER (WHERE n.kind = 'bounced'),
               min(n.at) FILTER (WHERE n.kind = 'complained'), min(n.at) FILTER (WHERE n.kind = 'unsubscribed')
        FROM fresh AS n
        CROSS JOIN LATERAL (VALUES
            ('workspace', ''), ('campaign', n.campaign), ('mailbox', n.mailbox), ('domain', n.domain)) AS k (grain, key)
        WHERE n.kind <> 'delivered'
        GROUP BY n.lead_id, k.grain, k.key
        ORDER BY n.lead_id, k.grain, k.key
        ON CONFLICT (workspace_id, lead_id, grain, key) DO UPDATE
        SET opened_at = least(p.opened_at, excluded.opened_at), clicked_at = least(p.clicked_at, excluded.clicked_at),
            replied_at = least(p.replied_at, excluded.replied_at), bounced_at = least(p.bounced_at, excluded.bounced_at),
            complained_at = least(p.complained_at, excluded.complained_at),
            unsubscribed_at = least(p.unsubscribed_at, excluded.unsubscribed_at),
            previous = ARRAY[p.opened_at, p.clicked_at, p.replied_at, p.bounced_at, p.complained_at, p.unsubscribed_at]
        WHERE excluded.opened_at < coalesce(p.opened_at, 'infinity') OR excluded.clicked_at < coalesce(p.clicked_at, 'infinity')
           OR excluded.replied_at < coalesce(p.replied_at, 'infinity') OR excluded.bounced_at < coalesce(p.bounced_at, 'infinity')
           OR excluded.complained_at < coalesce(p.complained_at, 'infinity')
           OR excluded.unsubscribed_at < coalesce(p.unsubscribed_at, 'infinity')
        RETURNING p.grain, p.key, p.opened_at, p.clicked_at, p.replied_at, p.bounced_at, p.complained_at, p.unsubscribed_at,
                  p.previous
    ), happened AS MATERIALIZED (
        -- Added up before it is spread over the grains. "sent" and "failed" are the ledger's words: the sender counts them, a
        -- provider's echo would count them twice; what was settled here, it didn't count. Sums of integer: those of bigint are numeric.
        SELECT f.campaign, f.step, f.variant, f.mailbox, f.domain, h.kind, h.day, sum(h.total)::integer AS total,
               sum(h.mails)::integer AS mails
        FROM (
            SELECT t.send_id, t.event AS kind, t.day, count(*)::integer AS total, 0 AS mails
            FROM told AS t
            WHERE t.event NOT IN ('sent', 'failed')
            GROUP BY t.send_id, t.event, t.day
            UNION ALL
            SELECT n.send_id, n.kind, timezone('UTC', n.at)::date, 0, 1 FROM fresh AS n
            UNION ALL
            SELECT n.send_id, n.kind, timezone('UTC', n.was)::date, 0, -1 FROM fresh AS n WHERE n.was IS NOT NULL
            UNION ALL
            SELECT s.send_id, 'sent', timezone('UTC', s.sent_at)::date, 1, 1 FROM settled AS s
        ) AS h (send_id, kind, day, total, mails)
        JOIN before AS f ON f.send_id = h.send_id
        GROUP BY f.campaign, f.step, f.variant, f.mailbox, f.domain, h.kind, h.day
    ), counted AS (
        -- Each grain's keys are put together once a group, not once a row.
        SELECT CASE WHEN grouping(h.domain) = 0 THEN 'domain' WHEN grouping(h.mailbox) = 0 THEN 'mailbox'
                    WHEN grouping(h.variant) = 0 THEN 'variant' WHEN grouping(h.step) = 0 THEN 'step'
                    WHEN grouping(h.campaign) = 0 THEN 'campaign' ELSE 'workspace' END AS grain,
               h.campaign, h.step, h.variant, h.mailbox, h.domain, h.kind, h.day, sum(h.total)::integer AS total,
               sum(h.mails)::integer AS mails, sum(h.mails) FILTER (WHERE h.kind = 'sent' AND h.step = 1)::integer AS begun
        FROM happened AS h
        GROUP BY GROUPING SETS (
            (h.kind, h.day), (h.campaign, h.kind, h.day), (h.campaign, h.step, h.kind, h.day),
            (h.campaign, h.step, h.variant, h.kind, h.day), (h.mailbox, h.kind, h.day), (h.domain, h.kind, h.day))
    ), deltas AS (
        INSERT INTO analytics.rollup_deltas (workspace_id, grain, key, kind, day, total, mails, people)
        SELECT ws, d.grain, d.key, d.kind, d.day, sum(d.total), sum(d.mails), sum(d.people)
        FROM (
            -- A lead gets one mail of a step, and is new to its campaign with the first.
            SELECT c.grain, k.key, c.kind, c.day, c.total, c.mails,
                   CASE WHEN c.grain IN ('step', 'variant') THEN c.mails
                        WHEN c.grain = 'campaign' THEN coalesce(c.begun, 0) ELSE 0 END AS people
            FROM counted AS c
            CROSS JOIN LATERAL (VALUES (CASE c.grain
                WHEN 'workspace' THEN '' WHEN 'campaign' THEN c.campaign WHEN 'step' THEN c.campaign || ':' || c.step
                WHEN 'variant' THEN c.campaign || ':' || c.step || ':' || c.variant WHEN 'mailbox' THEN c.mailbox
                ELSE c.domain END)) AS k (key)
            WHERE k.key IS NOT NULL
            UNION ALL
            SELECT n.grain, n.key, k.kind, timezone('UTC', v.at)::date, 0, 0, v.change
            FROM firsts AS n
            CROSS JOIN LATERAL (VALUES
                ('opened', n.opened_at, n.previous[1]), ('clicked', n.clicked_at, n.previous[2]),
                ('replied', n.replied_at, n.previous[3]), ('bounced', n.bounced_at, n.previous[4]),
                ('complained', n.complained_at, n.previous[5]),
                ('unsubscribed', n.unsubscribed_at, n.previous[6])) AS k (kind, at, was)
            CROSS JOIN LATERAL (VALUES (k.at, 1), (k.was, -1)) AS v (at, change)
            WHERE k.at IS DISTINCT FROM k.was AND v.at IS NOT NULL
        ) AS d
        GROUP BY d.grain, d.key, d.kind, d.day
        HAVING sum(d.total) <> 0 OR sum(d.mails) <> 0 OR sum(d.people) <> 0
    ), engaged AS (
        SELECT t.lead_id,
               max(t.created_at) FILTER (WHERE t.event = 'opened') AS opened_at,
               max(t.created_at) FILTER (WHERE t.event = 'clicked') AS clicked_at,
               max(t.created_at) FILTER (WHERE t.event = 'replied') AS replied_at,
               max(t.created_at) FILTER (WHERE t.event = 'sent') AS contacted_at,
               count(*) FILTER (WHERE t.event = 'sent') AS sent,
               count(*) FILTER (WHERE t.event = 'opened') AS opens,
               count(*) FILTER (WHERE t.event = 'clicked') AS clicks,
               count(*) FILTER (WHERE t.event = 'replied') AS replies,
               count(*) FILTER (WHERE t.event = 'bounced') AS bounces
        FROM (SELECT o.lead_id, o.event, o.created_at FROM told AS o
              WHERE o.event IN ('opened', 'clicked', 'replied', 'bounced')
              UNION ALL
              SELECT s.lead_id, 'sent', s.sent_at FROM settled AS s) AS t
        GROUP BY t.lead_id
    ), touched AS (
        -- Whose score is to be made again; one row, whatever the batch.
        INSERT INTO analytics.engaged_leads (workspace_id, leads)
        SELECT ws, array_agg(g.lead_id) FROM engaged AS g HAVING count(*) > 0
    ), unwanted AS (
        -- An unknown message counts too: whoever complains is not mailed again, whichever system wrote to them.
        SELECT CASE a.event WHEN 'failed' THEN 'bounced' ELSE a.event END AS reason,
               coalesce(f.address, a.recipient) AS target
        FROM added AS a
        LEFT JOIN found AS f ON f.send_id = a.send_id
        WHERE a.event IN ('complained', 'unsubscribed') OR (a.event IN ('bounced', 'failed') AND a.severity = 'hard')
    ), activities AS (
        INSERT INTO outreach.lead_activities (
            workspace_id, created_at, lead_id, activity_type, campaign_id, send_id, details)
        SELECT ws, t.created_at, t.lead_id, 'email_' || t.event, t.campaign_id, t.send_id,
               jsonb_strip_nulls(jsonb_build_object('url', t.url, 'reason', t.reason, 'severity', t.severity))
        FROM told AS t
        WHERE t.event IN (
            'opened', 'clicked', 'replied', 'autoresponded', 'bounced', 'complained', 'unsubscribed', 'subscribed')
    ), inbound AS (
        -- What recipients wrote; their subject is in what the poller kept of the mail.
        INSERT INTO outreach.message_log (
            workspace_id, created_at, lead_id, campaign_id, send_id, direction, message_id, sender, subject)
        SELECT ws, t.created_at, t.lead_id, t.campaign_id, t.send_id, 'inbound', t.raw ->> 'message_id', t.recipient,
               t.raw ->> 'subject'
        FROM told AS t
        WHERE t.event IN ('replied', 'autoresponded')
    ), outcome AS (
        SELECT count(*) AS stored, count(*) FILTER (WHERE a.send_id IS NULL) AS unknown FROM added AS a
    ), refused AS (
        SELECT coalesce(sum(r.n), 0)::bigint AS rejected, coalesce(jsonb_object_agg(r.refusal, r.n), '{}') AS reasons
        FROM (SELECT g.refusal, count(*) AS n FROM given AS g WHERE g.refusal IS NOT NULL GROUP BY g.refusal) AS r
    )
    SELECT g.n AS received, o.stored, r.rejected, o.unknown, r.reasons, m.*, e.*,
           (SELECT coalesce(array_agg(DISTINCT t.lead_id), '{}') FROM told AS t WHERE t.event = 'replied') AS repliers,
           (SELECT coalesce(array_agg(DISTINCT s.lead_id), '{}') FROM settled AS s) AS contacted,
           (SELECT jsonb_object_agg(u.reason, u.targets)
            FROM (SELECT u.reason, jsonb_agg(DISTINCT u.target) AS targets
                  FROM unwanted AS u
                  WHERE outreach.suppression_target(u.target) LIKE '%@%' AND length(u.target) <= 254
                  GROUP BY u.reason) AS u) AS unwanted
    INTO result
    FROM (SELECT jsonb_array_length(p_events)::bigint AS n) AS g, outcome AS o, refused AS r, (
        SELECT array_agg(k.send_id) AS sends, array_agg(k.launched_at) AS launches, array_agg(k.campaign_id) AS campaigns,
               array_agg(k.lead_id) AS leads, array_agg(k.mailbox_id) AS mailboxes, array_agg(k.step) AS steps,
               array_agg(k.address) AS addresses, array_agg(k.delivered_at) AS delivered, array_agg(k.opened_at) AS opened,
               array_agg(k.clicked_at) AS clicked, array_agg(k.replied_at) AS replied, array_agg(k.bounced_at) AS bounced,
               array_agg(k.complained_at) AS complained, array_agg(k.unsubscribed_at) AS unsubscribed
        FROM (SELECT r.*, f.campaign_id, f.lead_id, f.mailbox_id, f.step, f.address
              FROM marks AS r
              JOIN found AS f ON f.send_id = r.send_id AND f.launched_at = r.launched_at
              WHERE r.send_id IN (SELECT n.send_id FROM fresh AS n) OR r.send_id IN (SELECT s.send_id FROM settled AS s)
              ORDER BY r.launched_at, r.send_id) AS k) AS m, (
        SELECT array_agg(g.lead_id) AS engaged, array_agg(g.opened_at) AS last_opened, array_agg(g.clicked_at) AS last_clicked,
               array_agg(g.replied_at) AS last_replied, array_agg(g.contacted_at) AS last_contacted,
               array_agg(g.sent) AS sent, array_agg(g.opens) AS opens, array_agg(g.clicks) AS clicks,
               array_agg(g.replies) AS replies, array_agg(g.bounces) AS bounces
        FROM engaged AS g) AS e;
    SET LOCAL plan_cache_mode = auto;

    INSERT INTO outreach.lead_engagement AS e (
        workspace_id, lead_id, last_opened_at, last_clicked_at, last_replied_at, last_contacted_at, sent_count,
        open_count, click_count, reply_count, bounce_count, updated_at)
    SELECT ws, g.*, arrived
    FROM unnest(result.engaged, result.last_opened, result.last_clicked, result.last_replied, result.last_contacted,
                result.sent, result.opens, result.clicks, result.replies, result.bounces) AS g (lead_id)
    ORDER BY g.lead_id
    ON CONFLICT (workspace_id, lead_id) DO UPDATE
    SET last_opened_at = greatest(e.last_opened_at, excluded.last_opened_at),
        last_clicked_at = greatest(e.last_clicked_at, excluded.last_clicked_at),
        last_replied_at = greatest(e.last_replied_at, excluded.last_replied_at),
        last_contacted_at = greatest(e.last_contacted_at, excluded.last_contacted_at),
        sent_count = e.sent_count + excluded.sent_count,
        open_count = e.open_count + excluded.open_count,
        click_count = e.click_count + excluded.click_count,
        reply_count = e.reply_count + excluded.reply_count,
        bounce_count = e.bounce_count + excluded.bounce_count,
        updated_at = excluded.updated_at;

    -- The strongest reason first: a target keeps the reason that it has.
    FOREACH why IN ARRAY ARRAY['complained', 'unsubscribed', 'bounced'] LOOP
        IF result.unwanted ? why THEN
            PERFORM outreach.suppress(
                ARRAY(SELECT t FROM jsonb_array_elements_text(result.unwanted -> why) AS t), why, 'event');
        END IF;
    END LOOP;
    IF cardinality(result.repliers || result.contacted) > 0 THEN
        WITH held AS MATERIALIZED (
            SELECT l.id FROM outreach.leads AS l
            WHERE l.workspace_id = ws AND l.id = ANY (result.repliers || result.contacted)
              AND (l.status IN ('new', 'verified') OR l.status = 'contacted' AND l.id = ANY (result.repliers))
            ORDER BY l.id
            FOR NO KEY UPDATE
        )
        UPDATE outreach.leads AS l
        SET status = CASE WHEN l.id = ANY (result.repliers) THEN 'replied' ELSE 'contacted' END, updated_at = arrived
        FROM held AS h
        WHERE l.workspace_id = ws AND l.id = h.id;
    END IF;

    -- Written as an upsert of rows that exist (they are locked, hence are what was read above, and nobody can delete them), because
    -- an UPDATE with a join may be planned as all pairs where statistics are old. What a row must have is said and not used. The
    -- instants are not indexed: most of these updates stay on the row's page.
    INSERT INTO outreach.email_sends AS s (
        workspace_id, id, created_at, campaign_id, lead_id, mailbox_id, step, recipient, scheduled_at,
        delivered_at, opened_at, clicked_at, replied_at, bounced_at, complained_at, unsubscribed_at)
    SELECT ws, m.id, m.launched_at, m.campaign_id, m.lead_id, m.mailbox_id, m.step, m.recipient, m.launched_at,
           m.delivered_at, m.opened_at, m.clicked_at, m.replied_at, m.bounced_at, m.complained_at, m.unsubscribed_at
    FROM unnest(result.sends, result.launches, result.campaigns, result.leads, result.mailboxes, result.steps, result.addresses,
                result.delivered, result.opened, result.clicked, result.replied, result.bounced, result.complained,
                result.unsubscribed)
        AS m (id, launched_at, campaign_id, lead_id, mailbox_id, step, recipient, delivered_at, opened_at, clicked_at,
              replied_at, bounced_at, complained_at, unsubscribed_at)
    ON CONFLICT (workspace_id, id, created_at) DO UPDATE
    SET delivered_at = least(s.delivered_at, excluded.delivered_at), opened_at = least(s.opened_at, excluded.opened_at),
        clicked_at = least(s.clicked_at, excluded.clicked_at), replied_at = least(s.replied_at, excluded.replied_at),
        bounced_at = least(s.bounced_at, excluded.bounced_at),
        complained_at = least(s.complained_at, excluded.complained_at),
        unsubscribed_at = least(s.unsubscribed_at, excluded.unsubscribed_at),
        -- The same sends as "settled" above: every row here has a mark of this batch, or one that it changes.
        status = CASE s.status WHEN 'unknown' THEN 'sent' ELSE s.status END,
        sent_at = CASE WHEN s.status = 'unknown' THEN coalesce(s.begun_at, least(
                excluded.delivered_at, excluded.opened_at, excluded.clicked_at, excluded.replied_at, excluded.bounced_at,
                excluded.complained_at, excluded.unsubscribed_at)) ELSE s.sent_at END;

    RETURN QUERY SELECT result.received, result.stored, result.received - result.stored - result.rejected, result.rejected,
                        result.unknown, result.reasons;
END
$$;
GRANT EXECUTE ON FUNCTION outreach.batch_update_email_status(jsonb) TO outreachdb_app, outreachdb_trusted;
