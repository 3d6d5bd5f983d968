-- title: Background jobs that wait
-- group: queues
-- unit: jobs
-- yellow: 100
-- red: 1000
-- needs: table:procrastinate.procrastinate_jobs
-- why: Jobs whose time has come and that no worker took: imports, exports, launches, maintenance. Counted no further than red.
-- advice: Run outreachdb worker, or more of them; outreachdb jobs history tells what they do.
-- sources: R2
SELECT
    count(*) AS value, jsonb_build_object('summary', CASE WHEN count(*) = 0 THEN 'none' ELSE 'due and not begun' END) AS evidence
FROM (
    SELECT
    FROM procrastinate.procrastinate_jobs AS j
    WHERE j.status = 'todo' AND coalesce(j.scheduled_at, now()) <= now()
    LIMIT (SELECT greatest(g.red, g.yellow)::bigint + 1 FROM given AS g)
) AS d
