-- title: Delay of this standby
-- group: replication
-- unit: s
-- yellow: 30
-- red: 300
-- needs: standby
-- why: Who reads here reads what was true that long ago. A standby that has replayed all it received counts as up to date.
-- advice: Look at its log and at long queries here (they hold replay back), and at the connection to the primary.
-- sources: https://www.postgresql.org/docs/current/functions-admin.html#FUNCTIONS-RECOVERY-CONTROL
SELECT
    CASE
        WHEN pg_last_wal_receive_lsn() = pg_last_wal_replay_lsn() THEN 0
        -- Nothing replayed yet: at least as late as it has been running.
        ELSE extract(epoch FROM clock_timestamp() - coalesce(pg_last_xact_replay_timestamp(), pg_postmaster_start_time()))
    END AS value,
    jsonb_build_object('summary', format('replayed up to %s', pg_last_wal_replay_lsn())) AS evidence
