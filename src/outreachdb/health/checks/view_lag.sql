-- title: Analytics views behind their schedule
-- group: analytics
-- unit: intervals
-- yellow: 2
-- red: 4
-- needs: table:analytics.view_refreshes table:ops.scheduled_jobs
-- why: Views show what was true at their last refresh. The age of the one that is furthest behind counts, in intervals of
--   its own schedule: 1 is on time.
-- advice: Run outreachdb worker; outreachdb jobs history tells why a refresh failed.
-- sources: R3 https://github.com/CrunchyData/pgmonitor
WITH views AS (
    SELECT
        v.view_name, v.refreshed_at,
        extract(epoch FROM now() - v.refreshed_at) / CASE
            WHEN s.name IS NULL THEN 86400
            WHEN cardinality(s.hours) = 24 THEN 3600.0 / cardinality(s.minutes)
            ELSE 86400.0 / cardinality(s.hours)
        END AS intervals
    FROM analytics.view_refreshes AS v
    LEFT JOIN ops.scheduled_jobs AS s ON s.name = 'refresh_' || v.view_name
)

SELECT
    max(v.intervals) AS value,
    'no view was refreshed yet' AS reason,
    jsonb_build_object(
        'summary', (
            SELECT format('%s, refreshed %s UTC', o.view_name, to_char(o.refreshed_at, 'YYYY-MM-DD HH24:MI'))
            FROM views AS o ORDER BY o.intervals DESC, o.view_name LIMIT 1
        ),
        'views', coalesce(jsonb_object_agg(v.view_name, round(v.intervals, 1)) FILTER (WHERE v.view_name IS NOT NULL), '{}')
    ) AS evidence
FROM views AS v
