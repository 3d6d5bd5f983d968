
-- What people ask about sends: whether templates suit the leads, what became of a lead and why, what to do about the unknown,
-- and what a campaign still has to send.

-- Leads of a campaign's segment to try its templates on: all of them up to p_all, of more the first p_all and one of each
-- shape (which fields are empty, which custom fields are there), up to 5,000.
-- owner: outreachdb_trusted
CREATE OR REPLACE FUNCTION outreach.leads_to_check(campaign_id bigint, p_all integer)
RETURNS TABLE (lead_id bigint, email text, lead json)
LANGUAGE plpgsql SECURITY DEFINER STABLE
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    v_workspace bigint := outreach.required_workspace();
    v_campaign outreach.campaigns;
    v_members text;
    v_ids bigint[];
    v_shapes bigint[] := '{}';
BEGIN
    SELECT c.* INTO v_campaign FROM outreach.campaigns AS c WHERE c.workspace_id = v_workspace AND c.id = campaign_id;
    v_members := format(
        $sql$SELECT %%s FROM outreach.leads AS l WHERE l.workspace_id = %s AND l.email IS NOT NULL
             AND l.status NOT IN ('unsubscribed', 'bounced', 'archived') AND (%s)$sql$,
        v_workspace, replace(outreach.segment_condition(outreach.campaign_definition(v_campaign)), '%', '%%'));
    EXECUTE format('SELECT array_agg(m.id) FROM (' || v_members || ' LIMIT %s) AS m', 'l.id', p_all + 1) INTO v_ids;
    IF cardinality(v_ids) > p_all THEN
        EXECUTE format(
            'SELECT array_agg(s.id) FROM (SELECT min(m.id) AS id FROM (' || v_members || ') AS m GROUP BY m.shape LIMIT 5000) AS s',
            $shape$l.id, concat(
                num_nulls(l.first_name), num_nulls(l.last_name), num_nulls(l.phone), num_nulls(l.title),
                num_nulls(l.company_name), num_nulls(l.company_website), num_nulls(l.linkedin_url), num_nulls(l.industry),
                num_nulls(l.country), num_nulls(l.city), num_nulls(l.timezone), l.tags = '{}',
                ARRAY(SELECT concat(k, jsonb_typeof(l.custom_fields -> k)) FROM jsonb_object_keys(l.custom_fields) AS k)) AS shape
            $shape$) INTO v_shapes;
    END IF;
    RETURN QUERY
    SELECT l.id, l.email, t.lead
    FROM (SELECT DISTINCT unnest(v_ids || v_shapes) AS id) AS w
    JOIN outreach.leads AS l ON l.workspace_id = v_workspace AND l.id = w.id
    CROSS JOIN LATERAL outreach.lead_for_templates(v_workspace, l.id) AS t (lead)
    ORDER BY l.id;
END
$$;
GRANT EXECUTE ON FUNCTION outreach.leads_to_check(bigint, integer) TO outreachdb_app;

-- What a campaign still has to send, in groups of sends that are alike: by mailbox, step, clock of the lead, the instant from which
-- they may leave, and when their leads were mailed lately (latest first, as many as the workspace's frequency cap counts; none where the
-- cap can't hold the lead up). Of a draft, the members of its segment who would be scheduled now (without mailbox and instant). mine tells
-- them from the sends of other running campaigns that share its mailboxes. Of each lead of the campaign the next send has an instant;
-- those behind it follow it (follows). Instants are exact while there are no more than p_groups groups; of more, the instants are
-- rounded up to a minute, then to an hour (rounded_to, in seconds).
-- owner: outreachdb_trusted
CREATE OR REPLACE FUNCTION outreach.forecast_sends(campaign_id bigint, p_groups integer DEFAULT 5000)
RETURNS TABLE (mine boolean, mailbox_id bigint, step smallint, zone text, follows boolean, due timestamptz, lately timestamptz[],
               sends bigint, rounded_to integer)
LANGUAGE plpgsql SECURITY DEFINER STABLE
SET search_path = pg_catalog, pg_temp
SET enable_nestloop = off
AS $$
DECLARE
    v_workspace bigint := outreach.required_workspace();
    v_campaign outreach.campaigns;
    v_limits outreach.sending_limits;
    v_since timestamptz;
    v_steps bigint;
    v_launched timestamptz[];
    v_lately text := $none$'{}'::timestamptz[]$none$;
    v_join text := '';
    v_groups text;
BEGIN
    SELECT c.* INTO v_campaign FROM outreach.campaigns AS c WHERE c.workspace_id = v_workspace AND c.id = campaign_id;
    SELECT count(*) INTO v_steps FROM outreach.campaign_steps AS t WHERE t.workspace_id = v_workspace AND t.campaign_id = v_campaign.id;
    SELECT f.* INTO v_limits FROM outreach.sending_limits AS f WHERE f.workspace_id = v_workspace;
    v_since := CASE WHEN FOUND THEN outreach.oldest_run_within(v_workspace, v_limits.frequency_days) END;
    IF v_since IS NOT NULL THEN
        -- A lead that has so few mails that the cap can't hold up any send to come is like one that has none.
        v_lately := format($some$CASE WHEN cardinality(f.lately) + %s > %s THEN f.lately[:%s] ELSE '{}' END$some$,
            CASE WHEN v_campaign.launched_at IS NULL THEN v_steps::text
                 ELSE format('CASE WHEN s.campaign_id = %s THEN %s - s.step + 1 ELSE 1 END', v_campaign.id, v_steps) END,
            v_limits.frequency_sends, v_limits.frequency_sends);
        v_join := format($join$
            LEFT JOIN (SELECT e.lead_id, array_agg(coalesce(e.sent_at, e.begun_at, now())
                                                   ORDER BY coalesce(e.sent_at, e.begun_at, now()) DESC) AS lately
                       FROM outreach.email_sends AS e
                       WHERE e.workspace_id = %s AND e.created_at >= %L AND e.status IN ('sent', 'claimed', 'unknown')
                         AND coalesce(e.sent_at, e.begun_at, now()) > now() - make_interval(days => %s)
                       GROUP BY e.lead_id) AS f ON f.lead_id = l.id$join$,
            v_workspace, v_since, v_limits.frequency_days);
    END IF;
    IF v_campaign.launched_at IS NULL THEN
        v_groups := format($sql$
            SELECT true AS mine, NULL::bigint AS mailbox_id, 1::smallint AS step, %4$s AS zone, false AS follows,
                   NULL::timestamptz AS due, %5$s AS lately
            FROM outreach.leads AS l
            LEFT JOIN outreach.suppressions AS a ON a.workspace_id = %1$s AND a.target = l.email_key
                AND (a.expires_at IS NULL OR a.expires_at > now())
            LEFT JOIN outreach.suppressions AS d ON d.workspace_id = %1$s
                AND d.target = split_part(l.email_key, '@', 2) AND (d.expires_at IS NULL OR d.expires_at > now())
            %3$s
            WHERE l.workspace_id = %1$s AND l.email IS NOT NULL AND a.target IS NULL AND d.target IS NULL
              AND l.status NOT IN ('unsubscribed', 'bounced', 'archived') AND l.email_status <> 'invalid' %6$s
              AND (%2$s)$sql$,
            v_workspace, outreach.segment_condition(outreach.campaign_definition(v_campaign)), v_join,
            CASE WHEN v_campaign.window_from IS NULL THEN quote_literal('') ELSE $q$coalesce(l.timezone, '')$q$ END, v_lately,
            -- The launch leaves them out.
            CASE WHEN v_since IS NOT NULL
                 THEN format('AND coalesce(cardinality(f.lately), 0) < %s', v_limits.frequency_sends) ELSE '' END);
    ELSE
        v_launched := ARRAY(
            SELECT c.launched_at FROM outreach.campaigns AS c
            WHERE c.workspace_id = v_workspace AND c.launched_at IS NOT NULL AND (c.status = 'running' OR c.id = v_campaign.id));
        -- The ledger tells when a step was due as the launch saw it; the claim counts its delay from when the step before left.
        v_groups := format($sql$
            SELECT p.mine, p.mailbox_id, p.step, p.zone, p.follows, CASE WHEN NOT p.follows THEN p.due END AS due,
                   CASE WHEN p.follows THEN '{}' ELSE p.lately END AS lately
            FROM (SELECT s.campaign_id = %2$s AS mine, s.mailbox_id, s.step, coalesce(l.timezone, '') AS zone,
                         s.campaign_id = %2$s AND b.status IS NOT NULL AND b.status IN ('scheduled', 'claimed') AS follows,
                         greatest(s.scheduled_at, b.sent_at + make_interval(secs => t.delay_seconds)) AS due, %5$s AS lately
                  FROM outreach.email_sends AS s
                  JOIN outreach.leads AS l ON l.workspace_id = s.workspace_id AND l.id = s.lead_id
                  LEFT JOIN outreach.email_sends AS b
                      ON b.workspace_id = %1$s AND b.created_at = ANY (%4$L) AND b.created_at = s.created_at
                      AND b.campaign_id = s.campaign_id AND b.lead_id = s.lead_id AND b.step = s.step - 1
                  LEFT JOIN outreach.campaign_steps AS t
                      ON t.workspace_id = %1$s AND t.campaign_id = s.campaign_id AND t.step = s.step
                  %3$s
                  WHERE s.workspace_id = %1$s AND s.status IN ('scheduled', 'claimed')
                    AND s.mailbox_id IN (SELECT x.mailbox_id FROM outreach.campaign_mailboxes AS x
                                         WHERE x.workspace_id = %1$s AND x.campaign_id = %2$s)
                    AND s.created_at = ANY (%4$L)) AS p$sql$,
            v_workspace, v_campaign.id, v_join, v_launched, v_lately);
    END IF;
    RETURN QUERY EXECUTE
        'WITH alike AS MATERIALIZED (SELECT g.*, count(*) AS sends FROM (' || v_groups || $sql$) AS g GROUP BY 1, 2, 3, 4, 5, 6, 7),
        minutes AS MATERIALIZED (
            SELECT r.mine, r.mailbox_id, r.step, r.zone, r.follows, max(r.due) AS due, r.lately, sum(r.sends)::bigint AS sends
            FROM (SELECT a.mine, a.mailbox_id, a.step, a.zone, a.follows, a.due, a.sends, ARRAY(
                      SELECT date_trunc('minute', u.at + interval '1 minute' - interval '1 microsecond', 'UTC')
                      FROM unnest(a.lately) WITH ORDINALITY AS u (at, n) ORDER BY u.n) AS lately
                  FROM alike AS a WHERE (SELECT count(*) FROM alike) > $1) AS r
            GROUP BY r.mine, r.mailbox_id, r.step, r.zone, r.follows, date_trunc('minute', r.due, 'UTC'), r.lately
        ), hours AS (
            SELECT r.mine, r.mailbox_id, r.step, r.zone, r.follows, max(r.due) AS due, r.lately, sum(r.sends)::bigint AS sends
            FROM (SELECT m.mine, m.mailbox_id, m.step, m.zone, m.follows, m.due, m.sends, ARRAY(
                      SELECT date_trunc('hour', u.at + interval '1 hour' - interval '1 microsecond', 'UTC')
                      FROM unnest(m.lately) WITH ORDINALITY AS u (at, n) ORDER BY u.n) AS lately
                  FROM minutes AS m WHERE (SELECT count(*) FROM minutes) > $1) AS r
            GROUP BY r.mine, r.mailbox_id, r.step, r.zone, r.follows, date_trunc('hour', r.due, 'UTC'), r.lately
        )
        SELECT a.mine, a.mailbox_id, a.step, a.zone, a.follows, a.due, a.lately, a.sends, 0 FROM alike AS a
        WHERE (SELECT count(*) FROM alike) <= $1
        UNION ALL
        SELECT m.mine, m.mailbox_id, m.step, m.zone, m.follows, m.due, m.lately, m.sends, 60 FROM minutes AS m
        WHERE (SELECT count(*) FROM minutes) <= $1
        UNION ALL
        SELECT h.mine, h.mailbox_id, h.step, h.zone, h.follows, h.due, h.lately, h.sends, 3600 FROM hours AS h$sql$
        USING p_groups;
END
$$;
GRANT EXECUTE ON FUNCTION outreach.forecast_sends(bigint, integer) TO outreachdb_app;

-- A person's decision about sends whose fate nobody knows: 'sent' counts them as sent, 'failed' as failed, 'resend' queues them once
-- more (they may arrive twice: whoever decides so has looked). Only campaigns that are open can send again. Returns how many
-- were unknown still.
-- owner: outreachdb_trusted
CREATE OR REPLACE FUNCTION outreach.decide_unknown_sends(send_ids bigint[], created_ats timestamptz[], decision text)
RETURNS bigint
LANGUAGE plpgsql SECURITY DEFINER
SET search_path = pg_catalog, pg_temp
SET plan_cache_mode = force_generic_plan
AS $$
DECLARE
    v_workspace bigint := outreach.required_workspace();
    v_group record;
    v_count bigint := 0;
BEGIN
    IF decision IS NULL OR decision NOT IN ('sent', 'failed', 'resend') THEN
        RAISE EXCEPTION 'a decision is sent, failed or resend' USING ERRCODE = 'invalid_parameter_value';
    END IF;
    PERFORM outreach.hold_campaigns(v_workspace, created_ats);
    IF decision = 'resend' THEN
        IF EXISTS (
            SELECT FROM outreach.email_sends AS s
            JOIN outreach.campaigns AS c ON c.workspace_id = v_workspace AND c.id = s.campaign_id
            WHERE s.workspace_id = v_workspace AND s.id = ANY (send_ids) AND s.created_at = ANY (created_ats)
              AND s.status = 'unknown' AND c.status NOT IN ('running', 'paused'))
        THEN
            RAISE EXCEPTION 'a closed campaign sends nothing again' USING ERRCODE = 'object_not_in_prerequisite_state';
        END IF;
        PERFORM outreach.ensure_partitions('lead_activities', now(), now());
        WITH held AS MATERIALIZED (
            SELECT s.id, s.created_at FROM outreach.email_sends AS s
            WHERE s.workspace_id = v_workspace AND s.id = ANY (send_ids) AND s.created_at = ANY (created_ats)
              AND s.status = 'unknown'
            ORDER BY s.id FOR UPDATE
        ), moved AS (
            UPDATE outreach.email_sends AS s
            SET status = 'scheduled', scheduled_at = now(), begun_at = NULL, claimed_by = NULL,
                last_error = 'a person decided to send it again'
            FROM held AS h
            WHERE s.workspace_id = v_workspace AND s.id = h.id AND s.created_at - h.created_at = interval '0'
              AND s.created_at = ANY (created_ats)
            RETURNING s.id, s.lead_id, s.campaign_id, s.step
        ), told AS (
            INSERT INTO outreach.lead_activities (workspace_id, created_at, lead_id, activity_type, campaign_id, send_id, details)
            SELECT v_workspace, now(), m.lead_id, 'email_resend_decided', m.campaign_id, m.id, jsonb_build_object('step', m.step)
            FROM moved AS m
        )
        SELECT count(*) INTO v_count FROM moved;
        RETURN v_count;
    END IF;
    FOR v_group IN
        SELECT s.claimed_by AS worker, jsonb_agg(jsonb_build_object(
                   'id', s.id, 'created_at', s.created_at, 'outcome', decision, 'error',
                   CASE decision WHEN 'failed' THEN 'a person decided that it was not sent' END, 'response',
                   'a person decided that it was sent')) AS results
        FROM outreach.email_sends AS s
        WHERE s.workspace_id = v_workspace AND s.id = ANY (send_ids) AND s.created_at = ANY (created_ats)
          AND s.status = 'unknown'
        GROUP BY s.claimed_by
    LOOP
        SELECT v_count + r.sent + r.failed INTO v_count FROM outreach.record_sends(v_group.results, v_group.worker) AS r;
    END LOOP;
    RETURN v_count;
END
$$;
GRANT EXECUTE ON FUNCTION outreach.decide_unknown_sends(bigint[], timestamptz[], text) TO outreachdb_app;

-- A delay as people say it: "2 days", "36 hours", "90 seconds".
CREATE OR REPLACE FUNCTION outreach.delay_in_words(p_seconds bigint) RETURNS text
LANGUAGE sql IMMUTABLE PARALLEL SAFE
RETURN (
    SELECT p_seconds / u.seconds || ' ' || u.name || CASE WHEN p_seconds / u.seconds <> 1 THEN 's' ELSE '' END
    FROM (VALUES (86400, 'day'), (3600, 'hour'), (60, 'minute'), (1, 'second')) AS u (seconds, name)
    WHERE p_seconds % u.seconds = 0
    ORDER BY u.seconds DESC
    LIMIT 1);

-- The send of the step before, of the same lead and run; all NULL where there is none.
CREATE OR REPLACE FUNCTION outreach.send_before(p_send outreach.email_sends) RETURNS SETOF outreach.email_sends
LANGUAGE sql STABLE ROWS 1
SET search_path = pg_catalog, pg_temp
AS $$
    SELECT e.* FROM outreach.email_sends AS e
    WHERE e.workspace_id = p_send.workspace_id AND e.lead_id = p_send.lead_id AND e.campaign_id = p_send.campaign_id
      AND e.created_at = p_send.created_at AND e.step < p_send.step
    ORDER BY e.step DESC
    LIMIT 1
$$;

-- Why a scheduled send has not left, in words: also that it never will, which the next claim of it would find. A step waits for the
-- one before: its own instant was set when the campaign was launched, and is looked at again once that one has left.
CREATE OR REPLACE FUNCTION outreach.held_up_by(
    p_send outreach.email_sends, p_campaign outreach.campaigns, p_mailbox outreach.mailboxes, p_before outreach.email_sends,
    p_delay bigint) RETURNS text
LANGUAGE sql STABLE
SET search_path = pg_catalog, pg_temp
AS $$
    SELECT CASE
        WHEN j.stop IS NOT NULL THEN 'it will not be sent: '
            || CASE j.stop WHEN 'suppressed' THEN 'the address or its domain is suppressed' ELSE j.stop END
        WHEN p_campaign.status = 'paused' THEN 'the campaign is paused'
        WHEN p_mailbox.status = 'paused' THEN 'the mailbox ' || p_mailbox.address || ' is paused'
        WHEN p_before.status IN ('scheduled', 'claimed', 'unknown') THEN concat(
            'it waits until step ', p_before.step, ' has left', ', and ' || outreach.delay_in_words(nullif(p_delay, 0)) || ' more')
        WHEN p_before.status = 'sent' AND p_before.sent_at + make_interval(secs => p_delay) > greatest(now(), p_send.scheduled_at)
            THEN 'it waits until ' || to_char(timezone('UTC', p_before.sent_at + make_interval(secs => p_delay)),
                                              'YYYY-MM-DD HH24:MI') || ' UTC'
        WHEN greatest(p_send.scheduled_at, j.until) > now() THEN concat(
            'it waits until ', to_char(timezone('UTC', greatest(p_send.scheduled_at, j.until)), 'YYYY-MM-DD HH24:MI'), ' UTC',
            CASE WHEN o.mails >= f.frequency_sends THEN ': the lead has got as many mails lately as the workspace allows'
                 WHEN (p_campaign.settings ->> 'start')::timestamptz > now() THEN ': the campaign begins then'
                 WHEN NOT outreach.window_is_open(
                     now(), z.zone, p_campaign.window_from, p_campaign.window_to, p_campaign.window_days)
                     THEN ': by the clock of ' || z.zone || ' the campaign''s window is closed' END)
        WHEN outreach.mailbox_cap(p_mailbox, timezone('UTC', now())::date) IS NOT NULL AND NOT EXISTS (
            SELECT FROM outreach.mailboxes_room(p_send.workspace_id, ARRAY[p_send.mailbox_id], 1) AS r WHERE r.room > 0)
            THEN 'the mailbox ' || p_mailbox.address || ' has sent its '
                 || outreach.mailbox_cap(p_mailbox, timezone('UTC', now())::date) || ' of today'
        WHEN p_mailbox.next_free_at > now() THEN 'it is due; the mailbox ' || p_mailbox.address || ' keeps its distance between mails'
        ELSE 'it is due and waits for a worker' END
    FROM (VALUES (true)) AS one (row)
    LEFT JOIN outreach.sending_limits AS f ON f.workspace_id = p_send.workspace_id
    LEFT JOIN LATERAL (
        SELECT coalesce(outreach.oldest_run_within(p_send.workspace_id, f.frequency_days), '-infinity') AS at
        WHERE f.workspace_id IS NOT NULL) AS since ON true
    LEFT JOIN LATERAL outreach.judge_send(
        p_send.workspace_id, p_campaign, p_send.lead_id, p_send.step, p_send.recipient, f.frequency_sends,
        f.frequency_days::integer, since.at, 1) AS j ON true
    LEFT JOIN LATERAL (
        SELECT count(*) AS mails FROM outreach.email_sends AS e
        WHERE e.workspace_id = p_send.workspace_id AND e.lead_id = p_send.lead_id AND e.created_at >= since.at
          AND e.status IN ('sent', 'claimed', 'unknown')
          AND coalesce(e.sent_at, e.begun_at, now()) > now() - make_interval(days => f.frequency_days::integer)) AS o ON true
    LEFT JOIN LATERAL (
        SELECT outreach.known_zone(l.timezone, p_campaign.window_zone) AS zone FROM outreach.leads AS l
        WHERE l.workspace_id = p_send.workspace_id AND l.id = p_send.lead_id) AS z ON true
$$;

-- One timeline of all that concerns a lead in a campaign: whether it is in the segment, exclusion, schedule, claims, attempts,
-- events, suppression, and what holds it up now.
-- owner: outreachdb_trusted
CREATE OR REPLACE FUNCTION outreach.lead_timeline(p_lead bigint, p_campaign bigint)
RETURNS TABLE (at timestamptz, kind text, what text)
LANGUAGE plpgsql SECURITY DEFINER STABLE
SET search_path = pg_catalog, pg_temp
SET plan_cache_mode = force_custom_plan
AS $$
DECLARE
    v_workspace bigint := outreach.required_workspace();
    v_campaign outreach.campaigns;
    v_lead outreach.leads;
    v_member boolean;
BEGIN
    SELECT c.* INTO v_campaign FROM outreach.campaigns AS c WHERE c.workspace_id = v_workspace AND c.id = p_campaign;
    SELECT l.* INTO v_lead FROM outreach.leads AS l WHERE l.workspace_id = v_workspace AND l.id = p_lead;
    IF v_campaign.id IS NULL OR v_lead.id IS NULL THEN
        RAISE EXCEPTION 'no such lead or campaign' USING ERRCODE = 'no_data_found';
    END IF;
    EXECUTE format('SELECT EXISTS (SELECT FROM outreach.leads AS l WHERE l.workspace_id = %s AND l.id = %s AND (%s))',
        v_workspace, p_lead, outreach.segment_condition(CASE WHEN v_campaign.launched_at IS NULL
            THEN outreach.campaign_definition(v_campaign) ELSE v_campaign.definition END)) INTO v_member;
    RETURN QUERY
    WITH sends AS MATERIALIZED (
        SELECT s AS send FROM outreach.email_sends AS s
        WHERE s.workspace_id = v_workspace AND s.lead_id = p_lead AND s.campaign_id = p_campaign
          AND s.created_at = v_campaign.launched_at
    ), told AS (
        SELECT v_lead.created_at AS at, 1 AS rank, 'lead' AS kind, 'the lead was added to the workspace' AS what
        UNION ALL
        SELECT v_campaign.launched_at, 2, 'campaign', 'the campaign was launched' WHERE v_campaign.launched_at IS NOT NULL
        UNION ALL
        SELECT v_campaign.completed_at, 90, 'campaign', 'the campaign was ' || v_campaign.status
        WHERE v_campaign.completed_at IS NOT NULL
        UNION ALL
        SELECT now(), 91, 'segment', CASE
            WHEN v_member THEN 'the lead is in the campaign''s segment'
            ELSE 'the lead is not in the campaign''s segment' END
        UNION ALL
        SELECT now(), 92, 'campaign', 'the campaign is ' || v_campaign.status || ': nothing is scheduled yet'
        WHERE v_campaign.launched_at IS NULL
        UNION ALL
        SELECT now(), 93, 'schedule', 'the lead entered the segment after the launch; add it: outreachdb campaign add ' || p_campaign
        WHERE v_member AND v_campaign.status IN ('running', 'paused') AND NOT EXISTS (SELECT FROM sends)
          AND NOT EXISTS (SELECT FROM outreach.send_exclusions AS x
                          WHERE x.workspace_id = v_workspace AND x.campaign_id = p_campaign AND x.lead_id = p_lead)
        UNION ALL
        SELECT x.created_at, 3, 'exclusion', 'left out: ' || CASE x.reason
            WHEN 'no_address' THEN 'the lead had no e-mail address'
            WHEN 'suppressed' THEN 'its address or domain was suppressed'
            WHEN 'unsubscribed' THEN 'the lead had unsubscribed'
            WHEN 'bounced' THEN 'its address had bounced'
            WHEN 'invalid' THEN 'its address was found invalid'
            WHEN 'archived' THEN 'the lead was archived'
            WHEN 'frequency_cap' THEN 'it had got as many mails lately as the workspace allows'
            WHEN 'already_in_campaign' THEN 'an earlier run of the campaign had mailed it' END
        FROM outreach.send_exclusions AS x
        WHERE x.workspace_id = v_workspace AND x.campaign_id = p_campaign AND x.lead_id = p_lead
        UNION ALL
        SELECT v_campaign.launched_at, 4, 'schedule',
               concat('step ', (s.send).step, ' is scheduled from ', m.address, ', variant ' || (s.send).variant,
                      CASE WHEN b.step IS NULL
                           THEN ', not before ' || to_char(timezone('UTC', (s.send).scheduled_at), 'YYYY-MM-DD HH24:MI') || ' UTC'
                           ELSE ', ' || outreach.delay_in_words(nullif(t.delay_seconds, 0)) END,
                      ' after step ' || b.step)
        FROM sends AS s
        LEFT JOIN outreach.mailboxes AS m ON m.workspace_id = v_workspace AND m.id = (s.send).mailbox_id
        LEFT JOIN outreach.campaign_steps AS t
            ON t.workspace_id = v_workspace AND t.campaign_id = p_campaign AND t.step = (s.send).step
        LEFT JOIN LATERAL outreach.send_before(s.send) AS b ON true
        UNION ALL
        SELECT coalesce((s.send).begun_at, (s.send).lease_expires_at, now()), 50, 'claim',
               concat('step ', (s.send).step, CASE
                   WHEN (s.send).status <> 'claimed' THEN ' was claimed by ' || (s.send).claimed_by
                   WHEN (s.send).begun_at IS NULL THEN ' is claimed by ' || (s.send).claimed_by
                   ELSE ' is being delivered by ' || (s.send).claimed_by END)
        FROM sends AS s WHERE (s.send).claimed_by IS NOT NULL AND (s.send).status <> 'scheduled'
        UNION ALL
        SELECT now(), 94, 'schedule', concat('step ', (s.send).step, ': ', CASE (s.send).status
            WHEN 'scheduled' THEN outreach.held_up_by(s.send, v_campaign, m, b, t.delay_seconds)
            WHEN 'unknown' THEN 'nobody knows whether it left: ' || coalesce((s.send).last_error, '')
                                || '; decide: outreachdb send unknown'
            WHEN 'cancelled' THEN 'will not be sent: ' || coalesce((s.send).last_error, 'cancelled') END)
        FROM sends AS s
        LEFT JOIN outreach.mailboxes AS m ON m.workspace_id = v_workspace AND m.id = (s.send).mailbox_id
        LEFT JOIN outreach.campaign_steps AS t
            ON t.workspace_id = v_workspace AND t.campaign_id = p_campaign AND t.step = (s.send).step
        LEFT JOIN LATERAL outreach.send_before(s.send) AS b ON true
        WHERE (s.send).status IN ('scheduled', 'unknown', 'cancelled')
        UNION ALL
        SELECT a.created_at, 51, 'attempt', concat('step ' || (a.details ->> 'step') || ': ', CASE a.activity_type
            WHEN 'email_sent' THEN 'the server took the mail' WHEN 'email_failed' THEN 'failed for good'
            WHEN 'email_deferred' THEN 'put off' WHEN 'email_unknown' THEN 'lost sight of it'
            WHEN 'email_claim_lost' THEN 'the worker was lost before it began' WHEN 'email_cancelled' THEN 'cancelled'
            WHEN 'email_resend_decided' THEN 'a person decided to send it again' ELSE a.activity_type END,
            ': ' || (a.details ->> 'reason'))
        FROM outreach.lead_activities AS a
        WHERE a.workspace_id = v_workspace AND a.lead_id = p_lead AND a.campaign_id = p_campaign
          AND a.activity_type IN ('email_sent', 'email_failed', 'email_deferred', 'email_unknown', 'email_claim_lost',
                                  'email_cancelled', 'email_resend_decided')
        UNION ALL
        SELECT m.created_at, 52, 'message', concat('message ', m.message_id, ' from ', m.sender, ': ', m.subject,
                                                   ' (' || m.response || ')')
        FROM outreach.message_log AS m
        WHERE m.workspace_id = v_workspace AND m.lead_id = p_lead AND m.campaign_id = p_campaign
        UNION ALL
        SELECT e.created_at, 60, 'event', concat('step ' || e.step || ': ', e.event, ' (' || e.severity || ')',
                                                 CASE WHEN e.prefetched THEN ' (by a machine)' END, ' says ', e.provider,
                                                 ': ' || e.reason)
        FROM outreach.email_events AS e
        WHERE e.workspace_id = v_workspace AND e.lead_id = p_lead AND e.campaign_id = p_campaign
        UNION ALL
        SELECT p.created_at, 70, 'suppression', concat(p.target, ' was suppressed: ', p.reason, ' (' || p.source || ')',
                                                       ', until ' || outreach.shown_end(p.expires_at))
        FROM outreach.suppressions AS p
        WHERE p.workspace_id = v_workspace AND p.target IN (v_lead.email_key, split_part(v_lead.email_key, '@', 2))
    )
    SELECT t.at, t.kind, t.what FROM told AS t ORDER BY t.at, t.rank, t.what;
END
$$;
GRANT EXECUTE ON FUNCTION outreach.lead_timeline(bigint, bigint) TO outreachdb_app;

-- What some mailboxes have sent today (UTC).
-- owner: outreachdb_trusted
CREATE OR REPLACE FUNCTION outreach.mailboxes_sent_today(mailboxes bigint[]) RETURNS TABLE (mailbox_id bigint, sent bigint)
LANGUAGE sql SECURITY DEFINER STABLE
SET search_path = pg_catalog, pg_temp
AS $$
    SELECT t.key::bigint, sum(t.total)::bigint
    FROM (SELECT r.key, r.total FROM analytics.rollups AS r
          WHERE r.workspace_id = outreach.required_workspace() AND r.grain = 'mailbox' AND r.kind = 'sent'
            AND r.key = ANY (mailboxes::text[]) AND r.day = timezone('UTC', now())::date
          UNION ALL
          SELECT d.key, d.total FROM analytics.rollup_deltas AS d
          WHERE d.workspace_id = outreach.required_workspace() AND d.grain = 'mailbox' AND d.kind = 'sent'
            AND d.key = ANY (mailboxes::text[]) AND d.day = timezone('UTC', now())::date) AS t
    GROUP BY t.key
$$;
GRANT EXECUTE ON FUNCTION outreach.mailboxes_sent_today(bigint[]) TO outreachdb_app;
