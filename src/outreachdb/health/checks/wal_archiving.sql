-- title: Log archiving that fails
-- group: replication
-- unit: min
-- yellow: 5
-- red: 60
-- needs: primary
-- why: Without the archived log a backup can't be brought up to the moment of loss, and the log fills the disk meanwhile.
--   While attempts fail, the time since the last success counts.
-- advice: Read the server's log for the archive command's own words.
-- sources: https://www.postgresql.org/docs/current/continuous-archiving.html
SELECT
    CASE WHEN current_setting('archive_mode') <> 'off' THEN
        CASE WHEN a.last_failed_time > coalesce(a.last_archived_time, '-infinity')
            THEN extract(epoch FROM clock_timestamp() - coalesce(a.last_archived_time, a.stats_reset, pg_postmaster_start_time())) / 60
            ELSE 0 END
    END AS value,
    'archive_mode is off' AS reason,
    jsonb_build_object(
        'summary', CASE WHEN a.last_archived_time IS NULL THEN 'nothing was archived yet'
            ELSE format('last archived %s', to_char(a.last_archived_time, 'YYYY-MM-DD HH24:MI')) END,
        'last_failed', a.last_failed_wal
    ) AS evidence
FROM pg_stat_archiver AS a
