
-- Registers a partitioned table, or changes what is registered of it: any table partitioned by RANGE over one column of type timestamptz,
-- timestamp or date, in whatever schema. Returns the name it is registered by. p_retention NULL keeps rows for ever.
CREATE OR REPLACE FUNCTION outreach.register_partitioned_table(
    p_table text, p_interval text DEFAULT 'month', p_ahead integer DEFAULT 3, p_retention interval DEFAULT '12 months',
    p_archive boolean DEFAULT true)
RETURNS text
LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    found record;
    registered text;
    fault text;
BEGIN
    SELECT c.oid, c.relname, n.nspname, c.relkind, t.partstrat, t.partnatts, t.partattrs[0] AS attribute, k.atttypid::regtype AS type
    INTO found
    FROM pg_class AS c
    JOIN pg_namespace AS n ON n.oid = c.relnamespace
    LEFT JOIN pg_partitioned_table AS t ON t.partrelid = c.oid
    LEFT JOIN pg_attribute AS k ON k.attrelid = c.oid AND k.attnum = t.partattrs[0]
    WHERE c.oid = ops.partitioned_relation(p_table);
    fault := CASE
        WHEN found.oid IS NULL THEN format('no table named %s', p_table)
        WHEN found.relkind <> 'p' THEN format('%s is not partitioned', p_table)
        WHEN found.partstrat <> 'r' OR found.partnatts <> 1 OR found.attribute = 0
            THEN format('%s is not partitioned by RANGE over one column', p_table)
        WHEN found.type NOT IN ('timestamptz'::regtype, 'timestamp'::regtype, 'date'::regtype)
            THEN format('%s is partitioned by a column of type %s', p_table, found.type)
        WHEN p_interval NOT IN ('day', 'week', 'month', 'quarter') OR p_interval IS NULL
            THEN format('%s is no interval of partitions', coalesce(p_interval, 'NULL'))
        WHEN p_ahead < 3 OR p_ahead > 1000 OR p_ahead IS NULL THEN 'between 3 and 1000 partitions are kept ahead'
        WHEN p_retention <> date_trunc('day', p_retention) OR p_retention <= interval '0'
            THEN format('a retention is counted in whole days or months, not %s', p_retention)
    END;
    IF fault IS NOT NULL THEN
        RAISE EXCEPTION '%', fault
            USING ERRCODE = 'invalid_parameter_value',
                  HINT = CASE
                      WHEN found.oid IS NULL THEN 'bare names stand in the schema outreach, others are written as schema.table'
                      WHEN found.relkind <> 'p' THEN 'outreachdb partitions adopt takes it over'
                      ELSE 'a timestamptz, timestamp or date column by day, week, month or quarter'
                  END;
    END IF;
    registered := CASE found.nspname WHEN 'outreach' THEN '' ELSE quote_ident(found.nspname) || '.' END || quote_ident(found.relname);
    INSERT INTO ops.partitioned_tables AS r (table_name, "interval", ahead, retention_months, retention_days, archive)
    VALUES (registered, p_interval, p_ahead,
            extract(year FROM p_retention) * 12 + extract(month FROM p_retention),
            coalesce(extract(day FROM p_retention), 0), p_archive)
    ON CONFLICT (table_name) DO UPDATE
    SET "interval" = excluded."interval", ahead = excluded.ahead, retention_months = excluded.retention_months,
        retention_days = excluded.retention_days, archive = excluded.archive;
    RETURN registered;
END
$$;
REVOKE EXECUTE ON FUNCTION outreach.register_partitioned_table(text, text, integer, interval, boolean) FROM PUBLIC;

-- The partitions of a registered table, or of all, with their ranges: row_estimate is what statistics know, bytes include indexes.
-- state: past, current, future, expired (older than the retention), detaching (half detached: maintain finishes it), default.
CREATE OR REPLACE FUNCTION outreach.get_partition_info(p_table text DEFAULT NULL)
RETURNS TABLE (
    table_name text, partition_name text, range_from timestamptz, range_to timestamptz, row_estimate bigint, bytes bigint, state text)
LANGUAGE plpgsql
STABLE
SECURITY DEFINER
SET search_path = pg_catalog, pg_temp
AS $$
#variable_conflict use_column
BEGIN
    IF p_table IS NOT NULL AND NOT EXISTS (SELECT FROM ops.partitioned_tables AS r WHERE r.table_name = p_table) THEN
        RAISE EXCEPTION 'no registered partitioned table named %', p_table
            USING ERRCODE = 'invalid_parameter_value', HINT = 'outreachdb partitions register';
    END IF;
    RETURN QUERY
    SELECT r.table_name, p.qualified, p.range_from, p.range_to,
           coalesce(nullif(pg_stat_get_live_tuples(p.partition), 0), greatest(c.reltuples, 0)::bigint),
           pg_total_relation_size(p.partition),
           CASE
               WHEN p.range_from IS NULL THEN 'default'
               WHEN p.detaching THEN 'detaching'
               WHEN p.range_to <= now() - make_interval(months => r.retention_months::integer, days => r.retention_days::integer)
                   THEN 'expired'
               WHEN p.range_to <= now() THEN 'past'
               WHEN p.range_from > now() THEN 'future'
               ELSE 'current'
           END
    FROM ops.partitioned_tables AS r
    CROSS JOIN LATERAL ops.partitions_of(ops.partitioned_relation(r.table_name)) AS p
    JOIN pg_class AS c ON c.oid = p.partition
    WHERE p_table IS NULL OR r.table_name = p_table
    ORDER BY r.table_name, p.range_from NULLS LAST, p.qualified;
END
$$;
REVOKE EXECUTE ON FUNCTION outreach.get_partition_info(text) FROM PUBLIC;
GRANT EXECUTE ON FUNCTION outreach.get_partition_info(text) TO outreachdb_trusted, outreachdb_reader;

-- Statements that read a table, as pg_stat_statements has them since its last reset, and the share of their calls that never mentions the
-- partition column: those can't prune. A look at their words, not at their plans. NULL where the extension is not there or its texts
-- may not be read (pg_read_all_stats).
CREATE OR REPLACE FUNCTION ops.unpruned_calls(p_table name, p_column name)
RETURNS TABLE (calls bigint, without_column bigint)
LANGUAGE plpgsql
STABLE
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    place text := (
        SELECT quote_ident(n.nspname) FROM pg_extension AS e JOIN pg_namespace AS n ON n.oid = e.extnamespace
        WHERE e.extname = 'pg_stat_statements');
BEGIN
    IF place IS NULL OR NOT pg_has_role('pg_read_all_stats', 'USAGE') THEN
        RETURN QUERY SELECT NULL::bigint, NULL::bigint;
        RETURN;
    END IF;
    RETURN QUERY EXECUTE format($query$
        SELECT coalesce(sum(s.calls), 0)::bigint, coalesce(sum(s.calls) FILTER (WHERE s.query !~* ('\m' || %L || '\M')), 0)::bigint
        FROM %s.pg_stat_statements AS s
        WHERE s.dbid = (SELECT oid FROM pg_database WHERE datname = current_database())
          AND s.query ~* ('\m' || %L || '\M') AND s.query ~* '^\s*(select|with|update|delete|merge)'
    $query$, p_column, place, p_table);
EXCEPTION WHEN object_not_in_prerequisite_state OR insufficient_privilege THEN
    -- Created, but the library was not loaded at the server's start; or in a schema that is closed to us.
    RETURN QUERY SELECT NULL::bigint, NULL::bigint;
END
$$;

-- How each partition of a registered table fares, and what to do. Counters are the server's, since its last reset of statistics.
-- pruned: whether queries pass it over: it was scanned less than half as often as the busiest partition; NULL below 100 scans of the
-- busiest. Scans inside nested loops count once each, so a busy join can hide a little. unpruned_calls: calls of statements on the table
-- that never mention the partition column, of statement_calls in all (pg_stat_statements; NULL where it can't be read).
CREATE OR REPLACE FUNCTION outreach.analyze_partition_performance(p_table text)
RETURNS TABLE (
    partition_name text, range_from timestamptz, range_to timestamptz, bytes bigint, index_bytes bigint, row_estimate bigint,
    dead_rows bigint, sequential_scans bigint, index_scans bigint, last_vacuum timestamptz, last_analyze timestamptz, pruned boolean,
    statement_calls bigint, unpruned_calls bigint, advice text)
LANGUAGE plpgsql
STABLE
SET search_path = pg_catalog, pg_temp
AS $$
#variable_conflict use_column
DECLARE
    parent record;
    asked record;
BEGIN
    SELECT c.oid, c.relname, k.attname INTO parent
    FROM ops.partitioned_tables AS r
    JOIN pg_class AS c ON c.oid = ops.partitioned_relation(r.table_name)
    JOIN pg_partitioned_table AS t ON t.partrelid = c.oid
    JOIN pg_attribute AS k ON k.attrelid = c.oid AND k.attnum = t.partattrs[0]
    WHERE r.table_name = p_table;
    IF NOT FOUND THEN
        RAISE EXCEPTION 'no registered partitioned table named %', p_table
            USING ERRCODE = 'invalid_parameter_value', HINT = 'outreachdb partitions register';
    END IF;
    SELECT u.calls, u.without_column INTO asked FROM ops.unpruned_calls(parent.relname, parent.attname) AS u;
    RETURN QUERY
    WITH measured AS (
        SELECT i.*, s.n_live_tup AS live, s.n_dead_tup AS dead, s.seq_scan AS sequential, coalesce(s.idx_scan, 0) AS by_index,
               pg_indexes_size(p.partition) AS index_size,
               greatest(s.last_vacuum, s.last_autovacuum) AS vacuumed, greatest(s.last_analyze, s.last_autoanalyze) AS analyzed,
               s.n_mod_since_analyze AS changed,
               max(s.seq_scan + coalesce(s.idx_scan, 0)) OVER () AS busiest,
               max(i.bytes) OVER () AS largest
        FROM outreach.get_partition_info(p_table) AS i
        JOIN ops.partitions_of(parent.oid) AS p ON p.qualified = i.partition_name
        LEFT JOIN pg_stat_all_tables AS s ON s.relid = p.partition
    ),
    judged AS (
        SELECT m.*, CASE WHEN m.busiest >= 100 THEN (m.sequential + m.by_index) * 2 < m.busiest END AS passed_over FROM measured AS m
    )
    SELECT j.partition_name, j.range_from, j.range_to, j.bytes, j.index_size, j.row_estimate, j.dead, j.sequential, j.by_index,
           j.vacuumed, j.analyzed, j.passed_over, asked.calls, asked.without_column,
           coalesce(nullif(concat_ws('; ',
               CASE WHEN j.state = 'detaching' THEN 'half detached: run `outreachdb partitions maintain`' END,
               CASE WHEN j.state = 'default' THEN 'a default partition rules out detaching beside writers: move its rows and drop it' END,
               CASE WHEN j.state = 'expired' THEN 'older than the retention: run `outreachdb retention run`' END,
               CASE WHEN j.dead > 10000 AND j.dead > 0.2 * greatest(j.live, 1) THEN format('%s dead rows: VACUUM %s', j.dead, j.partition_name) END,
               CASE WHEN j.bytes > 8192 * 10 AND (j.analyzed IS NULL AND j.row_estimate = 0 OR j.changed > 10000 AND j.changed > 0.5 * greatest(j.live, 1))
                    THEN format('statistics are old: ANALYZE %s', j.partition_name) END,
               CASE WHEN j.state IN ('past', 'expired') AND NOT j.passed_over
                    THEN format('read as often as the busiest partition: let queries compare %I with constants or parameters', parent.attname) END,
               CASE WHEN j.bytes > 50 * 1024::bigint ^ 3 THEN 'over 50 GB: a shorter interval keeps vacuum and archive quick' END
           ), ''), 'nothing to do')
    FROM judged AS j
    ORDER BY j.range_from NULLS LAST;
END
$$;
REVOKE EXECUTE ON FUNCTION outreach.analyze_partition_performance(text) FROM PUBLIC;
GRANT EXECUTE ON FUNCTION outreach.analyze_partition_performance(text) TO outreachdb_trusted, outreachdb_reader;
