-- requires: 0008

-- What every partition routine stands on: how a registered table is named, how its partitions are called and bounded.
-- A name in the registry is written as SQL writes it, a bare one standing in outreach: email_events, public.measurements.
-- Asked of pg_class: to_regclass remembers that there was no such table a moment ago.
CREATE OR REPLACE FUNCTION ops.partitioned_relation(p_table text)
RETURNS oid
LANGUAGE sql
STABLE
SET search_path = pg_catalog, pg_temp
AS $$
    SELECT c.oid
    FROM parse_ident(p_table) AS named (words)
    JOIN pg_namespace AS n ON n.nspname = CASE cardinality(words) WHEN 1 THEN 'outreach' ELSE words[1] END
    JOIN pg_class AS c ON c.relnamespace = n.oid AND c.relname = words[cardinality(words)]
    WHERE cardinality(words) <= 2
$$;

-- One end of a partition's range, as pg_get_expr writes it; days of date and timestamp columns are taken for UTC.
CREATE OR REPLACE FUNCTION ops.partition_bound(p_expression text, p_end text, p_type regtype)
RETURNS timestamptz
LANGUAGE sql
STABLE
SET search_path = pg_catalog, pg_temp
AS $$
    SELECT CASE
        WHEN found.word IS NULL THEN NULL
        WHEN found.word = 'MINVALUE' THEN '-infinity'
        WHEN found.word = 'MAXVALUE' THEN 'infinity'
        WHEN p_type = 'timestamptz'::regtype THEN trim(both '''' FROM found.word)::timestamptz
        ELSE timezone('UTC', trim(both '''' FROM found.word)::timestamp)
    END
    FROM (SELECT (regexp_match(p_expression, p_end || ' \((MINVALUE|MAXVALUE|''[^'']+'')\)'))[1]) AS found (word)
$$;

-- The partitions of a table with their ranges; a DEFAULT partition has none. detaching: hidden already, not yet apart.
CREATE OR REPLACE FUNCTION ops.partitions_of(p_relation oid)
RETURNS TABLE (
    partition oid, schema_name text, partition_name text, qualified text, range_from timestamptz, range_to timestamptz, detaching boolean)
LANGUAGE sql
STABLE
SET search_path = pg_catalog, pg_temp
AS $$
    SELECT c.oid, n.nspname::text, c.relname::text, format('%I.%I', n.nspname, c.relname),
           ops.partition_bound(bound.expression, 'FROM', k.atttypid::regtype),
           ops.partition_bound(bound.expression, 'TO', k.atttypid::regtype),
           i.inhdetachpending
    FROM pg_inherits AS i
    JOIN pg_class AS c ON c.oid = i.inhrelid
    JOIN pg_namespace AS n ON n.oid = c.relnamespace
    JOIN pg_partitioned_table AS t ON t.partrelid = i.inhparent
    LEFT JOIN pg_attribute AS k ON k.attrelid = i.inhparent AND k.attnum = t.partattrs[0]
    CROSS JOIN LATERAL (SELECT pg_get_expr(c.relpartbound, c.oid)) AS bound (expression)
    WHERE i.inhparent = p_relation
$$;

CREATE OR REPLACE FUNCTION ops.partition_step(p_interval text)
RETURNS interval
LANGUAGE sql
IMMUTABLE
RETURN CASE p_interval
    WHEN 'day' THEN interval '1 day'
    WHEN 'week' THEN interval '7 days'
    WHEN 'month' THEN interval '1 month'
    WHEN 'quarter' THEN interval '3 months'
END;

-- What a partition is called: email_events_2026_11, and for days _2026_11_21, ISO weeks _2026_w47, quarters _2026_q4.
CREATE OR REPLACE FUNCTION ops.partition_name(p_table name, p_interval text, p_start timestamp)
RETURNS text
LANGUAGE sql
STABLE
SET search_path = pg_catalog, pg_temp
AS $$
    -- PostgreSQL cuts names at 63 bytes, which would cut off the very part that tells them apart.
    SELECT left(p_table::text, 47) || '_' || to_char(p_start, CASE p_interval
        WHEN 'day' THEN 'YYYY_MM_DD'
        WHEN 'week' THEN 'IYYY_"w"IW'
        WHEN 'month' THEN 'YYYY_MM'
        ELSE 'YYYY_"q"Q'
    END)
$$;

-- The first instant of the period that holds an instant; periods begin at midnight UTC, weeks on Monday.
CREATE OR REPLACE FUNCTION ops.partition_start(p_interval text, p_instant timestamptz)
RETURNS timestamp
LANGUAGE sql
STABLE
RETURN date_trunc(p_interval, timezone('UTC', p_instant));

-- The storage parameters of a table's newest partition, its TOAST table's too, as words for WITH; NULL where it has none. A
-- partitioned table can have none itself: whoever sets them sets them on partitions, and those that follow take them over.
CREATE OR REPLACE FUNCTION ops.partition_options(p_relation oid)
RETURNS text
LANGUAGE sql
STABLE
SET search_path = pg_catalog, pg_temp
AS $$
    SELECT string_agg(format('%s = %L', split_part(o.option, '=', 1), split_part(o.option, '=', 2)), ', ' ORDER BY o.option)
    FROM (
        SELECT p.partition FROM ops.partitions_of(p_relation) AS p
        WHERE p.range_from IS NOT NULL
        ORDER BY p.range_to DESC
        LIMIT 1
    ) AS newest
    JOIN pg_class AS c ON c.oid = newest.partition
    LEFT JOIN pg_class AS t ON t.oid = c.reltoastrelid
    CROSS JOIN LATERAL (
        SELECT unnest(c.reloptions)
        UNION ALL
        SELECT 'toast.' || u.option FROM unnest(t.reloptions) AS u (option)
    ) AS o (option)
$$;

-- Gives a partitioned table the partitions that a range needs and that are not there, named after p_name. What existing partitions of
-- whatever size cover is left out, so that a changed interval, or a table that was taken over, has neither gaps nor overlaps.
-- Each is made apart and attached: CREATE ... PARTITION OF would wait for every open reader of the parent. p_options are
-- the storage parameters of the first; later ones take over their newest sibling's. Acts with the caller's rights.
CREATE OR REPLACE FUNCTION ops.add_partitions(
    p_relation oid, p_name name, p_interval text, p_from timestamptz, p_to timestamptz, p_options text[] DEFAULT NULL)
RETURNS integer
LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    parent record;
    gap record;
    partition text;
    made integer := 0;
BEGIN
    SELECT c.oid::regclass::text AS name, c.relrowsecurity, pg_get_userbyid(c.relowner) AS owner, k.atttypid::regtype AS type,
           CASE n.nspname WHEN 'outreach' THEN 'parts' ELSE n.nspname END AS target,
           CASE WHEN p_options IS NULL THEN ops.partition_options(c.oid) ELSE (
               SELECT string_agg(format('%s = %L', split_part(o, '=', 1), split_part(o, '=', 2)), ', ') FROM unnest(p_options) AS o
           ) END AS options
    INTO STRICT parent
    FROM pg_class AS c
    JOIN pg_namespace AS n ON n.oid = c.relnamespace
    JOIN pg_partitioned_table AS t ON t.partrelid = c.oid
    JOIN pg_attribute AS k ON k.attrelid = c.oid AND k.attnum = t.partattrs[0]
    WHERE c.oid = p_relation;
    FOR gap IN SELECT * FROM ops.missing_ranges(p_relation, p_interval, p_from, p_to) LOOP
        partition := ops.free_partition_name(parent.target, ops.partition_name(p_name, p_interval, gap.slot));
        EXECUTE format('CREATE TABLE %I.%I (LIKE %s INCLUDING ALL EXCLUDING IDENTITY)%s',
            parent.target, partition, parent.name, ' WITH (' || parent.options || ')');
        IF parent.owner <> current_user THEN
            EXECUTE format('ALTER TABLE %I.%I OWNER TO %I', parent.target, partition, parent.owner);
        END IF;
        -- Policies are the parent's alone: where default privileges open the schema, the partition itself stays closed.
        IF parent.relrowsecurity AND parent.target <> 'parts' THEN
            EXECUTE format('ALTER TABLE %I.%I ENABLE ROW LEVEL SECURITY', parent.target, partition);
        END IF;
        EXECUTE format('ALTER TABLE %s ATTACH PARTITION %I.%I FOR VALUES FROM (%L) TO (%L)',
            parent.name, parent.target, partition,
            ops.partition_literal(gap.range_from, parent.type), ops.partition_literal(gap.range_to, parent.type));
        made := made + 1;
    END LOOP;
    RETURN made;
END
$$;

-- The parts of a range, in periods of the interval, that no partition covers.
CREATE OR REPLACE FUNCTION ops.missing_ranges(p_relation oid, p_interval text, p_from timestamptz, p_to timestamptz)
RETURNS TABLE (slot timestamp, range_from timestamptz, range_to timestamptz)
LANGUAGE sql
STABLE
SET search_path = pg_catalog, pg_temp
AS $$
    WITH covered AS (
        SELECT coalesce(
            range_agg(tstzrange(nullif(p.range_from, '-infinity'), nullif(p.range_to, 'infinity'))), '{}'::tstzmultirange) AS ranges
        FROM ops.partitions_of(p_relation) AS p
        WHERE p.range_from IS NOT NULL
    )
    SELECT s.slot, lower(g.gap), upper(g.gap)
    FROM generate_series(
        ops.partition_start(p_interval, p_from), ops.partition_start(p_interval, p_to), ops.partition_step(p_interval)) AS s (slot)
    CROSS JOIN covered AS c
    CROSS JOIN LATERAL unnest(
        tstzmultirange(tstzrange(timezone('UTC', s.slot), timezone('UTC', s.slot + ops.partition_step(p_interval)))) - c.ranges) AS g (gap)
    ORDER BY s.slot, lower(g.gap)
$$;

-- The name itself, or with a number where something has it already (a partition that was detached, the rest of a period).
CREATE OR REPLACE FUNCTION ops.free_partition_name(p_schema text, p_name text)
RETURNS text
LANGUAGE sql
STABLE
SET search_path = pg_catalog, pg_temp
AS $$
    SELECT candidate.name
    FROM generate_series(1, 1000) AS n
    CROSS JOIN LATERAL (SELECT p_name || CASE WHEN n > 1 THEN '_' || n ELSE '' END) AS candidate (name)
    WHERE NOT EXISTS (
        SELECT FROM pg_class AS c JOIN pg_namespace AS s ON s.oid = c.relnamespace
        WHERE s.nspname = p_schema AND c.relname = candidate.name)
    ORDER BY n
    LIMIT 1
$$;

-- An instant as the bound of a partition of that type.
CREATE OR REPLACE FUNCTION ops.partition_literal(p_instant timestamptz, p_type regtype)
RETURNS text
LANGUAGE sql
STABLE
SET search_path = pg_catalog, pg_temp
AS $$
    SELECT CASE p_type
        WHEN 'date'::regtype THEN timezone('UTC', p_instant)::date::text
        WHEN 'timestamp'::regtype THEN timezone('UTC', p_instant)::text
        ELSE timezone('UTC', p_instant)::text || '+00'
    END
$$;

-- Creates the partitions of a registered table that a range needs, in short attempts: attaching to a table with foreign keys locks what they refer to against writers, and a
-- writer that queues behind us should not notice. Gives up after about ten seconds.
CREATE OR REPLACE FUNCTION ops.create_partitions(p_table text, p_from timestamptz, p_to timestamptz)
RETURNS integer
LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp
SET lock_timeout = '300ms'
AS $$
DECLARE
    attempt integer := 0;
    entry record;
BEGIN
    SELECT c.oid, c.relname, r."interval" INTO entry
    FROM ops.partitioned_tables AS r
    JOIN pg_class AS c ON c.oid = ops.partitioned_relation(r.table_name)
    WHERE r.table_name = p_table;
    IF NOT FOUND THEN
        RAISE EXCEPTION 'no registered partitioned table named %', p_table
            USING ERRCODE = 'invalid_parameter_value', HINT = 'outreachdb partitions register';
    END IF;
    LOOP
        BEGIN
            PERFORM pg_advisory_xact_lock(hashtext('outreachdb.partitions.' || p_table));
            RETURN ops.add_partitions(entry.oid, entry.relname, entry."interval", p_from, p_to);
        EXCEPTION WHEN lock_not_available THEN
            attempt := attempt + 1;
            IF attempt >= 20 THEN
                RAISE;
            END IF;
        END;
        PERFORM pg_sleep(0.2 * random() + 0.02 * attempt);
    END LOOP;
END
$$;

-- Where a table's partitions end: the instant up to which every row finds a partition, counted from now without a gap.
-- periods: how many whole periods lie ahead of the current one; wanted: how many the registry asks for.
CREATE OR REPLACE FUNCTION outreach.get_partition_runway()
RETURNS TABLE (table_name text, covered_until timestamptz, periods integer, wanted integer, default_partition text)
LANGUAGE sql
STABLE
SECURITY DEFINER
SET search_path = pg_catalog, pg_temp
AS $$
    SELECT r.table_name, coalesce(reach.until, now()),
           greatest(0, (SELECT count(*) - 1 FROM generate_series(
               ops.partition_start(r."interval", now()),
               timezone('UTC', least(reach.until, now() + interval '20 years')) - ops.partition_step(r."interval"),
               ops.partition_step(r."interval"))))::integer,
           r.ahead::integer,
           (SELECT p.qualified FROM ops.partitions_of(c.oid) AS p WHERE p.range_from IS NULL LIMIT 1)
    FROM ops.partitioned_tables AS r
    JOIN pg_class AS c ON c.oid = ops.partitioned_relation(r.table_name)
    LEFT JOIN LATERAL (
        SELECT upper(run.range) AS until
        FROM unnest((
            SELECT range_agg(tstzrange(p.range_from, p.range_to)) FROM ops.partitions_of(c.oid) AS p
            WHERE p.range_from IS NOT NULL AND NOT p.detaching)) AS run (range)
        WHERE run.range @> now()
    ) AS reach ON true
    ORDER BY r.table_name
$$;
REVOKE EXECUTE ON FUNCTION outreach.get_partition_runway() FROM PUBLIC;
GRANT EXECUTE ON FUNCTION outreach.get_partition_runway() TO outreachdb_trusted, outreachdb_reader;

-- Creates the partitions that a batch needs before it is written; returns how many it made. Safe to call from many places at once: one
-- advisory lock per table. Where all are there it costs one look at the catalogue per period. The limits keep a garbled instant
-- from making thousands of tables. Tables of other owners are made by whoever may: `outreachdb partitions maintain` as that owner.
CREATE OR REPLACE FUNCTION outreach.ensure_partitions(p_table text, p_from timestamptz, p_to timestamptz)
RETURNS integer
LANGUAGE plpgsql
SECURITY DEFINER
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    entry record;
    slot timestamp;
    last_slot timestamp;
BEGIN
    SELECT r."interval", ops.partition_step(r."interval") AS step, c.oid, c.relname, c.relowner,
           CASE c.relnamespace WHEN 'outreach'::regnamespace THEN 'parts'::regnamespace ELSE c.relnamespace END AS target
    INTO entry
    FROM ops.partitioned_tables AS r
    JOIN pg_class AS c ON c.oid = ops.partitioned_relation(r.table_name)
    WHERE r.table_name = p_table;
    IF NOT FOUND THEN
        RAISE EXCEPTION 'no registered partitioned table named %', p_table
            USING ERRCODE = 'invalid_parameter_value', HINT = 'outreachdb partitions register';
    END IF;
    slot := ops.partition_start(entry."interval", p_from);
    last_slot := ops.partition_start(entry."interval", p_to);
    IF p_to < p_from OR last_slot > slot + least(interval '10 years', 1000 * entry.step) IS NOT FALSE THEN
        RAISE EXCEPTION 'can''t make partitions of % from % to %', p_table, p_from, p_to
            USING ERRCODE = 'invalid_parameter_value',
                  HINT = 'the range must be in order, and at most ten years and a thousand partitions';
    END IF;
    WHILE slot <= last_slot LOOP
        -- A partition of that name that was detached no longer takes rows.
        IF NOT EXISTS (
            SELECT FROM pg_class AS c
            JOIN pg_inherits AS i ON i.inhrelid = c.oid AND i.inhparent = entry.oid AND NOT i.inhdetachpending
            WHERE c.relnamespace = entry.target AND c.relname = ops.partition_name(entry.relname, entry."interval", slot))
        THEN
            IF NOT pg_has_role(current_user, entry.relowner, 'USAGE') THEN
                RAISE EXCEPTION 'the partitions of % belong to %', p_table, pg_get_userbyid(entry.relowner)
                    USING ERRCODE = 'insufficient_privilege', HINT = 'run outreachdb partitions maintain as that role';
            END IF;
            RETURN ops.create_partitions(p_table, p_from, p_to);
        END IF;
        slot := slot + entry.step;
    END LOOP;
    RETURN 0;
END
$$;
REVOKE EXECUTE ON FUNCTION outreach.ensure_partitions(text, timestamptz, timestamptz) FROM PUBLIC;
GRANT EXECUTE ON FUNCTION outreach.ensure_partitions(text, timestamptz, timestamptz) TO outreachdb_trusted;

-- The periodic form: every registered table gets this period and those ahead that its registry row, or p_ahead, asks for.
-- Tables of other owners, and those handed to pg_partman, are left to `outreachdb partitions maintain`.
CREATE OR REPLACE FUNCTION outreach.create_monthly_partitions(p_ahead integer DEFAULT NULL)
RETURNS TABLE (table_name text, created integer)
LANGUAGE sql
SECURITY DEFINER
SET search_path = pg_catalog, pg_temp
AS $$
    SELECT r.table_name,
           outreach.ensure_partitions(
               r.table_name, now(), now() + coalesce(p_ahead, r.ahead) * ops.partition_step(r."interval"))
    FROM ops.partitioned_tables AS r
    JOIN pg_class AS c ON c.oid = ops.partitioned_relation(r.table_name) AND pg_has_role(current_user, c.relowner, 'USAGE')
    WHERE r.backend = 'native'
    -- Attaching to a table with foreign keys locks what they refer to until the end: those come last.
    ORDER BY EXISTS (SELECT FROM pg_constraint AS k WHERE k.conrelid = c.oid AND k.contype = 'f'), r.table_name
$$;
REVOKE EXECUTE ON FUNCTION outreach.create_monthly_partitions(integer) FROM PUBLIC;
GRANT EXECUTE ON FUNCTION outreach.create_monthly_partitions(integer) TO outreachdb_trusted;

-- Statistics after a bulk load, which autovacuum would bring a minute later: until then the planner takes a new workspace,
-- campaign or month for empty, and its plans read all of it once per row. p_instant names the partition of a partitioned table.
-- Costs about a second whatever the table's size (ANALYZE reads a sample). False where somebody else is at it.
CREATE OR REPLACE FUNCTION outreach.refresh_statistics(p_table text, p_instant timestamptz DEFAULT NULL)
RETURNS boolean
LANGUAGE plpgsql
SECURITY DEFINER
SET search_path = pg_catalog, pg_temp
SET lock_timeout = '500ms'
AS $$
DECLARE
    target regclass;
BEGIN
    -- Not at the declaration: to look at partitions is to wait for one that is being detached, which must be no error either.
    target := CASE
        WHEN p_instant IS NULL THEN to_regclass(format('outreach.%I', p_table))
        ELSE (SELECT p.partition::regclass FROM ops.partitions_of(ops.partitioned_relation(p_table)) AS p
              WHERE p.range_from <= p_instant AND p.range_to > p_instant)
    END;
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
