-- title: Profiles checked too long ago
-- group: queues
-- unit: %
-- yellow: 20
-- red: 50
-- needs: table:outreach.leads
-- uses: lead_sample
-- given: days=30
-- why: The share, among leads whose profile was looked at, of those where that is older than days.
-- advice: Run the profile workers (outreachdb jobs list); the view vw_health_profile_staleness tells it by workspace.
-- sources: R0
SELECT
    100.0 * count(*) FILTER (WHERE q.profile_checked_at < now() - make_interval(days => g.days::int)) / nullif(count(q.profile_checked_at), 0) AS value,
    'none was looked at yet' AS reason,
    jsonb_build_object(
        'summary', format(
            '%s older than %s days, %s never looked at%s',
            round(coalesce(sum(q.whole) FILTER (WHERE q.profile_checked_at < now() - make_interval(days => g.days::int)), 0)), g.days,
            round(coalesce(sum(q.whole) FILTER (WHERE q.profile_checked_at IS NULL), 0)),
            CASE WHEN max(q.whole) > 1 THEN ', from a sample' ELSE '' END
        )
    ) AS evidence
FROM given AS g
LEFT JOIN lead_sample AS q ON true
GROUP BY g.days
