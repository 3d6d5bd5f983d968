-- requires: 0008

-- Statements of this database that cost most, from pg_stat_statements: times in milliseconds, hit_percent is the share of
-- blocks found in memory. Other roles' statements are seen by members of pg_read_all_stats.
CREATE OR REPLACE FUNCTION outreach.get_query_performance_stats(p_limit integer DEFAULT 20)
RETURNS TABLE (
    query_id bigint, query text, calls bigint, total_ms double precision, mean_ms double precision, max_ms double precision,
    rows_returned bigint, hit_percent double precision
)
LANGUAGE plpgsql
STABLE
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    place text := (
        SELECT format('%I.pg_stat_statements', n.nspname)
        FROM pg_extension AS e JOIN pg_namespace AS n ON n.oid = e.extnamespace WHERE e.extname = 'pg_stat_statements'
    );
BEGIN
    IF place IS NULL THEN
        RAISE EXCEPTION 'the extension pg_stat_statements is not there' USING ERRCODE = 'undefined_object',
            HINT = 'add it to shared_preload_libraries, restart, then CREATE EXTENSION pg_stat_statements';
    END IF;
    RETURN QUERY EXECUTE format($query$
        SELECT
            s.queryid, min(s.query), sum(s.calls)::bigint, sum(s.total_exec_time),
            sum(s.total_exec_time) / nullif(sum(s.calls), 0)::double precision, max(s.max_exec_time), sum(s.rows)::bigint,
            (100.0 * sum(s.shared_blks_hit) / nullif(sum(s.shared_blks_hit + s.shared_blks_read), 0))::double precision
        FROM %s AS s
        JOIN pg_database AS d ON d.oid = s.dbid
        WHERE d.datname = current_database() AND s.toplevel
        GROUP BY s.queryid
        ORDER BY sum(s.total_exec_time) DESC
        LIMIT $1 $query$, place) USING greatest(p_limit, 0);
END
$$;
REVOKE EXECUTE ON FUNCTION outreach.get_query_performance_stats(integer) FROM PUBLIC;
GRANT EXECUTE ON FUNCTION outreach.get_query_performance_stats(integer) TO outreachdb_trusted, outreachdb_reader;

-- What the server counts for this database: its size, cache hits, connections, transactions, deadlocks, temporary files.
CREATE OR REPLACE FUNCTION outreach.get_database_performance_metrics()
RETURNS TABLE (metric text, value double precision, unit text)
LANGUAGE sql
STABLE
SET search_path = pg_catalog, pg_temp
AS $$
    WITH counted AS (
        SELECT s.*, coalesce(s.stats_reset, pg_postmaster_start_time()) AS since
        FROM pg_stat_database AS s WHERE s.datname = current_database()
    ),
    blocks AS (
        SELECT
            sum(t.heap_blks_hit) AS table_hit, sum(t.heap_blks_hit + t.heap_blks_read) AS table_all,
            sum(t.idx_blks_hit) AS index_hit, sum(t.idx_blks_hit + t.idx_blks_read) AS index_all
        FROM pg_statio_user_tables AS t
    ),
    sessions AS (
        SELECT
            count(*) AS taken, count(*) FILTER (WHERE a.state = 'active') AS active,
            count(*) FILTER (WHERE a.state LIKE 'idle in transaction%') AS idle_in_transaction
        FROM pg_stat_activity AS a
        WHERE coalesce(a.backend_type = 'client backend', a.datid IS NOT NULL)
    )
    SELECT m.metric, m.value, m.unit
    FROM counted AS c
    CROSS JOIN blocks AS b
    CROSS JOIN sessions AS s
    CROSS JOIN LATERAL (VALUES
        ('database_size', pg_database_size(current_database())::double precision, 'bytes'),
        ('cache_hit_tables', 100.0 * b.table_hit / nullif(b.table_all, 0), '%'),
        ('cache_hit_indexes', 100.0 * b.index_hit / nullif(b.index_all, 0), '%'),
        ('connections', s.taken, 'connections'),
        ('connections_active', s.active, 'connections'),
        ('connections_idle_in_transaction', s.idle_in_transaction, 'connections'),
        ('max_connections', current_setting('max_connections')::int, 'connections'),
        ('commits', c.xact_commit, 'transactions'),
        ('rollbacks', c.xact_rollback, 'transactions'),
        ('deadlocks', c.deadlocks, 'deadlocks'),
        ('temporary_bytes', c.temp_bytes, 'bytes'),
        ('rows_read', c.tup_returned, 'rows'),
        ('rows_inserted', c.tup_inserted, 'rows'),
        ('rows_updated', c.tup_updated, 'rows'),
        ('rows_deleted', c.tup_deleted, 'rows'),
        ('seconds_counted', extract(epoch FROM now() - c.since), 's')
    ) AS m (metric, value, unit)
$$;
REVOKE EXECUTE ON FUNCTION outreach.get_database_performance_metrics() FROM PUBLIC;
GRANT EXECUTE ON FUNCTION outreach.get_database_performance_metrics() TO outreachdb_trusted, outreachdb_reader;

-- Tables by size, a partitioned table as one: bytes of the rows, of the indexes and of long values, and how well they are
-- kept. last_vacuum and last_analyze are the oldest among partitions.
CREATE OR REPLACE FUNCTION outreach.get_table_size_stats()
RETURNS TABLE (
    schema_name text, table_name text, row_estimate bigint, dead_rows bigint, table_bytes bigint, index_bytes bigint,
    toast_bytes bigint, total_bytes bigint, total_size text, partitions integer, last_vacuum timestamptz, last_analyze timestamptz
)
LANGUAGE sql
STABLE
SET search_path = pg_catalog, pg_temp
AS $$
    WITH leaves AS (
        SELECT
            coalesce(pg_partition_root(c.oid)::oid, c.oid) AS root, c.relispartition, c.oid,
            pg_stat_get_live_tuples(c.oid) AS live, pg_stat_get_dead_tuples(c.oid) AS dead,
            pg_relation_size(c.oid) AS heap, pg_indexes_size(c.oid) AS indexes, pg_total_relation_size(c.oid) AS total,
            greatest(pg_stat_get_last_vacuum_time(c.oid), pg_stat_get_last_autovacuum_time(c.oid)) AS vacuumed,
            greatest(pg_stat_get_last_analyze_time(c.oid), pg_stat_get_last_autoanalyze_time(c.oid)) AS analysed
        FROM pg_class AS c
        WHERE c.relkind IN ('r', 'm') AND c.relpersistence <> 't'
    )
    SELECT
        n.nspname::text, t.relname::text, sum(l.live)::bigint, sum(l.dead)::bigint, sum(l.heap)::bigint, sum(l.indexes)::bigint,
        sum(l.total - l.heap - l.indexes)::bigint, sum(l.total)::bigint, pg_size_pretty(sum(l.total)),
        count(*) FILTER (WHERE l.relispartition)::integer, min(l.vacuumed), min(l.analysed)
    FROM leaves AS l
    JOIN pg_class AS t ON t.oid = l.root
    JOIN pg_namespace AS n ON n.oid = t.relnamespace
    WHERE n.nspname NOT IN ('pg_catalog', 'information_schema', 'pg_toast')
    GROUP BY n.nspname, t.relname
    ORDER BY sum(l.total) DESC, 1, 2
$$;
REVOKE EXECUTE ON FUNCTION outreach.get_table_size_stats() FROM PUBLIC;
GRANT EXECUTE ON FUNCTION outreach.get_table_size_stats() TO outreachdb_trusted, outreachdb_reader;

-- Indexes by their use since the statistics began, one of a partitioned table as one. What ops.index_usage_stats keeps
-- outlives a reset of the statistics.
CREATE OR REPLACE FUNCTION outreach.get_index_usage_stats()
RETURNS TABLE (
    schemaname text, tablename text, indexname text, scans bigint, tuples_read bigint, tuples_fetched bigint,
    index_bytes bigint, is_unique boolean
)
LANGUAGE sql
STABLE
SET search_path = pg_catalog, pg_temp
AS $$
    SELECT
        n.nspname::text, t.relname::text, r.relname::text, sum(pg_stat_get_numscans(i.oid))::bigint,
        sum(pg_stat_get_tuples_returned(i.oid))::bigint, sum(pg_stat_get_tuples_fetched(i.oid))::bigint,
        sum(pg_relation_size(i.oid))::bigint, bool_or(x.indisunique)
    FROM pg_class AS i
    JOIN pg_class AS r ON r.oid = coalesce(pg_partition_root(i.oid)::oid, i.oid)
    JOIN pg_index AS x ON x.indexrelid = r.oid
    JOIN pg_class AS t ON t.oid = x.indrelid AND t.relpersistence <> 't'
    JOIN pg_namespace AS n ON n.oid = t.relnamespace
    WHERE i.relkind = 'i' AND n.nspname NOT IN ('pg_catalog', 'information_schema', 'pg_toast')
    GROUP BY n.nspname, t.relname, r.relname
    ORDER BY 4 DESC, 1, 2, 3
$$;
REVOKE EXECUTE ON FUNCTION outreach.get_index_usage_stats() FROM PUBLIC;
GRANT EXECUTE ON FUNCTION outreach.get_index_usage_stats() TO outreachdb_trusted, outreachdb_reader;

-- Per workspace: companies with a web address, how many were never crawled, and how many not for 30 days.
CREATE OR REPLACE VIEW outreach.vw_health_crawl_staleness WITH (security_invoker = true) AS
SELECT
    c.workspace_id, count(*) AS total, count(*) FILTER (WHERE c.last_crawled_at IS NULL) AS never_checked,
    count(*) FILTER (WHERE c.last_crawled_at < now() - interval '30 days') AS stale_30d,
    min(c.last_crawled_at) AS oldest, max(c.last_crawled_at) AS newest
FROM outreach.companies AS c
WHERE c.website_url IS NOT NULL
GROUP BY c.workspace_id;
GRANT SELECT ON outreach.vw_health_crawl_staleness TO outreachdb_app, outreachdb_trusted, outreachdb_reader;

-- Per workspace: leads, how many of them were never looked at, and how many not for 30 days.
CREATE OR REPLACE VIEW outreach.vw_health_profile_staleness WITH (security_invoker = true) AS
SELECT
    l.workspace_id, count(*) AS total, count(*) FILTER (WHERE l.profile_checked_at IS NULL) AS never_checked,
    count(*) FILTER (WHERE l.profile_checked_at < now() - interval '30 days') AS stale_30d,
    min(l.profile_checked_at) AS oldest, max(l.profile_checked_at) AS newest
FROM outreach.leads AS l
GROUP BY l.workspace_id;
GRANT SELECT ON outreach.vw_health_profile_staleness TO outreachdb_app, outreachdb_trusted, outreachdb_reader;

-- Per workspace: what waits for crawlers, for profile workers, for address checks and for senders.
CREATE OR REPLACE VIEW outreach.vw_queue_sizes WITH (security_invoker = true) AS
SELECT
    w.id AS workspace_id,
    (
        SELECT count(*) FROM outreach.companies AS c
        WHERE c.workspace_id = w.id AND c.website_url IS NOT NULL
            AND (c.last_crawled_at IS NULL OR c.last_crawled_at < now() - interval '30 days')
    ) AS company_urls,
    (
        SELECT count(*) FROM outreach.leads AS l
        WHERE l.workspace_id = w.id AND l.linkedin_url IS NOT NULL
            AND (l.profile_checked_at IS NULL OR l.profile_checked_at < now() - interval '30 days')
    ) AS profile_urls,
    (
        SELECT count(*) FROM outreach.leads AS l
        WHERE l.workspace_id = w.id AND l.email IS NOT NULL AND l.email_status <> 'invalid'
            AND (l.email_checked_at IS NULL OR l.email_checked_at < now() - interval '30 days')
    ) AS email_rechecks,
    (
        SELECT count(*) FROM outreach.email_sends AS e
        WHERE e.workspace_id = w.id AND e.status = 'scheduled' AND e.scheduled_at <= now()
    ) AS sends_due,
    (
        SELECT count(*) FROM outreach.email_sends AS e
        WHERE e.workspace_id = w.id AND e.status = 'claimed' AND e.lease_expires_at <= now()
    ) AS expired_leases
FROM outreach.workspaces AS w;
GRANT SELECT ON outreach.vw_queue_sizes TO outreachdb_app, outreachdb_trusted, outreachdb_reader;
