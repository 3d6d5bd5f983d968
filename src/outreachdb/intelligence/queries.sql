-- name: put_profile
-- One profile per lead and platform; what is seen again replaces what was known.
INSERT INTO outreach.contact_social_profiles
    (workspace_id, lead_id, platform, profile_url, company_name, headline, follower_count, decision_maker_score,
     contact_priority, scraped_at)
VALUES (%(workspace_id)s, %(lead_id)s, %(platform)s, %(profile_url)s, %(company_name)s, %(headline)s,
        %(follower_count)s, %(decision_maker_score)s, %(contact_priority)s, %(scraped_at)s)
ON CONFLICT (workspace_id, lead_id, platform) DO UPDATE
SET profile_url = excluded.profile_url, company_name = excluded.company_name, headline = excluded.headline,
    follower_count = excluded.follower_count, decision_maker_score = excluded.decision_maker_score,
    contact_priority = excluded.contact_priority, scraped_at = excluded.scraped_at
RETURNING id;

-- name: profiles_of_lead
SELECT p.lead_id, p.platform, p.profile_url, p.company_name, p.headline, p.decision_maker_score, p.contact_priority
FROM outreach.contact_social_profiles AS p
WHERE p.workspace_id = %(workspace_id)s AND p.lead_id = %(lead_id)s
ORDER BY p.platform;

-- name: top_contacts
SELECT p.lead_id, p.platform, p.profile_url, p.company_name, p.headline, p.decision_maker_score, p.contact_priority
FROM outreach.contact_social_profiles AS p
WHERE p.workspace_id = %(workspace_id)s AND p.company_name = %(company_name)s
ORDER BY p.decision_maker_score DESC NULLS LAST
LIMIT %(limit)s;

-- name: decision_makers
SELECT p.lead_id, p.platform, p.profile_url, p.company_name, p.headline, p.decision_maker_score, p.contact_priority
FROM outreach.contact_social_profiles AS p
WHERE p.workspace_id = %(workspace_id)s AND p.decision_maker_score >= %(least)s::real
ORDER BY p.decision_maker_score DESC
LIMIT %(limit)s;

-- name: contacts_of_priority
SELECT p.lead_id, p.platform, p.profile_url, p.company_name, p.headline, p.decision_maker_score, p.contact_priority
FROM outreach.contact_social_profiles AS p
WHERE p.workspace_id = %(workspace_id)s AND p.contact_priority = %(priority)s
LIMIT %(limit)s;

-- name: put_chart
INSERT INTO outreach.organization_charts (workspace_id, lead_id, company_id, chart)
VALUES (%(workspace_id)s, %(lead_id)s, %(company_id)s, %(chart)s)
RETURNING id;

-- name: chart_of_company
SELECT o.id, o.lead_id, o.company_id, o.chart, o.created_at
FROM outreach.organization_charts AS o
WHERE o.workspace_id = %(workspace_id)s AND o.company_id = %(company_id)s
ORDER BY o.created_at DESC
LIMIT 1;

-- name: charts_of_lead
SELECT o.id, o.lead_id, o.company_id, o.chart, o.created_at
FROM outreach.organization_charts AS o
WHERE o.workspace_id = %(workspace_id)s AND o.lead_id = %(lead_id)s
ORDER BY o.created_at DESC;

-- name: add_activity
INSERT INTO outreach.social_media_activity (workspace_id, lead_id, platform, content, url, sentiment, posted_at)
VALUES (%(workspace_id)s, %(lead_id)s, %(platform)s, %(content)s, %(url)s, %(sentiment)s, %(posted_at)s)
RETURNING id;

-- name: newest_activity
SELECT a.id, a.lead_id, a.platform, a.content, a.url, a.sentiment, a.posted_at, a.scraped_at
FROM outreach.social_media_activity AS a
WHERE a.workspace_id = %(workspace_id)s AND a.posted_at < %(before)s
ORDER BY a.posted_at DESC
LIMIT %(limit)s;

-- name: platform_timeline
SELECT a.id, a.lead_id, a.platform, a.content, a.url, a.sentiment, a.posted_at, a.scraped_at
FROM outreach.social_media_activity AS a
WHERE a.workspace_id = %(workspace_id)s AND a.platform = %(platform)s AND a.posted_at < %(before)s
ORDER BY a.posted_at DESC
LIMIT %(limit)s;

-- name: lead_activity
SELECT a.id, a.lead_id, a.platform, a.content, a.url, a.sentiment, a.posted_at, a.scraped_at
FROM outreach.social_media_activity AS a
WHERE a.workspace_id = %(workspace_id)s AND a.lead_id = %(lead_id)s AND a.posted_at < %(before)s
ORDER BY a.posted_at DESC
LIMIT %(limit)s;

-- name: activity_of_sentiment
SELECT a.id, a.lead_id, a.platform, a.content, a.url, a.sentiment, a.posted_at, a.scraped_at
FROM outreach.social_media_activity AS a
WHERE a.workspace_id = %(workspace_id)s AND a.sentiment = %(sentiment)s AND a.posted_at < %(before)s
ORDER BY a.posted_at DESC
LIMIT %(limit)s;

-- name: last_scraped
SELECT max(a.scraped_at)
FROM outreach.social_media_activity AS a
WHERE a.workspace_id = %(workspace_id)s;

-- name: log_call
INSERT INTO outreach.llm_api_calls
    (workspace_id, provider, endpoint, model, prompt_tokens, completion_tokens, total_tokens, latency_ms, cost_usd, success)
VALUES (%(workspace_id)s, %(provider)s, %(endpoint)s, %(model)s, %(prompt_tokens)s, %(completion_tokens)s,
        %(prompt_tokens)s::bigint + %(completion_tokens)s::bigint, %(latency_ms)s, %(cost_usd)s, %(success)s)
RETURNING id;

-- name: cost_per_day
SELECT timezone('UTC', c.created_at)::date AS day, c.provider, c.model, count(*) AS calls,
       count(*) FILTER (WHERE NOT c.success) AS failed, sum(c.total_tokens)::bigint AS tokens,
       sum(c.cost_usd) AS cost_usd, avg(c.latency_ms)::float8 AS mean_latency_ms
FROM outreach.llm_api_calls AS c
WHERE c.workspace_id = %(workspace_id)s AND c.created_at >= %(since)s AND c.created_at < %(until)s
GROUP BY 1, 2, 3
ORDER BY 1, 2, 3;

-- name: recent_calls
SELECT c.id, c.provider, c.model, c.endpoint, c.prompt_tokens, c.completion_tokens, c.latency_ms, c.cost_usd,
       c.success, c.created_at
FROM outreach.llm_api_calls AS c
WHERE c.workspace_id = %(workspace_id)s AND c.provider = %(provider)s AND c.model = %(model)s
ORDER BY c.created_at DESC
LIMIT %(limit)s;

-- name: start_run
INSERT INTO outreach.agent_executions (workspace_id, lead_id, agent, status, started_at)
VALUES (%(workspace_id)s, %(lead_id)s, %(agent)s, 'running', %(now)s)
RETURNING id;

-- name: finish_run
-- A run is finished once: what another call finished before stays.
UPDATE outreach.agent_executions AS e
SET status = %(status)s, result = %(result)s, error = %(error)s, completed_at = %(now)s
WHERE e.workspace_id = %(workspace_id)s AND e.id = %(run_id)s AND e.status IN ('queued', 'running')
RETURNING e.id;

-- name: runs_by_status
SELECT e.id, e.lead_id, e.agent, e.status, e.error, e.started_at, e.completed_at, e.created_at
FROM outreach.agent_executions AS e
WHERE e.workspace_id = %(workspace_id)s AND e.status = %(status)s
ORDER BY e.created_at DESC
LIMIT %(limit)s;

-- name: runs_of_lead
SELECT e.id, e.lead_id, e.agent, e.status, e.error, e.started_at, e.completed_at, e.created_at
FROM outreach.agent_executions AS e
WHERE e.workspace_id = %(workspace_id)s AND e.lead_id = %(lead_id)s
ORDER BY e.status, e.created_at DESC;

-- name: runs_started_since
SELECT e.id, e.lead_id, e.agent, e.status, e.error, e.started_at, e.completed_at, e.created_at
FROM outreach.agent_executions AS e
WHERE e.workspace_id = %(workspace_id)s AND e.started_at >= %(since)s
ORDER BY e.started_at DESC
LIMIT %(limit)s;

-- name: runs_completed_since
SELECT e.id, e.lead_id, e.agent, e.status, e.error, e.started_at, e.completed_at, e.created_at
FROM outreach.agent_executions AS e
WHERE e.workspace_id = %(workspace_id)s AND e.completed_at >= %(since)s
ORDER BY e.completed_at DESC
LIMIT %(limit)s;

-- name: voice_by_status
SELECT v.id, v.lead_id, v.status, v.duration_seconds, v.created_at, v.completed_at
FROM outreach.voice_session_logs AS v
WHERE v.workspace_id = %(workspace_id)s AND v.status = %(status)s
ORDER BY v.created_at DESC
LIMIT %(limit)s;

-- name: voice_of_lead
SELECT v.id, v.lead_id, v.status, v.duration_seconds, v.created_at, v.completed_at
FROM outreach.voice_session_logs AS v
WHERE v.workspace_id = %(workspace_id)s AND v.lead_id = %(lead_id)s
ORDER BY v.created_at DESC;

-- name: voice_completed_since
SELECT v.id, v.lead_id, v.status, v.duration_seconds, v.created_at, v.completed_at
FROM outreach.voice_session_logs AS v
WHERE v.workspace_id = %(workspace_id)s AND v.completed_at >= %(since)s
ORDER BY v.completed_at DESC
LIMIT %(limit)s;

-- name: sync_history
SELECT s.id, s.credential_id, s.direction, s.status, s.rows_seen, s.rows_changed, s.error, s.started_at, s.completed_at
FROM outreach.crm_sync_logs AS s
WHERE s.workspace_id = %(workspace_id)s AND s.credential_id = %(credential_id)s
ORDER BY s.started_at DESC
LIMIT %(limit)s;

-- name: syncs_by_status
SELECT s.id, s.credential_id, s.direction, s.status, s.rows_seen, s.rows_changed, s.error, s.started_at, s.completed_at
FROM outreach.crm_sync_logs AS s
WHERE s.workspace_id = %(workspace_id)s AND s.status = %(status)s
ORDER BY s.started_at DESC
LIMIT %(limit)s;

-- name: contacts_due
SELECT c.id, c.credential_id, c.lead_id, c.external_id, c.synced_at
FROM outreach.crm_contacts AS c
WHERE c.workspace_id = %(workspace_id)s
ORDER BY c.synced_at NULLS FIRST
LIMIT %(limit)s;

-- name: find_contact
SELECT c.id, c.credential_id, c.lead_id, c.external_id, c.synced_at
FROM outreach.crm_contacts AS c
WHERE c.workspace_id = %(workspace_id)s AND c.credential_id = %(credential_id)s AND c.external_id = %(external_id)s;

-- name: contacts_of_lead
SELECT c.id, c.credential_id, c.lead_id, c.external_id, c.synced_at
FROM outreach.crm_contacts AS c
WHERE c.workspace_id = %(workspace_id)s AND c.lead_id = %(lead_id)s
ORDER BY c.id;

-- name: take_webhook
-- A delivery that comes again changes nothing and gives no row.
INSERT INTO outreach.crm_webhooks (workspace_id, credential_id, delivery_id, event_type, payload)
VALUES (%(workspace_id)s, %(credential_id)s, %(delivery_id)s, %(event_type)s, %(payload)s)
ON CONFLICT (workspace_id, credential_id, delivery_id) DO NOTHING
RETURNING id;

-- name: pending_webhooks
SELECT w.id, w.credential_id, w.delivery_id, w.event_type, w.payload, w.received_at
FROM outreach.crm_webhooks AS w
WHERE w.workspace_id = %(workspace_id)s AND w.processed_at IS NULL
ORDER BY w.received_at
LIMIT %(limit)s;

-- name: webhook_processed
UPDATE outreach.crm_webhooks AS w
SET processed_at = %(now)s, error = %(error)s
WHERE w.workspace_id = %(workspace_id)s AND w.id = %(webhook_id)s AND w.processed_at IS NULL
RETURNING w.id;

-- name: put_report
INSERT INTO outreach.reports (workspace_id, lead_id, kind, title, body, period_start, period_end)
VALUES (%(workspace_id)s, %(lead_id)s, %(kind)s, %(title)s, %(body)s, %(period_start)s, %(period_end)s)
RETURNING id;

-- name: latest_reports
SELECT r.id, r.lead_id, r.kind, r.title, r.period_start, r.period_end, r.created_at
FROM outreach.reports AS r
WHERE r.workspace_id = %(workspace_id)s AND r.kind = %(kind)s
ORDER BY r.created_at DESC
LIMIT %(limit)s;

-- name: reports_of_lead
SELECT r.id, r.lead_id, r.kind, r.title, r.period_start, r.period_end, r.created_at
FROM outreach.reports AS r
WHERE r.workspace_id = %(workspace_id)s AND r.lead_id = %(lead_id)s
ORDER BY r.created_at DESC;
