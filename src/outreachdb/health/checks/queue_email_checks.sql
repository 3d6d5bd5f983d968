-- title: Addresses that wait to be checked
-- group: queues
-- unit: leads
-- yellow: 500000
-- red: 2000000
-- needs: table:outreach.leads
-- uses: lead_sample
-- given: days=30
-- why: Leads whose address was never checked, or not within days. Mailing stale addresses costs reputation.
-- advice: Run more verification workers; look at the ones that claim and don't complete (outreachdb jobs).
-- sources: R0
SELECT
    round(coalesce(sum(q.whole) FILTER (WHERE q.has_email AND q.email_status <> 'invalid' AND (q.email_checked_at IS NULL OR q.email_checked_at < now() - make_interval(days => g.days::int))), 0)) AS value,
    jsonb_build_object(
        'summary', format('of %s%s', round(coalesce(sum(q.whole), 0)), CASE WHEN max(q.whole) > 1 THEN ', from a sample' ELSE '' END),
        'sampled', coalesce(max(q.whole), 1) > 1
    ) AS evidence
FROM lead_sample AS q
CROSS JOIN given AS g
