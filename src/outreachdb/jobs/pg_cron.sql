-- name: extension
SELECT e.extname FROM pg_extension AS e WHERE e.extname = 'pg_cron';

-- name: schedule
SELECT cron.schedule(%(name)s::text, %(schedule)s::text, %(command)s::text);

-- name: unschedule
SELECT cron.unschedule(%(name)s::text);

-- name: entries
-- Ours are those that this login made: pg_cron keeps every login's apart.
SELECT j.jobname AS name, j.schedule, j.command, j.active
FROM cron.job AS j
WHERE starts_with(j.jobname, %(mark)s) AND j.username = current_user
ORDER BY j.jobname;
