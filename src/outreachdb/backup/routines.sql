-- requires: 0008

-- Notes a backup, so that health knows how old the last one is. For backups made by other tools (pgBackRest, a service's
-- snapshots) call it from their scheduler:
-- SELECT outreach.record_backup('physical', 'pgbackrest', 's3://backups/main', now() - interval '20 minutes').
CREATE OR REPLACE FUNCTION outreach.record_backup(
    p_kind text, p_tool text, p_place text, p_started_at timestamptz DEFAULT now(), p_bytes bigint DEFAULT NULL,
    p_verified_at timestamptz DEFAULT NULL, p_details jsonb DEFAULT '{}')
RETURNS bigint
LANGUAGE sql
SET search_path = pg_catalog, pg_temp
AS $$
    INSERT INTO ops.backups (kind, tool, place, bytes, started_at, finished_at, verified_at, details)
    VALUES (p_kind, p_tool, p_place, p_bytes, p_started_at, clock_timestamp(), p_verified_at, p_details)
    RETURNING id
$$;
REVOKE EXECUTE ON FUNCTION outreach.record_backup(text, text, text, timestamptz, bigint, timestamptz, jsonb) FROM PUBLIC;
GRANT EXECUTE ON FUNCTION outreach.record_backup(text, text, text, timestamptz, bigint, timestamptz, jsonb)
    TO outreachdb_trusted;

-- The age of the last backup, in seconds: of any, and of any that was verified by restoring it; NULL where there is none.
CREATE OR REPLACE FUNCTION outreach.get_backup_age()
RETURNS TABLE (seconds numeric, verified_seconds numeric, kind text, tool text, place text)
LANGUAGE sql
STABLE
SET search_path = pg_catalog, pg_temp
AS $$
    SELECT round(extract(epoch FROM now() - b.finished_at)),
           (SELECT round(extract(epoch FROM now() - max(v.finished_at)))
            FROM ops.backups AS v WHERE v.verified_at IS NOT NULL),
           b.kind, b.tool, b.place
    FROM (SELECT 1) AS always
    LEFT JOIN LATERAL (SELECT * FROM ops.backups ORDER BY finished_at DESC LIMIT 1) AS b ON true
$$;
REVOKE EXECUTE ON FUNCTION outreach.get_backup_age() FROM PUBLIC;
GRANT EXECUTE ON FUNCTION outreach.get_backup_age() TO outreachdb_trusted, outreachdb_reader;
