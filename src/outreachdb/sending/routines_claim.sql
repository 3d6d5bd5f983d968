
-- Windows, and what a claim looks at. The functions that a claim calls per row are standard-bodied and STABLE so that they
-- melt into the claim's own plan.

-- A time zone that the server knows: of people's spellings also UTC+2 and GMT-05:30 (with the sign that people give it: to
-- POSIX, UTC+2 lies west of Greenwich). Anything else is the fallback, and UTC where that is unknown too.
CREATE OR REPLACE FUNCTION outreach.known_zone(p_zone text, p_fallback text) RETURNS text
LANGUAGE plpgsql STABLE
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    zone text := btrim(coalesce(p_zone, ''));
    offset_of text[] := regexp_match(zone, '^(?:UTC|GMT)?\s*([+-])(\d{1,2})(?::?([0-5]\d))?$', 'i');
BEGIN
    IF offset_of IS NOT NULL AND offset_of[2]::integer <= 14 THEN
        RETURN format('<ZONE>%s%s:%s', translate(offset_of[1], '+-', '-+'), offset_of[2], coalesce(offset_of[3], '00'));
    ELSIF zone !~ '^[A-Za-z][A-Za-z_]*(/[A-Za-z0-9_+-]+)*$' THEN
        RETURN CASE WHEN p_fallback IS NULL THEN 'UTC' ELSE outreach.known_zone(p_fallback, NULL) END;
    END IF;
    PERFORM timezone(zone, now());
    RETURN zone;
EXCEPTION WHEN invalid_parameter_value THEN
    RETURN CASE WHEN p_fallback IS NULL THEN 'UTC' ELSE outreach.known_zone(p_fallback, NULL) END;
END
$$;

-- Whether an instant lies in a window by the clock of a zone; the window's end is outside.
CREATE OR REPLACE FUNCTION outreach.window_is_open(
    p_at timestamptz, p_zone text, p_from time, p_to time, p_days smallint[]) RETURNS boolean
LANGUAGE sql STABLE
RETURN p_from IS NULL OR (
    timezone(p_zone, p_at)::time >= p_from AND timezone(p_zone, p_at)::time < p_to
    AND (p_days IS NULL OR extract(isodow FROM timezone(p_zone, p_at))::smallint = ANY (p_days)));

-- The first instant from p_at on at which the window is open. Where clocks are put forward over the window's beginning that is
-- the end of the gap, where they are put back the first of the two. Sixteen days are searched, because the one day a week
-- of a window may be the day of a gap; NULL where none is found.
CREATE OR REPLACE FUNCTION outreach.window_opening(
    p_at timestamptz, p_zone text, p_from time, p_to time, p_days smallint[]) RETURNS timestamptz
LANGUAGE sql STABLE
BEGIN ATOMIC
    SELECT CASE WHEN outreach.window_is_open(p_at, p_zone, p_from, p_to, p_days) THEN p_at ELSE (
        SELECT min(t.at)
        FROM generate_series(0, 16) AS d (n)
        CROSS JOIN LATERAL (SELECT timezone(p_zone, p_at)::date + d.n + p_from AS local) AS w
        -- The wall clock's instant, and earlier ones: clocks move by an hour or (Lord Howe Island) by half of one, and a gap
        -- begins at a full or half hour.
        CROSS JOIN (VALUES (0), (30), (60)) AS back (minutes)
        CROSS JOIN (VALUES (0), (1)) AS cut (half_hour)
        CROSS JOIN LATERAL (
            SELECT timezone(p_zone, w.local) - back.minutes * interval '1 minute' - cut.half_hour * (
                extract(epoch FROM p_from)::integer % 1800) * interval '1 second' AS at) AS t
        WHERE t.at >= p_at AND outreach.window_is_open(t.at, p_zone, p_from, p_to, p_days)) END;
END;

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

-- Why a send must not leave any more (stop), or until when it must wait; both NULL: it may go. p_turn counts a lead's sends
-- in the same claim; p_sends in p_days is the workspace's frequency cap, p_since the first launch that it concerns (NULL: no
-- cap).
CREATE OR REPLACE FUNCTION outreach.judge_send(
    p_workspace bigint, p_campaign outreach.campaigns, p_lead bigint, p_step smallint, p_recipient text,
    p_sends bigint, p_days integer, p_since timestamptz, p_turn bigint)
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
           CASE WHEN p_campaign.window_from IS NULL THEN w.until
                ELSE nullif(coalesce(outreach.window_opening(
                         coalesce(w.until, now()), outreach.known_zone(l.timezone, p_campaign.window_zone),
                         p_campaign.window_from, p_campaign.window_to, p_campaign.window_days),
                         now() + interval '1 day'), now()) END
    FROM outreach.leads AS l
    CROSS JOIN LATERAL outreach.suppression_of(p_workspace, p_recipient) AS x
    LEFT JOIN outreach.campaign_steps AS t
        ON p_step > 1 AND t.workspace_id = p_workspace AND t.campaign_id = p_campaign.id AND t.step = p_step
    LEFT JOIN LATERAL (
        SELECT bool_or(e.replied_at IS NOT NULL) AS replied,
               bool_or(coalesce(e.bounced_at, e.complained_at, e.unsubscribed_at) IS NOT NULL) AS ended,
               bool_or(e.clicked_at IS NOT NULL) AS clicked,
               bool_or(e.opened_at IS NOT NULL) AS opened,
               (array_agg(e.status ORDER BY e.step DESC))[1] AS last_status,
               (array_agg(coalesce(e.begun_at, e.lease_expires_at, e.scheduled_at) ORDER BY e.step DESC))[1] AS last_begun,
               (array_agg(e.scheduled_at ORDER BY e.step DESC))[1] AS last_scheduled,
               max(e.sent_at) AS last_sent
        FROM outreach.email_sends AS e
        WHERE p_step > 1 AND e.workspace_id = p_workspace AND e.lead_id = p_lead AND e.created_at = p_campaign.launched_at
          AND e.campaign_id = p_campaign.id AND e.step < p_step) AS p ON p_step > 1
    -- How many in the last days, and when the oldest of those that fill the cap left; not begun yet counts as the latest.
    LEFT JOIN LATERAL (
        SELECT count(*) AS mails,
               (array_agg(coalesce(e.sent_at, e.begun_at) ORDER BY coalesce(e.sent_at, e.begun_at) DESC))[p_sends] AS oldest
        FROM outreach.email_sends AS e
        WHERE p_since IS NOT NULL AND e.workspace_id = p_workspace AND e.lead_id = p_lead AND e.created_at >= p_since
          AND e.status IN ('sent', 'claimed', 'unknown')
          AND coalesce(e.sent_at, e.begun_at, now()) > now() - make_interval(days => p_days)) AS f ON p_since IS NOT NULL
    CROSS JOIN LATERAL (
        SELECT greatest(
            CASE
                WHEN p_step = 1 THEN NULL
                WHEN p.last_status = 'sent' THEN
                    CASE WHEN p.last_sent + make_interval(secs => t.delay_seconds) > now()
                         THEN p.last_sent + make_interval(secs => t.delay_seconds) END
                -- Looked at again when the step before may have left long enough ago.
                ELSE greatest(now() + interval '1 minute',
                              greatest(now(), p.last_scheduled) + make_interval(secs => t.delay_seconds))
            END,
            CASE WHEN f.mails >= p_sends THEN coalesce(f.oldest + make_interval(days => p_days), now() + interval '10 minutes')
                 WHEN f.mails + p_turn > p_sends THEN now() + interval '10 minutes' END) AS until) AS w
    WHERE l.workspace_id = p_workspace AND l.id = p_lead;
END;

-- What templates may name (campaigns/templates.py lists the same fields). A row as json takes less than half the time of an
-- object that is built as jsonb: a claim makes one for every send.
CREATE OR REPLACE FUNCTION outreach.lead_for_templates(p_workspace bigint, p_lead bigint) RETURNS TABLE (lead json)
LANGUAGE sql STABLE
BEGIN ATOMIC
    SELECT row_to_json(t)
    FROM (SELECT l.email, l.first_name, l.last_name, l.phone, l.title, l.company_name, l.company_website, l.linkedin_url,
                 l.industry, l.country, l.city, l.timezone, l.tags, l.custom_fields AS custom
          FROM outreach.leads AS l
          WHERE l.workspace_id = p_workspace AND l.id = p_lead) AS t;
END;

-- What a mailbox may send on a day (UTC) at most, by its cap and its ramp-up; NULL is no limit.
CREATE OR REPLACE FUNCTION outreach.mailbox_cap(p_mailbox outreach.mailboxes, p_day date) RETURNS bigint
LANGUAGE sql IMMUTABLE
RETURN least((p_mailbox).daily_cap,
             (p_mailbox).ramp_first
             + (p_mailbox).ramp_increase * greatest(0, p_day - coalesce((p_mailbox).ramp_from, p_day)));

-- How many sends each of some limited mailboxes may be given now: up to its cap of today (UTC), and one at a time where it
-- keeps a distance between mails. Sent is read from the rollups: exact, and a handful of rows whatever the history.
CREATE OR REPLACE FUNCTION outreach.mailboxes_room(p_workspace bigint, p_mailboxes bigint[], p_n integer)
RETURNS TABLE (id bigint, room integer)
LANGUAGE sql STABLE
BEGIN ATOMIC
    SELECT m.id,
           CASE WHEN m.min_spacing_ms > 0 AND (coalesce(claimed.n, 0) > 0 OR m.next_free_at > clock_timestamp()) THEN 0
                ELSE least(CASE WHEN m.min_spacing_ms > 0 THEN 1 ELSE p_n END,
                           CASE WHEN c.cap IS NULL THEN p_n
                                ELSE greatest(0, c.cap - coalesce(sent.n, 0) - coalesce(claimed.n, 0)) END)::integer END
    FROM outreach.mailboxes AS m
    CROSS JOIN LATERAL (SELECT outreach.mailbox_cap(m, timezone('UTC', now())::date) AS cap) AS c
    LEFT JOIN LATERAL (
        SELECT sum(t.total) AS n
        FROM (SELECT r.total FROM analytics.rollups AS r
              WHERE r.workspace_id = p_workspace AND r.grain = 'mailbox' AND r.key = m.id::text AND r.kind = 'sent'
                AND r.day = timezone('UTC', now())::date
              UNION ALL
              SELECT d.total FROM analytics.rollup_deltas AS d
              WHERE d.workspace_id = p_workspace AND d.grain = 'mailbox' AND d.key = m.id::text AND d.kind = 'sent'
                AND d.day = timezone('UTC', now())::date) AS t) AS sent ON true
    LEFT JOIN (
        SELECT e.mailbox_id, count(*) AS n FROM outreach.email_sends AS e
        WHERE e.workspace_id = p_workspace AND e.status = 'claimed'
          AND e.created_at = ANY (ARRAY(
              SELECT c.launched_at FROM outreach.campaigns AS c
              WHERE c.workspace_id = p_workspace AND c.status IN ('running', 'paused', 'cancelled')
                AND c.launched_at IS NOT NULL))
        GROUP BY e.mailbox_id) AS claimed ON claimed.mailbox_id = m.id
    WHERE m.workspace_id = p_workspace AND m.id = ANY (p_mailboxes);
END;

-- Hands out due sends: of running campaigns, from active mailboxes with room under their caps, ramps and distances, inside
-- the windows of their leads, at most n in all. Mailboxes get even shares; of a mailbox's, campaigns of a higher priority
-- come first, those of the same take turns. What may no longer be sent is cancelled on the way and what is too early is put
-- off, both told in verdict ('claimed', 'cancelled', 'postponed'), so that no claim meets such a row twice. No rows mean that
-- nothing is due, a single row 'busy' that others hold what might be: ask again in a moment. Takes no lock that it waits for
-- (SKIP LOCKED), hence never deadlocks; with a frequency cap the claims of a workspace take turns before they lock anything,
-- for two of them can't see each other's. Holding running campaigns FOR SHARE makes a pause wait for the claim under way and
-- hides the campaign from the next.
-- owner: outreachdb_trusted
CREATE OR REPLACE FUNCTION outreach.claim_sends(
    n integer, worker text, lease interval, skip_mailboxes bigint[] DEFAULT '{}')
RETURNS TABLE (send_id bigint, created_at timestamptz, campaign_id bigint, step smallint, variant text, lead_id bigint,
               mailbox_id bigint, recipient text, verdict text, reason text, lead json)
LANGUAGE plpgsql SECURITY DEFINER
SET search_path = pg_catalog, pg_temp
SET plan_cache_mode = force_generic_plan
AS $$
#variable_conflict use_column
DECLARE
    v_workspace bigint := outreach.required_workspace();
    v_sends bigint;
    v_days integer;
    v_since timestamptz;
    v_running bigint;
    v_campaigns bigint[];
    v_launched timestamptz[];
    v_priorities smallint[];
    v_pairs record;
    v_limited bigint[];
    v_locked bigint[];
    v_mailboxes bigint[];
    v_room integer[];
    v_share integer;
    v_now timestamptz;
    v_first timestamptz;
    v_last timestamptz;
    v_chosen record;
BEGIN
    IF n < 1 OR n > 10000 OR lease <= interval '0' OR worker IS NULL THEN
        RAISE EXCEPTION 'a claim takes 1 to 10000 sends, a worker''s name and a lease'
            USING ERRCODE = 'invalid_parameter_value';
    END IF;
    SELECT f.frequency_sends, f.frequency_days INTO v_sends, v_days
    FROM outreach.sending_limits AS f WHERE f.workspace_id = v_workspace;
    IF FOUND THEN
        PERFORM pg_advisory_xact_lock(hashtextextended('outreachdb.claim.' || v_workspace, 0));
        v_since := coalesce(outreach.oldest_run_within(v_workspace, v_days), '-infinity');
    END IF;
    v_now := clock_timestamp();
    SELECT count(*) INTO v_running FROM outreach.campaigns AS c WHERE c.workspace_id = v_workspace AND c.status = 'running';
    SELECT array_agg(c.id), array_agg(c.launched_at), array_agg(c.priority) INTO v_campaigns, v_launched, v_priorities
    FROM (SELECT a.id, a.launched_at, a.priority FROM outreach.campaigns AS a
          WHERE a.workspace_id = v_workspace AND a.status = 'running' ORDER BY a.id FOR SHARE SKIP LOCKED) AS c;
    -- Which campaigns have something due from which mailboxes.
    SELECT array_agg(p.campaign_id) AS campaigns, array_agg(p.priority) AS priorities,
           array_agg(p.mailbox_id) AS mailboxes,
           array_agg(DISTINCT p.mailbox_id) FILTER (WHERE NOT p.limited) AS free,
           array_agg(DISTINCT p.mailbox_id) FILTER (WHERE p.limited) AS limited
    INTO v_pairs
    FROM (
        SELECT c.*, m.id AS mailbox_id,
               (m.daily_cap IS NOT NULL OR m.ramp_first IS NOT NULL OR m.min_spacing_ms > 0) AS limited
        FROM unnest(v_campaigns, v_launched, v_priorities) AS c (campaign_id, launched_at, priority)
        JOIN outreach.campaign_mailboxes AS x ON x.workspace_id = v_workspace AND x.campaign_id = c.campaign_id
        JOIN outreach.mailboxes AS m ON m.workspace_id = v_workspace AND m.id = x.mailbox_id
        CROSS JOIN LATERAL (
            SELECT FROM outreach.email_sends AS e
            WHERE e.workspace_id = v_workspace AND e.mailbox_id = x.mailbox_id AND e.campaign_id = x.campaign_id
              AND e.status = 'scheduled' AND e.scheduled_at <= v_now AND e.created_at = c.launched_at
              AND e.created_at = ANY (v_launched)
            LIMIT 1) AS due
        WHERE m.status = 'active' AND m.id <> ALL (skip_mailboxes)) AS p;
    v_mailboxes := coalesce(v_pairs.free, '{}');
    v_room := array_fill(n, ARRAY[cardinality(v_mailboxes)]);
    IF v_pairs.limited IS NOT NULL THEN
        SELECT array_agg(r.id) INTO v_limited
        FROM outreach.mailboxes_room(v_workspace, v_pairs.limited, n) AS r WHERE r.room > 0;
        -- A limited mailbox is counted by one claim at a time; the counting below is a statement of its own because only
        -- that one sees what the holder of the lock before us has committed. A part of them, so that other claims find some.
        SELECT array_agg(m.id) INTO v_locked
        FROM (SELECT b.id FROM outreach.mailboxes AS b
              WHERE b.workspace_id = v_workspace AND b.id = ANY (v_limited)
              ORDER BY random() LIMIT greatest(8, cardinality(v_limited) / 4) FOR NO KEY UPDATE SKIP LOCKED) AS m;
        SELECT v_mailboxes || coalesce(array_agg(r.id), '{}'), v_room || coalesce(array_agg(r.room), '{}')
        INTO v_mailboxes, v_room
        FROM outreach.mailboxes_room(v_workspace, v_locked, n) AS r WHERE r.room > 0;
    END IF;
    v_share := (n + greatest(1, cardinality(v_mailboxes)) - 1) / greatest(1, cardinality(v_mailboxes));
    SELECT min(u), max(u) INTO v_first, v_last FROM unnest(v_launched) AS u;
    -- Locked here and judged by the next statement. A plan that locks rows must not prune partitions while it runs: where
    -- a row was changed by another just before, PostgreSQL 18 prepares the plan a second time for that row and leaves the
    -- first one's pruning state destroyed; the server crashes. The range prunes when the plan starts, which is safe.
    WITH due AS MATERIALIZED (
        SELECT s.*, p.priority, m.room,
               row_number() OVER (PARTITION BY s.mailbox_id, s.campaign_id ORDER BY s.scheduled_at) AS turn
        FROM unnest(v_mailboxes, v_room) AS m (id, room)
        JOIN (SELECT q.*, count(*) OVER (PARTITION BY q.mailbox_id ORDER BY q.priority DESC) AS rivals
              FROM unnest(v_pairs.campaigns, v_pairs.priorities, v_pairs.mailboxes)
                  AS q (campaign_id, priority, mailbox_id)) AS p ON p.mailbox_id = m.id
        CROSS JOIN LATERAL (
            SELECT e.id, e.created_at, e.campaign_id, e.lead_id, e.mailbox_id, e.step, e.recipient, e.scheduled_at
            FROM outreach.email_sends AS e
            WHERE e.workspace_id = v_workspace AND e.mailbox_id = m.id AND e.campaign_id = p.campaign_id
              AND e.status = 'scheduled' AND e.scheduled_at <= v_now AND e.created_at = ANY (v_launched)
              AND e.created_at BETWEEN v_first AND v_last
            ORDER BY e.scheduled_at
            LIMIT least((v_share + p.rivals - 1) / p.rivals, m.room)
            FOR UPDATE SKIP LOCKED) AS s
    ), shared AS MATERIALIZED (
        SELECT d.*, row_number() OVER (
            PARTITION BY d.mailbox_id ORDER BY d.priority DESC, d.turn, d.scheduled_at) AS place
        FROM due AS d
    ), chosen AS MATERIALIZED (
        -- Shares are rounded up, so that no mailbox's is nothing; from the mailboxes in turn, n are taken.
        SELECT s.*, row_number() OVER (PARTITION BY s.lead_id ORDER BY s.place, s.id) AS lead_turn
        FROM (SELECT * FROM shared AS d WHERE d.place <= d.room
              ORDER BY d.priority DESC, d.place, d.scheduled_at LIMIT n) AS s
    )
    SELECT array_agg(d.id) AS ids, array_agg(d.created_at) AS created_ats, array_agg(d.campaign_id) AS campaigns,
           array_agg(d.lead_id) AS leads, array_agg(d.step) AS steps, array_agg(d.recipient) AS recipients,
           array_agg(d.lead_turn) AS turns
    INTO v_chosen FROM chosen AS d;
    RETURN QUERY
    WITH judged AS MATERIALIZED (
        SELECT d.id, d.created_at, j.stop, j.until, l.lead
        FROM unnest(v_chosen.ids, v_chosen.created_ats, v_chosen.campaigns, v_chosen.leads, v_chosen.steps,
                    v_chosen.recipients, v_chosen.turns)
            AS d (id, created_at, campaign_id, lead_id, step, recipient, lead_turn)
        JOIN outreach.campaigns AS c ON c.workspace_id = v_workspace AND c.id = d.campaign_id
        CROSS JOIN LATERAL outreach.judge_send(
            v_workspace, c, d.lead_id, d.step, d.recipient, v_sends, v_days, v_since, d.lead_turn) AS j (stop, until)
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
    WHERE s.workspace_id = v_workspace AND s.id = j.id AND s.created_at - j.created_at = interval '0'
      AND s.created_at BETWEEN v_first AND v_last
    RETURNING s.id, s.created_at, s.campaign_id, s.step, s.variant, s.lead_id, s.mailbox_id, s.recipient,
        CASE WHEN s.status = 'scheduled' THEN 'postponed' ELSE s.status END, j.stop,
        CASE WHEN s.status = 'claimed' THEN j.lead END;
    IF NOT FOUND AND (v_running > coalesce(cardinality(v_campaigns), 0)
                      OR coalesce(cardinality(v_limited), 0) > coalesce(cardinality(v_locked), 0)) THEN
        verdict := 'busy';
        RETURN NEXT;
    END IF;
END
$$;
GRANT EXECUTE ON FUNCTION outreach.claim_sends(integer, text, interval, bigint[]) TO outreachdb_app;

-- Seconds until a mailbox that has something due and only keeps its distance may send again; NULL where there is none.
-- owner: outreachdb_trusted
CREATE OR REPLACE FUNCTION outreach.seconds_to_next_distance() RETURNS double precision
LANGUAGE plpgsql SECURITY DEFINER STABLE
SET search_path = pg_catalog, pg_temp
SET plan_cache_mode = force_generic_plan
AS $$
DECLARE
    v_workspace bigint := outreach.required_workspace();
BEGIN
    RETURN (
        SELECT extract(epoch FROM min(greatest(m.next_free_at, clock_timestamp())) - clock_timestamp())
        FROM outreach.mailboxes AS m
        JOIN outreach.campaign_mailboxes AS x ON x.workspace_id = v_workspace AND x.mailbox_id = m.id
        JOIN outreach.campaigns AS c ON c.workspace_id = v_workspace AND c.id = x.campaign_id AND c.status = 'running'
        CROSS JOIN LATERAL (
            SELECT FROM outreach.email_sends AS e
            WHERE e.workspace_id = v_workspace AND e.mailbox_id = m.id AND e.campaign_id = c.id
              AND e.status = 'scheduled' AND e.scheduled_at <= clock_timestamp() AND e.created_at = c.launched_at
            LIMIT 1) AS due
        WHERE m.workspace_id = v_workspace AND m.status = 'active' AND m.next_free_at > clock_timestamp());
END
$$;
GRANT EXECUTE ON FUNCTION outreach.seconds_to_next_distance() TO outreachdb_app;

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
    v_first timestamptz := (SELECT min(u) FROM unnest(created_ats) AS u);
    v_last timestamptz := (SELECT max(u) FROM unnest(created_ats) AS u);
BEGIN
    -- A begin that a crash forgets is a mail that goes out twice.
    PERFORM outreach.commit_durably();
    PERFORM outreach.hold_campaigns(v_workspace, created_ats);
    RETURN QUERY
    WITH judged AS MATERIALIZED (
        SELECT s.id, s.created_at,
               CASE WHEN x.suppressed THEN 'suppressed'
                    WHEN c.status IN ('cancelled', 'completed') THEN 'the campaign was ' || c.status END AS stop,
               c.status <> 'running' AS halted
        FROM unnest(send_ids, created_ats) AS g (id, created_at)
        JOIN outreach.email_sends AS s
            ON s.workspace_id = v_workspace AND s.id = g.id AND s.created_at - g.created_at = interval '0'
            AND s.created_at BETWEEN v_first AND v_last
        JOIN outreach.campaigns AS c ON c.workspace_id = v_workspace AND c.id = s.campaign_id
        CROSS JOIN LATERAL outreach.suppression_of(v_workspace, s.recipient) AS x
        -- Not begun: a worker whose lease ran out, or whose claim a crash forgot, may have claimed the send again and hold it twice.
        WHERE s.status = 'claimed' AND s.claimed_by = worker AND s.lease_expires_at > clock_timestamp() AND s.begun_at IS NULL
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
    WHERE s.workspace_id = v_workspace AND s.id = j.id AND s.created_at - j.created_at = interval '0'
      AND s.created_at BETWEEN v_first AND v_last
    RETURNING s.id, CASE s.status WHEN 'claimed' THEN 'begun' WHEN 'scheduled' THEN 'returned' ELSE s.status END, j.stop;
    -- The distance counts from here, the last moment before SMTP that everybody sees.
    UPDATE outreach.mailboxes AS m
    SET next_free_at = clock_timestamp() + m.min_spacing_ms * interval '1 millisecond'
    WHERE m.workspace_id = v_workspace AND m.min_spacing_ms > 0
      AND m.id = ANY (ARRAY(SELECT s.mailbox_id FROM outreach.email_sends AS s
                            WHERE s.workspace_id = v_workspace AND s.id = ANY (send_ids)
                              AND s.created_at BETWEEN v_first AND v_last AND s.status = 'claimed' AND s.claimed_by = worker));
END
$$;
GRANT EXECUTE ON FUNCTION outreach.begin_sends(bigint[], timestamptz[], text, interval) TO outreachdb_app;

