-- requires: 0008

-- The latest instant at or before p_at at which a job's schedule says to run; null where it never does within a year. A job of
-- every hour ticks by UTC, so that the hour which summer time repeats has its ticks; others by the job's time zone, once on
-- every day that has them, also where the clock skips that hour or repeats it.
CREATE OR REPLACE FUNCTION outreach.last_tick(p_job ops.scheduled_jobs, p_at timestamptz) RETURNS timestamptz
LANGUAGE sql STABLE
SET search_path = pg_catalog, pg_temp
AS $$
    WITH clock AS (
        SELECT CASE WHEN cardinality(p_job.hours) = 24 THEN 'UTC' ELSE p_job.time_zone END AS zone
    ), days AS (
        SELECT d.day
        FROM clock AS c
        CROSS JOIN LATERAL generate_series(0, CASE WHEN cardinality(p_job.days) = 31 AND cardinality(p_job.months) = 12
                                                   THEN 8 ELSE 400 END) AS back
        CROSS JOIN LATERAL (SELECT (timezone(c.zone, p_at))::date + 1 - back AS day) AS d
        WHERE extract(day FROM d.day) = ANY (p_job.days)
          AND extract(month FROM d.day) = ANY (p_job.months)
          AND extract(dow FROM d.day) = ANY (p_job.weekdays)
        ORDER BY d.day DESC
        LIMIT 3
    )
    SELECT max(t.tick)
    FROM days AS d
    CROSS JOIN clock AS c
    CROSS JOIN unnest(p_job.hours) AS h (hour)
    CROSS JOIN unnest(p_job.minutes) AS m (minute)
    CROSS JOIN LATERAL (
        SELECT timezone(c.zone, d.day + make_interval(hours => h.hour::integer, mins => m.minute::integer)) AS tick
    ) AS t
    WHERE t.tick <= p_at
$$;
REVOKE EXECUTE ON FUNCTION outreach.last_tick(ops.scheduled_jobs, timestamptz) FROM PUBLIC;
GRANT EXECUTE ON FUNCTION outreach.last_tick(ops.scheduled_jobs, timestamptz) TO outreachdb_trusted;

-- The two numbers of the advisory lock that is held while a job of that lock runs, by whichever driver.
CREATE OR REPLACE FUNCTION outreach.job_lock(p_lock text, OUT space integer, OUT key integer)
LANGUAGE sql IMMUTABLE
SET search_path = pg_catalog, pg_temp
AS $$ SELECT hashtext('outreachdb.jobs'), hashtext(p_lock) $$;

-- Whether a job of that lock runs at this moment; a process that died holds no lock.
CREATE OR REPLACE FUNCTION outreach.job_lock_is_held(p_lock text) RETURNS boolean
LANGUAGE sql VOLATILE
SET search_path = pg_catalog, pg_temp
AS $$
    SELECT EXISTS (
        SELECT FROM pg_locks AS l, outreach.job_lock(p_lock) AS k
        WHERE l.locktype = 'advisory' AND l.granted AND l.objsubid = 2
          AND l.database = (SELECT d.oid FROM pg_database AS d WHERE d.datname = current_database())
          AND l.classid = (k.space::bigint & 4294967295)::oid AND l.objid = (k.key::bigint & 4294967295)::oid)
$$;

-- The jobs whose last tick has had no run that succeeded; each once, however many ticks went by. One that failed is tried
-- three times per tick, five minutes apart; one whose process died, at once. A job never runs for a tick before it was
-- registered.
CREATE OR REPLACE FUNCTION outreach.due_jobs(p_at timestamptz DEFAULT now()) RETURNS TABLE (job text, due_at timestamptz)
LANGUAGE sql VOLATILE
SET search_path = pg_catalog, pg_temp
AS $$
    SELECT j.name, t.tick
    FROM ops.scheduled_jobs AS j
    CROSS JOIN LATERAL (SELECT outreach.last_tick(j, p_at) AS tick OFFSET 0) AS t
    CROSS JOIN LATERAL (
        SELECT coalesce(bool_or(r.status = 'succeeded'), false) AS succeeded,
               count(*) FILTER (WHERE r.status = 'failed') AS failures,
               max(r.finished_at) FILTER (WHERE r.status = 'failed' AND NOT r.details ? 'died') AS failed_at
        FROM ops.maintenance_runs AS r
        WHERE r.job = j.name AND r.started_at >= t.tick AND r.due_at >= t.tick
    ) AS runs
    WHERE t.tick >= j.registered_at AND NOT runs.succeeded AND runs.failures < 3
      AND (runs.failed_at IS NULL OR runs.failed_at <= p_at - interval '5 minutes')
      AND NOT outreach.job_lock_is_held(j.lock)
    ORDER BY t.tick, j.name
$$;
REVOKE EXECUTE ON FUNCTION outreach.due_jobs(timestamptz) FROM PUBLIC;
GRANT EXECUTE ON FUNCTION outreach.due_jobs(timestamptz) TO outreachdb_trusted;

-- Begins a run and gives its id; null where the run is for the schedule and nothing is due. The caller holds the job's lock:
-- so whatever else is noted as running under that lock died, and is marked as failed here.
CREATE OR REPLACE FUNCTION outreach.open_run(p_job text, p_driver text, p_scheduled boolean) RETURNS bigint
LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    v_job ops.scheduled_jobs;
    v_tick timestamptz;
    v_run bigint;
BEGIN
    SELECT * INTO v_job FROM ops.scheduled_jobs AS j WHERE j.name = p_job;
    IF NOT FOUND THEN
        RAISE EXCEPTION 'no job named %', p_job USING ERRCODE = 'invalid_parameter_value', HINT = 'outreachdb jobs list';
    END IF;
    UPDATE ops.maintenance_runs AS r
    SET status = 'failed', finished_at = clock_timestamp(), error = 'the process that ran it ended before it was done',
        details = r.details || '{"died": true}'
    WHERE r.status = 'running'
      AND r.job IN (SELECT j.name FROM ops.scheduled_jobs AS j WHERE j.lock = v_job.lock);
    IF p_scheduled THEN
        v_tick := outreach.last_tick(v_job, clock_timestamp());
        IF v_tick IS NULL OR v_tick < v_job.registered_at OR EXISTS (
            SELECT FROM ops.maintenance_runs AS r
            WHERE r.job = p_job AND r.started_at >= v_tick AND r.due_at >= v_tick AND r.status = 'succeeded')
        THEN
            RETURN NULL;
        END IF;
    END IF;
    INSERT INTO ops.maintenance_runs (job, driver, status, due_at, started_at)
    VALUES (p_job, p_driver, 'running', v_tick, clock_timestamp())
    RETURNING id INTO v_run;
    RETURN v_run;
END
$$;
REVOKE EXECUTE ON FUNCTION outreach.open_run(text, text, boolean) FROM PUBLIC;
GRANT EXECUTE ON FUNCTION outreach.open_run(text, text, boolean) TO outreachdb_trusted;

CREATE OR REPLACE FUNCTION outreach.close_run(p_run bigint, p_status text, p_rows bigint, p_error text, p_details jsonb)
RETURNS void
LANGUAGE sql
SET search_path = pg_catalog, pg_temp
AS $$
    UPDATE ops.maintenance_runs AS r
    SET status = p_status, finished_at = clock_timestamp(), rows_affected = p_rows, error = p_error,
        details = r.details || coalesce(p_details, '{}')
    WHERE r.id = p_run AND r.status = 'running'
$$;
REVOKE EXECUTE ON FUNCTION outreach.close_run(bigint, text, bigint, text, jsonb) FROM PUBLIC;
GRANT EXECUTE ON FUNCTION outreach.close_run(bigint, text, bigint, text, jsonb) TO outreachdb_trusted;

-- What pg_cron calls: runs a job that SQL alone can do if it is due, once whoever else asks, and notes how it went. Returns
-- done, not due, busy, or failed and why. All in one transaction: a server that dies leaves the job due.
-- owner: outreachdb_trusted
CREATE OR REPLACE FUNCTION outreach.run_job(p_job text) RETURNS text
LANGUAGE plpgsql SECURITY DEFINER
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    v_job ops.scheduled_jobs;
    v_run bigint;
    v_patience constant text := current_setting('lock_timeout');
    v_rows bigint;
BEGIN
    SELECT * INTO v_job FROM ops.scheduled_jobs AS j WHERE j.name = p_job;
    IF v_job.statement IS NULL THEN
        RAISE EXCEPTION 'no job named % that SQL alone can run', p_job
            USING ERRCODE = 'invalid_parameter_value', HINT = 'outreachdb jobs list';
    END IF;
    IF NOT pg_try_advisory_xact_lock(k.space, k.key) FROM outreach.job_lock(v_job.lock) AS k THEN
        IF v_job.lock = v_job.name THEN
            RETURN 'busy';
        END IF;
        -- Others share the lock (views are refreshed one at a time): wait for a turn, as nobody asks again before the next tick.
        BEGIN
            SET LOCAL lock_timeout = '5min';
            PERFORM pg_advisory_xact_lock(k.space, k.key) FROM outreach.job_lock(v_job.lock) AS k;
        EXCEPTION WHEN lock_not_available THEN
            RETURN 'busy';
        END;
        PERFORM set_config('lock_timeout', v_patience, true);
    END IF;
    v_run := outreach.open_run(p_job, 'pg_cron', true);
    IF v_run IS NULL THEN
        RETURN 'not due';
    END IF;
    BEGIN
        EXECUTE v_job.statement INTO v_rows;
    EXCEPTION WHEN OTHERS OR query_canceled THEN
        PERFORM outreach.close_run(v_run, 'failed', NULL, SQLERRM, NULL);
        RETURN 'failed: ' || SQLERRM;
    END;
    PERFORM outreach.close_run(v_run, 'succeeded', v_rows, NULL, NULL);
    RETURN 'done';
END
$$;
GRANT EXECUTE ON FUNCTION outreach.run_job(text) TO outreachdb_trusted;
