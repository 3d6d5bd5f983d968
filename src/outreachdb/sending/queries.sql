-- name: schedule
SELECT s.scheduled, s.excluded
FROM outreach.bulk_schedule_email_sends(%(campaign_id)s, %(launched_at)s) AS s;

-- name: add_leads
SELECT s.scheduled, s.excluded FROM outreach.add_campaign_leads(%(campaign_id)s) AS s;

-- name: only_known_foreign_keys
-- Whether a launch fires no trigger but the sends' foreign keys, and the login may silence those: see schedule_members.
SELECT has_parameter_privilege(session_user, 'session_replication_role', 'SET')
    AND NOT EXISTS (
        SELECT FROM pg_catalog.pg_trigger AS t
        JOIN pg_catalog.pg_class AS c ON c.oid = t.tgrelid
        JOIN pg_catalog.pg_namespace AS n ON n.oid = c.relnamespace
        WHERE n.nspname IN ('outreach', 'parts', 'analytics') AND NOT t.tgisinternal)
    AND ARRAY(SELECT k.conname::text FROM pg_catalog.pg_constraint AS k
              WHERE k.contype = 'f' AND k.conparentid = 0
                AND k.conrelid IN ('outreach.email_sends'::regclass, 'outreach.send_exclusions'::regclass,
                                   'outreach.mailboxes'::regclass, 'outreach.campaigns'::regclass,
                                   'analytics.rollup_deltas'::regclass)
              ORDER BY k.conname)
        = ARRAY['fk_campaigns_segment', 'fk_campaigns_workspace', 'fk_email_sends_campaign_run', 'fk_email_sends_lead',
                'fk_mailboxes_workspace', 'fk_send_exclusions_campaign'];

-- name: next_run
SELECT outreach.create_next_run(%(campaign_id)s);

-- name: plan_launch
-- The status, which is "scheduled" already where another instant was planned before.
UPDATE outreach.campaigns AS c SET settings = c.settings || jsonb_build_object('start', %(start)s::timestamptz)
WHERE c.workspace_id = %(workspace_id)s AND c.id = %(campaign_id)s AND c.status IN ('draft', 'scheduled')
RETURNING c.status;

-- name: due_launches
SELECT c.id FROM outreach.campaigns AS c
WHERE c.workspace_id = %(workspace_id)s AND c.status = 'scheduled'
  AND coalesce((c.settings ->> 'start')::timestamptz, now()) <= now()
ORDER BY c.id;

-- name: seconds_to_next_distance
SELECT outreach.seconds_to_next_distance();

-- name: prepare_month
SELECT outreach.ensure_partitions('email_sends', %(launched_at)s, %(launched_at)s);

-- name: refresh_statistics
SELECT outreach.refresh_statistics('email_sends', %(launched_at)s);

-- name: claim_sends
-- The columns after "reason" are those of ledger.Send, in its order.
SELECT c.verdict, c.reason, c.send_id, c.created_at, c.campaign_id, c.step, c.variant, c.lead_id, c.mailbox_id, c.recipient,
       c.lead::text AS lead_json
FROM outreach.claim_sends(%(n)s, %(worker)s, %(lease)s, %(skip)s::bigint[]) AS c;

-- name: begin_sends
SELECT b.send_id, b.verdict, b.reason
FROM outreach.begin_sends(%(ids)s::bigint[], %(created_ats)s::timestamptz[], %(worker)s, %(lease)s) AS b;

-- name: record_sends
SELECT r.sent, r.failed, r.deferred, r.unknown FROM outreach.record_sends(%(results)s, %(worker)s) AS r;

-- name: match_late_events
SELECT outreach.match_late_events();

-- name: return_claims
SELECT outreach.return_claims(%(worker)s);

-- name: release_expired_leases
SELECT r.released, r.unknown FROM outreach.release_expired_leases() AS r;

-- name: complete_campaigns
SELECT c AS campaign_id FROM outreach.complete_campaigns() AS c;

-- name: fold
SELECT outreach.fold_when_pending(%(least)s, %(limit)s);

-- name: steps
SELECT t.campaign_id, t.step, t.subject, t.body_text, t.body_html, t.variants, c.settings ->> 'missing' AS missing
FROM outreach.campaign_steps AS t
JOIN outreach.campaigns AS c ON c.workspace_id = t.workspace_id AND c.id = t.campaign_id
WHERE t.workspace_id = %(workspace_id)s AND t.campaign_id = ANY (%(campaigns)s::bigint[]);

-- name: mailboxes
SELECT m.id, m.address, m.display_name, m.smtp_host, m.smtp_port, m.security, m.username, m.password_encrypted
FROM outreach.mailboxes AS m
WHERE m.workspace_id = %(workspace_id)s AND m.id = ANY (%(mailboxes)s::bigint[]);

-- name: due_count
SELECT count(*)
FROM outreach.email_sends AS s
WHERE s.workspace_id = %(workspace_id)s AND s.status = 'scheduled' AND s.scheduled_at <= now()
  AND s.created_at = ANY (ARRAY(
      SELECT c.launched_at FROM outreach.campaigns AS c
      WHERE c.workspace_id = %(workspace_id)s AND c.status = 'running'));

-- name: leads_to_check
SELECT c.lead_id, c.email, c.lead FROM outreach.leads_to_check(%(campaign_id)s, %(all)s) AS c;

-- name: timeline
SELECT t.at, t.kind, t.what FROM outreach.lead_timeline(%(lead_id)s, %(campaign_id)s) AS t;

-- name: campaigns_of_lead
-- The campaigns that scheduled a lead or left it out, the newest first, and how many there are in all.
SELECT c.id, c.name, c.run, c.status, count(*) OVER () AS campaigns
FROM outreach.campaigns AS c
WHERE c.workspace_id = %(workspace_id)s
  AND c.id IN (
      SELECT s.campaign_id FROM outreach.email_sends AS s
      WHERE s.workspace_id = %(workspace_id)s AND s.lead_id = %(lead_id)s
      UNION
      SELECT x.campaign_id FROM outreach.send_exclusions AS x
      WHERE x.workspace_id = %(workspace_id)s AND x.lead_id = %(lead_id)s)
ORDER BY c.launched_at DESC NULLS LAST, c.id DESC
LIMIT %(limit)s;

-- name: unknown_sends
SELECT s.id AS send_id, s.created_at, c.name AS campaign, s.step, s.lead_id, s.recipient, m.address AS mailbox, s.begun_at,
       s.last_error
FROM outreach.campaigns AS c
JOIN outreach.email_sends AS s
    ON s.workspace_id = c.workspace_id AND s.campaign_id = c.id AND s.created_at = c.launched_at AND s.status = 'unknown'
JOIN outreach.mailboxes AS m ON m.workspace_id = s.workspace_id AND m.id = s.mailbox_id
WHERE c.workspace_id = %(workspace_id)s AND (%(campaign_id)s::bigint IS NULL OR c.id = %(campaign_id)s)
  AND (%(sends)s::bigint[] IS NULL OR s.id = ANY (%(sends)s))
ORDER BY s.begun_at, s.id
LIMIT %(limit)s;

-- name: decide_unknown
SELECT outreach.decide_unknown_sends(%(ids)s::bigint[], %(created_ats)s::timestamptz[], %(decision)s);

-- name: forecast_sends
SELECT f.mine, f.mailbox_id, f.step, outreach.known_zone(f.zone, %(zone)s) AS clock, f.follows, f.due, f.lately, f.sends, f.rounded_to
FROM outreach.forecast_sends(%(campaign_id)s, %(groups)s) AS f;

-- name: forecast_mailboxes
SELECT m.id, m.address, m.daily_cap, m.ramp_first, m.ramp_increase, m.ramp_from, m.min_spacing_ms, m.status,
       coalesce(u.sent, 0) AS sent_today
FROM outreach.campaign_mailboxes AS x
JOIN outreach.mailboxes AS m ON m.workspace_id = x.workspace_id AND m.id = x.mailbox_id
LEFT JOIN outreach.mailboxes_sent_today(ARRAY(
    SELECT b.mailbox_id FROM outreach.campaign_mailboxes AS b
    WHERE b.workspace_id = %(workspace_id)s AND b.campaign_id = %(campaign_id)s)) AS u ON u.mailbox_id = m.id
WHERE x.workspace_id = %(workspace_id)s AND x.campaign_id = %(campaign_id)s
ORDER BY m.id;

-- name: forecast_campaign
SELECT c.status, c.settings ->> 'start' AS start, c.window_from, c.window_to, c.window_days, c.window_zone,
       f.frequency_sends, f.frequency_days
FROM outreach.campaigns AS c
LEFT JOIN outreach.sending_limits AS f ON f.workspace_id = c.workspace_id
WHERE c.workspace_id = %(workspace_id)s AND c.id = %(campaign_id)s;

-- name: forecast_steps
SELECT t.step, t.delay_seconds FROM outreach.campaign_steps AS t
WHERE t.workspace_id = %(workspace_id)s AND t.campaign_id = %(campaign_id)s
ORDER BY t.step;

-- name: put_limits
INSERT INTO outreach.sending_limits (workspace_id, frequency_sends, frequency_days)
VALUES (%(workspace_id)s, %(sends)s, %(days)s)
ON CONFLICT (workspace_id) DO UPDATE
SET frequency_sends = excluded.frequency_sends, frequency_days = excluded.frequency_days;

-- name: drop_limits
DELETE FROM outreach.sending_limits AS f WHERE f.workspace_id = %(workspace_id)s;

-- name: limits
SELECT f.frequency_sends, f.frequency_days FROM outreach.sending_limits AS f WHERE f.workspace_id = %(workspace_id)s;

-- name: lead_for_test
SELECT l.id AS lead_id, l.email, t.lead
FROM outreach.leads AS l
CROSS JOIN LATERAL outreach.lead_for_templates(l.workspace_id, l.id) AS t (lead)
WHERE l.workspace_id = %(workspace_id)s AND l.id = %(lead_id)s;

-- name: campaign_mailbox_ids
SELECT x.mailbox_id FROM outreach.campaign_mailboxes AS x
WHERE x.workspace_id = %(workspace_id)s AND x.campaign_id = %(campaign_id)s
ORDER BY x.mailbox_id
LIMIT 1;

-- name: tracking
SELECT c.id, c.settings -> 'track' AS track FROM outreach.campaigns AS c
WHERE c.workspace_id = %(workspace_id)s AND c.id = ANY (%(campaigns)s::bigint[]);
