-- requires: 0008

-- Notes a backup in the history of maintenance, so that health knows how old the last one is. For backups made by other tools
-- (pgBackRest, a service's snapshots) call it from their scheduler:
-- SELECT outreach.record_backup('physical', 'pgbackrest', 's3://backups/main', now() - interval '20 minutes').
CREATE OR REPLACE FUNCTION outreach.record_backup(
    p_kind text, p_tool text, p_place text, p_started_at timestamptz DEFAULT now(), p_details jsonb DEFAULT '{}')
RETURNS bigint
LANGUAGE sql
SET search_path = pg_catalog, pg_temp
AS $$
    INSERT INTO ops.maintenance_runs (job, status, started_at, finished_at, details)
    VALUES ('backup', 'succeeded', p_started_at, clock_timestamp(),
            p_details || jsonb_build_object('kind', p_kind, 'tool', p_tool, 'place', p_place))
    RETURNING id
$$;
REVOKE EXECUTE ON FUNCTION outreach.record_backup(text, text, text, timestamptz, jsonb) FROM PUBLIC;
GRANT EXECUTE ON FUNCTION outreach.record_backup(text, text, text, timestamptz, jsonb) TO outreachdb_trusted;

-- The age of the last backup in seconds: of any, and of any that was verified by restoring it; NULL where there is none.
CREATE OR REPLACE FUNCTION outreach.get_backup_age()
RETURNS TABLE (seconds numeric, verified_seconds numeric, kind text, tool text, place text)
LANGUAGE sql
STABLE
SET search_path = pg_catalog, pg_temp
AS $$
    SELECT round(extract(epoch FROM now() - b.finished_at)),
           (SELECT round(extract(epoch FROM now() - max(v.finished_at)))
            FROM ops.maintenance_runs AS v
            WHERE v.job = 'backup' AND v.status = 'succeeded' AND v.details ? 'verified_at'),
           b.details ->> 'kind', b.details ->> 'tool', b.details ->> 'place'
    FROM (SELECT 1) AS always
    LEFT JOIN LATERAL (
        SELECT m.finished_at, m.details
        FROM ops.maintenance_runs AS m
        WHERE m.job = 'backup' AND m.status = 'succeeded'
        ORDER BY m.started_at DESC
        LIMIT 1
    ) AS b ON true
$$;
REVOKE EXECUTE ON FUNCTION outreach.get_backup_age() FROM PUBLIC;
GRANT EXECUTE ON FUNCTION outreach.get_backup_age() TO outreachdb_trusted, outreachdb_reader;
