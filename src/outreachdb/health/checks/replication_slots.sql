-- title: Log kept for replication slots
-- group: replication
-- unit: MB
-- yellow: 1000
-- red: 10000
-- needs: primary
-- why: A slot keeps the write-ahead log until its reader has taken it; one that nobody reads fills the disk.
-- advice: Start its reader, or drop it (SELECT pg_drop_replication_slot(name)); set max_slot_wal_keep_size as a limit.
-- sources: https://www.postgresql.org/docs/current/view-pg-replication-slots.html https://github.com/CrunchyData/pgmonitor
WITH slots AS (
    SELECT s.slot_name, s.active, s.wal_status, pg_wal_lsn_diff(pg_current_wal_lsn(), s.restart_lsn) / 1048576 AS mb
    FROM pg_replication_slots AS s
)

SELECT
    coalesce(max(s.mb), 0) AS value,
    jsonb_build_object(
        'summary', CASE WHEN count(*) = 0 THEN 'there are none' ELSE format('%s slots, %s without a reader%s', count(*),
            count(*) FILTER (WHERE NOT s.active),
            coalesce('; lost: ' || string_agg(s.slot_name, ', ') FILTER (WHERE s.wal_status = 'lost'), '')) END,
        'slots', coalesce(jsonb_agg(to_jsonb(s) ORDER BY s.mb DESC NULLS LAST), '[]')
    ) AS evidence
FROM slots AS s
