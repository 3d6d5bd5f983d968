-- requires: 0008

-- Creates the months that a batch needs before it is written. Makes the table apart and attaches it: CREATE ... PARTITION OF
-- would wait for every open reader of the parent. Safe to call from many places at once: one advisory lock per table.
-- Returns the number of partitions made. The ten-year limit keeps a garbled instant from making thousands of tables.
CREATE OR REPLACE FUNCTION outreach.ensure_partitions(p_table text, p_from timestamptz, p_to timestamptz)
RETURNS integer
LANGUAGE plpgsql
SECURITY DEFINER
SET search_path = pg_catalog, pg_temp
SET lock_timeout = '5s'
AS $$
DECLARE
    month timestamp := date_trunc('month', timezone('UTC', p_from));
    last_month timestamp := date_trunc('month', timezone('UTC', p_to));
    partition text;
    made integer := 0;
BEGIN
    IF NOT EXISTS (SELECT FROM ops.partitioned_tables AS r WHERE r.table_name = p_table AND r."interval" = 'month') THEN
        RAISE EXCEPTION 'no monthly partitioned table named %', p_table USING ERRCODE = 'invalid_parameter_value';
    END IF;
    IF last_month > month + interval '10 years' OR p_to < p_from THEN
        RAISE EXCEPTION 'can''t make partitions of % from % to %', p_table, p_from, p_to
            USING ERRCODE = 'invalid_parameter_value', HINT = 'the range must be in order and at most ten years';
    END IF;
    WHILE month <= last_month LOOP
        partition := p_table || '_' || to_char(month, 'YYYY_MM');
        IF to_regclass(format('parts.%I', partition)) IS NULL THEN
            PERFORM pg_advisory_xact_lock(hashtext('outreachdb.partitions.' || p_table));
            -- Asked of the table this time: to_regclass remembers that there was none a moment ago.
            IF NOT EXISTS (
                SELECT FROM pg_class AS c
                WHERE c.relnamespace = 'parts'::regnamespace AND c.relname = partition)
            THEN
                EXECUTE format(
                    'CREATE TABLE parts.%I (LIKE outreach.%I INCLUDING ALL EXCLUDING IDENTITY)', partition, p_table);
                EXECUTE format(
                    'ALTER TABLE outreach.%I ATTACH PARTITION parts.%I FOR VALUES FROM (%L) TO (%L)',
                    p_table, partition, month::text || '+00', (month + interval '1 month')::text || '+00');
                made := made + 1;
            END IF;
        END IF;
        month := month + interval '1 month';
    END LOOP;
    RETURN made;
END
$$;
REVOKE EXECUTE ON FUNCTION outreach.ensure_partitions(text, timestamptz, timestamptz) FROM PUBLIC;
GRANT EXECUTE ON FUNCTION outreach.ensure_partitions(text, timestamptz, timestamptz) TO outreachdb_trusted;

-- The periodic form: every registered table gets this month and the months ahead that its registry row asks for.
CREATE OR REPLACE FUNCTION outreach.create_monthly_partitions(p_ahead integer DEFAULT NULL)
RETURNS TABLE (table_name text, created integer)
LANGUAGE sql
SECURITY DEFINER
SET search_path = pg_catalog, pg_temp
AS $$
    SELECT r.table_name,
           outreach.ensure_partitions(
               r.table_name, now(), now() + make_interval(months => coalesce(p_ahead, r.ahead::integer)))
    FROM ops.partitioned_tables AS r
    WHERE r."interval" = 'month'
    ORDER BY r.table_name
$$;
REVOKE EXECUTE ON FUNCTION outreach.create_monthly_partitions(integer) FROM PUBLIC;
GRANT EXECUTE ON FUNCTION outreach.create_monthly_partitions(integer) TO outreachdb_trusted;

-- Statistics after a bulk load, which autovacuum would bring a minute later: until then the planner takes a new workspace,
-- campaign or month for empty, and its plans read all of it once per row. p_instant names the month of a partitioned table.
-- Costs about a second whatever the table's size (ANALYZE reads a sample). False where somebody else is at it.
CREATE OR REPLACE FUNCTION outreach.refresh_statistics(p_table text, p_instant timestamptz DEFAULT NULL)
RETURNS boolean
LANGUAGE plpgsql
SECURITY DEFINER
SET search_path = pg_catalog, pg_temp
SET lock_timeout = '100ms'
AS $$
DECLARE
    target regclass := CASE
        WHEN p_instant IS NULL THEN to_regclass(format('outreach.%I', p_table))
        ELSE to_regclass(format('parts.%I', p_table || '_' || to_char(timezone('UTC', p_instant), 'YYYY_MM')))
    END;
BEGIN
    IF target IS NULL THEN
        RAISE EXCEPTION 'no table named % to analyse', p_table USING ERRCODE = 'invalid_parameter_value';
    END IF;
    EXECUTE 'ANALYZE ' || target::text;
    RETURN true;
EXCEPTION WHEN lock_not_available THEN
    RETURN false;
END
$$;
REVOKE EXECUTE ON FUNCTION outreach.refresh_statistics(text, timestamptz) FROM PUBLIC;
GRANT EXECUTE ON FUNCTION outreach.refresh_statistics(text, timestamptz) TO outreachdb_trusted;
