-- ---------------------------------------------------------------------------------------------------------------------
-- The daily maintenance and what else needs no more than SQL.

-- New statistics for tables of which a tenth was written since the last ones, and for those that have none; returns how many.
-- Autovacuum does the same, but by its own default settings only after ten percent and when it has a worker free: a table that
-- grew from nothing within the hour is what plans go wrong on. Parents of partitions, which it never analyses, have no count of what was
-- written: theirs are renewed when the partitions' rows have become a tenth more or fewer.
CREATE OR REPLACE FUNCTION outreach.analyze_hot_tables(p_share real DEFAULT 0.1, p_least bigint DEFAULT 5000) RETURNS bigint
LANGUAGE plpgsql SECURITY DEFINER
SET search_path = pg_catalog, pg_temp
SET lock_timeout = '100ms'
AS $$
DECLARE
    v_table regclass;
    v_parent boolean;
    v_count bigint := 0;
BEGIN
    FOR v_table, v_parent IN
        SELECT w.relid::regclass, w.parent
        FROM (
            SELECT s.relid, false AS parent, s.n_mod_since_analyze AS changed, s.n_live_tup AS live
            FROM pg_stat_user_tables AS s
            WHERE s.schemaname IN ('outreach', 'parts', 'analytics', 'ops')
            UNION ALL
            SELECT c.oid, true, abs(p.live - greatest(c.reltuples, 0)), p.live
            FROM pg_class AS c
            CROSS JOIN LATERAL (
                SELECT coalesce(sum(pg_stat_get_live_tuples(t.relid)), 0) AS live FROM pg_partition_tree(c.oid) AS t WHERE t.isleaf
            ) AS p
            WHERE c.relkind = 'p' AND c.relnamespace::regnamespace::text IN ('outreach', 'analytics', 'ops')
        ) AS w
        WHERE w.changed >= greatest(p_least, p_share * w.live)
        ORDER BY w.changed DESC
        LIMIT 50
    LOOP
        BEGIN
            -- Before PostgreSQL 18 it goes on into the partitions.
            EXECUTE CASE WHEN v_parent AND current_setting('server_version_num')::integer >= 180000 THEN 'ANALYZE ONLY ' ELSE 'ANALYZE ' END
                || v_table::text;
            v_count := v_count + 1;
        EXCEPTION WHEN lock_not_available THEN
            NULL;  -- somebody is at it
        END;
    END LOOP;
    RETURN v_count;
END
$$;
REVOKE EXECUTE ON FUNCTION outreach.analyze_hot_tables(real, bigint) FROM PUBLIC;
GRANT EXECUTE ON FUNCTION outreach.analyze_hot_tables(real, bigint) TO outreachdb_trusted;

-- Forgets what nobody looks at any more: runs of jobs after p_keep (of jobs that run every minute after a week), finished
-- background jobs and weekly reports after p_keep. Returns how many rows went.
-- owner: outreachdb_trusted
CREATE OR REPLACE FUNCTION outreach.forget_old_runs(p_keep interval DEFAULT '400 days') RETURNS bigint
LANGUAGE plpgsql SECURITY DEFINER
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    v_runs bigint;
    v_jobs bigint;
    v_reports bigint;
BEGIN
    DELETE FROM ops.maintenance_runs AS r
    WHERE r.started_at < now() - p_keep
       OR (r.started_at < now() - interval '7 days' AND r.status = 'succeeded'
           AND r.job IN (SELECT j.name FROM ops.scheduled_jobs AS j
                         WHERE cardinality(j.minutes) * cardinality(j.hours) > 24));
    GET DIAGNOSTICS v_runs = ROW_COUNT;
    DELETE FROM outreach.background_jobs AS b WHERE b.finished_at < now() - p_keep;
    GET DIAGNOSTICS v_jobs = ROW_COUNT;
    DELETE FROM ops.weekly_reports AS w WHERE w.created_at < now() - p_keep;
    GET DIAGNOSTICS v_reports = ROW_COUNT;
    RETURN v_runs + v_jobs + v_reports;
END
$$;
GRANT EXECUTE ON FUNCTION outreach.forget_old_runs(interval) TO outreachdb_trusted;

-- The daily maintenance: does what a transaction can do, and tells what else is due, as a statement for somebody who can run it
-- (VACUUM and REINDEX CONCURRENTLY can't run inside a function). done is a number of objects or rows.
-- owner: outreachdb_trusted
CREATE OR REPLACE FUNCTION outreach.perform_maintenance_tasks()
RETURNS TABLE (task text, done bigint, due text)
LANGUAGE plpgsql SECURITY DEFINER
SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    RETURN QUERY SELECT 'partitions', coalesce(sum(p.created), 0)::bigint, NULL::text
                 FROM outreach.create_monthly_partitions() AS p;
    RETURN QUERY SELECT 'statistics', outreach.analyze_hot_tables(), NULL::text;
    IF EXISTS (SELECT FROM ops.partitioned_tables AS r WHERE r.table_name = 'email_sends' AND r.retention_months IS NOT NULL) THEN
        RETURN QUERY SELECT 'old sends', c.deleted, NULL::text FROM outreach.cleanup_old_email_sends() AS c;
    END IF;
    RETURN QUERY SELECT 'old runs', outreach.forget_old_runs(), NULL::text;
    RETURN QUERY SELECT 'leases of checks', outreach.release_check_leases(), NULL::text;
    RETURN QUERY SELECT 'vacuum', 0::bigint, format('VACUUM (ANALYZE, SKIP_LOCKED) %s', v.table_name)
                 FROM outreach.tables_to_vacuum() AS v;
    RETURN QUERY SELECT 'invalid index', 0::bigint, format('DROP INDEX CONCURRENTLY %s', x.indexrelid::regclass)
                 FROM pg_index AS x
                 JOIN pg_class AS c ON c.oid = x.indexrelid
                 WHERE NOT x.indisvalid AND c.relname ~ '_cc(new|old)\d*$'
                   AND c.relnamespace::regnamespace::text IN ('outreach', 'parts', 'analytics', 'ops');
END
$$;
GRANT EXECUTE ON FUNCTION outreach.perform_maintenance_tasks() TO outreachdb_trusted;

-- Tables with so many dead rows, or so many new ones since the last vacuum (an import, a restore), that reading them suffers:
-- index-only scans need the visibility map that VACUUM writes.
CREATE OR REPLACE FUNCTION outreach.tables_to_vacuum(
    p_share real DEFAULT 0.1, p_least bigint DEFAULT 10000)
RETURNS TABLE (table_name text, dead bigint, inserted bigint)
LANGUAGE sql VOLATILE
SET search_path = pg_catalog, pg_temp
AS $$
    SELECT s.relid::regclass::text, s.n_dead_tup, s.n_ins_since_vacuum
    FROM pg_stat_user_tables AS s
    WHERE s.schemaname IN ('outreach', 'parts', 'analytics', 'ops', 'procrastinate')
      AND (s.n_dead_tup >= greatest(p_least, p_share * s.n_live_tup)
           OR s.n_ins_since_vacuum >= greatest(5 * p_least, p_share * s.n_live_tup))
    ORDER BY s.n_dead_tup + s.n_ins_since_vacuum DESC
$$;

-- The report of a week: slow statements, growth since the last report, partitions, jobs that failed. Kept in
-- ops.weekly_reports; returns its id.
-- owner: outreachdb_trusted
CREATE OR REPLACE FUNCTION outreach.write_weekly_report() RETURNS bigint
LANGUAGE plpgsql SECURITY DEFINER
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    v_before jsonb := (SELECT w.document FROM ops.weekly_reports AS w ORDER BY w.id DESC LIMIT 1);
    v_schema text := (
        SELECT quote_ident(n.nspname) FROM pg_extension AS e JOIN pg_namespace AS n ON n.oid = e.extnamespace
        WHERE e.extname = 'pg_stat_statements');
    v_slow jsonb;
    v_id bigint;
BEGIN
    -- What statements did in the week, from the hourly snapshots: they are taken by a login that may see everybody's.
    SELECT jsonb_agg(to_jsonb(q) ORDER BY q.total_ms DESC) INTO v_slow
    FROM (SELECT left(min(t.query), 500) AS query, sum(d.calls)::bigint AS calls,
                 round((sum(d.total_ms) / sum(d.calls))::numeric, 1) AS mean_ms, round(sum(d.total_ms)::numeric) AS total_ms,
                 sum(d.rows)::bigint AS rows
          FROM ops.query_days AS d
          JOIN ops.query_texts AS t ON t.query_id = d.query_id
          WHERE d.day > timezone('UTC', now())::date - 7
          GROUP BY d.query_id
          HAVING sum(d.total_ms) / sum(d.calls) > 100
          ORDER BY sum(d.total_ms) DESC LIMIT 20) AS q;
    -- Without snapshots, those that are ours to see.
    IF v_schema IS NOT NULL AND NOT EXISTS (SELECT FROM ops.query_days AS d WHERE d.day > timezone('UTC', now())::date - 7) THEN
        BEGIN
            EXECUTE format(
                $q$SELECT jsonb_agg(to_jsonb(q)) FROM (
                       SELECT left(s.query, 500) AS query, s.calls, round(s.mean_exec_time::numeric, 1) AS mean_ms,
                              round(s.total_exec_time::numeric) AS total_ms, s.rows
                       FROM %s.pg_stat_statements AS s
                       WHERE s.dbid = (SELECT d.oid FROM pg_database AS d WHERE d.datname = current_database())
                         AND s.mean_exec_time > 100 AND s.query <> '<insufficient privilege>'
                       ORDER BY s.total_exec_time DESC LIMIT 20) AS q$q$, v_schema) INTO v_slow;
        EXCEPTION WHEN object_not_in_prerequisite_state OR insufficient_privilege THEN
            NULL;  -- not preloaded, or not ours to read
        END;
    END IF;
    WITH relations AS (
        SELECT coalesce(pg_partition_root(c.oid), c.oid)::regclass::text AS name, pg_total_relation_size(c.oid) AS bytes,
               greatest(c.reltuples, 0) AS estimate
        FROM pg_class AS c
        WHERE c.relkind IN ('r', 'm')
          AND c.relnamespace::regnamespace::text IN ('outreach', 'parts', 'analytics', 'ops', 'procrastinate')
    ), sizes AS (
        SELECT r.name, sum(r.bytes)::bigint AS bytes, sum(r.estimate)::bigint AS estimate
        FROM relations AS r GROUP BY r.name
    )
    INSERT INTO ops.weekly_reports (document)
    SELECT jsonb_build_object(
        'as_of', now(),
        'slow_queries', coalesce(v_slow, '[]'),
        'slow_queries_known', v_schema IS NOT NULL,
        'database_bytes', pg_database_size(current_database()),
        'tables', (
            SELECT jsonb_agg(jsonb_build_object(
                       'table', s.name, 'bytes', s.bytes, 'rows', s.estimate,
                       'grown_bytes', s.bytes - (v_before -> 'sizes' ->> s.name)::bigint) ORDER BY s.bytes DESC)
            FROM (SELECT * FROM sizes ORDER BY bytes DESC LIMIT 25) AS s),
        'sizes', (SELECT jsonb_object_agg(s.name, s.bytes) FROM sizes AS s),
        'partitions', (
            SELECT jsonb_agg(to_jsonb(p) ORDER BY p."table")
            FROM (
                SELECT i.inhparent::regclass::text AS "table", count(*) AS partitions,
                       min(c.relname) AS first, max(c.relname) AS last,
                       sum(pg_total_relation_size(c.oid))::bigint AS bytes,
                       bool_or(i.inhdetachpending) AS detach_pending
                FROM pg_inherits AS i
                JOIN pg_class AS c ON c.oid = i.inhrelid
                WHERE c.relnamespace = 'parts'::regnamespace AND c.relkind = 'r'
                GROUP BY i.inhparent) AS p),
        'failed_jobs', (
            SELECT coalesce(jsonb_agg(to_jsonb(f) ORDER BY f.job), '[]')
            FROM (
                SELECT r.job, count(*) AS failures, max(r.error) AS error
                FROM ops.maintenance_runs AS r
                WHERE r.started_at >= now() - interval '7 days' AND r.status = 'failed'
                GROUP BY r.job) AS f))
    RETURNING id INTO v_id;
    RETURN v_id;
END
$$;
GRANT EXECUTE ON FUNCTION outreach.write_weekly_report() TO outreachdb_trusted;
