-- The formula and its reasons are told in docs/explanation/scores.md.

-- What an action still counts, by its age: steps instead of a curve, so that a score changes on few days of its life and only
-- leads whose score changes are written.
CREATE OR REPLACE FUNCTION outreach.interest_left(p_last timestamptz, p_now timestamptz) RETURNS double precision
LANGUAGE sql IMMUTABLE PARALLEL SAFE
RETURN CASE
    WHEN p_last IS NULL THEN 0.0
    WHEN extract(epoch FROM p_now - p_last) < 7 * 86400 THEN 1.0
    WHEN extract(epoch FROM p_now - p_last) < 30 * 86400 THEN 0.8
    WHEN extract(epoch FROM p_now - p_last) < 90 * 86400 THEN 0.5
    WHEN extract(epoch FROM p_now - p_last) < 180 * 86400 THEN 0.25
    ELSE 0.1 END;

-- When it will count less; NULL when it will not.
CREATE OR REPLACE FUNCTION outreach.interest_ends(p_last timestamptz, p_now timestamptz) RETURNS timestamptz
LANGUAGE sql STABLE PARALLEL SAFE
RETURN p_last + make_interval(secs => CASE
    WHEN extract(epoch FROM p_now - p_last) < 7 * 86400 THEN 7 * 86400
    WHEN extract(epoch FROM p_now - p_last) < 30 * 86400 THEN 30 * 86400
    WHEN extract(epoch FROM p_now - p_last) < 90 * 86400 THEN 90 * 86400
    WHEN extract(epoch FROM p_now - p_last) < 180 * 86400 THEN 180 * 86400 END);

-- 0 to 100. Each further action of a kind is worth three tenths of the one before (ten are as good as all: power() refuses to
-- underflow).
CREATE OR REPLACE FUNCTION outreach.engagement_score(
    p_opens bigint, p_clicks bigint, p_replies bigint, p_bounces bigint, p_opened timestamptz, p_clicked timestamptz,
    p_replied timestamptz, p_now timestamptz) RETURNS real
LANGUAGE sql IMMUTABLE PARALLEL SAFE
RETURN round(greatest(0, least(100,
    60 * outreach.interest_left(p_replied, p_now) * (1 - power(0.3::double precision, least(p_replies, 10)))
    + 25 * outreach.interest_left(p_clicked, p_now) * (1 - power(0.3::double precision, least(p_clicks, 10)))
    + 15 * outreach.interest_left(p_opened, p_now) * (1 - power(0.3::double precision, least(p_opens, 10)))
    - 20 * p_bounces))::numeric, 1)::real;

CREATE OR REPLACE FUNCTION outreach.engagement_level(p_score real) RETURNS text
LANGUAGE sql IMMUTABLE PARALLEL SAFE
RETURN CASE WHEN p_score >= 60 THEN 'hot' WHEN p_score >= 30 THEN 'engaged' WHEN p_score >= 10 THEN 'warm' ELSE 'cold' END;

-- Makes the scores of some leads again; returns how many changed. Locks engagement in the order of ids, as ingest does. Whoever
-- calls holds the workspace's lock of scores.
CREATE OR REPLACE FUNCTION outreach.score_leads(p_workspace bigint, p_leads bigint[], p_now timestamptz) RETURNS bigint
LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp
SET plan_cache_mode = force_generic_plan
AS $$
DECLARE
    changed bigint;
BEGIN
    WITH held AS MATERIALIZED (
        SELECT e.lead_id, e.score, e.level, e.score_due_at,
               outreach.engagement_score(e.open_count, e.click_count, e.reply_count, e.bounce_count, e.last_opened_at,
                                         e.last_clicked_at, e.last_replied_at, p_now) AS score_now,
               least(outreach.interest_ends(e.last_opened_at, p_now), outreach.interest_ends(e.last_clicked_at, p_now),
                     outreach.interest_ends(e.last_replied_at, p_now)) AS due_now
        FROM outreach.lead_engagement AS e
        WHERE e.workspace_id = p_workspace AND e.lead_id = ANY (p_leads)
        ORDER BY e.lead_id
        FOR NO KEY UPDATE
    ), moved AS (
        UPDATE outreach.lead_engagement AS e
        SET score = h.score_now, level = outreach.engagement_level(h.score_now), score_due_at = h.due_now
        FROM held AS h
        WHERE e.workspace_id = p_workspace AND e.lead_id = h.lead_id
          AND (h.score, h.score_due_at) IS DISTINCT FROM (h.score_now, h.due_now)
        RETURNING h.level AS was, e.level
    ), levels AS (
        INSERT INTO analytics.engagement_levels AS g (workspace_id, level, leads)
        SELECT p_workspace, c.level, sum(c.n)
        FROM (SELECT m.level, count(*) AS n FROM moved AS m GROUP BY m.level
              UNION ALL
              SELECT m.was, -count(*) FROM moved AS m GROUP BY m.was) AS c
        WHERE c.level <> 'cold'
        GROUP BY c.level
        HAVING sum(c.n) <> 0
        ORDER BY c.level
        ON CONFLICT (workspace_id, level) DO UPDATE SET leads = g.leads + excluded.leads
    )
    SELECT count(*) INTO changed FROM moved;
    RETURN changed;
END
$$;
REVOKE EXECUTE ON FUNCTION outreach.score_leads(bigint, bigint[], timestamptz) FROM PUBLIC;
GRANT EXECUTE ON FUNCTION outreach.score_leads(bigint, bigint[], timestamptz) TO outreachdb_trusted;

-- owner: outreachdb_trusted
-- Scores about p_limit leads of a workspace again: those who did something since, and those whose deeds have grown old. Returns how
-- many it looked at and how many changed; 0 looked at: all is done, or somebody else is at it.
CREATE OR REPLACE FUNCTION outreach.score_engaged_leads(p_workspace bigint, p_limit integer)
RETURNS TABLE (looked bigint, changed bigint)
LANGUAGE plpgsql
SECURITY DEFINER
SET search_path = pg_catalog, pg_temp
AS $$
#variable_conflict use_column
DECLARE
    moment constant timestamptz := statement_timestamp();
    last bigint;
    leads bigint[];
BEGIN
    IF NOT pg_try_advisory_xact_lock(hashtextextended('outreachdb.scores.' || p_workspace, 0)) THEN
        RETURN QUERY SELECT 0::bigint, 0::bigint;
        RETURN;
    END IF;
    -- The batches before p_limit leads are full, and one more. A batch's row came with its engagement, in one transaction.
    SELECT max(b.id) INTO last
    FROM (SELECT q.id, sum(cardinality(q.leads)) OVER (ORDER BY q.id) - cardinality(q.leads) AS before
          FROM (SELECT * FROM analytics.engaged_leads AS e WHERE e.workspace_id = p_workspace ORDER BY e.id LIMIT p_limit) AS q) AS b
    WHERE b.before < p_limit;
    WITH taken AS (
        DELETE FROM analytics.engaged_leads AS e WHERE e.workspace_id = p_workspace AND e.id <= last RETURNING e.leads
    )
    SELECT array_agg(DISTINCT u) INTO leads FROM taken AS t CROSS JOIN LATERAL unnest(t.leads) AS u;
    leads := coalesce(leads, '{}') || ARRAY(
        SELECT e.lead_id FROM outreach.lead_engagement AS e
        WHERE e.workspace_id = p_workspace AND e.score_due_at <= moment
        ORDER BY e.score_due_at
        LIMIT p_limit);
    looked := cardinality(leads);
    changed := CASE WHEN looked > 0 THEN outreach.score_leads(p_workspace, leads, moment) ELSE 0 END;
    RETURN NEXT;
END
$$;
GRANT EXECUTE ON FUNCTION outreach.score_engaged_leads(bigint, integer) TO outreachdb_trusted;

-- owner: outreachdb_trusted
-- Scores the leads of a workspace after p_after again, whatever is known of them, p_limit at most; returns the last of them, NULL
-- at the end, where the counts of levels are made anew. For the first time, and for whatever went past the other ways.
CREATE OR REPLACE FUNCTION outreach.rescore_leads(p_workspace bigint, p_after bigint, p_limit integer) RETURNS bigint
LANGUAGE plpgsql
SECURITY DEFINER
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    leads bigint[];
BEGIN
    PERFORM pg_advisory_xact_lock(hashtextextended('outreachdb.scores.' || p_workspace, 0));
    leads := ARRAY(
        SELECT e.lead_id FROM outreach.lead_engagement AS e
        WHERE e.workspace_id = p_workspace AND e.lead_id > p_after
        ORDER BY e.lead_id
        LIMIT p_limit);
    IF cardinality(leads) > 0 THEN
        PERFORM outreach.score_leads(p_workspace, leads, statement_timestamp());
        RETURN leads[cardinality(leads)];
    END IF;
    INSERT INTO analytics.engagement_levels AS g (workspace_id, level, leads)
    SELECT p_workspace, v.level, count(e.lead_id)
    FROM (VALUES ('warm'), ('engaged'), ('hot')) AS v (level)
    LEFT JOIN outreach.lead_engagement AS e ON e.workspace_id = p_workspace AND e.score > 0 AND e.level = v.level
    GROUP BY v.level
    ON CONFLICT (workspace_id, level) DO UPDATE SET leads = excluded.leads;
    RETURN NULL;
END
$$;
GRANT EXECUTE ON FUNCTION outreach.rescore_leads(bigint, bigint, integer) TO outreachdb_trusted;

-- 0 to 100: how far bounces and complaints are from what providers suspend senders for; the worse of the two decides. As if a
-- hundred mails with usual rates (1 % bounced, 0.05 % complained) had been sent before, so that one bounce of three mails says little.
CREATE OR REPLACE FUNCTION outreach.reputation_score(p_sent bigint, p_bounced bigint, p_delivered bigint, p_complained bigint)
RETURNS real
LANGUAGE sql IMMUTABLE PARALLEL SAFE
RETURN round(100 * greatest(0, least(1,
    (0.10 - (p_bounced + 1.0) / (greatest(p_sent, p_bounced) + 100)) / 0.08,
    (0.005 - (p_complained + 0.05) / (greatest(p_delivered, p_complained) + 100)) / 0.004)), 1)::real;

CREATE OR REPLACE FUNCTION outreach.reputation(p_score real) RETURNS text
LANGUAGE sql IMMUTABLE PARALLEL SAFE
RETURN CASE WHEN p_score >= 80 THEN 'good' WHEN p_score >= 50 THEN 'fair' ELSE 'poor' END;
