-- title: Profiles that wait to be checked
-- group: queues
-- unit: leads
-- yellow: 100000
-- red: 1000000
-- needs: table:outreach.leads
-- uses: lead_sample
-- given: days=30
-- why: Leads with a profile's address that was never looked at, or not within days.
-- advice: Run more profile workers; look at the ones that claim and don't complete (outreachdb jobs).
-- sources: R0
SELECT
    round(coalesce(sum(q.whole) FILTER (WHERE q.has_profile AND (q.profile_checked_at IS NULL OR q.profile_checked_at < now() - make_interval(days => g.days::int))), 0)) AS value,
    jsonb_build_object(
        'summary', format('of %s%s', round(coalesce(sum(q.whole), 0)), CASE WHEN max(q.whole) > 1 THEN ', from a sample' ELSE '' END),
        'sampled', coalesce(max(q.whole), 1) > 1
    ) AS evidence
FROM lead_sample AS q
CROSS JOIN given AS g
