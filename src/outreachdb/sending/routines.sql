-- requires: 0010

-- Functions that find sends by key are planned without looking at the values (force_generic_plan): a workspace, a campaign
-- or an instant that is newer than the statistics looks like no rows at all, and the plans made for that read the whole
-- month once per row.

-- Turns a draft into its sends, all at once: every member of the segment gets its sends or a recorded reason why not.
-- launched_at becomes created_at of every send (a foreign key holds it there) and is a parameter so that one partition is
-- planned. One statement reads the members and writes both tables: two would see two states of the leads. Suppressions are
-- joined by hash whatever the statistics say: a list imported a minute ago looks empty, and a loop over it takes hours.
-- owner: outreachdb_trusted
CREATE OR REPLACE FUNCTION outreach.bulk_schedule_email_sends(campaign_id bigint, launched_at timestamptz)
RETURNS TABLE (scheduled bigint, excluded jsonb)
LANGUAGE plpgsql SECURITY DEFINER
SET search_path = pg_catalog, pg_temp
SET enable_nestloop = off
SET enable_mergejoin = off
AS $$
DECLARE
    workspace bigint := outreach.required_workspace();
    instant timestamptz := launched_at;
    campaign outreach.campaigns;
    wanted jsonb;
    mailboxes bigint[];
    steps smallint[];
    delays bigint[];
    leads bigint;
BEGIN
    SELECT c.* INTO campaign FROM outreach.campaigns AS c
    WHERE c.workspace_id = workspace AND c.id = campaign_id
    FOR UPDATE;
    IF NOT FOUND THEN
        RAISE EXCEPTION 'no campaign with the id %', campaign_id USING ERRCODE = 'no_data_found';
    ELSIF campaign.status NOT IN ('draft', 'scheduled') OR campaign.launched_at IS NOT NULL THEN
        RAISE EXCEPTION 'it was launched already, it is %', campaign.status
            USING ERRCODE = 'object_not_in_prerequisite_state', HINT = 'a campaign is launched once';
    END IF;
    mailboxes := ARRAY(SELECT m.mailbox_id FROM outreach.campaign_mailboxes AS m
                       WHERE m.workspace_id = workspace AND m.campaign_id = campaign.id ORDER BY m.mailbox_id);
    SELECT array_agg(t.step ORDER BY t.step), array_agg(t.until ORDER BY t.step) INTO steps, delays
    FROM (SELECT s.step, (sum(s.delay_seconds) OVER (ORDER BY s.step))::bigint AS until FROM outreach.campaign_steps AS s
          WHERE s.workspace_id = workspace AND s.campaign_id = campaign.id) AS t;
    IF instant IS NULL OR mailboxes = '{}' OR steps IS NULL THEN
        RAISE EXCEPTION 'a launch needs an instant, a mailbox and a step' USING ERRCODE = 'invalid_parameter_value';
    END IF;
    -- A saved segment counts as it is now; what was used is kept with the campaign.
    wanted := coalesce((SELECT g.definition FROM outreach.segments AS g
                        WHERE g.workspace_id = workspace AND g.id = campaign.segment_id), campaign.definition);
    PERFORM outreach.ensure_partitions('email_sends', instant, instant);
    UPDATE outreach.campaigns AS c
    SET status = 'running', launched_at = instant, definition = wanted, updated_at = clock_timestamp()
    WHERE c.workspace_id = workspace AND c.id = campaign.id;

    EXECUTE format($sql$
        WITH members AS MATERIALIZED (
            SELECT l.id, l.email, row_number() OVER () AS place,
                   CASE WHEN l.email IS NULL THEN 'no_address'
                        WHEN a.target IS NOT NULL OR d.target IS NOT NULL THEN 'suppressed'
                        WHEN l.status IN ('unsubscribed', 'bounced') THEN l.status
                        WHEN l.email_status = 'invalid' THEN 'invalid'
                        WHEN l.status = 'archived' THEN 'archived' END AS reason
            FROM outreach.leads AS l
            LEFT JOIN outreach.suppressions AS a ON a.workspace_id = %1$s AND a.target = l.email_key
                AND (a.expires_at IS NULL OR a.expires_at > now())
            LEFT JOIN outreach.suppressions AS d ON d.workspace_id = %1$s AND d.target = split_part(l.email_key, '@', 2)
                AND (d.expires_at IS NULL OR d.expires_at > now())
            WHERE l.workspace_id = %1$s AND (%2$s)
        ), sends AS (
            INSERT INTO outreach.email_sends
                (workspace_id, created_at, campaign_id, lead_id, mailbox_id, step, recipient, scheduled_at)
            SELECT %1$s, $1, $2, m.id, $3[1 + m.place %% cardinality($3)], s.step, m.email, s.at
            FROM members AS m CROSS JOIN unnest($4, $5) AS s (step, at)
            WHERE m.reason IS NULL
        ), left_out AS (
            INSERT INTO outreach.send_exclusions (workspace_id, campaign_id, lead_id, reason, created_at)
            SELECT %1$s, $2, m.id, m.reason, $1 FROM members AS m WHERE m.reason IS NOT NULL
        ), counted AS (
            SELECT m.reason, count(*) AS n FROM members AS m GROUP BY m.reason
        )
        SELECT coalesce(sum(n) FILTER (WHERE reason IS NULL), 0),
               coalesce(jsonb_object_agg(reason, n) FILTER (WHERE reason IS NOT NULL), '{}')
        FROM counted
        $sql$, workspace, outreach.segment_condition(wanted))
    INTO leads, excluded
    USING instant, campaign.id, mailboxes, steps, ARRAY(
        SELECT greatest(instant, (campaign.settings ->> 'start')::timestamptz) + make_interval(secs => d)
        FROM unnest(delays) WITH ORDINALITY AS u (d, place) ORDER BY place);

    scheduled := leads * cardinality(steps);
    INSERT INTO analytics.rollup_deltas (workspace_id, grain, key, kind, day, total, people)
    SELECT workspace, t.grain, t.key, 'scheduled', timezone('UTC', instant)::date, t.total, leads
    FROM (SELECT 'workspace' AS grain, '' AS key, scheduled AS total
          UNION ALL SELECT 'campaign', campaign.id::text, scheduled
          UNION ALL SELECT 'step', campaign.id || ':' || s, leads FROM unnest(steps) AS s) AS t
    WHERE leads > 0;
    IF leads = 0 THEN
        PERFORM outreach.set_campaign_status(campaign.id, 'completed');
    END IF;
    RETURN NEXT;
END
$$;
GRANT EXECUTE ON FUNCTION outreach.bulk_schedule_email_sends(bigint, timestamptz) TO outreachdb_app;

-- The three functions below are standard-bodied and STABLE so that they melt into the claim's own plan.

-- Whether an address or its domain is suppressed now.
CREATE OR REPLACE FUNCTION outreach.suppression_of(p_workspace bigint, p_recipient text) RETURNS TABLE (suppressed boolean)
LANGUAGE sql STABLE
BEGIN ATOMIC
    SELECT EXISTS (
        SELECT FROM outreach.suppressions AS x
        WHERE x.workspace_id = p_workspace
          AND x.target IN (lower(p_recipient), split_part(lower(p_recipient), '@', 2))
          AND (x.expires_at IS NULL OR x.expires_at > now()));
END;

-- Why a send must not leave any more (stop), or until when it must wait; both NULL: it may go.
CREATE OR REPLACE FUNCTION outreach.judge_send(
    p_workspace bigint, p_campaign bigint, p_launched timestamptz, p_lead bigint, p_step smallint, p_recipient text)
RETURNS TABLE (stop text, until timestamptz)
LANGUAGE sql STABLE
BEGIN ATOMIC
    SELECT CASE
               WHEN x.suppressed THEN 'suppressed'
               WHEN l.status IN ('unsubscribed', 'bounced', 'archived') THEN 'the lead is ' || l.status
               WHEN l.email_status = 'invalid' THEN 'the address is invalid'
               WHEN p_step = 1 THEN NULL
               WHEN p.replied THEN 'the lead replied'
               WHEN p.ended THEN 'the lead bounced, complained or unsubscribed'
               WHEN p.clicked AND t.condition = 'no_click' THEN 'the lead clicked'
               WHEN p.opened AND t.condition = 'no_open' THEN 'the lead opened'
               WHEN p.last_status IN ('failed', 'cancelled') THEN 'the step before was ' || p.last_status
               -- An event may still tell that it was sent, but not for ever: the campaign is to end some day.
               WHEN p.last_status = 'unknown' AND p.last_begun < now() - interval '3 days' THEN 'the step before is unknown'
           END,
           CASE
               WHEN p_step = 1 THEN NULL
               WHEN p.last_status = 'sent' THEN
                   CASE WHEN p.last_sent + make_interval(secs => t.delay_seconds) > now()
                        THEN p.last_sent + make_interval(secs => t.delay_seconds) END
               ELSE now() + interval '10 minutes'
           END
    FROM outreach.leads AS l
    CROSS JOIN LATERAL outreach.suppression_of(p_workspace, p_recipient) AS x
    LEFT JOIN outreach.campaign_steps AS t
        ON p_step > 1 AND t.workspace_id = p_workspace AND t.campaign_id = p_campaign AND t.step = p_step
    LEFT JOIN LATERAL (
        SELECT bool_or(e.replied_at IS NOT NULL) AS replied,
               bool_or(coalesce(e.bounced_at, e.complained_at, e.unsubscribed_at) IS NOT NULL) AS ended,
               bool_or(e.clicked_at IS NOT NULL) AS clicked,
               bool_or(e.opened_at IS NOT NULL) AS opened,
               (array_agg(e.status ORDER BY e.step DESC))[1] AS last_status,
               (array_agg(coalesce(e.begun_at, e.lease_expires_at, e.scheduled_at) ORDER BY e.step DESC))[1] AS last_begun,
               max(e.sent_at) AS last_sent
        FROM outreach.email_sends AS e
        WHERE p_step > 1 AND e.workspace_id = p_workspace AND e.lead_id = p_lead AND e.created_at = p_launched
          AND e.campaign_id = p_campaign AND e.step < p_step) AS p ON true
    WHERE l.workspace_id = p_workspace AND l.id = p_lead;
END;

-- What templates may name (campaigns/templates.py lists the same fields).
CREATE OR REPLACE FUNCTION outreach.lead_for_templates(p_workspace bigint, p_lead bigint) RETURNS TABLE (lead jsonb)
LANGUAGE sql STABLE
BEGIN ATOMIC
    SELECT jsonb_build_object(
        'email', l.email, 'first_name', l.first_name, 'last_name', l.last_name, 'phone', l.phone, 'title', l.title,
        'company_name', l.company_name, 'company_website', l.company_website, 'linkedin_url', l.linkedin_url,
        'industry', l.industry, 'country', l.country, 'city', l.city, 'timezone', l.timezone,
        'tags', l.tags, 'custom', l.custom_fields)
    FROM outreach.leads AS l
    WHERE l.workspace_id = p_workspace AND l.id = p_lead;
END;

-- How many sends each active mailbox may still be given today (UTC), n where it has no cap, nothing where it has one and
-- the caller does not hold its lock. Sent is read from the rollups: exact, and a handful of rows whatever the history.
CREATE OR REPLACE FUNCTION outreach.mailboxes_room(p_workspace bigint, p_locked bigint[], p_n integer)
RETURNS TABLE (id bigint, room integer)
LANGUAGE sql STABLE
BEGIN ATOMIC
    SELECT m.id,
           CASE WHEN m.daily_cap IS NULL THEN p_n
                WHEN m.id <> ALL (p_locked) THEN 0
                ELSE least(p_n, greatest(0, m.daily_cap - sent.n - claimed.n))::integer END
    FROM outreach.mailboxes AS m
    LEFT JOIN LATERAL (
        SELECT coalesce(sum(t.total), 0) AS n
        FROM (SELECT r.total FROM analytics.rollups AS r
              WHERE r.workspace_id = p_workspace AND r.grain = 'mailbox' AND r.key = m.id::text AND r.kind = 'sent'
                AND r.day = timezone('UTC', now())::date
              UNION ALL
              SELECT d.total FROM analytics.rollup_deltas AS d
              WHERE d.workspace_id = p_workspace AND d.grain = 'mailbox' AND d.key = m.id::text AND d.kind = 'sent'
                AND d.day = timezone('UTC', now())::date) AS t) AS sent ON m.daily_cap IS NOT NULL
    LEFT JOIN LATERAL (
        SELECT count(*) AS n FROM outreach.email_sends AS e
        WHERE e.workspace_id = p_workspace AND e.status = 'claimed' AND e.mailbox_id = m.id
          AND e.created_at = ANY (ARRAY(
              SELECT c.launched_at FROM outreach.campaigns AS c
              WHERE c.workspace_id = p_workspace AND c.status IN ('running', 'paused')))) AS claimed
        ON m.daily_cap IS NOT NULL
    WHERE m.workspace_id = p_workspace AND m.status = 'active';
END;

-- Hands out due sends: of running campaigns, from active mailboxes within their daily cap, at most n in all, shared evenly
-- between mailboxes. What may no longer be sent is cancelled on the way and what is too early is put off, both told in
-- verdict ('claimed', 'cancelled', 'postponed'), so that no claim meets such a row twice; no rows mean that nothing is due.
-- Never waits and never deadlocks: every lock is SKIP LOCKED. Holding running campaigns FOR SHARE makes a pause wait for
-- the claim under way and hides the campaign from the next.
-- owner: outreachdb_trusted
CREATE OR REPLACE FUNCTION outreach.claim_sends(
    n integer, worker text, lease interval, skip_mailboxes bigint[] DEFAULT '{}')
RETURNS TABLE (send_id bigint, created_at timestamptz, campaign_id bigint, step smallint, lead_id bigint,
               mailbox_id bigint, recipient text, verdict text, reason text, lead jsonb)
LANGUAGE plpgsql SECURITY DEFINER
SET search_path = pg_catalog, pg_temp
SET plan_cache_mode = force_generic_plan
AS $$
#variable_conflict use_column
DECLARE
    v_workspace bigint := outreach.required_workspace();
    v_campaigns bigint[];
    v_instants timestamptz[];
    v_mailboxes bigint[];
    v_room integer[];
    v_share integer;
    v_now timestamptz := clock_timestamp();
BEGIN
    IF n < 1 OR n > 10000 OR lease <= interval '0' OR worker IS NULL THEN
        RAISE EXCEPTION 'a claim takes 1 to 10000 sends, a worker''s name and a lease'
            USING ERRCODE = 'invalid_parameter_value';
    END IF;
    SELECT array_agg(c.id), array_agg(DISTINCT c.launched_at) INTO v_campaigns, v_instants
    FROM (SELECT id, launched_at FROM outreach.campaigns
          WHERE workspace_id = v_workspace AND status = 'running' ORDER BY id FOR SHARE SKIP LOCKED) AS c;
    IF v_campaigns IS NULL THEN
        RETURN;
    END IF;
    -- A capped mailbox is counted by one claim at a time; the counting below is a statement of its own because only
    -- that one sees what the holder of the lock before us has committed.
    SELECT array_agg(m.id ORDER BY m.id) INTO v_mailboxes
    FROM (SELECT id FROM outreach.mailboxes AS b
          WHERE b.workspace_id = v_workspace AND b.status = 'active' AND b.daily_cap IS NOT NULL
            AND b.id <> ALL (skip_mailboxes)
          ORDER BY id FOR NO KEY UPDATE SKIP LOCKED) AS m;
    SELECT array_agg(r.id), array_agg(r.room) INTO v_mailboxes, v_room
    FROM outreach.mailboxes_room(v_workspace, coalesce(v_mailboxes, '{}'), n) AS r
    WHERE r.room > 0 AND r.id <> ALL (skip_mailboxes)
      AND EXISTS (SELECT FROM outreach.campaign_mailboxes AS cm
                  WHERE cm.workspace_id = v_workspace AND cm.mailbox_id = r.id AND cm.campaign_id = ANY (v_campaigns));
    IF v_mailboxes IS NULL THEN
        RETURN;
    END IF;
    v_share := (n + cardinality(v_mailboxes) - 1) / cardinality(v_mailboxes);
    RETURN QUERY
    WITH due AS MATERIALIZED (
        SELECT s.*, m.room, row_number() OVER (PARTITION BY s.mailbox_id ORDER BY s.scheduled_at) AS place
        FROM unnest(v_mailboxes, v_room) AS m (id, room)
        CROSS JOIN LATERAL (
            SELECT e.id, e.created_at, e.campaign_id, e.lead_id, e.mailbox_id, e.step, e.recipient, e.scheduled_at
            FROM outreach.email_sends AS e
            WHERE e.workspace_id = v_workspace AND e.mailbox_id = m.id AND e.status = 'scheduled'
              AND e.scheduled_at <= v_now AND e.created_at = ANY (v_instants) AND e.campaign_id = ANY (v_campaigns)
            ORDER BY e.scheduled_at
            LIMIT v_share
            FOR UPDATE SKIP LOCKED) AS s
    ), chosen AS MATERIALIZED (
        -- Shares are rounded up, so that no mailbox's is nothing; from the mailboxes in turn, n are taken.
        SELECT d.* FROM due AS d WHERE d.place <= d.room ORDER BY d.place, d.scheduled_at LIMIT n
    ), judged AS MATERIALIZED (
        SELECT d.id, d.created_at, j.stop, j.until, l.lead
        FROM chosen AS d
        CROSS JOIN LATERAL outreach.judge_send(
            v_workspace, d.campaign_id, d.created_at, d.lead_id, d.step, d.recipient) AS j (stop, until)
        CROSS JOIN LATERAL outreach.lead_for_templates(v_workspace, d.lead_id) AS l (lead)
    )
    UPDATE outreach.email_sends AS s
    SET status = CASE WHEN j.stop IS NOT NULL THEN 'cancelled' WHEN j.until IS NOT NULL THEN 'scheduled' ELSE 'claimed' END,
        last_error = coalesce(j.stop, s.last_error),
        scheduled_at = coalesce(j.until, s.scheduled_at),
        claimed_by = CASE WHEN j.stop IS NULL AND j.until IS NULL THEN worker END,
        lease_expires_at = CASE WHEN j.stop IS NULL AND j.until IS NULL THEN v_now + lease END,
        begun_at = NULL
    FROM judged AS j
    WHERE s.workspace_id = v_workspace AND s.id = j.id AND s.created_at = j.created_at AND s.created_at = ANY (v_instants)
    RETURNING s.id, s.created_at, s.campaign_id, s.step, s.lead_id, s.mailbox_id, s.recipient,
        CASE WHEN s.status = 'scheduled' THEN 'postponed' ELSE s.status END, j.stop,
        CASE WHEN s.status = 'claimed' THEN j.lead END;
END
$$;
GRANT EXECUTE ON FUNCTION outreach.claim_sends(integer, text, interval, bigint[]) TO outreachdb_app;

-- Holds the campaigns launched at some instants (which are their sends' created_at) FOR SHARE: whoever moves sends between
-- statuses does this first, in a statement of its own, so that the next statement sees a campaign's status as it stays until
-- the end of the transaction. Campaigns before sends, by id, as outreach.set_campaign_status locks them.
CREATE OR REPLACE FUNCTION outreach.hold_campaigns(p_workspace bigint, p_instants timestamptz[]) RETURNS void
LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    PERFORM FROM outreach.campaigns AS c
    WHERE c.workspace_id = p_workspace AND c.launched_at = ANY (p_instants)
    ORDER BY c.id
    FOR SHARE;
END
$$;

-- Marks claimed sends as begun, the last thing before SMTP; only those told as 'begun' may be sent. Suppression and the
-- campaign's status are read again here. A lease that ran out has been given away: such a send is not in the answer.
-- owner: outreachdb_trusted
CREATE OR REPLACE FUNCTION outreach.begin_sends(send_ids bigint[], created_ats timestamptz[], worker text, lease interval)
RETURNS TABLE (send_id bigint, verdict text, reason text)
LANGUAGE plpgsql SECURITY DEFINER
SET search_path = pg_catalog, pg_temp
SET plan_cache_mode = force_generic_plan
AS $$
#variable_conflict use_column
DECLARE
    v_workspace bigint := outreach.required_workspace();
BEGIN
    PERFORM outreach.hold_campaigns(v_workspace, created_ats);
    RETURN QUERY
    WITH judged AS MATERIALIZED (
        SELECT s.id, s.created_at,
               CASE WHEN x.suppressed THEN 'suppressed'
                    WHEN c.status IN ('cancelled', 'completed') THEN 'the campaign was ' || c.status END AS stop,
               c.status <> 'running' AS halted
        FROM unnest(send_ids, created_ats) AS g (id, created_at)
        JOIN outreach.email_sends AS s
            ON s.workspace_id = v_workspace AND s.id = g.id AND s.created_at = g.created_at
            AND s.created_at = ANY (created_ats)
        JOIN outreach.campaigns AS c ON c.workspace_id = v_workspace AND c.id = s.campaign_id
        CROSS JOIN LATERAL outreach.suppression_of(v_workspace, s.recipient) AS x
        WHERE s.status = 'claimed' AND s.claimed_by = worker AND s.lease_expires_at > clock_timestamp()
        ORDER BY s.id
        FOR UPDATE OF s
    )
    UPDATE outreach.email_sends AS s
    SET status = CASE WHEN j.stop IS NOT NULL THEN 'cancelled' WHEN j.halted THEN 'scheduled' ELSE 'claimed' END,
        last_error = coalesce(j.stop, s.last_error),
        attempts = CASE WHEN j.stop IS NULL AND NOT j.halted THEN s.attempts + 1 ELSE s.attempts END,
        begun_at = CASE WHEN j.stop IS NULL AND NOT j.halted THEN clock_timestamp() END,
        lease_expires_at = clock_timestamp() + lease
    FROM judged AS j
    WHERE s.workspace_id = v_workspace AND s.id = j.id AND s.created_at = j.created_at
      AND s.created_at = ANY (created_ats)
    RETURNING s.id, CASE s.status WHEN 'claimed' THEN 'begun' WHEN 'scheduled' THEN 'returned' ELSE s.status END, j.stop;
END
$$;
GRANT EXECUTE ON FUNCTION outreach.begin_sends(bigint[], timestamptz[], text, interval) TO outreachdb_app;

-- Whether events tell that a send's mail left.
CREATE OR REPLACE FUNCTION outreach.was_seen(send outreach.email_sends) RETURNS boolean
LANGUAGE sql IMMUTABLE
RETURN coalesce((send).delivered_at, (send).opened_at, (send).clicked_at, (send).replied_at, (send).bounced_at,
                (send).complained_at, (send).unsubscribed_at) IS NOT NULL;

-- Records what became of sends: results is a list of {id, created_at, outcome, error, message_id, sender, subject, response}
-- with the outcomes sent, failed, deferred (tried again later, five times in all), returned (certainly not tried) and
-- unknown (perhaps sent, never sent again by itself). Only a worker's own sends count, and each once: calling twice changes
-- nothing. What would be tried again is not when its campaign has ended. Rows are locked campaigns first, then sends, then engagement, then leads, each by id, as every other writer of them does.
-- owner: outreachdb_trusted
CREATE OR REPLACE FUNCTION outreach.record_sends(results jsonb, worker text)
RETURNS TABLE (sent bigint, failed bigint, deferred bigint, unknown bigint)
LANGUAGE plpgsql SECURITY DEFINER
SET search_path = pg_catalog, pg_temp
SET plan_cache_mode = force_generic_plan
AS $$
#variable_conflict use_column
DECLARE
    v_workspace bigint := outreach.required_workspace();
    v_now timestamptz := clock_timestamp();
    v_instants timestamptz[] := ARRAY(SELECT DISTINCT (r ->> 'created_at')::timestamptz FROM jsonb_array_elements(results) AS r);
    v_done outreach.email_sends[];
BEGIN
    PERFORM outreach.hold_campaigns(v_workspace, v_instants);
    WITH given AS MATERIALIZED (
        SELECT r.* FROM jsonb_to_recordset(results) AS r (id bigint, created_at timestamptz, outcome text, error text)
    ), mine AS MATERIALIZED (
        SELECT s.id, s.created_at, c.status AS campaign_status,
               CASE WHEN g.outcome = 'deferred' AND s.attempts >= 5 THEN 'failed'
                    -- An event was faster than its worker.
                    WHEN g.outcome = 'unknown' AND outreach.was_seen(s) THEN 'sent'
                    ELSE g.outcome END AS outcome, g.error
        FROM given AS g
        JOIN outreach.email_sends AS s
            ON s.workspace_id = v_workspace AND s.id = g.id AND s.created_at = g.created_at
            AND s.created_at = ANY (v_instants)
        JOIN outreach.campaigns AS c ON c.workspace_id = v_workspace AND c.id = s.campaign_id
        -- 'unknown' too: the lease ran out over a slow server, and now its worker knows after all.
        WHERE s.status IN ('claimed', 'unknown') AND s.claimed_by = worker
        ORDER BY s.id
        FOR UPDATE OF s
    ), moved AS (
        UPDATE outreach.email_sends AS s
        SET status = CASE WHEN m.outcome IN ('sent', 'failed', 'unknown') THEN m.outcome
                          WHEN m.campaign_status = 'cancelled' THEN 'cancelled'
                          WHEN m.campaign_status = 'completed' THEN 'failed' ELSE 'scheduled' END,
            sent_at = CASE WHEN m.outcome = 'sent' THEN v_now END,
            begun_at = CASE WHEN m.outcome IN ('sent', 'failed', 'unknown') THEN s.begun_at END,
            attempts = CASE WHEN m.outcome = 'returned' AND s.begun_at IS NOT NULL THEN s.attempts - 1 ELSE s.attempts END,
            scheduled_at = CASE WHEN m.outcome = 'deferred' THEN v_now + interval '5 minutes' * 4 ^ (s.attempts - 1)
                                WHEN m.outcome = 'returned' THEN v_now + interval '1 minute' ELSE s.scheduled_at END,
            last_error = left(m.error, 500)
        FROM mine AS m
        WHERE s.workspace_id = v_workspace AND s.id = m.id AND s.created_at = m.created_at
          AND s.created_at = ANY (v_instants)
        RETURNING s AS row
    )
    SELECT array_agg(m.row ORDER BY (m.row).lead_id) INTO v_done FROM moved AS m;

    PERFORM outreach.ensure_partitions('message_log', v_now, v_now);
    INSERT INTO outreach.message_log
        (workspace_id, created_at, lead_id, campaign_id, send_id, message_id, sender, recipient, subject, response)
    SELECT v_workspace, v_now, d.lead_id, d.campaign_id, d.id, g.message_id, g.sender, d.recipient, g.subject, g.response
    FROM unnest(v_done) AS d
    JOIN jsonb_to_recordset(results) AS g (
        id bigint, created_at timestamptz, message_id text, sender text, subject text, response text)
        ON g.id = d.id AND g.created_at = d.created_at
    WHERE d.status = 'sent';

    INSERT INTO outreach.lead_engagement AS e (workspace_id, lead_id, last_contacted_at, sent_count, updated_at)
    SELECT v_workspace, d.lead_id, v_now, count(*), v_now
    FROM unnest(v_done) AS d WHERE d.status = 'sent'
    GROUP BY d.lead_id ORDER BY d.lead_id
    ON CONFLICT (workspace_id, lead_id) DO UPDATE
    SET sent_count = e.sent_count + excluded.sent_count, updated_at = excluded.updated_at,
        last_contacted_at = greatest(e.last_contacted_at, excluded.last_contacted_at);

    -- A wide row with many indexes: touched once in a lead's life, by its first mail.
    WITH fresh AS MATERIALIZED (
        SELECT l.id FROM outreach.leads AS l
        WHERE l.workspace_id = v_workspace AND l.status IN ('new', 'verified')
          AND l.id = ANY (ARRAY(SELECT d.lead_id FROM unnest(v_done) AS d WHERE d.status = 'sent'))
        ORDER BY l.id FOR NO KEY UPDATE
    )
    UPDATE outreach.leads AS l SET status = 'contacted', updated_at = v_now
    FROM fresh AS f WHERE l.workspace_id = v_workspace AND l.id = f.id;

    -- People: a lead is new to its campaign with the first step, and to a step always.
    INSERT INTO analytics.rollup_deltas (workspace_id, grain, key, kind, day, total, people)
    SELECT v_workspace, k.grain, k.key, d.status, timezone('UTC', v_now)::date, count(*),
           count(*) FILTER (WHERE d.step = 1 OR d.status = 'failed' OR k.grain = 'step')
    FROM unnest(v_done) AS d
    CROSS JOIN LATERAL (VALUES ('workspace', ''), ('campaign', d.campaign_id::text),
        ('step', d.campaign_id || ':' || d.step), ('mailbox', d.mailbox_id::text)) AS k (grain, key)
    WHERE d.status IN ('sent', 'failed')
    GROUP BY k.grain, k.key, d.status
    ORDER BY k.grain, k.key, d.status;

    RETURN QUERY
    SELECT count(*) FILTER (WHERE d.status = 'sent'), count(*) FILTER (WHERE d.status = 'failed'),
           count(*) FILTER (WHERE d.status = 'scheduled'), count(*) FILTER (WHERE d.status = 'unknown')
    FROM unnest(v_done) AS d;
END
$$;
GRANT EXECUTE ON FUNCTION outreach.record_sends(jsonb, text) TO outreachdb_app;

-- Takes back what a worker holds and has not begun, when it stops in good order.
-- owner: outreachdb_trusted
CREATE OR REPLACE FUNCTION outreach.return_claims(worker text) RETURNS bigint
LANGUAGE plpgsql SECURITY DEFINER
SET search_path = pg_catalog, pg_temp
SET plan_cache_mode = force_generic_plan
AS $$
DECLARE
    v_workspace bigint := outreach.required_workspace();
    v_worker text := worker;
    v_count bigint;
    v_instants timestamptz[] := ARRAY(
        SELECT DISTINCT s.created_at FROM outreach.email_sends AS s
        WHERE s.workspace_id = v_workspace AND s.status = 'claimed' AND s.claimed_by = v_worker AND s.begun_at IS NULL
          AND s.created_at = ANY (ARRAY(
              SELECT r.launched_at FROM outreach.campaigns AS r
              WHERE r.workspace_id = v_workspace AND r.status IN ('running', 'paused', 'cancelled'))));
BEGIN
    PERFORM outreach.hold_campaigns(v_workspace, v_instants);
    UPDATE outreach.email_sends AS s
    SET status = CASE c.status WHEN 'cancelled' THEN 'cancelled' ELSE 'scheduled' END
    FROM outreach.campaigns AS c
    WHERE s.workspace_id = v_workspace AND s.status = 'claimed' AND s.claimed_by = v_worker AND s.begun_at IS NULL
      AND c.workspace_id = v_workspace AND c.id = s.campaign_id AND s.created_at = ANY (v_instants);
    GET DIAGNOSTICS v_count = ROW_COUNT;
    RETURN v_count;
END
$$;
GRANT EXECUTE ON FUNCTION outreach.return_claims(text) TO outreachdb_app;

-- What crashed workers left behind: not begun goes back to the queue, begun may have been sent and becomes unknown, unless
-- events tell already that it was.
-- owner: outreachdb_trusted
CREATE OR REPLACE FUNCTION outreach.release_expired_leases() RETURNS TABLE (released bigint, unknown bigint)
LANGUAGE plpgsql SECURITY DEFINER
SET search_path = pg_catalog, pg_temp
SET plan_cache_mode = force_generic_plan
AS $$
#variable_conflict use_column
DECLARE
    v_workspace bigint := outreach.required_workspace();
    v_instants timestamptz[] := ARRAY(
        SELECT DISTINCT c.launched_at FROM outreach.campaigns AS c
        WHERE c.workspace_id = v_workspace AND c.status IN ('running', 'paused', 'cancelled') AND c.launched_at IS NOT NULL);
BEGIN
    v_instants := ARRAY(
        SELECT DISTINCT s.created_at FROM outreach.email_sends AS s
        WHERE s.workspace_id = v_workspace AND s.status = 'claimed' AND s.lease_expires_at <= clock_timestamp()
          AND s.created_at = ANY (v_instants));
    IF v_instants = '{}' THEN
        RETURN QUERY SELECT 0::bigint, 0::bigint;
        RETURN;
    END IF;
    PERFORM outreach.hold_campaigns(v_workspace, v_instants);
    PERFORM outreach.record_sends(
        jsonb_agg(jsonb_build_object('id', s.id, 'created_at', s.created_at, 'outcome', 'sent')), s.claimed_by)
    FROM outreach.email_sends AS s
    WHERE s.workspace_id = v_workspace AND s.status = 'claimed' AND s.lease_expires_at <= clock_timestamp()
      AND s.created_at = ANY (v_instants) AND s.begun_at IS NOT NULL AND outreach.was_seen(s)
    GROUP BY s.claimed_by;
    RETURN QUERY
    WITH expired AS MATERIALIZED (
        SELECT s.id, s.created_at, c.status AS campaign_status
        FROM outreach.email_sends AS s
        JOIN outreach.campaigns AS c ON c.workspace_id = v_workspace AND c.id = s.campaign_id
        WHERE s.workspace_id = v_workspace AND s.status = 'claimed' AND s.lease_expires_at <= clock_timestamp()
          AND s.created_at = ANY (v_instants)
        ORDER BY s.id
        FOR UPDATE OF s SKIP LOCKED
    ), moved AS (
        UPDATE outreach.email_sends AS s
        SET status = CASE WHEN s.begun_at IS NOT NULL THEN 'unknown'
                          WHEN x.campaign_status = 'cancelled' THEN 'cancelled' ELSE 'scheduled' END,
            last_error = CASE WHEN s.begun_at IS NOT NULL THEN 'the worker was lost while sending' ELSE s.last_error END
        FROM expired AS x
        WHERE s.workspace_id = v_workspace AND s.id = x.id AND s.created_at = x.created_at
          AND s.created_at = ANY (v_instants)
        RETURNING s.status
    )
    SELECT count(*) FILTER (WHERE m.status <> 'unknown'), count(*) FILTER (WHERE m.status = 'unknown') FROM moved AS m;
END
$$;
GRANT EXECUTE ON FUNCTION outreach.release_expired_leases() TO outreachdb_app;

-- Running campaigns with nothing left to send are finished; one index look-up for each. Returns their ids.
-- owner: outreachdb_trusted
CREATE OR REPLACE FUNCTION outreach.complete_campaigns() RETURNS SETOF bigint
LANGUAGE plpgsql SECURITY DEFINER
SET search_path = pg_catalog, pg_temp
SET plan_cache_mode = force_generic_plan
AS $$
DECLARE
    v_workspace bigint := outreach.required_workspace();
    v_campaign record;
BEGIN
    FOR v_campaign IN
        SELECT c.id, c.launched_at FROM outreach.campaigns AS c
        WHERE c.workspace_id = v_workspace AND c.status = 'running' ORDER BY c.id FOR NO KEY UPDATE SKIP LOCKED
    LOOP
        IF NOT EXISTS (
            SELECT FROM outreach.email_sends AS s
            WHERE s.workspace_id = v_workspace AND s.campaign_id = v_campaign.id AND s.created_at = v_campaign.launched_at
              AND s.status IN ('scheduled', 'claimed'))
        THEN
            PERFORM outreach.set_campaign_status(v_campaign.id, 'completed');
            RETURN NEXT v_campaign.id;
        END IF;
    END LOOP;
END
$$;
GRANT EXECUTE ON FUNCTION outreach.complete_campaigns() TO outreachdb_app;
