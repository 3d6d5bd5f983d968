-- The materialised views live in the schema analytics, where no tenant can look; here each has a view that shows a workspace its
-- own rows, with the instant that they are exact as of.

-- owner: outreachdb_trusted
-- When a view was brought up to date.
CREATE OR REPLACE FUNCTION outreach.view_as_of(p_view text) RETURNS timestamptz
LANGUAGE sql STABLE
SECURITY DEFINER
SET search_path = pg_catalog, pg_temp
AS $$
    SELECT r.refreshed_at FROM analytics.view_refreshes AS r WHERE r.view_name = p_view
$$;
GRANT EXECUTE ON FUNCTION outreach.view_as_of(text) TO outreachdb_app, outreachdb_trusted, outreachdb_reader;

CREATE OR REPLACE VIEW outreach.campaign_analytics WITH (security_barrier = true) AS
SELECT m.workspace_id, m.campaign_id, m.name, m.run, m.status, m.launched_at, m.scheduled_count, m.sent_count, m.delivered_count,
       m.opened_count, m.opened_mails, m.unique_opened_count, m.clicked_count, m.clicked_mails, m.unique_clicked_count,
       m.replied_count, m.replied_mails, m.unique_replied_count, m.bounced_count, m.complained_count, m.unsubscribed_count,
       m.delivery_rate, m.open_rate, m.click_rate, m.reply_rate, m.bounce_rate, m.complaint_rate, m.unsubscribe_rate,
       (SELECT outreach.view_as_of('campaign_analytics')) AS as_of
FROM analytics.campaign_analytics AS m
WHERE m.workspace_id = (SELECT outreach.current_workspace());
GRANT SELECT ON outreach.campaign_analytics TO outreachdb_app, outreachdb_trusted;

CREATE OR REPLACE VIEW outreach.campaign_performance WITH (security_barrier = true) AS
SELECT m.workspace_id, m.campaign_id, m.step, m.variant, m.scheduled_count, m.sent_count, m.delivered_count, m.opened_count,
       m.opened_mails, m.unique_opened_count, m.clicked_count, m.clicked_mails, m.unique_clicked_count, m.replied_count,
       m.replied_mails, m.unique_replied_count, m.bounced_count, m.complained_count, m.unsubscribed_count, m.delivery_rate,
       m.open_rate, m.click_rate, m.reply_rate, m.bounce_rate, m.complaint_rate, m.unsubscribe_rate,
       (SELECT outreach.view_as_of('campaign_performance')) AS as_of
FROM analytics.campaign_performance AS m
WHERE m.workspace_id = (SELECT outreach.current_workspace());
GRANT SELECT ON outreach.campaign_performance TO outreachdb_app, outreachdb_trusted;

CREATE OR REPLACE VIEW outreach.lead_analytics WITH (security_barrier = true) AS
SELECT m.workspace_id, m.day, m.new_leads, m.untouched, m.verified, m.contacted, m.replied, m.qualified, m.converted,
       m.unsubscribed, m.bounced, m.archived, m.total_leads, (SELECT outreach.view_as_of('lead_analytics')) AS as_of
FROM analytics.lead_analytics AS m
WHERE m.workspace_id = (SELECT outreach.current_workspace());
GRANT SELECT ON outreach.lead_analytics TO outreachdb_app, outreachdb_trusted;

CREATE OR REPLACE VIEW outreach.email_deliverability_metrics WITH (security_barrier = true) AS
SELECT m.workspace_id, m.scope, m.key, m.sent_count, m.delivered_count, m.deferred_count, m.bounced_count, m.soft_bounced_count,
       m.complained_count, m.unsubscribed_count, m.delivery_rate, m.bounce_rate, m.complaint_rate,
       outreach.reputation_score(m.sent_count, m.bounced_count, m.delivered_count, m.complained_count) AS reputation_score,
       outreach.reputation(outreach.reputation_score(m.sent_count, m.bounced_count, m.delivered_count, m.complained_count))
           AS reputation,
       (SELECT outreach.view_as_of('email_deliverability_metrics')) AS as_of
FROM analytics.email_deliverability_metrics AS m
WHERE m.workspace_id = (SELECT outreach.current_workspace());
GRANT SELECT ON outreach.email_deliverability_metrics TO outreachdb_app, outreachdb_trusted;

CREATE OR REPLACE VIEW outreach.workspace_usage_analytics WITH (security_barrier = true) AS
SELECT m.workspace_id, m.name, m.created_at, m.lead_count, m.leads_30_days, m.campaign_count, m.running_campaigns, m.emails_sent,
       m.emails_delivered, m.emails_replied, m.emails_sent_30_days, m.ai_calls_30_days, m.ai_tokens_30_days,
       m.ai_cost_usd_30_days, m.agent_runs_30_days, (SELECT outreach.view_as_of('workspace_usage_analytics')) AS as_of
FROM analytics.workspace_usage_analytics AS m
WHERE m.workspace_id = (SELECT outreach.current_workspace());
GRANT SELECT ON outreach.workspace_usage_analytics TO outreachdb_app, outreachdb_trusted;

-- No materialised view: lead_engagement holds each score, and a refresh writes only those that change. Row-level security of that
-- table holds for whoever asks; behind a barrier the order of scores would not reach its index.
CREATE OR REPLACE VIEW outreach.lead_engagement_scores WITH (security_invoker = true) AS
SELECT e.workspace_id, e.lead_id, e.score AS engagement_score, e.level AS engagement_level, e.sent_count, e.open_count,
       e.click_count, e.reply_count, e.bounce_count, e.last_contacted_at, e.last_opened_at, e.last_clicked_at, e.last_replied_at,
       greatest(e.last_opened_at, e.last_clicked_at, e.last_replied_at) AS last_engaged_at,
       (SELECT outreach.view_as_of('lead_engagement_scores')) AS as_of
FROM outreach.lead_engagement AS e
WHERE e.workspace_id = (SELECT outreach.current_workspace());
GRANT SELECT ON outreach.lead_engagement_scores TO outreachdb_app, outreachdb_trusted;

-- How a workspace's leads grew, every day from p_since (default: 30 days) to p_until (default: today), as of the last refresh of
-- lead_analytics. growth_rate is the day's new leads by those of the evening before.
CREATE OR REPLACE FUNCTION outreach.get_lead_growth_analytics(p_since date DEFAULT NULL, p_until date DEFAULT NULL)
RETURNS TABLE (
    day date, new_leads bigint, total_leads bigint, growth_rate numeric, contacted bigint, replied bigint, qualified bigint,
    converted bigint, as_of timestamptz)
LANGUAGE sql
STABLE
SET search_path = pg_catalog, pg_temp
AS $$
    WITH given AS (
        SELECT coalesce(p_since, coalesce(p_until, timezone('UTC', now())::date) - 29) AS first,
               coalesce(p_until, timezone('UTC', now())::date) AS last
    ), before AS (
        SELECT coalesce((SELECT a.total_leads FROM outreach.lead_analytics AS a
                         WHERE a.day < g.first ORDER BY a.day DESC LIMIT 1), 0) AS leads
        FROM given AS g
    ), days AS (
        SELECT d.day::date AS day, coalesce(a.new_leads, 0) AS new_leads, coalesce(a.contacted, 0) AS contacted,
               coalesce(a.replied, 0) AS replied, coalesce(a.qualified, 0) AS qualified, coalesce(a.converted, 0) AS converted,
               (b.leads + sum(coalesce(a.new_leads, 0)) OVER (ORDER BY d.day))::bigint AS total_leads
        FROM given AS g
        CROSS JOIN before AS b
        CROSS JOIN LATERAL generate_series(g.first::timestamp, g.last::timestamp, interval '1 day') AS d (day)
        LEFT JOIN outreach.lead_analytics AS a ON a.day = d.day::date
    )
    SELECT y.day, y.new_leads, y.total_leads, round(y.new_leads::numeric / nullif(y.total_leads - y.new_leads, 0), 4),
           y.contacted, y.replied, y.qualified, y.converted, outreach.view_as_of('lead_analytics')
    FROM days AS y
    ORDER BY y.day
$$;
GRANT EXECUTE ON FUNCTION outreach.get_lead_growth_analytics(date, date) TO outreachdb_app, outreachdb_trusted;

-- Notes when a view was brought up to date; a clock that went back moves nothing back.
CREATE OR REPLACE FUNCTION outreach.note_refresh(p_view text, p_began timestamptz, p_rows bigint) RETURNS void
LANGUAGE sql
SET search_path = pg_catalog, pg_temp
AS $$
    INSERT INTO analytics.view_refreshes (view_name, refreshed_at, duration, row_count)
    VALUES (p_view, p_began, clock_timestamp() - p_began, p_rows)
    ON CONFLICT (view_name) DO UPDATE
    SET refreshed_at = excluded.refreshed_at, duration = excluded.duration, row_count = excluded.row_count
$$;
REVOKE EXECUTE ON FUNCTION outreach.note_refresh(text, timestamptz, bigint) FROM PUBLIC;
GRANT EXECUTE ON FUNCTION outreach.note_refresh(text, timestamptz, bigint) TO outreachdb_owner, outreachdb_trusted;

-- Refreshes a materialised view, which only its owner may, while readers go on with the old rows. Returns its rows, NULL where
-- somebody else refreshes it already. What is committed before the call is in it.
CREATE OR REPLACE FUNCTION outreach.refresh_view(p_view text) RETURNS bigint
LANGUAGE plpgsql
SECURITY DEFINER
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    began constant timestamptz := clock_timestamp();
    rows bigint;
BEGIN
    IF NOT EXISTS (SELECT FROM pg_matviews AS m WHERE m.schemaname = 'analytics' AND m.matviewname = p_view) THEN
        RAISE EXCEPTION 'no materialised view named %', p_view USING ERRCODE = 'invalid_parameter_value';
    ELSIF NOT pg_try_advisory_xact_lock(hashtextextended('outreachdb.refresh.' || p_view, 0)) THEN
        RETURN NULL;
    END IF;
    EXECUTE format('REFRESH MATERIALIZED VIEW CONCURRENTLY analytics.%I', p_view);
    EXECUTE format('SELECT count(*) FROM analytics.%I', p_view) INTO rows;
    PERFORM outreach.note_refresh(p_view, began, rows);
    RETURN rows;
END
$$;
GRANT EXECUTE ON FUNCTION outreach.refresh_view(text) TO outreachdb_trusted;

-- Hourly.
CREATE OR REPLACE FUNCTION outreach.refresh_campaign_analytics() RETURNS bigint
LANGUAGE sql SET search_path = pg_catalog, pg_temp
AS $$ SELECT outreach.refresh_view('campaign_analytics') $$;

-- Every 30 minutes.
CREATE OR REPLACE FUNCTION outreach.refresh_campaign_performance() RETURNS bigint
LANGUAGE sql SET search_path = pg_catalog, pg_temp
AS $$ SELECT outreach.refresh_view('campaign_performance') $$;

-- Every 30 minutes.
CREATE OR REPLACE FUNCTION outreach.refresh_lead_analytics() RETURNS bigint
LANGUAGE sql SET search_path = pg_catalog, pg_temp
AS $$ SELECT outreach.refresh_view('lead_analytics') $$;

-- Every two hours.
CREATE OR REPLACE FUNCTION outreach.refresh_email_deliverability_metrics() RETURNS bigint
LANGUAGE sql SET search_path = pg_catalog, pg_temp
AS $$ SELECT outreach.refresh_view('email_deliverability_metrics') $$;

-- Daily; its counts of leads are those of lead_analytics.
CREATE OR REPLACE FUNCTION outreach.refresh_workspace_usage_analytics() RETURNS bigint
LANGUAGE sql SET search_path = pg_catalog, pg_temp
AS $$ SELECT outreach.refresh_view('workspace_usage_analytics') $$;

-- owner: outreachdb_trusted
-- Every six hours: scores whose leads did something or whose deeds have grown old, of all workspaces, in one transaction; returns how
-- many changed. outreachdb's own job does the same in small transactions.
CREATE OR REPLACE FUNCTION outreach.refresh_lead_engagement_scores() RETURNS bigint
LANGUAGE plpgsql
SECURITY DEFINER
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    began constant timestamptz := clock_timestamp();
    ws bigint;
    part record;
    everything bigint := 0;
BEGIN
    FOR ws IN SELECT w.id FROM outreach.workspaces AS w ORDER BY w.id LOOP
        LOOP
            SELECT s.looked, s.changed INTO part FROM outreach.score_engaged_leads(ws, 50000) AS s;
            everything := everything + part.changed;
            EXIT WHEN part.looked = 0;
        END LOOP;
    END LOOP;
    PERFORM outreach.note_refresh('lead_engagement_scores', began, everything);
    RETURN everything;
END
$$;
GRANT EXECUTE ON FUNCTION outreach.refresh_lead_engagement_scores() TO outreachdb_trusted;
