-- title: Company sites that wait to be crawled
-- group: queues
-- unit: companies
-- yellow: 100000
-- red: 1000000
-- needs: table:outreach.companies
-- uses: company_sample
-- given: days=30
-- why: Companies with a web address that were never crawled, or not within days. External workers take them.
-- advice: Run more crawlers; look at the ones that claim and don't complete (outreachdb jobs).
-- sources: R0
SELECT
    round(coalesce(sum(q.whole) FILTER (WHERE q.checked_at IS NULL OR q.checked_at < now() - make_interval(days => g.days::int)), 0)) AS value,
    jsonb_build_object(
        'summary', format('of %s%s', round(coalesce(sum(q.whole), 0)), CASE WHEN max(q.whole) > 1 THEN ', from a sample' ELSE '' END),
        'sampled', coalesce(max(q.whole), 1) > 1
    ) AS evidence
FROM company_sample AS q
CROSS JOIN given AS g
