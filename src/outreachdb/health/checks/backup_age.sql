-- title: Age of the last backup
-- group: storage
-- unit: h
-- yellow: 26
-- red: 50
-- needs: table:ops.maintenance_runs
-- why: What was written after the last backup is lost with the disk. outreachdb backup tells of its own; another tool
--   tells by a row: INSERT INTO ops.maintenance_runs (job, status, finished_at) VALUES ('backup', 'succeeded', now()).
-- advice: Run outreachdb backup, and look why the last one did not.
-- sources: https://www.postgresql.org/docs/current/backup.html
SELECT
    extract(epoch FROM now() - max(coalesce(m.finished_at, m.started_at))) / 3600 AS value,
    'nobody told of a backup' AS reason,
    jsonb_build_object('summary', format('%s UTC', to_char(max(coalesce(m.finished_at, m.started_at)), 'YYYY-MM-DD HH24:MI'))) AS evidence
FROM ops.maintenance_runs AS m
WHERE m.job = 'backup' AND m.status = 'succeeded'
