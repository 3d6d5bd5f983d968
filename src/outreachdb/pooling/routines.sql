-- requires: 0008

-- What the server's connections do, one row for each application and one (pool IS NULL) for all of them, as R2 and R3 ask
-- for. `utilization` is percent of what ordinary logins may take: below 80 is calm. Sessions of other logins are counted but
-- their state is hidden (`unseen`) from who is not a member of pg_monitor. What waits in front of PgBouncer is not known to
-- the server: `outreachdb pool status` asks PgBouncer itself.
CREATE OR REPLACE FUNCTION outreach.get_connection_pool_status()
RETURNS TABLE (
    pool text, total integer, active integer, idle integer, idle_in_transaction integer, waiting_for_lock integer,
    unseen integer, max_connections integer, utilization numeric, oldest_transaction_seconds numeric)
LANGUAGE sql
STABLE
SET search_path = pg_catalog, pg_temp
AS $$
    WITH usable AS (
        SELECT current_setting('max_connections')::integer
                   - current_setting('superuser_reserved_connections')::integer
                   - coalesce(nullif(current_setting('reserved_connections', true), '')::integer, 0) AS connections
    )
    SELECT CASE WHEN grouping(a.application_name) = 0 THEN coalesce(nullif(a.application_name, ''), 'unnamed') END,
           count(*)::integer,
           (count(*) FILTER (WHERE a.state = 'active'))::integer,
           (count(*) FILTER (WHERE a.state = 'idle'))::integer,
           (count(*) FILTER (WHERE a.state LIKE 'idle in transaction%'))::integer,
           (count(*) FILTER (WHERE a.wait_event_type = 'Lock'))::integer,
           (count(*) FILTER (WHERE a.state IS NULL))::integer,
           u.connections,
           round(100.0 * count(*) / u.connections, 1),
           round(extract(epoch FROM clock_timestamp() - min(a.xact_start))::numeric, 1)
    FROM pg_stat_activity AS a
    CROSS JOIN usable AS u
    WHERE a.backend_type = 'client backend'
    GROUP BY GROUPING SETS ((u.connections), (u.connections, a.application_name))
    ORDER BY grouping(a.application_name) DESC, count(*) DESC, 1
$$;
