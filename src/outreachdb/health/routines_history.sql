-- Writes how often each index was used since the snapshot before into ops.index_usage_stats (one of a partitioned table
-- as one), and forgets what is older than p_keep. Counts from each partition's own counter: a counter that fell, or a
-- database whose counters were all reset, began at nothing. The first snapshot only learns where the counters stand.
-- Returns the number of indexes. Two at once wait for each other, so that nothing is counted twice.
CREATE OR REPLACE FUNCTION outreach.snapshot_index_usage(p_keep interval DEFAULT '400 days')
RETURNS integer
LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    is_first boolean;
    was_reset boolean;
    stored integer;
BEGIN
    PERFORM pg_advisory_xact_lock(hashtext('outreachdb.snapshot.indexes'));
    -- A reset of one table's counters moves stats_reset too, but leaves the database's transactions alone.
    SELECT e.source IS NULL, coalesce(e.reset_at IS DISTINCT FROM s.stats_reset AND s.xact_commit < e.transactions, false)
    INTO is_first, was_reset
    FROM pg_stat_database AS s
    LEFT JOIN ops.counter_epochs AS e ON e.source = 'indexes'
    WHERE s.datname = current_database();

    WITH counted AS MATERIALIZED (
        SELECT
            i.oid::bigint AS index_id, n.nspname, t.relname AS table_name, r.relname AS index_name,
            pg_stat_get_numscans(i.oid) AS scans, pg_stat_get_tuples_returned(i.oid) AS tuples_read,
            pg_stat_get_tuples_fetched(i.oid) AS tuples_fetched, pg_relation_size(i.oid) AS bytes
        FROM pg_class AS i
        JOIN pg_class AS r ON r.oid = coalesce(pg_partition_root(i.oid)::oid, i.oid)
        JOIN pg_index AS x ON x.indexrelid = r.oid
        JOIN pg_class AS t ON t.oid = x.indrelid AND t.relpersistence <> 't'
        JOIN pg_namespace AS n ON n.oid = t.relnamespace
        WHERE i.relkind = 'i' AND n.nspname NOT IN ('pg_catalog', 'information_schema', 'pg_toast')
    ),
    differences AS MATERIALIZED (
        SELECT
            c.*,
            CASE
                WHEN is_first THEN 0
                WHEN o.index_id IS NULL OR was_reset OR c.scans < o.scans THEN c.scans
                ELSE c.scans - o.scans
            END AS new_scans
        FROM counted AS c
        LEFT JOIN ops.index_counters AS o ON o.index_id = c.index_id
    ),
    remembered AS (
        INSERT INTO ops.index_counters AS o (index_id, scans)
        SELECT d.index_id, d.scans FROM differences AS d
        ON CONFLICT (index_id) DO UPDATE SET scans = excluded.scans WHERE o.scans <> excluded.scans
    ),
    forgotten AS (
        DELETE FROM ops.index_counters AS o WHERE NOT EXISTS (SELECT FROM counted AS c WHERE c.index_id = o.index_id)
    )
    INSERT INTO ops.index_usage_stats (
        schema_name, table_name, index_name, index_scans, new_scans, tuples_read, tuples_fetched, index_bytes)
    SELECT
        d.nspname, d.table_name, d.index_name, sum(d.scans), sum(d.new_scans), sum(d.tuples_read), sum(d.tuples_fetched),
        sum(d.bytes)
    FROM differences AS d
    GROUP BY d.nspname, d.table_name, d.index_name;
    GET DIAGNOSTICS stored = ROW_COUNT;

    INSERT INTO ops.counter_epochs AS e (source, reset_at, transactions, captured_at)
    SELECT 'indexes', s.stats_reset, s.xact_commit, now() FROM pg_stat_database AS s WHERE s.datname = current_database()
    ON CONFLICT (source) DO UPDATE
    SET reset_at = excluded.reset_at, transactions = excluded.transactions, captured_at = excluded.captured_at;
    DELETE FROM ops.index_usage_stats AS u WHERE u.captured_at < now() - p_keep;
    RETURN stored;
END
$$;
REVOKE EXECUTE ON FUNCTION outreach.snapshot_index_usage(interval) FROM PUBLIC;
GRANT EXECUTE ON FUNCTION outreach.snapshot_index_usage(interval) TO outreachdb_trusted;

-- Writes today's sizes into ops.daily_figures: the database, its 200 largest tables (a partitioned one as one), the 50
-- sequences that are nearest to their end, and the disk where the caller knows it. The last snapshot of a UTC day stays;
-- what is older than p_keep goes. Returns the number of figures.
CREATE OR REPLACE FUNCTION outreach.snapshot_sizes(
    p_disk_used bigint DEFAULT NULL, p_disk_total bigint DEFAULT NULL, p_keep interval DEFAULT '3 years')
RETURNS integer
LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    today date := timezone('UTC', now())::date;
    stored integer;
BEGIN
    INSERT INTO ops.daily_figures AS f (kind, name, day, value, most)
    SELECT 'database', current_database(), today, pg_database_size(current_database()), NULL
    UNION ALL
    SELECT 'disk', 'disk', today, p_disk_used, p_disk_total WHERE p_disk_used IS NOT NULL
    UNION ALL
    (
        SELECT 'table', format('%I.%I', n.nspname, t.relname), today, sum(pg_total_relation_size(c.oid)), NULL
        FROM pg_class AS c
        JOIN pg_class AS t ON t.oid = coalesce(pg_partition_root(c.oid)::oid, c.oid)
        JOIN pg_namespace AS n ON n.oid = t.relnamespace
        WHERE
            c.relkind IN ('r', 'm') AND c.relpersistence <> 't'
            AND n.nspname NOT IN ('pg_catalog', 'information_schema', 'pg_toast')
        GROUP BY n.nspname, t.relname
        ORDER BY sum(pg_total_relation_size(c.oid)) DESC
        LIMIT 200
    )
    UNION ALL
    (
        SELECT 'sequence', format('%I.%I', s.schemaname, s.sequencename), today, s.last_value, s.max_value
        FROM pg_sequences AS s
        WHERE s.last_value IS NOT NULL AND s.increment_by > 0 AND NOT s.cycle
        ORDER BY s.last_value::double precision / s.max_value DESC
        LIMIT 50
    )
    ON CONFLICT (kind, name, day) DO UPDATE SET value = excluded.value, most = excluded.most;
    GET DIAGNOSTICS stored = ROW_COUNT;
    DELETE FROM ops.daily_figures AS f WHERE f.day < today - p_keep;
    RETURN stored;
END
$$;
REVOKE EXECUTE ON FUNCTION outreach.snapshot_sizes(bigint, bigint, interval) FROM PUBLIC;
GRANT EXECUTE ON FUNCTION outreach.snapshot_sizes(bigint, bigint, interval) TO outreachdb_trusted;

-- Adds what each statement did since the snapshot before to its row of today in ops.query_days. A statement whose counters
-- fell, or that is counted from another instant (reset, thrown out and back again; before PostgreSQL 17 only a reset of
-- all is told apart), began at nothing. Of past days the p_most costliest statements stay, p_keep long. Returns the number of
-- statements that ran; 0 where pg_stat_statements is not there. Statements other than SELECT, INSERT, UPDATE, DELETE,
-- MERGE are left out: they may hold secrets.
CREATE OR REPLACE FUNCTION outreach.snapshot_queries(p_keep interval DEFAULT '90 days', p_most integer DEFAULT 500)
RETURNS integer
LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    today date := timezone('UTC', now())::date;
    is_first boolean := NOT EXISTS (SELECT FROM ops.counter_epochs AS e WHERE e.source = 'queries');
    place text := (
        SELECT format('%I', n.nspname) FROM pg_extension AS e JOIN pg_namespace AS n ON n.oid = e.extnamespace
        WHERE e.extname = 'pg_stat_statements'
    );
    since text := CASE
        WHEN current_setting('server_version_num')::int >= 170000 THEN 's.stats_since'
        ELSE format('(SELECT i.stats_reset FROM %s.pg_stat_statements_info AS i)', place) END;
    stored integer;
BEGIN
    IF place IS NULL THEN
        RETURN 0;
    END IF;
    PERFORM pg_advisory_xact_lock(hashtext('outreachdb.snapshot.queries'));
    EXECUTE format($query$
        WITH counted AS MATERIALIZED (
            SELECT
                s.userid::bigint AS user_id, s.queryid AS query_id, s.calls, s.total_exec_time AS total_ms, s.rows,
                %2$s AS since, s.query
            FROM %1$s.pg_stat_statements AS s
            JOIN pg_database AS d ON d.oid = s.dbid
            WHERE
                d.datname = current_database() AND s.toplevel AND s.queryid IS NOT NULL
                AND s.query ~* '^\W*(SELECT|INSERT|UPDATE|DELETE|MERGE|WITH)\y'
        ),
        differences AS MATERIALIZED (
            SELECT
                c.query_id, c.query,
                CASE WHEN o.fresh THEN c.calls ELSE c.calls - o.calls END AS calls,
                CASE WHEN o.fresh THEN c.total_ms ELSE c.total_ms - o.total_ms END AS total_ms,
                CASE WHEN o.fresh THEN c.rows ELSE greatest(c.rows - o.rows, 0) END AS rows
            FROM counted AS c
            LEFT JOIN ops.query_counters AS q ON q.user_id = c.user_id AND q.query_id = c.query_id
            CROSS JOIN LATERAL (
                SELECT
                    q.calls, q.total_ms, q.rows,
                    q.query_id IS NULL OR q.since IS DISTINCT FROM c.since OR c.calls < q.calls OR c.total_ms < q.total_ms AS fresh
            ) AS o
        ),
        remembered AS (
            INSERT INTO ops.query_counters AS q (user_id, query_id, calls, total_ms, rows, since)
            SELECT c.user_id, c.query_id, c.calls, c.total_ms, c.rows, c.since FROM counted AS c
            ON CONFLICT (user_id, query_id) DO UPDATE
            SET calls = excluded.calls, total_ms = excluded.total_ms, rows = excluded.rows, since = excluded.since
            WHERE (q.calls, q.since) IS DISTINCT FROM (excluded.calls, excluded.since)
        ),
        forgotten AS (
            DELETE FROM ops.query_counters AS q
            WHERE NOT EXISTS (SELECT FROM counted AS c WHERE c.user_id = q.user_id AND c.query_id = q.query_id)
        ),
        told AS (
            INSERT INTO ops.query_texts (query_id, query)
            SELECT d.query_id, min(left(d.query, 2000)) FROM differences AS d WHERE d.calls > 0 AND NOT $2 GROUP BY d.query_id
            ON CONFLICT (query_id) DO NOTHING
        )
        INSERT INTO ops.query_days AS q (query_id, day, calls, total_ms, rows)
        SELECT d.query_id, $1, sum(d.calls), sum(d.total_ms), sum(d.rows)
        FROM differences AS d
        WHERE d.calls > 0 AND NOT $2
        GROUP BY d.query_id
        ON CONFLICT (query_id, day) DO UPDATE
        SET calls = q.calls + excluded.calls, total_ms = q.total_ms + excluded.total_ms, rows = q.rows + excluded.rows
    $query$, place, since) USING today, is_first;
    GET DIAGNOSTICS stored = ROW_COUNT;

    INSERT INTO ops.counter_epochs AS e (source, reset_at, transactions, captured_at) VALUES ('queries', NULL, 0, now())
    ON CONFLICT (source) DO UPDATE SET captured_at = excluded.captured_at;
    DELETE FROM ops.query_days AS q WHERE q.day < today - p_keep;
    DELETE FROM ops.query_days AS q
    USING (
        SELECT r.query_id, r.day, row_number() OVER (PARTITION BY r.day ORDER BY r.total_ms DESC, r.query_id) AS place
        FROM ops.query_days AS r WHERE r.day < today
    ) AS r
    WHERE q.query_id = r.query_id AND q.day = r.day AND r.place > p_most;
    DELETE FROM ops.query_texts AS t WHERE NOT EXISTS (SELECT FROM ops.query_days AS q WHERE q.query_id = t.query_id);
    RETURN stored;
END
$$;
REVOKE EXECUTE ON FUNCTION outreach.snapshot_queries(interval, integer) FROM PUBLIC;
GRANT EXECUTE ON FUNCTION outreach.snapshot_queries(interval, integer) TO outreachdb_trusted;
