-- name: schedule
SELECT s.scheduled, s.excluded
FROM outreach.bulk_schedule_email_sends(%(campaign_id)s, %(launched_at)s) AS s;

-- name: prepare_month
SELECT outreach.ensure_partitions('email_sends', %(launched_at)s, %(launched_at)s);

-- name: refresh_statistics
SELECT outreach.refresh_statistics('email_sends', %(launched_at)s);

-- name: claim_sends
SELECT c.send_id, c.created_at, c.campaign_id, c.step, c.lead_id, c.mailbox_id, c.recipient, c.verdict, c.reason, c.lead
FROM outreach.claim_sends(%(n)s, %(worker)s, %(lease)s, %(skip)s::bigint[]) AS c;

-- name: begin_sends
SELECT b.send_id, b.verdict, b.reason
FROM outreach.begin_sends(%(ids)s::bigint[], %(created_ats)s::timestamptz[], %(worker)s, %(lease)s) AS b;

-- name: record_sends
SELECT r.sent, r.failed, r.deferred, r.unknown FROM outreach.record_sends(%(results)s, %(worker)s) AS r;

-- name: return_claims
SELECT outreach.return_claims(%(worker)s);

-- name: release_expired_leases
SELECT r.released, r.unknown FROM outreach.release_expired_leases() AS r;

-- name: complete_campaigns
SELECT c AS campaign_id FROM outreach.complete_campaigns() AS c;

-- name: fold
SELECT outreach.fold_when_pending(%(least)s, %(limit)s);

-- name: steps
SELECT t.campaign_id, t.step, t.subject, t.body_text, t.body_html
FROM outreach.campaign_steps AS t
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
