-- requires: 0010

-- Functions that find sends by key are planned without looking at the values (force_generic_plan): a workspace, a campaign
-- or an instant that is newer than the statistics looks like no rows at all, and the plans made for that read the whole
-- month once per row.

-- The instant since whose launch a send of the last p_days may have left: older sends need no look.
CREATE OR REPLACE FUNCTION outreach.oldest_run_within(p_workspace bigint, p_days bigint) RETURNS timestamptz
LANGUAGE sql STABLE
SET search_path = pg_catalog, pg_temp
AS $$
    SELECT min(c.launched_at) FROM outreach.campaigns AS c
    WHERE c.workspace_id = p_workspace AND c.launched_at IS NOT NULL
      AND (c.status IN ('running', 'paused') OR c.completed_at > now() - make_interval(days => p_days::integer))
$$;

-- What the foreign key of email_sends asks of leads, for all at once: that they are there, and stay until the transaction ends.
CREATE OR REPLACE FUNCTION outreach.hold_leads(p_workspace bigint, p_leads bigint[]) RETURNS void
LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    IF cardinality(p_leads) <> (
        SELECT count(*) FROM (SELECT FROM outreach.leads AS l
                              WHERE l.workspace_id = p_workspace AND l.id = ANY (p_leads)
                              ORDER BY l.id FOR KEY SHARE) AS held)
    THEN
        RAISE EXCEPTION 'a lead of the segment was deleted meanwhile' USING ERRCODE = 'foreign_key_violation';
    END IF;
END
$$;

-- Every member of the campaign's segment who is not in it yet gets its sends, or a recorded reason why not. One statement
-- reads the members and writes both tables: two would see two states of the leads. Suppressions are joined by hash whatever
-- the statistics say: a list imported a minute ago looks empty, and a loop over it takes hours. p_base is when the first
-- delay begins; p_adding says that the campaign has sends already.
CREATE OR REPLACE FUNCTION outreach.schedule_members(p_campaign outreach.campaigns, p_base timestamptz, p_adding boolean)
RETURNS TABLE (leads bigint, scheduled bigint, excluded jsonb)
LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp
SET enable_nestloop = off
SET enable_mergejoin = off
AS $$
DECLARE
    v_campaign outreach.campaigns := p_campaign;
    v_limits outreach.sending_limits;
    v_since timestamptz;
    v_joins text := '';
    v_mailboxes bigint[] := ARRAY(
        SELECT m.mailbox_id FROM outreach.campaign_mailboxes AS m
        WHERE m.workspace_id = v_campaign.workspace_id AND m.campaign_id = v_campaign.id ORDER BY m.mailbox_id);
    -- A launch may silence the foreign keys and have them asked for at once instead; the campaign is held by the caller.
    v_silent boolean := current_setting('session_replication_role') = 'replica';
    v_leads bigint[];
    v_steps smallint[] := ARRAY(
        SELECT s.step FROM outreach.campaign_steps AS s
        WHERE s.workspace_id = v_campaign.workspace_id AND s.campaign_id = v_campaign.id ORDER BY s.step);
BEGIN
    IF v_mailboxes = '{}' OR v_steps = '{}' THEN
        RAISE EXCEPTION 'a launch needs a mailbox and a step' USING ERRCODE = 'invalid_parameter_value';
    END IF;
    SELECT f.* INTO v_limits FROM outreach.sending_limits AS f WHERE f.workspace_id = v_campaign.workspace_id;
    IF FOUND THEN
        v_since := outreach.oldest_run_within(v_campaign.workspace_id, v_limits.frequency_days);
    END IF;
    IF p_adding THEN
        v_joins := v_joins || format($join$
            LEFT JOIN (SELECT e.lead_id FROM outreach.email_sends AS e
                       WHERE e.workspace_id = %s AND e.campaign_id = %s AND e.created_at = %L AND e.step = %s) AS mine
                ON mine.lead_id = l.id$join$, v_campaign.workspace_id, v_campaign.id, v_campaign.launched_at, v_steps[1]);
    END IF;
    IF v_campaign.run > 1 THEN
        v_joins := v_joins || format($join$
            LEFT JOIN outreach.campaign_leads AS before
                ON before.workspace_id = %s AND before.name = %L AND before.lead_id = l.id$join$,
            v_campaign.workspace_id, v_campaign.name);
    END IF;
    IF v_since IS NOT NULL THEN
        v_joins := v_joins || format($join$
            LEFT JOIN (SELECT e.lead_id FROM outreach.email_sends AS e
                       WHERE e.workspace_id = %s AND e.created_at >= %L AND e.status IN ('sent', 'claimed', 'unknown')
                         AND coalesce(e.sent_at, e.begun_at, now()) > now() - make_interval(days => %s)
                       GROUP BY e.lead_id HAVING count(*) >= %s) AS often
                ON often.lead_id = l.id$join$,
            v_campaign.workspace_id, v_since, v_limits.frequency_days, v_limits.frequency_sends);
    END IF;

    EXECUTE format($sql$
        WITH members AS MATERIALIZED (
            SELECT l.id, l.email, row_number() OVER () AS place, %4$s AS zone,
                   CASE WHEN l.email IS NULL THEN 'no_address'
                        %5$s
                        -- Who bounced or unsubscribed is suppressed as well: the reason is told by its own name.
                        WHEN coalesce(a.reason, d.reason) IN ('bounced', 'unsubscribed') THEN coalesce(a.reason, d.reason)
                        WHEN a.target IS NOT NULL OR d.target IS NOT NULL THEN 'suppressed'
                        WHEN l.status IN ('unsubscribed', 'bounced') THEN l.status
                        WHEN l.email_status = 'invalid' THEN 'invalid'
                        WHEN l.status = 'archived' THEN 'archived'
                        %6$s END AS reason
            FROM outreach.leads AS l
            LEFT JOIN outreach.suppressions AS a ON a.workspace_id = %1$s AND a.target = l.email_key
                AND (a.expires_at IS NULL OR a.expires_at > now())
            LEFT JOIN outreach.suppressions AS d ON d.workspace_id = %1$s AND d.target = split_part(l.email_key, '@', 2)
                AND (d.expires_at IS NULL OR d.expires_at > now())
            %3$s
            WHERE l.workspace_id = %1$s AND (%2$s)
        ), steps AS MATERIALIZED (
            SELECT s.step, $5 + make_interval(secs => sum(s.delay_seconds) OVER (ORDER BY s.step)) AS at,
                   ARRAY(SELECT v.key FROM jsonb_each(s.variants) AS v
                         CROSS JOIN generate_series(1, (v.value ->> 'weight')::integer) ORDER BY v.key) AS variants
            FROM outreach.campaign_steps AS s WHERE s.workspace_id = %1$s AND s.campaign_id = $2
        ), openings AS MATERIALIZED (
            SELECT z.zone, s.step, s.variants,
                   outreach.window_opening(s.at, outreach.known_zone(z.zone, $6), $7, $8, $9) AS at
            FROM (SELECT DISTINCT m.zone FROM members AS m) AS z CROSS JOIN steps AS s
        ), sends AS (
            INSERT INTO outreach.email_sends
                (workspace_id, created_at, campaign_id, lead_id, mailbox_id, step, variant, recipient, scheduled_at)
            SELECT %1$s, $1, $2, m.id, $3[1 + (m.place + $4) %% cardinality($3)], o.step,
                   CASE WHEN o.variants <> '{}' THEN o.variants[1 + (
                       hashint8extended(m.id, $2 * 100 + o.step) & 9223372036854775807) %% cardinality(o.variants)] END,
                   m.email, o.at
            FROM members AS m JOIN openings AS o ON o.zone = m.zone
            WHERE m.reason IS NULL
        ), left_out AS (
            INSERT INTO outreach.send_exclusions (workspace_id, campaign_id, lead_id, reason, created_at)
            SELECT %1$s, $2, m.id, m.reason, $5 FROM members AS m WHERE m.reason IS NOT NULL AND m.reason <> 'in_it'
            ON CONFLICT (workspace_id, campaign_id, lead_id) DO UPDATE
            SET reason = excluded.reason, created_at = excluded.created_at
        ), let_in AS (
            DELETE FROM outreach.send_exclusions AS x USING members AS m
            WHERE x.workspace_id = %1$s AND x.campaign_id = $2 AND x.lead_id = m.id AND m.reason IS NULL
        ), counted AS (
            SELECT replace(m.reason, 'in_it', 'already_in_campaign') AS reason, count(*) AS n
            FROM members AS m GROUP BY 1
        )
        SELECT coalesce(sum(n) FILTER (WHERE reason IS NULL), 0),
               coalesce(jsonb_object_agg(reason, n) FILTER (WHERE reason IS NOT NULL), '{}'),
               CASE WHEN $10 THEN ARRAY(SELECT m.id FROM members AS m WHERE m.reason IS NULL) END
        FROM counted
        $sql$,
        v_campaign.workspace_id, outreach.segment_condition(v_campaign.definition), v_joins,
        CASE WHEN v_campaign.window_from IS NULL THEN quote_literal('') ELSE $q$coalesce(l.timezone, '')$q$ END,
        CASE WHEN p_adding THEN $q$WHEN mine.lead_id IS NOT NULL THEN 'in_it' $q$ ELSE '' END
        || CASE WHEN v_campaign.run > 1 THEN $q$WHEN before.lead_id IS NOT NULL THEN 'already_in_campaign'$q$ ELSE '' END,
        CASE WHEN v_since IS NOT NULL THEN $q$WHEN often.lead_id IS NOT NULL THEN 'frequency_cap'$q$ ELSE '' END)
    INTO leads, excluded, v_leads
    USING v_campaign.launched_at, v_campaign.id, v_mailboxes, floor(random() * 1000)::bigint, p_base,
          v_campaign.window_zone, v_campaign.window_from, v_campaign.window_to, v_campaign.window_days, v_silent;
    IF v_silent THEN
        PERFORM outreach.hold_leads(v_campaign.workspace_id, v_leads);
    END IF;

    scheduled := leads * cardinality(v_steps);
    INSERT INTO analytics.rollup_deltas (workspace_id, grain, key, kind, day, total, mails, people)
    SELECT v_campaign.workspace_id, t.grain, t.key, 'scheduled', timezone('UTC', p_base)::date, t.total, t.total,
           CASE t.grain WHEN 'workspace' THEN 0 ELSE leads END
    FROM (SELECT 'workspace' AS grain, '' AS key, scheduled AS total
          UNION ALL SELECT 'campaign', v_campaign.id::text, scheduled
          UNION ALL SELECT 'step', v_campaign.id || ':' || s, leads FROM unnest(v_steps) AS s) AS t
    WHERE leads > 0;
    RETURN NEXT;
END
$$;

-- A saved segment's definition as it is now; else what the campaign was made with.
CREATE OR REPLACE FUNCTION outreach.campaign_definition(p_campaign outreach.campaigns) RETURNS jsonb
LANGUAGE sql STABLE
SET search_path = pg_catalog, pg_temp
AS $$
    SELECT coalesce((SELECT g.definition FROM outreach.segments AS g
                     WHERE g.workspace_id = p_campaign.workspace_id AND g.id = p_campaign.segment_id), p_campaign.definition)
$$;

-- Turns a draft into its sends, all at once: every member of the segment gets its sends or a recorded reason why not.
-- launched_at becomes created_at of every send (a foreign key holds it there) and is a parameter so that one partition is
-- planned.
-- owner: outreachdb_trusted
CREATE OR REPLACE FUNCTION outreach.bulk_schedule_email_sends(campaign_id bigint, launched_at timestamptz)
RETURNS TABLE (scheduled bigint, excluded jsonb)
LANGUAGE plpgsql SECURITY DEFINER
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    workspace bigint := outreach.required_workspace();
    instant timestamptz := launched_at;
    campaign outreach.campaigns;
    made record;
BEGIN
    SELECT c.* INTO campaign FROM outreach.campaigns AS c
    WHERE c.workspace_id = workspace AND c.id = campaign_id
    FOR UPDATE;
    IF NOT FOUND THEN
        RAISE EXCEPTION 'no campaign with the id %', campaign_id USING ERRCODE = 'no_data_found';
    ELSIF campaign.status NOT IN ('draft', 'scheduled') OR campaign.launched_at IS NOT NULL THEN
        RAISE EXCEPTION 'it was launched already, it is %', campaign.status
            USING ERRCODE = 'object_not_in_prerequisite_state',
                  HINT = 'a campaign is launched once; leads that came later are added to it';
    ELSIF instant IS NULL THEN
        RAISE EXCEPTION 'a launch needs an instant' USING ERRCODE = 'invalid_parameter_value';
    END IF;
    PERFORM outreach.commit_durably();
    campaign.definition := outreach.campaign_definition(campaign);
    campaign.launched_at := instant;
    IF campaign.status = 'scheduled' AND (campaign.settings ->> 'start')::timestamptz > instant THEN
        -- Planned for later and launched now after all: its sends don't wait for what was planned.
        campaign.settings := campaign.settings - 'start';
    END IF;
    PERFORM outreach.ensure_partitions('email_sends', instant, instant);
    UPDATE outreach.campaigns AS c
    SET status = 'running', launched_at = instant, definition = campaign.definition, settings = campaign.settings,
        updated_at = clock_timestamp()
    WHERE c.workspace_id = workspace AND c.id = campaign.id;
    -- Ramp-up begins with a mailbox's first campaign. In the order of ids, as two launches at once lock them.
    WITH beginning AS MATERIALIZED (
        SELECT m.id FROM outreach.mailboxes AS m
        WHERE m.workspace_id = workspace AND m.ramp_first IS NOT NULL AND m.ramp_from IS NULL
          AND m.id IN (SELECT x.mailbox_id FROM outreach.campaign_mailboxes AS x
                       WHERE x.workspace_id = workspace AND x.campaign_id = campaign.id)
        ORDER BY m.id FOR NO KEY UPDATE
    )
    UPDATE outreach.mailboxes AS m SET ramp_from = timezone('UTC', now())::date
    FROM beginning AS b WHERE m.workspace_id = workspace AND m.id = b.id;

    SELECT m.* INTO made
    FROM outreach.schedule_members(campaign, greatest(instant, (campaign.settings ->> 'start')::timestamptz), false) AS m;
    IF made.leads = 0 THEN
        PERFORM outreach.set_campaign_status(campaign.id, 'completed');
    END IF;
    RETURN QUERY SELECT made.scheduled, made.excluded;
END
$$;
GRANT EXECUTE ON FUNCTION outreach.bulk_schedule_email_sends(bigint, timestamptz) TO outreachdb_app;

-- Adds who entered the segment since the launch, and who was left out then for a reason that no longer holds; nobody who is
-- in the campaign is touched. Closed campaigns take nobody. The campaign is held FOR SHARE, so that claims go on meanwhile.
-- owner: outreachdb_trusted
CREATE OR REPLACE FUNCTION outreach.add_campaign_leads(campaign_id bigint)
RETURNS TABLE (scheduled bigint, excluded jsonb)
LANGUAGE plpgsql SECURITY DEFINER
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    workspace bigint := outreach.required_workspace();
    campaign outreach.campaigns;
BEGIN
    -- Two adds at once would find the same leads missing. Taken before the campaign: whoever waits here holds nothing.
    PERFORM pg_advisory_xact_lock(hashtextextended('outreachdb.add.' || campaign_id, 0));
    SELECT c.* INTO campaign FROM outreach.campaigns AS c
    WHERE c.workspace_id = workspace AND c.id = campaign_id
    FOR SHARE;
    IF NOT FOUND THEN
        RAISE EXCEPTION 'no campaign with the id %', campaign_id USING ERRCODE = 'no_data_found';
    ELSIF campaign.status NOT IN ('running', 'paused') THEN
        RAISE EXCEPTION 'a campaign that is % takes no more leads', campaign.status
            USING ERRCODE = 'object_not_in_prerequisite_state',
                  HINT = CASE WHEN campaign.launched_at IS NULL THEN 'launch it' ELSE 'it is closed; make its next run' END;
    END IF;
    PERFORM outreach.commit_durably();
    campaign.definition := outreach.campaign_definition(campaign);
    RETURN QUERY
    SELECT m.scheduled, m.excluded
    FROM outreach.schedule_members(campaign, greatest(now(), (campaign.settings ->> 'start')::timestamptz), true) AS m;
END
$$;
GRANT EXECUTE ON FUNCTION outreach.add_campaign_leads(bigint) TO outreachdb_app;

-- The next run of a closed campaign, a draft with the same steps and mailboxes. Whom any run has mailed or tried to mail is
-- written into the ledger that outlives the sends, and is left out of the new run as already_in_campaign. Returns its id.
-- owner: outreachdb_trusted
CREATE OR REPLACE FUNCTION outreach.create_next_run(campaign_id bigint) RETURNS bigint
LANGUAGE plpgsql SECURITY DEFINER
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    workspace bigint := outreach.required_workspace();
    campaign outreach.campaigns;
    made bigint;
BEGIN
    SELECT c.* INTO campaign FROM outreach.campaigns AS c
    WHERE c.workspace_id = workspace AND c.id = campaign_id
    FOR SHARE;
    IF NOT FOUND THEN
        RAISE EXCEPTION 'no campaign with the id %', campaign_id USING ERRCODE = 'no_data_found';
    ELSIF campaign.status NOT IN ('completed', 'cancelled') OR EXISTS (
        SELECT FROM outreach.campaigns AS c
        WHERE c.workspace_id = workspace AND c.name = campaign.name AND c.run > campaign.run)
    THEN
        RAISE EXCEPTION 'only the latest run, and only when it is closed, can be followed by another; it is %', campaign.status
            USING ERRCODE = 'object_not_in_prerequisite_state';
    END IF;
    INSERT INTO outreach.campaign_leads (workspace_id, name, lead_id)
    SELECT DISTINCT workspace, campaign.name, s.lead_id FROM outreach.email_sends AS s
    WHERE s.workspace_id = workspace AND s.campaign_id = campaign.id AND s.created_at = campaign.launched_at
      AND s.attempts > 0
    ON CONFLICT (workspace_id, name, lead_id) DO NOTHING;
    INSERT INTO outreach.campaigns (workspace_id, name, run, segment_id, definition, priority, window_from, window_to,
                                    window_days, window_zone, settings)
    VALUES (workspace, campaign.name, campaign.run + 1, campaign.segment_id, campaign.definition, campaign.priority,
            campaign.window_from, campaign.window_to, campaign.window_days, campaign.window_zone, campaign.settings - 'start')
    RETURNING id INTO made;
    INSERT INTO outreach.campaign_steps (workspace_id, campaign_id, step, delay_seconds, condition, subject, body_text,
                                         body_html, variants)
    SELECT workspace, made, s.step, s.delay_seconds, s.condition, s.subject, s.body_text, s.body_html, s.variants
    FROM outreach.campaign_steps AS s WHERE s.workspace_id = workspace AND s.campaign_id = campaign.id;
    INSERT INTO outreach.campaign_mailboxes (workspace_id, campaign_id, mailbox_id)
    SELECT workspace, made, m.mailbox_id
    FROM outreach.campaign_mailboxes AS m WHERE m.workspace_id = workspace AND m.campaign_id = campaign.id;
    RETURN made;
END
$$;
GRANT EXECUTE ON FUNCTION outreach.create_next_run(bigint) TO outreachdb_app;
