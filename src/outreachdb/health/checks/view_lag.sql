-- title: Age of the analytics views
-- group: analytics
-- unit: h
-- yellow: 26
-- red: 50
-- needs: table:analytics.view_refreshes
-- why: Materialised views show what was true at their last refresh; the one that was refreshed longest ago counts.
-- advice: Run outreachdb worker; outreachdb jobs history tells why a refresh failed.
-- sources: R3 https://github.com/CrunchyData/pgmonitor
SELECT
    max(extract(epoch FROM now() - v.refreshed_at)) / 3600 AS value,
    'no view was refreshed yet' AS reason,
    jsonb_build_object(
        'summary', (SELECT format('%s is the oldest', o.view_name) FROM analytics.view_refreshes AS o ORDER BY o.refreshed_at, o.view_name LIMIT 1),
        'views', count(*)
    ) AS evidence
FROM analytics.view_refreshes AS v
