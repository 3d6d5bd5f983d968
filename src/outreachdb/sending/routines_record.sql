
-- Whether events tell that a send's mail left.
CREATE OR REPLACE FUNCTION outreach.was_seen(send outreach.email_sends) RETURNS boolean
LANGUAGE sql IMMUTABLE
RETURN coalesce((send).delivered_at, (send).opened_at, (send).clicked_at, (send).replied_at, (send).bounced_at,
                (send).complained_at, (send).unsubscribed_at) IS NOT NULL;

-- Records what became of sends: results is a list of {id, created_at, outcome, error, message_id, provider_id, sender, subject, response}
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
    v_first timestamptz := (SELECT min(u) FROM unnest(v_instants) AS u);
    v_last timestamptz := (SELECT max(u) FROM unnest(v_instants) AS u);
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
            ON s.workspace_id = v_workspace AND s.id = g.id AND s.created_at - g.created_at = interval '0'
            AND s.created_at BETWEEN v_first AND v_last
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
        WHERE s.workspace_id = v_workspace AND s.id = m.id AND s.created_at - m.created_at = interval '0'
          AND s.created_at BETWEEN v_first AND v_last
        RETURNING s AS row
    )
    SELECT array_agg(m.row ORDER BY (m.row).lead_id) INTO v_done FROM moved AS m;

    PERFORM outreach.ensure_partitions('message_log', v_now, v_now);
    INSERT INTO outreach.message_log
        (workspace_id, created_at, lead_id, campaign_id, send_id, message_id, provider_id, sender, recipient, subject, response)
    SELECT v_workspace, v_now, d.lead_id, d.campaign_id, d.id, g.message_id, g.provider_id, g.sender, d.recipient, g.subject,
           g.response
    FROM unnest(v_done) AS d
    JOIN jsonb_to_recordset(results) AS g (
        id bigint, created_at timestamptz, message_id text, provider_id text, sender text, subject text, response text)
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
    INSERT INTO analytics.rollup_deltas (workspace_id, grain, key, kind, day, total, mails, people)
    SELECT v_workspace, k.grain, k.key, d.status, timezone('UTC', v_now)::date, count(*), count(*),
           count(*) FILTER (WHERE k.grain IN ('step', 'variant')
                               OR k.grain = 'campaign' AND (d.step = 1 OR d.status = 'failed'))
    FROM unnest(v_done) AS d
    CROSS JOIN LATERAL (VALUES ('workspace', ''), ('campaign', d.campaign_id::text),
        ('step', d.campaign_id || ':' || d.step), ('mailbox', d.mailbox_id::text),
        ('variant', d.campaign_id || ':' || d.step || ':' || d.variant),
        ('domain', split_part(lower(d.recipient), '@', -1))) AS k (grain, key)
    WHERE d.status IN ('sent', 'failed') AND k.key IS NOT NULL
    GROUP BY k.grain, k.key, d.status
    ORDER BY k.grain, k.key, d.status;

    PERFORM outreach.ensure_partitions('lead_activities', v_now, v_now);
    INSERT INTO outreach.lead_activities (workspace_id, created_at, lead_id, activity_type, campaign_id, send_id, details)
    SELECT v_workspace, v_now, d.lead_id,
           'email_' || CASE WHEN g.outcome = 'deferred' AND d.status <> 'failed' THEN 'deferred' ELSE d.status END,
           d.campaign_id, d.id,
           jsonb_strip_nulls(jsonb_build_object('step', d.step, 'variant', d.variant, 'reason', d.last_error))
    FROM unnest(v_done) AS d
    JOIN jsonb_to_recordset(results) AS g (id bigint, created_at timestamptz, outcome text)
        ON g.id = d.id AND g.created_at = d.created_at
    WHERE g.outcome <> 'returned';

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
    v_first timestamptz;
    v_last timestamptz;
BEGIN
    v_instants := ARRAY(
        SELECT DISTINCT s.created_at FROM outreach.email_sends AS s
        WHERE s.workspace_id = v_workspace AND s.status = 'claimed' AND s.lease_expires_at <= clock_timestamp()
          AND s.created_at = ANY (v_instants));
    IF v_instants = '{}' THEN
        RETURN QUERY SELECT 0::bigint, 0::bigint;
        RETURN;
    END IF;
    SELECT min(u), max(u) INTO v_first, v_last FROM unnest(v_instants) AS u;
    PERFORM outreach.ensure_partitions('lead_activities', now(), now());
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
        WHERE s.workspace_id = v_workspace AND s.id = x.id AND s.created_at - x.created_at = interval '0'
          AND s.created_at BETWEEN v_first AND v_last
        RETURNING s.id, s.campaign_id, s.lead_id, s.step, s.status, s.claimed_by
    ), told AS (
        INSERT INTO outreach.lead_activities (workspace_id, created_at, lead_id, activity_type, campaign_id, send_id, details)
        SELECT v_workspace, now(), m.lead_id, CASE m.status WHEN 'unknown' THEN 'email_unknown' ELSE 'email_claim_lost' END,
               m.campaign_id, m.id, jsonb_build_object('step', m.step, 'worker', m.claimed_by)
        FROM moved AS m
    )
    SELECT count(*) FILTER (WHERE m.status <> 'unknown'), count(*) FILTER (WHERE m.status = 'unknown') FROM moved AS m;
END
$$;
GRANT EXECUTE ON FUNCTION outreach.release_expired_leases() TO outreachdb_app;

-- Running campaigns with nothing left to send are finished; two index look-ups for each. Sends whose fate is unknown keep a
-- campaign open for three days, so that a person can decide to send them again. Returns the ids of the finished.
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
           AND NOT EXISTS (
            SELECT FROM outreach.email_sends AS s
            WHERE s.workspace_id = v_workspace AND s.campaign_id = v_campaign.id AND s.created_at = v_campaign.launched_at
              AND s.status = 'unknown' AND s.begun_at > now() - interval '3 days')
        THEN
            PERFORM outreach.set_campaign_status(v_campaign.id, 'completed');
            RETURN NEXT v_campaign.id;
        END IF;
    END LOOP;
END
$$;
GRANT EXECUTE ON FUNCTION outreach.complete_campaigns() TO outreachdb_app;
