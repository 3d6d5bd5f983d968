-- owner: outreachdb_trusted
-- Exact totals of one key of a grain in the session's workspace, per kind: what is folded and what is not, in one statement.
-- total counts events, mails the mails that had one, people distinct leads.
CREATE OR REPLACE FUNCTION outreach.rollup_totals(p_grain text, p_key text)
RETURNS TABLE (kind text, total bigint, mails bigint, people bigint)
LANGUAGE sql
STABLE
SECURITY DEFINER
SET search_path = pg_catalog, pg_temp
AS $$
    SELECT u.kind, sum(u.total)::bigint, sum(u.mails)::bigint, sum(u.people)::bigint
    FROM (
        SELECT t.kind, t.total, t.mails, t.people
        FROM analytics.totals AS t
        WHERE t.workspace_id = outreach.current_workspace() AND t.grain = p_grain AND t.key = p_key
        UNION ALL
        SELECT d.kind, d.total, d.mails, d.people
        FROM analytics.rollup_deltas AS d
        WHERE d.workspace_id = outreach.current_workspace() AND d.grain = p_grain AND d.key = p_key
    ) AS u
    GROUP BY u.kind
$$;
GRANT EXECUTE ON FUNCTION outreach.rollup_totals(text, text) TO outreachdb_app, outreachdb_trusted;

-- The kinds of events that reports tell.
CREATE OR REPLACE FUNCTION outreach.reported_kinds() RETURNS text[]
LANGUAGE sql IMMUTABLE PARALLEL SAFE
RETURN '{scheduled,sent,failed,delivered,deferred,opened,clicked,replied,bounced,complained,unsubscribed,prefetched}'::text[];

-- owner: outreachdb_trusted
-- Counts of some keys of a grain, exact as of the statement; with p_by_day one row for each day (UTC) that has any. Without days
-- and dates the totals answer, else the days' rollups, of which only p_kinds are read: columns of other kinds are not told then.
-- Planned once in a session: planning takes longer than reading. Of people and mails a day, or a range of days, counts those whose
-- first such event fell on it, so that days add up to the whole.
CREATE OR REPLACE FUNCTION outreach.rollup_report(
    p_grain text, p_keys text[], p_since date DEFAULT NULL, p_until date DEFAULT NULL, p_by_day boolean DEFAULT false,
    p_kinds text[] DEFAULT outreach.reported_kinds())
RETURNS TABLE (
    key text, day date, scheduled bigint, sent bigint, failed bigint, delivered bigint, delivered_mails bigint, deferred bigint,
    opened bigint, opened_mails bigint, unique_opened bigint, clicked bigint, clicked_mails bigint, unique_clicked bigint,
    replied bigint, replied_mails bigint, unique_replied bigint, bounced bigint, hard_bounced bigint, complained bigint,
    unsubscribed bigint, prefetched bigint)
LANGUAGE plpgsql
STABLE
SECURITY DEFINER
SET search_path = pg_catalog, pg_temp
SET plan_cache_mode = force_generic_plan
AS $$
#variable_conflict use_column
DECLARE
    ws constant bigint := outreach.current_workspace();
BEGIN
    RETURN QUERY
    SELECT u.key, u.day,
           coalesce(sum(u.total) FILTER (WHERE u.kind = 'scheduled'), 0)::bigint,
           coalesce(sum(u.total) FILTER (WHERE u.kind = 'sent'), 0)::bigint,
           coalesce(sum(u.total) FILTER (WHERE u.kind = 'failed'), 0)::bigint,
           coalesce(sum(u.total) FILTER (WHERE u.kind = 'delivered'), 0)::bigint,
           coalesce(sum(u.mails) FILTER (WHERE u.kind = 'delivered'), 0)::bigint,
           coalesce(sum(u.total) FILTER (WHERE u.kind = 'deferred'), 0)::bigint,
           coalesce(sum(u.total) FILTER (WHERE u.kind = 'opened'), 0)::bigint,
           coalesce(sum(u.mails) FILTER (WHERE u.kind = 'opened'), 0)::bigint,
           coalesce(sum(u.people) FILTER (WHERE u.kind = 'opened'), 0)::bigint,
           coalesce(sum(u.total) FILTER (WHERE u.kind = 'clicked'), 0)::bigint,
           coalesce(sum(u.mails) FILTER (WHERE u.kind = 'clicked'), 0)::bigint,
           coalesce(sum(u.people) FILTER (WHERE u.kind = 'clicked'), 0)::bigint,
           coalesce(sum(u.total) FILTER (WHERE u.kind = 'replied'), 0)::bigint,
           coalesce(sum(u.mails) FILTER (WHERE u.kind = 'replied'), 0)::bigint,
           coalesce(sum(u.people) FILTER (WHERE u.kind = 'replied'), 0)::bigint,
           coalesce(sum(u.total) FILTER (WHERE u.kind = 'bounced'), 0)::bigint,
           coalesce(sum(u.mails) FILTER (WHERE u.kind = 'bounced'), 0)::bigint,
           coalesce(sum(u.total) FILTER (WHERE u.kind = 'complained'), 0)::bigint,
           coalesce(sum(u.total) FILTER (WHERE u.kind = 'unsubscribed'), 0)::bigint,
           coalesce(sum(u.total) FILTER (WHERE u.kind = 'prefetched'), 0)::bigint
    FROM (
        SELECT t.key, NULL::date AS day, t.kind, t.total, t.mails, t.people
        FROM analytics.totals AS t
        WHERE NOT p_by_day AND p_since IS NULL AND p_until IS NULL
          AND t.workspace_id = ws AND t.grain = p_grain AND t.key = ANY (p_keys)
        UNION ALL
        -- One look-up for each key and kind: their days lie together, those before p_since are not read. Without days they are added
        -- up where they are read: 7,000 rows of a month of 20 domains went through 19 filters each.
        SELECT k.key, r.day, n.kind, r.total, r.mails, r.people
        FROM (SELECT DISTINCT u FROM unnest(p_keys) AS u) AS k (key)
        CROSS JOIN unnest(p_kinds) AS n (kind)
        CROSS JOIN LATERAL (
            SELECT b.day, b.total, b.mails, b.people
            FROM analytics.rollups AS b
            WHERE b.workspace_id = ws AND b.grain = p_grain AND b.key = k.key AND b.kind = n.kind
              AND b.day BETWEEN coalesce(p_since, '-infinity') AND coalesce(p_until, 'infinity')
            OFFSET 0) AS r
        WHERE p_by_day
        UNION ALL
        SELECT k.key, NULL, n.kind, r.total, r.mails, r.people
        FROM (SELECT DISTINCT u FROM unnest(p_keys) AS u) AS k (key)
        CROSS JOIN unnest(p_kinds) AS n (kind)
        CROSS JOIN LATERAL (
            SELECT sum(b.total)::bigint AS total, sum(b.mails)::bigint AS mails, sum(b.people)::bigint AS people
            FROM analytics.rollups AS b
            WHERE b.workspace_id = ws AND b.grain = p_grain AND b.key = k.key AND b.kind = n.kind
              AND b.day BETWEEN coalesce(p_since, '-infinity') AND coalesce(p_until, 'infinity')
            HAVING count(*) > 0) AS r
        WHERE NOT p_by_day AND (p_since IS NOT NULL OR p_until IS NOT NULL)
        UNION ALL
        SELECT d.key, CASE WHEN p_by_day THEN d.day END, d.kind, d.total, d.mails, d.people
        FROM analytics.rollup_deltas AS d
        WHERE d.workspace_id = ws AND d.grain = p_grain AND d.key = ANY (p_keys)
          AND d.day BETWEEN coalesce(p_since, '-infinity') AND coalesce(p_until, 'infinity')
    ) AS u
    GROUP BY u.key, u.day
    ORDER BY u.key, u.day;
END
$$;
GRANT EXECUTE ON FUNCTION outreach.rollup_report(text, text[], date, date, boolean, text[]) TO outreachdb_app, outreachdb_trusted;

-- owner: outreachdb_trusted
-- The keys of a grain that have most of any one kind, busiest first: of a workspace's domains nobody reads all. A key has at most
-- 24 kinds, so that many of the largest totals hold p_limit keys.
CREATE OR REPLACE FUNCTION outreach.busiest_keys(p_grain text, p_limit integer)
RETURNS TABLE (key text)
LANGUAGE sql
STABLE
SECURITY DEFINER
SET search_path = pg_catalog, pg_temp
AS $$
    SELECT b.key
    FROM (
        (SELECT t.key, t.kind, t.total FROM analytics.totals AS t
         WHERE t.workspace_id = outreach.current_workspace() AND t.grain = p_grain
         ORDER BY t.total DESC
         LIMIT p_limit * 24)
        UNION ALL
        SELECT d.key, d.kind, sum(d.total)::bigint FROM analytics.rollup_deltas AS d
        WHERE d.workspace_id = outreach.current_workspace() AND d.grain = p_grain
        GROUP BY d.key, d.kind
    ) AS b
    GROUP BY b.key
    ORDER BY max(b.total) DESC, b.key
    LIMIT p_limit
$$;
GRANT EXECUTE ON FUNCTION outreach.busiest_keys(text, integer) TO outreachdb_app, outreachdb_trusted;

-- owner: outreachdb_trusted
-- The keys of a campaign's steps ('7:1') or variants ('7:1:a') that have any count.
CREATE OR REPLACE FUNCTION outreach.campaign_keys(p_campaign bigint, p_grain text)
RETURNS TABLE (key text)
LANGUAGE sql
STABLE
SECURITY DEFINER
SET search_path = pg_catalog, pg_temp
AS $$
    SELECT t.key FROM analytics.totals AS t
    WHERE t.workspace_id = outreach.current_workspace() AND t.grain = p_grain
      AND t.key >= p_campaign || ':' AND t.key < p_campaign || ';'
    UNION
    SELECT d.key FROM analytics.rollup_deltas AS d
    WHERE d.workspace_id = outreach.current_workspace() AND d.grain = p_grain
      AND d.key >= p_campaign || ':' AND d.key < p_campaign || ';'
$$;
GRANT EXECUTE ON FUNCTION outreach.campaign_keys(bigint, text) TO outreachdb_app, outreachdb_trusted;

-- A campaign's days, or without one the workspace's, exact as of the call: counts, and rates of the mails delivered that day
-- (delivery and bounces: of those sent).
CREATE OR REPLACE FUNCTION outreach.get_campaign_analytics(
    p_campaign bigint DEFAULT NULL, p_since date DEFAULT NULL, p_until date DEFAULT NULL)
RETURNS TABLE (
    campaign_id bigint, day date, sent_count bigint, delivered_count bigint, opened_count bigint, unique_opened_count bigint,
    clicked_count bigint, unique_clicked_count bigint, replied_count bigint, bounced_count bigint, complained_count bigint,
    unsubscribed_count bigint, delivery_rate numeric, open_rate numeric, click_rate numeric, reply_rate numeric, bounce_rate numeric,
    as_of timestamptz)
LANGUAGE sql
STABLE
SET search_path = pg_catalog, pg_temp
AS $$
    SELECT p_campaign, r.day, r.sent, r.delivered_mails, r.opened, r.unique_opened, r.clicked, r.unique_clicked, r.replied,
           r.hard_bounced, r.complained, r.unsubscribed, round(r.delivered_mails::numeric / nullif(r.sent, 0), 4),
           round(r.opened_mails::numeric / nullif(r.delivered_mails, 0), 4),
           round(r.clicked_mails::numeric / nullif(r.delivered_mails, 0), 4),
           round(r.replied_mails::numeric / nullif(r.delivered_mails, 0), 4), round(r.hard_bounced::numeric / nullif(r.sent, 0), 4),
           statement_timestamp()
    FROM outreach.rollup_report(
        CASE WHEN p_campaign IS NULL THEN 'workspace' ELSE 'campaign' END, ARRAY[coalesce(p_campaign::text, '')], p_since, p_until,
        true) AS r
$$;
GRANT EXECUTE ON FUNCTION outreach.get_campaign_analytics(bigint, date, date) TO outreachdb_app, outreachdb_trusted;

-- Brings the metrics of campaigns up to date (folds what the session's workspace has waiting) and returns them: of the given
-- campaigns, or of all that have any.
CREATE OR REPLACE FUNCTION outreach.batch_update_campaign_metrics(p_campaigns bigint[] DEFAULT NULL)
RETURNS TABLE (
    campaign_id bigint, scheduled_count bigint, sent_count bigint, delivered_count bigint, opened_count bigint,
    unique_opened_count bigint, clicked_count bigint, unique_clicked_count bigint, replied_count bigint, bounced_count bigint,
    complained_count bigint, unsubscribed_count bigint)
LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    PERFORM outreach.fold_rollup_deltas(2147483647);
    RETURN QUERY
    SELECT c.id, r.scheduled, r.sent, r.delivered_mails, r.opened, r.unique_opened, r.clicked, r.unique_clicked, r.replied,
           r.hard_bounced, r.complained, r.unsubscribed
    FROM outreach.campaigns AS c
    JOIN outreach.rollup_report('campaign', ARRAY(
        SELECT k.id::text FROM outreach.campaigns AS k
        WHERE k.workspace_id = outreach.current_workspace() AND (p_campaigns IS NULL OR k.id = ANY (p_campaigns)))) AS r
        ON r.key = c.id::text
    WHERE c.workspace_id = outreach.current_workspace()
    ORDER BY c.id;
END
$$;
GRANT EXECUTE ON FUNCTION outreach.batch_update_campaign_metrics(bigint[]) TO outreachdb_app, outreachdb_trusted;

-- owner: outreachdb_trusted
-- How many leads of the session's workspace have each level of engagement: the counts that scoring keeps; the rest is cold.
CREATE OR REPLACE FUNCTION outreach.engagement_by_level()
RETURNS TABLE (level text, leads bigint)
LANGUAGE sql
STABLE
SECURITY DEFINER
SET search_path = pg_catalog, pg_temp
AS $$
    SELECT v.level,
           CASE v.level WHEN 'cold' THEN greatest(0, coalesce((
               SELECT a.total_leads FROM analytics.lead_analytics AS a WHERE a.workspace_id = outreach.current_workspace()
               ORDER BY a.day DESC LIMIT 1), 0) - coalesce((
               SELECT sum(g.leads) FROM analytics.engagement_levels AS g WHERE g.workspace_id = outreach.current_workspace()), 0))
           ELSE coalesce(g.leads, 0) END::bigint
    FROM (VALUES (1, 'hot'), (2, 'engaged'), (3, 'warm'), (4, 'cold')) AS v (place, level)
    LEFT JOIN analytics.engagement_levels AS g ON g.workspace_id = outreach.current_workspace() AND g.level = v.level
    ORDER BY v.place
$$;
GRANT EXECUTE ON FUNCTION outreach.engagement_by_level() TO outreachdb_app, outreachdb_trusted;
