-- What the rollups of a workspace's days would be by the events and sends that are still there, for all kinds but 'scheduled'
-- and 'failed', whose day no row keeps. People are those of people_first, which outlives the events. One snapshot: STABLE.
CREATE OR REPLACE FUNCTION outreach.recount_rollups(p_workspace bigint, p_first date, p_last date)
RETURNS TABLE (grain text, key text, kind text, day date, total bigint, mails bigint, people bigint)
LANGUAGE plpgsql STABLE
SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    -- Written with its values: the months are picked when it is planned, and a month is planned for what it is.
    RETURN QUERY EXECUTE format($sql$
        WITH told AS MATERIALIZED (
            SELECT s.lead_id, s.campaign_id, s.step, s.variant, s.mailbox_id,
                   split_part(lower(s.recipient), '@', -1) AS domain, e.kind, e.day, e.total,
                   coalesce(timezone('UTC', CASE e.kind
                       WHEN 'delivered' THEN s.delivered_at WHEN 'opened' THEN s.opened_at WHEN 'clicked' THEN s.clicked_at
                       WHEN 'replied' THEN s.replied_at WHEN 'bounced' THEN s.bounced_at
                       WHEN 'complained' THEN s.complained_at WHEN 'unsubscribed' THEN s.unsubscribed_at
                   END)::date = e.day, false)::integer AS mails
            FROM (
                SELECT v.send_id, v.campaign_id, timezone('UTC', v.created_at)::date AS day, count(*) AS total,
                       CASE WHEN v.prefetched AND v.event IN ('opened', 'clicked') THEN 'prefetched' ELSE v.event END AS kind
                FROM outreach.email_events AS v
                WHERE v.workspace_id = %1$s AND v.created_at >= %2$L AND v.created_at < %3$L AND v.send_id IS NOT NULL
                  AND v.event NOT IN ('sent', 'failed')
                GROUP BY 1, 2, 3, 5
            ) AS e
            JOIN outreach.campaigns AS c ON c.workspace_id = %1$s AND c.id = e.campaign_id
            JOIN outreach.email_sends AS s ON s.workspace_id = %1$s AND s.id = e.send_id AND s.created_at = c.launched_at
        ), sent AS (
            SELECT s.campaign_id, s.step, s.variant, s.mailbox_id, split_part(lower(s.recipient), '@', -1) AS domain,
                   timezone('UTC', s.sent_at)::date AS day, count(*) AS total
            FROM outreach.campaigns AS c
            JOIN outreach.email_sends AS s
                ON s.workspace_id = %1$s AND s.campaign_id = c.id AND s.created_at = c.launched_at AND s.status = 'sent'
            -- A worker may tell of a mail after its campaign was closed.
            WHERE c.workspace_id = %1$s AND c.launched_at < %3$L
              AND (c.completed_at IS NULL OR c.completed_at > %2$L::timestamptz - interval '7 days')
              AND s.sent_at >= %2$L AND s.sent_at < %3$L
            GROUP BY 1, 2, 3, 4, 5, 6
        ), counted AS (
            SELECT t.campaign_id, t.step, t.variant, t.mailbox_id, t.domain, t.kind, t.day, t.total, t.mails FROM told AS t
            UNION ALL
            SELECT n.campaign_id, n.step, n.variant, n.mailbox_id, n.domain, 'sent', n.day, n.total, n.total FROM sent AS n
        )
        SELECT u.grain, u.key, u.kind, u.day, sum(u.total)::bigint, sum(u.mails)::bigint, sum(u.people)::bigint
        FROM (
            SELECT k.grain, k.key, c.kind, c.day, c.total, c.mails,
                   CASE WHEN k.grain IN ('step', 'variant') OR k.grain = 'campaign' AND c.kind = 'sent' AND c.step = 1
                        THEN c.mails ELSE 0 END AS people
            FROM counted AS c
            CROSS JOIN LATERAL (VALUES
                ('workspace', ''), ('campaign', c.campaign_id::text), ('step', c.campaign_id || ':' || c.step),
                ('variant', c.campaign_id || ':' || c.step || ':' || c.variant), ('mailbox', c.mailbox_id::text),
                ('domain', c.domain)) AS k (grain, key)
            WHERE k.key IS NOT NULL
            UNION ALL
            SELECT f.grain, f.key, d.kind, d.day, 0, 0, 1
            FROM (
                SELECT DISTINCT t.lead_id, k.grain, k.key, t.kind, t.day
                FROM told AS t
                CROSS JOIN LATERAL (VALUES
                    ('workspace', ''), ('campaign', t.campaign_id::text), ('mailbox', t.mailbox_id::text),
                    ('domain', t.domain)) AS k (grain, key)
                WHERE t.mails = 1
            ) AS d
            JOIN analytics.people_first AS f
                ON f.workspace_id = %1$s AND f.lead_id = d.lead_id AND f.grain = d.grain AND f.key = d.key
            WHERE timezone('UTC', CASE d.kind
                      WHEN 'opened' THEN f.opened_at WHEN 'clicked' THEN f.clicked_at WHEN 'replied' THEN f.replied_at
                      WHEN 'bounced' THEN f.bounced_at WHEN 'complained' THEN f.complained_at
                      WHEN 'unsubscribed' THEN f.unsubscribed_at
                  END)::date = d.day
        ) AS u
        GROUP BY u.grain, u.key, u.kind, u.day
        $sql$,
        p_workspace, timezone('UTC', p_first::timestamp), timezone('UTC', (p_last + 1)::timestamp));
END
$$;
REVOKE EXECUTE ON FUNCTION outreach.recount_rollups(bigint, date, date) FROM PUBLIC;
GRANT EXECUTE ON FUNCTION outreach.recount_rollups(bigint, date, date) TO outreachdb_trusted;

-- What must be added to the rollups of a workspace's days to make them what a recount says; no rows where they are right. The
-- keys of campaigns whose sends were dropped are left out, and what they are added up in on their days: only rollups know them.
CREATE OR REPLACE FUNCTION outreach.rollup_drift(p_workspace bigint, p_first date, p_last date)
RETURNS TABLE (grain text, key text, kind text, day date, total bigint, mails bigint, people bigint)
LANGUAGE sql STABLE
SET search_path = pg_catalog, pg_temp
AS $$
    WITH gone AS MATERIALIZED (
        SELECT DISTINCT c.id::text AS campaign
        FROM analytics.rollup_freezes AS f
        JOIN outreach.campaigns AS c
            ON c.workspace_id = p_workspace AND c.launched_at >= f.range_start AND c.launched_at < f.range_end
        WHERE f.workspace_id IN (0, p_workspace) AND f.table_name = 'email_sends'
    ), mixed AS MATERIALIZED (
        SELECT DISTINCT r.day FROM analytics.rollups AS r
        WHERE r.workspace_id = p_workspace AND r.day BETWEEN p_first AND p_last AND r.grain = 'campaign'
          AND r.key IN (SELECT g.campaign FROM gone AS g)
    )
    SELECT u.grain, u.key, u.kind, u.day, sum(u.total)::bigint, sum(u.mails)::bigint, sum(u.people)::bigint
    FROM (
        SELECT c.grain, c.key, c.kind, c.day, c.total, c.mails, c.people
        FROM outreach.recount_rollups(p_workspace, p_first, p_last) AS c
        UNION ALL
        SELECT r.grain, r.key, r.kind, r.day, -r.total, -r.mails, -r.people
        FROM analytics.rollups AS r
        WHERE r.workspace_id = p_workspace AND r.day BETWEEN p_first AND p_last AND r.kind NOT IN ('scheduled', 'failed')
        UNION ALL
        SELECT d.grain, d.key, d.kind, d.day, -d.total, -d.mails, -d.people
        FROM analytics.rollup_deltas AS d
        WHERE d.workspace_id = p_workspace AND d.day BETWEEN p_first AND p_last AND d.kind NOT IN ('scheduled', 'failed')
    ) AS u
    WHERE CASE WHEN u.grain IN ('campaign', 'step', 'variant')
               THEN split_part(u.key, ':', 1) NOT IN (SELECT g.campaign FROM gone AS g)
               ELSE u.day NOT IN (SELECT m.day FROM mixed AS m) END
    GROUP BY u.grain, u.key, u.kind, u.day
    HAVING sum(u.total) <> 0 OR sum(u.mails) <> 0 OR sum(u.people) <> 0
$$;
REVOKE EXECUTE ON FUNCTION outreach.rollup_drift(bigint, date, date) FROM PUBLIC;
GRANT EXECUTE ON FUNCTION outreach.rollup_drift(bigint, date, date) TO outreachdb_trusted;

-- The last day of a workspace whose events were dropped.
CREATE OR REPLACE FUNCTION outreach.rollups_frozen_through(p_workspace bigint) RETURNS date
LANGUAGE sql STABLE
SET search_path = pg_catalog, pg_temp
AS $$
    SELECT coalesce(max(f.frozen_through), '-infinity') FROM analytics.rollup_freezes AS f
    WHERE f.workspace_id IN (0, p_workspace) AND f.table_name = 'email_events'
$$;
REVOKE EXECUTE ON FUNCTION outreach.rollups_frozen_through(bigint) FROM PUBLIC;
GRANT EXECUTE ON FUNCTION outreach.rollups_frozen_through(bigint) TO outreachdb_trusted;

-- Compares the days of a workspace with a recount, writes down what differs and, if asked, mends it: recount, rollups and what is
-- not folded are read in one snapshot, and the caller holds the lock of folds, so that the difference is right whoever ingests
-- meanwhile. A bucket that is there is changed, not upserted: a difference may be negative, which no new bucket may.
CREATE OR REPLACE FUNCTION outreach.check_rollup_days(p_workspace bigint, p_first date, p_last date, p_repair boolean)
RETURNS bigint
LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    found bigint;
BEGIN
    WITH drift AS MATERIALIZED (
        SELECT * FROM outreach.rollup_drift(p_workspace, p_first, p_last)
    ), noted AS (
        INSERT INTO analytics.rollup_drifts (workspace_id, grain, key, kind, day, total, mails, people, repaired)
        SELECT p_workspace, f.grain, f.key, f.kind, f.day, f.total, f.mails, f.people, p_repair FROM drift AS f
    ), changed AS (
        UPDATE analytics.rollups AS r
        SET total = r.total + f.total, mails = r.mails + f.mails, people = r.people + f.people
        FROM drift AS f
        WHERE p_repair AND r.workspace_id = p_workspace AND r.grain = f.grain AND r.key = f.key AND r.kind = f.kind
          AND r.day = f.day
    ), added AS (
        INSERT INTO analytics.rollups (workspace_id, grain, key, kind, day, total, mails, people)
        SELECT p_workspace, f.grain, f.key, f.kind, f.day, f.total, f.mails, f.people
        FROM drift AS f
        WHERE p_repair AND NOT EXISTS (
            SELECT FROM analytics.rollups AS r
            WHERE r.workspace_id = p_workspace AND r.grain = f.grain AND r.key = f.key AND r.kind = f.kind AND r.day = f.day)
    )
    SELECT count(*) INTO found FROM drift;
    RETURN found;
END
$$;
REVOKE EXECUTE ON FUNCTION outreach.check_rollup_days(bigint, date, date, boolean) FROM PUBLIC;
GRANT EXECUTE ON FUNCTION outreach.check_rollup_days(bigint, date, date, boolean) TO outreachdb_trusted;

-- owner: outreachdb_trusted
-- What retention calls before it drops rows of p_table ('email_events' or 'email_sends'; other tables feed no rollup) from
-- p_from to before p_to, of one workspace or of all: folds what is pending, compares the days that lose their rows with a recount,
-- mends what differs (the rows are the truth, and about to go) and notes the range, so that nobody recounts it later. Reports
-- read rollups only and are the same before and after. Idempotent; a range frozen twice is verified as far as rows are left.
-- With a month of sends the days up to the last event of its campaigns are compared.
CREATE OR REPLACE FUNCTION outreach.freeze_rollups(
    p_table text, p_from timestamptz, p_to timestamptz, p_workspace bigint DEFAULT NULL)
RETURNS TABLE (workspaces bigint, buckets bigint, repaired bigint)
LANGUAGE plpgsql
SECURITY DEFINER
SET search_path = pg_catalog, pg_temp
AS $$
#variable_conflict use_column
DECLARE
    first constant date := timezone('UTC', p_from)::date;
    last date;
    through date := timezone('UTC', p_to - interval '1 microsecond')::date;
    start date;
    ws bigint;
    seen bigint;
BEGIN
    workspaces := 0;
    buckets := 0;
    repaired := 0;
    IF p_from IS NULL OR p_to IS NULL OR p_from >= p_to THEN
        RAISE EXCEPTION 'can''t freeze from % to %', p_from, p_to
            USING ERRCODE = 'invalid_parameter_value', HINT = 'the range must be in order';
    ELSIF p_table IS NULL OR p_table NOT IN ('email_events', 'email_sends') THEN
        RETURN NEXT;
        RETURN;
    END IF;
    FOR ws IN
        SELECT w.id FROM outreach.workspaces AS w WHERE p_workspace IS NULL OR w.id = p_workspace ORDER BY w.id
    LOOP
        PERFORM pg_advisory_xact_lock(outreach.rollup_lock(ws));
        PERFORM outreach.fold_portion(ws, 2147483647);
        last := timezone('UTC', p_to - interval '1 microsecond')::date;
        IF p_table = 'email_sends' THEN
            SELECT greatest(last, max(r.day)) INTO last
            FROM outreach.campaigns AS c
            JOIN analytics.rollups AS r ON r.workspace_id = ws AND r.grain = 'campaign' AND r.key = c.id::text
            WHERE c.workspace_id = ws AND c.launched_at >= p_from AND c.launched_at < p_to;
        END IF;
        through := greatest(through, last);
        start := greatest(first, outreach.rollups_frozen_through(ws) + 1);
        CONTINUE WHEN start > last;
        SELECT count(*) INTO seen FROM analytics.rollups AS r
        WHERE r.workspace_id = ws AND r.day BETWEEN start AND last;
        buckets := buckets + seen;
        workspaces := workspaces + (seen > 0)::integer;
        seen := outreach.check_rollup_days(ws, start, last, true);
        repaired := repaired + seen;
        IF seen > 0 THEN
            PERFORM outreach.check_totals(
                ws, ARRAY(SELECT d::date FROM generate_series(start::timestamp, last::timestamp, interval '1 day') AS d), 100000,
                true);
        END IF;
    END LOOP;
    INSERT INTO analytics.rollup_freezes AS f (
        workspace_id, table_name, range_start, range_end, frozen_through, frozen_at, buckets, repaired)
    VALUES (coalesce(p_workspace, 0), p_table, p_from, p_to, through, statement_timestamp(), buckets, repaired)
    ON CONFLICT (workspace_id, table_name, range_start, range_end) DO UPDATE
    SET frozen_through = greatest(f.frozen_through, excluded.frozen_through), frozen_at = excluded.frozen_at,
        buckets = f.buckets + excluded.buckets, repaired = f.repaired + excluded.repaired;
    RETURN NEXT;
END
$$;
GRANT EXECUTE ON FUNCTION outreach.freeze_rollups(text, timestamptz, timestamptz, bigint) TO outreachdb_owner, outreachdb_trusted;

-- Compares totals with the sum of their days, for the keys of some days, and mends them if asked; returns how many differ. Only
-- folds write either, and the caller holds their lock. At most p_limit keys, others each time, where the days have more.
CREATE OR REPLACE FUNCTION outreach.check_totals(p_workspace bigint, p_days date[], p_limit integer, p_repair boolean)
RETURNS bigint
LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    found bigint;
BEGIN
    WITH keys AS MATERIALIZED (
        SELECT k.grain, k.key, k.kind
        FROM (SELECT DISTINCT r.grain, r.key, r.kind FROM analytics.rollups AS r
              WHERE r.workspace_id = p_workspace AND r.day = ANY (p_days)) AS k
        ORDER BY random()
        LIMIT p_limit
    ), drift AS MATERIALIZED (
        SELECT k.grain, k.key, k.kind, s.total - coalesce(o.total, 0) AS total, s.mails - coalesce(o.mails, 0) AS mails,
               s.people - coalesce(o.people, 0) AS people
        FROM keys AS k
        CROSS JOIN LATERAL (
            SELECT sum(r.total)::bigint AS total, sum(r.mails)::bigint AS mails, sum(r.people)::bigint AS people
            FROM analytics.rollups AS r
            WHERE r.workspace_id = p_workspace AND r.grain = k.grain AND r.key = k.key AND r.kind = k.kind) AS s
        LEFT JOIN analytics.totals AS o
            ON o.workspace_id = p_workspace AND o.grain = k.grain AND o.key = k.key AND o.kind = k.kind
        WHERE (s.total, s.mails, s.people) IS DISTINCT FROM (o.total, o.mails, o.people)
    ), noted AS (
        INSERT INTO analytics.rollup_drifts (workspace_id, grain, key, kind, total, mails, people, repaired)
        SELECT p_workspace, f.grain, f.key, f.kind, f.total, f.mails, f.people, p_repair FROM drift AS f
    ), mended AS (
        INSERT INTO analytics.totals AS o (workspace_id, grain, key, kind, total, mails, people)
        SELECT p_workspace, f.grain, f.key, f.kind, f.total, f.mails, f.people FROM drift AS f
        WHERE p_repair
        ON CONFLICT (workspace_id, grain, key, kind) DO UPDATE
        SET total = o.total + excluded.total, mails = o.mails + excluded.mails, people = o.people + excluded.people
    )
    SELECT count(*) INTO found FROM drift;
    RETURN found;
END
$$;
REVOKE EXECUTE ON FUNCTION outreach.check_totals(bigint, date[], integer, boolean) FROM PUBLIC;
GRANT EXECUTE ON FUNCTION outreach.check_totals(bigint, date[], integer, boolean) TO outreachdb_trusted;

-- owner: outreachdb_trusted
-- Compares p_days days of a workspace with a recount of what is still there: those that were never compared first, newest first, then
-- those compared longest ago. So a wrong bucket is found within ceil(days / p_days) runs. What differs is written to
-- analytics.rollup_drifts, and mended if asked. Returns how many days, buckets and differences; nothing where another folds.
CREATE OR REPLACE FUNCTION outreach.reconcile_workspace(p_workspace bigint, p_days integer, p_repair boolean)
RETURNS TABLE (days bigint, buckets bigint, drifted bigint)
LANGUAGE plpgsql
SECURITY DEFINER
SET search_path = pg_catalog, pg_temp
AS $$
#variable_conflict use_column
DECLARE
    picked date[];
    each date;
    seen bigint;
    wrong bigint;
BEGIN
    days := 0;
    buckets := 0;
    drifted := 0;
    IF NOT pg_try_advisory_xact_lock(outreach.rollup_lock(p_workspace)) THEN
        RETURN NEXT;
        RETURN;
    END IF;
    -- A bucket whose first events are not folded yet is mended as if it were missing.
    PERFORM outreach.fold_portion(p_workspace, 2147483647);
    picked := ARRAY(
        SELECT g.day::date
        FROM (SELECT min(r.day) AS first, max(r.day) AS last FROM analytics.rollups AS r
              WHERE r.workspace_id = p_workspace) AS known
        CROSS JOIN LATERAL generate_series(
            greatest(known.first, outreach.rollups_frozen_through(p_workspace) + 1)::timestamp, known.last::timestamp,
            interval '1 day') AS g (day)
        LEFT JOIN analytics.rollup_checks AS c ON c.workspace_id = p_workspace AND c.day = g.day::date
        ORDER BY c.checked_at NULLS FIRST, g.day DESC
        LIMIT p_days);
    FOREACH each IN ARRAY picked LOOP
        SELECT count(*) INTO seen FROM analytics.rollups AS r WHERE r.workspace_id = p_workspace AND r.day = each;
        wrong := outreach.check_rollup_days(p_workspace, each, each, p_repair);
        days := days + 1;
        buckets := buckets + seen;
        drifted := drifted + wrong;
        INSERT INTO analytics.rollup_checks AS c (workspace_id, day, checked_at, buckets, drifted)
        VALUES (p_workspace, each, clock_timestamp(), seen, wrong)
        ON CONFLICT (workspace_id, day) DO UPDATE
        SET checked_at = excluded.checked_at, buckets = excluded.buckets, drifted = excluded.drifted;
    END LOOP;
    drifted := drifted + outreach.check_totals(p_workspace, picked, 2000, p_repair);
    RETURN NEXT;
END
$$;
GRANT EXECUTE ON FUNCTION outreach.reconcile_workspace(bigint, integer, boolean) TO outreachdb_trusted;

-- owner: outreachdb_trusted
-- The same for the session's workspace.
CREATE OR REPLACE FUNCTION outreach.reconcile_rollups(p_days integer DEFAULT 12, p_repair boolean DEFAULT false)
RETURNS TABLE (days bigint, buckets bigint, drifted bigint)
LANGUAGE sql
SECURITY DEFINER
SET search_path = pg_catalog, pg_temp
AS $$
    SELECT r.days, r.buckets, r.drifted
    FROM outreach.reconcile_workspace(outreach.required_workspace(), p_days, p_repair) AS r
$$;
GRANT EXECUTE ON FUNCTION outreach.reconcile_rollups(integer, boolean) TO outreachdb_app, outreachdb_trusted;

-- owner: outreachdb_trusted
-- The same for every workspace, in one transaction, for servers that run their jobs by SQL alone.
CREATE OR REPLACE FUNCTION outreach.reconcile_all_rollups(p_days integer DEFAULT 12, p_repair boolean DEFAULT false)
RETURNS TABLE (days bigint, buckets bigint, drifted bigint)
LANGUAGE sql
SECURITY DEFINER
SET search_path = pg_catalog, pg_temp
AS $$
    SELECT coalesce(sum(r.days), 0)::bigint, coalesce(sum(r.buckets), 0)::bigint, coalesce(sum(r.drifted), 0)::bigint
    FROM outreach.workspaces AS w
    CROSS JOIN LATERAL outreach.reconcile_workspace(w.id, p_days, p_repair) AS r
$$;
GRANT EXECUTE ON FUNCTION outreach.reconcile_all_rollups(integer, boolean) TO outreachdb_trusted;
