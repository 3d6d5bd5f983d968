-- One big workspace (1) beside twenty small ones (2-21) and thousands of empty ones, over five months. Foreign-key triggers are
-- off meanwhile: the rows fit each other by construction, and checking them is a test of its own.
SET session_replication_role = replica;

INSERT INTO outreach.workspaces (id, name) SELECT w, 'workspace-' || w FROM generate_series(1, 5000) AS w;

INSERT INTO outreach.api_keys (workspace_id, name, prefix, key_hash, created_at, expires_at, revoked_at)
SELECT 1 + n % 5000, 'key ' || n, 'odb_' || n, sha256(('key' || n)::bytea), now() - n * interval '1 minute',
       now() + (n % 400) * interval '1 day', CASE WHEN n % 4 = 0 THEN now() END
FROM generate_series(1, 20000) AS n;

INSERT INTO outreach.companies
    (workspace_id, id, name, domain, website_url, industry, renewal_month, last_crawled_at, created_at)
SELECT CASE WHEN n <= 50000 THEN 1 ELSE 2 + n % 20 END, n, 'Company ' || n,
       CASE WHEN n % 10 < 7 THEN 'company' || n || '.example' END,
       CASE WHEN n % 10 < 7 THEN 'https://company' || n || '.example' END,
       (ARRAY['SaaS', 'Retail', 'Finance', 'Health', 'Energy'])[1 + n % 5],
       CASE WHEN n % 5 < 3 THEN 1 + n % 12 END,
       CASE WHEN n % 10 < 8 THEN now() - hashint4(n) % 1000 * interval '3 hours' END,
       now() - (52000 - n) * interval '10 minutes'
FROM generate_series(1, 52000) AS n;

INSERT INTO outreach.leads (
    workspace_id, id, email, first_name, last_name, title, company_id, company_name, company_website, linkedin_url, industry,
    country, source, source_key, status, tags, custom_fields, notes, qualification_score, qualified_at, email_status,
    email_checked_at, profile_checked_at, created_at, updated_at)
SELECT w, n, CASE WHEN n % 20 > 0 THEN 'Person' || n || '@company' || 1 + n % 50000 || '.example' END,
       (ARRAY['Ada', 'Grace', 'Alan', 'Edsger', 'Barbara', 'Donald', 'Radia', 'Leslie'])[1 + n % 8],
       'Family' || h % 20000, (ARRAY['CEO', 'CTO', 'Buyer', 'Head of Sales'])[1 + n % 4],
       CASE WHEN n % 10 < 8 THEN 1 + n % 50000 END, 'Company ' || 1 + n % 50000,
       'https://company' || 1 + n % 50000 || '.example', 'https://www.linkedin.com/in/person' || n,
       (ARRAY['SaaS', 'SaaS', 'Retail', 'Finance', 'Health', 'Energy', 'Media', 'Mining'])[1 + h % 8 - (h % 8) / 7 * (n % 100 > 0)::integer],
       (ARRAY['DE', 'FR', 'US', 'GB'])[1 + n % 4], 'list ' || n % 30, CASE WHEN n % 20 = 0 THEN 'key' || n END,
       CASE WHEN h % 100 < 40 THEN 'new' WHEN h % 100 < 65 THEN 'verified' WHEN h % 100 < 90 THEN 'contacted'
            WHEN h % 100 < 93 THEN 'replied' WHEN h % 100 < 95 THEN 'qualified' WHEN h % 100 < 96 THEN 'converted'
            WHEN h % 100 < 97 THEN 'unsubscribed' WHEN h % 100 < 98 THEN 'bounced' ELSE 'archived' END,
       ARRAY['tag' || h % 10, 'rare' || h % 2000],
       jsonb_build_object('plan', (ARRAY['free', 'team', 'enterprise'])[1 + h % 3], 'account', h % 5000),
       'Met at the fair, asked for an offer, number ' || n,
       CASE WHEN n % 3 > 0 THEN (h % 1000) / 10.0 END, CASE WHEN n % 25 = 0 THEN at + interval '1 hour' END,
       CASE WHEN h % 50 < 30 THEN 'valid' WHEN h % 50 < 35 THEN 'risky' WHEN h % 50 < 38 THEN 'invalid'
            WHEN h % 50 < 40 THEN 'unknown' ELSE 'unchecked' END,
       CASE WHEN h % 50 < 40 THEN at + (h % 500) * interval '1 minute' END,
       CASE WHEN h % 7 > 0 THEN at + (h % 900) * interval '1 minute' END, at, at + (h % 3000) * interval '1 minute'
FROM (SELECT CASE WHEN n <= 200000 THEN 1 ELSE 2 + n % 20 END AS w, n, hashint4(n) & 2147483647 AS h,
             now() - (220001 - n) * interval '150 seconds' AS at
      FROM generate_series(1, 220000) AS n) AS people;

INSERT INTO outreach.lead_engagement (
    workspace_id, lead_id, last_contacted_at, sent_count, open_count, score, level)
SELECT 1, n, CASE WHEN n % 5 > 0 THEN now() - (hashint4(n) & 65535) * interval '4 minutes' END, n % 7, n % 3, n % 100,
       (ARRAY['cold', 'warm', 'engaged', 'hot'])[1 + n % 4]
FROM generate_series(1, 120000) AS n;

INSERT INTO outreach.imports (workspace_id, id, file_name, file_sha256, status, rows_read, inserted, started_at)
SELECT CASE WHEN n % 10 > 0 THEN 1 ELSE 2 + n % 20 END, n, 'list' || n || '.csv', sha256(('file' || n)::bytea), 'done', 200, 200,
       now() - n * interval '40 minutes'
FROM generate_series(1, 5000) AS n;
INSERT INTO outreach.import_mappings (workspace_id, name, header, mapping)
SELECT 1, 'mapping ' || n, ARRAY['Email'], '{}' FROM generate_series(1, 5000) AS n;
INSERT INTO outreach.import_rejects (workspace_id, import_id, row_number, reason, raw)
SELECT 1, 1 + n / 40 * 10 % 5000, n, 'not an e-mail address', 'a,b,c,' || n FROM generate_series(1, 20000) AS n;
INSERT INTO outreach.import_changes (workspace_id, import_id, lead_id, before)
SELECT 1, 1 + n / 200, n, '{}' FROM generate_series(1, 200000) AS n;

INSERT INTO outreach.search_words (workspace_id, word)
SELECT CASE WHEN n % 10 > 0 THEN 1 ELSE 2 + n % 20 END, CASE WHEN n = 1 THEN 'barbara' ELSE 'word' || n END
FROM generate_series(1, 30000) AS n;

INSERT INTO outreach.suppressions (workspace_id, id, target, reason, expires_at, created_at)
SELECT CASE WHEN n % 10 > 0 THEN 1 ELSE 2 + n % 20 END, n, 'person' || n || '@gone.example',
       (ARRAY['unsubscribed', 'bounced', 'complained'])[1 + n % 3], CASE WHEN n % 50 = 0 THEN now() + (n % 90) * interval '1 day' END,
       now() - (20001 - n) * interval '10 minutes'
FROM generate_series(1, 20000) AS n;

INSERT INTO outreach.segments (workspace_id, id, name, definition)
SELECT 1 + n % 10, n, 'segment ' || n, '{"field": "status", "op": "equals", "value": "verified"}'
FROM generate_series(1, 5000) AS n;
INSERT INTO outreach.segment_versions (workspace_id, segment_id, version, definition, changed_by)
SELECT 1 + n % 10, n, v, '{}', 'ann' FROM generate_series(1, 5000) AS n, generate_series(1, 4) AS v;

-- Each of the first hundred was launched, a day and a half after the one before, and has 2000 sends.
INSERT INTO outreach.campaigns (workspace_id, id, name, run, segment_id, status, created_at, launched_at)
SELECT CASE WHEN n <= 100 OR n % 10 > 0 THEN 1 ELSE 2 + n % 20 END, n, 'campaign ' || n / 2, 1 + n % 2, n % 500 + 1,
       CASE WHEN n > 100 THEN CASE WHEN n % 50 = 0 THEN 'cancelled' ELSE 'draft' END
            WHEN n > 97 THEN 'running' ELSE 'completed' END,
       now() - (5001 - n) * interval '40 minutes',
       CASE WHEN n <= 100 THEN date_trunc('minute', now() - (100 - n) * interval '36 hours' - interval '1 hour') END
FROM generate_series(1, 5000) AS n;
INSERT INTO outreach.campaign_steps (workspace_id, campaign_id, step, subject, body_text)
SELECT 1, c, s, 'Subject', repeat('text ', 100) FROM generate_series(1, 5000) AS c, generate_series(1, 3) AS s;
INSERT INTO outreach.mailboxes (workspace_id, id, address, smtp_host)
SELECT 1 + n % 10, n, 'sender' || n || '@mail.example', '127.0.0.1' FROM generate_series(1, 5000) AS n;
INSERT INTO outreach.campaign_mailboxes (workspace_id, campaign_id, mailbox_id)
SELECT 1, c, 10 * (1 + (c + m) % 500) FROM generate_series(1, 5000) AS c, generate_series(1, 3) AS m;

INSERT INTO outreach.email_sends (
    workspace_id, id, created_at, campaign_id, lead_id, mailbox_id, step, status, recipient, scheduled_at, lease_expires_at,
    sent_at, last_error)
SELECT 1, s.n, c.launched_at, c.id, (s.n::bigint * 7919) % 200000 + 1, 10 * (1 + s.n % 20), 1 + s.n % 2, s.status,
       'person' || s.n || '@company.example', c.launched_at + (s.n % 2000) * interval '20 seconds', now() + interval '5 minutes',
       c.launched_at, CASE WHEN s.status = 'failed' THEN 'the server refused it' END
FROM (SELECT n, CASE WHEN n % 50 = 7 THEN 'failed' WHEN n > 194000 AND n % 100 = 9 THEN 'claimed'
                     WHEN n > 194000 AND n % 5 > 0 THEN 'scheduled' ELSE 'sent' END AS status
      FROM generate_series(1, 200000) AS n) AS s
JOIN outreach.campaigns AS c ON c.workspace_id = 1 AND c.id = 1 + (s.n - 1) / 2000
ORDER BY s.n;
INSERT INTO outreach.sending_limits (workspace_id, frequency_sends, frequency_days)
SELECT w, 3, 7 FROM generate_series(1, 5000) AS w;
INSERT INTO outreach.campaign_leads (workspace_id, name, lead_id)
SELECT 1, 'campaign ' || n / 100, n FROM generate_series(1, 100000) AS n;
INSERT INTO outreach.send_exclusions (workspace_id, campaign_id, lead_id, reason)
SELECT 1, 1 + n % 100, 1 + n, 'suppressed' FROM generate_series(1, 20000) AS n;

-- What grows only: in the order of time, a row every 65 seconds, nine of ten of the big workspace, the others spread over a
-- thousand, as a service for many has it.
INSERT INTO outreach.message_log (workspace_id, id, created_at, lead_id, campaign_id, send_id, message_id, provider_id, sender, recipient, subject)
SELECT CASE WHEN n % 10 > 0 THEN 1 ELSE 2 + n / 10 % 1000 END, n, now() - (200000 - n) * interval '65 seconds',
       (n::bigint * 7919) % 200000 + 1, 1 + n / 2000, n, '<' || n || '@mail.example>',
       CASE WHEN n % 20 = 7 THEN 'relay-' || n END, 'sender@mail.example', 'person' || n || '@company.example', 'Subject'
FROM generate_series(1, 200000) AS n;
INSERT INTO outreach.email_events (
    workspace_id, event_key, created_at, received_at, event, provider, message_id, send_id, campaign_id, lead_id, step, recipient)
SELECT CASE WHEN n % 10 > 0 THEN 1 ELSE 2 + n / 10 % 1000 END, 'event-' || n, now() - (200000 - n) * interval '65 seconds',
       now() - (200000 - n) * interval '65 seconds',
       CASE WHEN n % 100 < 55 THEN 'delivered' WHEN n % 100 < 85 THEN 'opened' WHEN n % 100 < 94 THEN 'clicked'
            WHEN n % 100 < 97 THEN 'bounced' WHEN n % 100 < 99 THEN 'replied' ELSE 'unsubscribed' END,
       'sendgrid', CASE WHEN n % 100 = 13 THEN 'relay-' || n ELSE '<' || n || '@mail.example>' END,
       CASE WHEN n % 100 <> 13 THEN n END, 1 + n / 2000, (n::bigint * 7919) % 200000 + 1, 1,
       'person' || n || '@company.example'
FROM generate_series(1, 199999) AS n;
INSERT INTO outreach.lead_activities (workspace_id, id, created_at, lead_id, activity_type, campaign_id, details)
SELECT CASE WHEN n % 10 > 0 THEN 1 ELSE 2 + n / 10 % 1000 END, n, now() - (200000 - n) * interval '65 seconds',
       (n::bigint * 7919) % 200000 + 1, (ARRAY['email_opened', 'email_opened', 'email_clicked', 'email_replied'])[1 + n % 4],
       1 + n / 2000, '{"url": "https://company.example/offer"}'
FROM generate_series(1, 200000) AS n;
INSERT INTO outreach.audit_log (workspace_id, id, created_at, actor, action, details)
SELECT CASE WHEN n % 10 > 0 THEN 1 ELSE 2 + n / 10 % 1000 END, n, now() - (100000 - n) * interval '130 seconds', 'user ' || n % 50,
       CASE WHEN n % 50 = 0 THEN 'key.rotate' ELSE 'object_' || n % 20 || '.change' END, '{"address": "192.0.2.1"}'
FROM generate_series(1, 100000) AS n;

INSERT INTO outreach.webhook_endpoints (workspace_id, id, provider, token_hash)
SELECT 1 + n % 10, n, 'sendgrid', sha256(('token' || n)::bytea) FROM generate_series(1, 5000) AS n;

INSERT INTO outreach.inboxes (workspace_id, id, address, imap_host, username, password_encrypted)
SELECT 1 + n % 10, n, 'box' || n || '@sender.example', 'imap.sender.example', 'box' || n, 'sealed'
FROM generate_series(1, 5000) AS n;

INSERT INTO outreach.contact_social_profiles
    (workspace_id, id, lead_id, platform, profile_url, company_name, headline, decision_maker_score, contact_priority, scraped_at)
SELECT CASE WHEN n % 10 > 0 THEN 1 ELSE 2 + n % 20 END, n, 1 + n / 2, (ARRAY['linkedin', 'x'])[1 + n % 2],
       'https://www.linkedin.com/in/person' || n, 'Company ' || 1 + n % 3000, 'Head of something',
       CASE WHEN n % 4 > 0 THEN (hashint4(n) & 1023) / 10.24 END,
       CASE WHEN n % 50 = 0 THEN 'high' WHEN n % 3 = 0 THEN 'medium' WHEN n % 3 = 1 THEN 'low' END,
       now() - n * interval '10 minutes'
FROM generate_series(1, 20000) AS n;
INSERT INTO outreach.social_media_activity
    (workspace_id, id, lead_id, platform, content, sentiment, posted_at, scraped_at)
SELECT CASE WHEN n % 10 > 0 THEN 1 ELSE 2 + n % 20 END, n, 1 + n % 3000, CASE WHEN n % 200 = 1 THEN 'mastodon' ELSE (ARRAY['linkedin', 'x'])[1 + n % 2] END,
       repeat('posted ', 20), CASE WHEN n % 200 = 3 THEN 'negative' ELSE (ARRAY['positive', 'neutral', 'neutral'])[1 + n % 3] END,
       now() - (20000 - n) * interval '11 minutes', now() - (20000 - n) * interval '10 minutes'
FROM generate_series(1, 20000) AS n;
INSERT INTO outreach.organization_charts (workspace_id, id, lead_id, company_id, chart, created_at)
SELECT CASE WHEN n % 10 > 0 THEN 1 ELSE 2 + n % 20 END, n, 1 + n % 5000, 1 + n % 3000, '{"head": "Ada"}',
       now() - n * interval '10 minutes'
FROM generate_series(1, 20000) AS n;
INSERT INTO outreach.crm_credentials (workspace_id, id, provider, account, secret_encrypted, active, expires_at)
SELECT 1 + n % 10, n, (ARRAY['hubspot', 'salesforce'])[1 + n % 2], 'account ' || n, '\x00', n % 5 > 0,
       now() + (n % 300) * interval '1 day'
FROM generate_series(1, 20000) AS n;
INSERT INTO outreach.crm_contacts (workspace_id, id, credential_id, lead_id, external_id, payload, synced_at)
SELECT CASE WHEN n % 10 > 0 THEN 1 ELSE 2 + n % 20 END, n, 10 * (1 + n % 20), CASE WHEN n % 5 > 0 THEN n END, 'contact-' || n,
       '{"stage": "lead"}', CASE WHEN n % 20 > 0 THEN now() - (hashint4(n) & 65535) * interval '1 minute' END
FROM generate_series(1, 20000) AS n;
INSERT INTO outreach.crm_sync_logs (workspace_id, id, credential_id, direction, status, started_at)
SELECT CASE WHEN n % 10 > 0 THEN 1 ELSE 2 + n % 20 END, n, 10 * (1 + n % 20), 'pull',
       CASE WHEN n % 40 = 3 THEN 'failed' ELSE 'succeeded' END, now() - (20000 - n) * interval '10 minutes'
FROM generate_series(1, 20000) AS n;
INSERT INTO outreach.crm_webhooks (workspace_id, id, credential_id, delivery_id, event_type, payload, received_at, processed_at)
SELECT CASE WHEN n % 10 > 0 THEN 1 ELSE 2 + n % 20 END, n, 10 * (1 + n % 20), 'delivery-' || n, 'contact.changed',
       '{"stage": "lead"}', now() - (20000 - n) * interval '10 minutes', CASE WHEN n < 19500 THEN now() END
FROM generate_series(1, 20000) AS n;
INSERT INTO outreach.llm_api_calls (
    workspace_id, id, provider, endpoint, model, prompt_tokens, completion_tokens, total_tokens, latency_ms, cost_usd, created_at)
SELECT CASE WHEN n % 10 > 0 THEN 1 ELSE 2 + n / 10 % 1000 END, n, (ARRAY['cerebras', 'other'])[1 + n % 2], '/v1/chat/completions',
       'model-' || n % 6, 100 + n % 50, 50, 150 + n % 50, 900, 0.000016, now() - (60000 - n) * interval '3 minutes'
FROM generate_series(1, 60000) AS n;
INSERT INTO outreach.agent_executions (workspace_id, id, lead_id, agent, status, started_at, completed_at, created_at)
SELECT CASE WHEN n % 10 > 0 THEN 1 ELSE 2 + n % 20 END, n, 1 + n % 5000, 'qualifier',
       CASE WHEN n % 40 = 3 THEN 'failed' WHEN n > 19900 THEN 'running' ELSE 'succeeded' END,
       now() - (20000 - n) * interval '10 minutes' + interval '5 seconds',
       CASE WHEN n <= 19900 THEN now() - (20000 - n) * interval '10 minutes' + interval '20 seconds' END,
       now() - (20000 - n) * interval '10 minutes'
FROM generate_series(1, 20000) AS n;
INSERT INTO outreach.voice_session_logs (workspace_id, id, lead_id, status, duration_seconds, completed_at, created_at)
SELECT CASE WHEN n % 10 > 0 THEN 1 ELSE 2 + n % 20 END, n, 1 + n % 5000,
       CASE WHEN n % 40 = 3 THEN 'failed' WHEN n > 19900 THEN 'running' ELSE 'succeeded' END, n % 600,
       CASE WHEN n <= 19900 THEN now() - (20000 - n) * interval '10 minutes' + interval '20 seconds' END,
       now() - (20000 - n) * interval '10 minutes'
FROM generate_series(1, 20000) AS n;
INSERT INTO outreach.reports (workspace_id, id, lead_id, kind, title, body, created_at)
SELECT CASE WHEN n % 10 > 0 THEN 1 ELSE 2 + n % 20 END, n, CASE WHEN n % 5 > 0 THEN n END,
       (ARRAY['weekly', 'monthly', 'lead', 'company'])[1 + n % 4], 'Report ' || n, '{"text": "..."}',
       now() - (20000 - n) * interval '10 minutes'
FROM generate_series(1, 20000) AS n;

INSERT INTO analytics.rollups (workspace_id, grain, key, kind, day, total, mails, people)
SELECT 1, 'campaign', (1 + n / 200)::text, (ARRAY['sent', 'delivered', 'opened', 'clicked'])[1 + n % 4], current_date - (n / 4 % 50), 20, 12, 10
FROM generate_series(0, 19999) AS n;
INSERT INTO analytics.rollup_deltas (workspace_id, grain, key, kind, day, total, mails, people)
SELECT 1, 'campaign', (1 + n / 200)::text, 'opened', current_date, 20, 12, 10 FROM generate_series(0, 19999) AS n;
INSERT INTO analytics.totals (workspace_id, grain, key, kind, total, mails, people)
SELECT 1, CASE WHEN n < 400 THEN 'campaign' ELSE 'domain' END, (1 + n / 4)::text,
       (ARRAY['sent', 'delivered', 'opened', 'clicked'])[1 + n % 4], abs(hashint4(n)) % 5000, 12, 10
FROM generate_series(0, 39999) AS n;
INSERT INTO analytics.people_first (workspace_id, lead_id, grain, key, opened_at)
SELECT 1, n, g.grain, (1 + n / 1000)::text, now() FROM generate_series(1, 50000) AS n, (VALUES ('campaign'), ('domain')) AS g (grain);
INSERT INTO analytics.engaged_leads (workspace_id, leads) SELECT 1 + n % 10, ARRAY[n] FROM generate_series(1, 20000) AS n;
-- Three rows for a workspace, days for a check: filled for many workspaces, so that the plan shows what the key is there for.
INSERT INTO analytics.engagement_levels (workspace_id, level, leads)
SELECT w, l, 10 FROM generate_series(1, 5000) AS w, unnest(ARRAY['warm', 'engaged', 'hot']) AS l;
INSERT INTO analytics.rollup_checks (workspace_id, day, checked_at, buckets)
SELECT w, current_date - d, now(), 10 FROM generate_series(1, 50) AS w, generate_series(1, 300) AS d;
INSERT INTO analytics.rollup_drifts (workspace_id, found_at, grain, key, kind, day, total)
SELECT 1 + n % 20, now() - n * interval '10 minutes', 'campaign', n::text, 'opened', current_date, 1 FROM generate_series(1, 20000) AS n;
INSERT INTO analytics.rollup_freezes (workspace_id, table_name, range_start, range_end, frozen_through)
SELECT w, 'email_events', now() - m * interval '1 month', now(), current_date FROM generate_series(0, 999) AS w, generate_series(1, 12) AS m;
INSERT INTO analytics.view_refreshes (view_name, refreshed_at, duration, row_count)
SELECT 'view_' || n, now(), interval '1 second', 1 FROM generate_series(1, 5000) AS n;
INSERT INTO analytics.totals (workspace_id, grain, key, kind, total, mails, people)
SELECT 1, 'step', n || ':1', 'sent', 20, 20, 20 FROM generate_series(1, 5000) AS n;
INSERT INTO analytics.rollups (workspace_id, grain, key, kind, day, total, mails)
SELECT 1, 'mailbox', n::text, 'sent', current_date - 1, 50, 50 FROM generate_series(1, 5000) AS n;
REFRESH MATERIALIZED VIEW analytics.campaign_analytics;
REFRESH MATERIALIZED VIEW analytics.campaign_performance;
REFRESH MATERIALIZED VIEW analytics.email_deliverability_metrics;
REFRESH MATERIALIZED VIEW analytics.lead_analytics;
REFRESH MATERIALIZED VIEW analytics.workspace_usage_analytics;

INSERT INTO ops.index_usage_stats
    (captured_at, schema_name, table_name, index_name, index_scans, tuples_read, tuples_fetched, index_bytes)
SELECT now() - (n / 130) * interval '1 day', 'outreach', 'leads', 'index_' || n % 130, n, n, n, 8192
FROM generate_series(1, 20000) AS n;
INSERT INTO ops.health_snapshots (captured_at, status, checks)
SELECT now() - n * interval '10 minutes', 'green', '{"cache_hit_ratio": 0.99}' FROM generate_series(1, 20000) AS n;
INSERT INTO ops.alerts (check_name) SELECT 'check ' || n FROM generate_series(1, 5000) AS n;
INSERT INTO ops.alert_messages (channel, check_name, event, sent_at)
SELECT 'hook', 'check ' || n % 40, 'firing', CASE WHEN n % 100 > 0 THEN now() END FROM generate_series(1, 20000) AS n;
INSERT INTO ops.counter_epochs (source, transactions) SELECT 'source ' || n, n FROM generate_series(1, 5000) AS n;
INSERT INTO ops.daily_figures (kind, name, day, value)
SELECT 'table', 'table ' || n % 100, current_date - n / 100, n FROM generate_series(0, 19999) AS n;
INSERT INTO ops.index_counters (index_id, scans) SELECT n, n FROM generate_series(1, 20000) AS n;
INSERT INTO ops.query_counters (user_id, query_id, calls, total_ms, rows) SELECT 10, n, 1, 1, 1 FROM generate_series(1, 20000) AS n;
INSERT INTO ops.query_days (query_id, day, calls, total_ms, rows)
SELECT n % 500, current_date - n / 500, 1, 1, 1 FROM generate_series(0, 19999) AS n;
INSERT INTO ops.query_texts (query_id, query) SELECT n, 'SELECT ' || n FROM generate_series(1, 20000) AS n;
INSERT INTO ops.maintenance_runs (job, status, started_at)
SELECT 'job_' || n % 15, CASE WHEN n % 2000 = 7 THEN 'running' ELSE 'succeeded' END, now() - n * interval '10 minutes'
FROM generate_series(1, 20000) AS n;
INSERT INTO outreach.background_jobs (workspace_id, kind, title, status)
SELECT CASE WHEN n % 10 > 0 THEN 1 ELSE 2 + n % 20 END, 'import', 'import', CASE WHEN n % 2000 = 7 THEN 'running' ELSE 'succeeded' END
FROM generate_series(1, 20000) AS n;
INSERT INTO outreach.queue_leases (workspace_id, queue, item_id, worker, lease_until)
SELECT CASE WHEN n % 10 > 0 THEN 1 ELSE 2 + n % 20 END, (ARRAY['email', 'profile', 'url'])[1 + n % 3], n, 'worker', now() + interval '1 hour'
FROM generate_series(1, 20000) AS n;
INSERT INTO ops.weekly_reports (document) SELECT '{}' FROM generate_series(1, 5000) AS n;
INSERT INTO ops.partition_archives (table_name, partition_name, range_start, range_end, file, row_count, content_sha256, revision)
SELECT 'table_' || n % 10, 'partition ' || n, now() - n * interval '1 day', now(), 'file', 1, '\x00', '0010' FROM generate_series(1, 5000) AS n;
-- A handful of rows each in real life, where no index is needed; filled so that the plan shows what the key is there for.
INSERT INTO ops.partition_adoptions (table_name, state) SELECT 'table_' || n, 'copying' FROM generate_series(1, 5000) AS n;
INSERT INTO ops.archive_erasures (workspace_id, lead_ids, addresses, requested_by)
SELECT 1 + n % 500, ARRAY[n], ARRAY['a' || n || '@b.example'], 'officer' FROM generate_series(1, 5000) AS n;
INSERT INTO ops.partition_drops (relation, table_name, partition_name, range_start, range_end, only_if_empty)
SELECT n, 'table_' || n % 10, 'partition ' || n, now(), now(), true FROM generate_series(1, 5000) AS n;
INSERT INTO ops.scheduled_jobs (name, description, schedule, minutes, hours, days, months, weekdays, lock, limit_seconds)
SELECT 'job_' || n, '', '', '{0}', '{0}', '{1}', '{1}', '{0}', 'job_' || n, 60 FROM generate_series(1, 5000) AS n;
INSERT INTO ops.partitioned_tables (table_name) SELECT 'table_' || n FROM generate_series(1, 5000) AS n;
INSERT INTO ops.retention_holds (table_name, reason, created_by) SELECT 'table_' || n, 'a case', 'counsel' FROM generate_series(1, 5000) AS n;
INSERT INTO ops.workspace_retention (workspace_id, table_name, retention_months)
SELECT 1 + n / 10, 'table_' || n % 10, 6 FROM generate_series(1, 5000) AS n;
INSERT INTO ops.alembic_version (version_num) SELECT 'r' || n FROM generate_series(1, 5000) AS n;
INSERT INTO ops.routine_files (room, sha256) SELECT 'room_' || n, 'hash' FROM generate_series(1, 5000) AS n;
INSERT INTO ops.routine_objects (room, kind, identity) SELECT 'room_' || n, 'FUNCTION', 'f' || n FROM generate_series(1, 5000) AS n;
