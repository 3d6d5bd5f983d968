-- title: Replicas behind
-- group: replication
-- unit: MB
-- yellow: 50
-- red: 500
-- needs: primary
-- why: What a replica has not got is lost if the primary is; who reads from it reads the past.
-- advice: Look at the replica's log, its disk and the network between; long queries there hold replay back.
-- sources: https://www.postgresql.org/docs/current/monitoring-stats.html https://github.com/CrunchyData/pgmonitor
WITH readers AS (
    SELECT
        r.application_name, r.state,
        -- A reader that only keeps the log (a backup) has no replay position; who may not see positions sees NULL.
        pg_wal_lsn_diff(pg_current_wal_lsn(), coalesce(r.replay_lsn, r.flush_lsn, r.sent_lsn)) / 1048576 AS mb
    FROM pg_stat_replication AS r
)

SELECT
    CASE WHEN count(*) > 0 THEN max(r.mb) END AS value,
    CASE WHEN count(*) = 0 THEN 'nobody replicates from this server' ELSE 'the role may not see how far replicas are' END AS reason,
    jsonb_build_object(
        'summary', format('%s read from here', count(*)), 'readers', coalesce(jsonb_agg(to_jsonb(r)), '[]')
    ) AS evidence
FROM readers AS r
