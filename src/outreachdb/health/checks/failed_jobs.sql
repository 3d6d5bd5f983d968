-- title: Periodic jobs that failed
-- group: queues
-- unit: jobs
-- yellow: 1
-- red: 3
-- needs: table:ops.maintenance_runs
-- given: days=8
-- why: Jobs whose latest run within days failed; what they keep in order (partitions, retention, rollups) decays meanwhile.
-- advice: outreachdb jobs history tells the error; outreachdb jobs run NAME repeats it.
-- sources: R2
WITH latest AS (
    SELECT DISTINCT ON (m.job) m.job, m.status, m.error
    FROM ops.maintenance_runs AS m
    WHERE m.status <> 'running' AND m.started_at > now() - make_interval(days => (SELECT g.days::int FROM given AS g))
    ORDER BY m.job, m.started_at DESC, m.id DESC
)

SELECT
    count(*) FILTER (WHERE l.status = 'failed') AS value,
    jsonb_build_object(
        'summary', coalesce(string_agg(l.job, ', ' ORDER BY l.job) FILTER (WHERE l.status = 'failed'), 'none'),
        'jobs', count(*)
    ) AS evidence
FROM latest AS l
