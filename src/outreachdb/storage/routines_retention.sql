
-- Whether somebody must keep a row of a table: a legal hold, or a policy of its workspace that is longer than the cut.
CREATE OR REPLACE FUNCTION ops.row_is_kept(p_table text, p_workspace bigint, p_instant timestamptz)
RETURNS boolean
LANGUAGE sql
STABLE
SET search_path = pg_catalog, pg_temp
AS $$
    SELECT EXISTS (
        SELECT FROM ops.retention_holds AS h
        WHERE h.released_at IS NULL AND (h.table_name IS NULL OR h.table_name = p_table)
          AND (h.workspace_id IS NULL OR h.workspace_id = p_workspace)
          AND p_instant >= coalesce(h.range_start, '-infinity') AND p_instant < coalesce(h.range_end, 'infinity')
    ) OR EXISTS (
        SELECT FROM ops.workspace_retention AS p
        WHERE p.workspace_id = p_workspace AND p.table_name = p_table
          AND (p.retention_months IS NULL OR p_instant >= now() - make_interval(months => p.retention_months::integer))
    )
$$;

-- What a clean-up of a table begins with: the instant before which rows go, and the partitions that are past it as a whole.
CREATE OR REPLACE FUNCTION ops.retention_cut(p_table text, p_older_than interval)
RETURNS TABLE (cut timestamptz, archived boolean, due_partitions text[], due_rows bigint)
LANGUAGE plpgsql
STABLE
SET search_path = pg_catalog, pg_temp
AS $$
#variable_conflict use_column
DECLARE
    entry ops.partitioned_tables;
    before timestamptz;
BEGIN
    SELECT r.* INTO entry FROM ops.partitioned_tables AS r WHERE r.table_name = p_table;
    before := now() - coalesce(
        p_older_than, make_interval(months => entry.retention_months::integer, days => entry.retention_days::integer));
    IF before IS NULL THEN
        RAISE EXCEPTION 'the rows of % stay for ever', p_table
            USING ERRCODE = 'invalid_parameter_value', HINT = 'say older than what';
    ELSIF before > now() THEN
        RAISE EXCEPTION 'rows older than % can''t be in the future', p_older_than USING ERRCODE = 'invalid_parameter_value';
    END IF;
    RETURN QUERY
    SELECT before, entry.archive, coalesce(array_agg(p.qualified ORDER BY p.range_from), '{}'),
           coalesce(sum(coalesce(nullif(pg_stat_get_live_tuples(p.partition), 0), greatest(c.reltuples, 0)::bigint)), 0)::bigint
    FROM ops.partitions_of(ops.partitioned_relation(p_table)) AS p
    JOIN pg_class AS c ON c.oid = p.partition
    WHERE p.range_to <= before AND pg_relation_size(p.partition) > 0;
END
$$;

-- Deletes messages older than p_older_than (default: the table's retention), p_limit at most; call again while deleted = p_limit.
-- Where the registry says that the log is archived, nothing goes unarchived: whole months that are old enough are returned as
-- due, for `outreachdb retention run` (a concurrent detach can't run in a function), and nothing is deleted, unless
-- p_without_archive says so. Legal holds and longer policies of workspaces are kept. In a session with a workspace only its rows go.
CREATE OR REPLACE FUNCTION outreach.prune_message_log(
    p_older_than interval DEFAULT NULL, p_limit integer DEFAULT 100000, p_without_archive boolean DEFAULT false)
RETURNS TABLE (deleted bigint, due_partitions text[], due_rows bigint)
LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp
AS $$
#variable_conflict use_column
DECLARE
    ws constant bigint := outreach.current_workspace();
    plan record;
    gone bigint := 0;
BEGIN
    SELECT * INTO plan FROM ops.retention_cut('message_log', p_older_than);
    IF p_without_archive OR NOT plan.archived THEN
        WITH old AS (
            SELECT m.workspace_id, m.id, m.created_at
            FROM outreach.message_log AS m
            WHERE m.created_at < plan.cut AND (ws IS NULL OR m.workspace_id = ws)
              AND NOT ops.row_is_kept('message_log', m.workspace_id, m.created_at)
            LIMIT p_limit
        )
        DELETE FROM outreach.message_log AS m
        USING old
        WHERE m.workspace_id = old.workspace_id AND m.id = old.id AND m.created_at - old.created_at = interval '0'
          AND m.created_at < plan.cut;
        GET DIAGNOSTICS gone = ROW_COUNT;
    END IF;
    RETURN QUERY SELECT gone, plan.due_partitions, plan.due_rows;
END
$$;
REVOKE EXECUTE ON FUNCTION outreach.prune_message_log(interval, integer, boolean) FROM PUBLIC;
GRANT EXECUTE ON FUNCTION outreach.prune_message_log(interval, integer, boolean) TO outreachdb_trusted;

-- The same for sends, by the ledger's rules: a row goes only with its campaign's run closed for longer than p_older_than and the send
-- done, and who was mailed is written into the ledger that outlives the sends (campaign_leads). Rollups are frozen before: reports say
-- afterwards what they said. open_campaigns counts runs that were launched before the cut and are not closed that long: their sends stay.
CREATE OR REPLACE FUNCTION outreach.cleanup_old_email_sends(
    p_older_than interval DEFAULT NULL, p_limit integer DEFAULT 100000, p_without_archive boolean DEFAULT false)
RETURNS TABLE (deleted bigint, due_partitions text[], due_rows bigint, open_campaigns bigint)
LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp
AS $$
#variable_conflict use_column
DECLARE
    ws constant bigint := outreach.current_workspace();
    plan record;
    leaving record;
    gone bigint := 0;
BEGIN
    SELECT * INTO plan FROM ops.retention_cut('email_sends', p_older_than);
    IF p_without_archive OR NOT plan.archived THEN
        -- A later recount would miss these rows, and mend the reports by what is left.
        FOR leaving IN
            SELECT c.workspace_id, min(c.launched_at) AS first, max(c.launched_at) AS last
            FROM outreach.campaigns AS c
            WHERE c.launched_at < plan.cut AND c.status IN ('completed', 'cancelled') AND c.completed_at < plan.cut
              AND (ws IS NULL OR c.workspace_id = ws)
              AND NOT ops.row_is_kept('email_sends', c.workspace_id, c.launched_at)
              AND EXISTS (
                  SELECT FROM outreach.email_sends AS s
                  WHERE s.workspace_id = c.workspace_id AND s.campaign_id = c.id AND s.created_at = c.launched_at
                    AND s.status NOT IN ('scheduled', 'claimed') AND s.created_at < plan.cut)
            GROUP BY c.workspace_id
            ORDER BY c.workspace_id
        LOOP
            PERFORM outreach.freeze_rollups(
                'email_sends', leaving.first, leaving.last + interval '1 microsecond', leaving.workspace_id);
        END LOOP;
        WITH closed AS MATERIALIZED (
            SELECT c.workspace_id, c.id, c.launched_at, c.name
            FROM outreach.campaigns AS c
            WHERE c.launched_at < plan.cut AND c.status IN ('completed', 'cancelled') AND c.completed_at < plan.cut
              AND (ws IS NULL OR c.workspace_id = ws)
              AND NOT ops.row_is_kept('email_sends', c.workspace_id, c.launched_at)
        ), old AS MATERIALIZED (
            SELECT s.workspace_id, s.id, s.created_at, s.lead_id, s.attempts, c.name
            FROM closed AS c
            JOIN outreach.email_sends AS s
                ON s.workspace_id = c.workspace_id AND s.campaign_id = c.id AND s.created_at = c.launched_at
            WHERE s.status NOT IN ('scheduled', 'claimed') AND s.created_at < plan.cut
            LIMIT p_limit
        ), remembered AS (
            INSERT INTO outreach.campaign_leads (workspace_id, name, lead_id)
            SELECT DISTINCT o.workspace_id, o.name, o.lead_id FROM old AS o WHERE o.attempts > 0
            ORDER BY 1, 2, 3
            ON CONFLICT (workspace_id, name, lead_id) DO NOTHING
        )
        DELETE FROM outreach.email_sends AS s
        USING old
        -- The cut prunes when the plan starts. An equality would prune while it runs, which crashes PostgreSQL 18 where an event
        -- changes one of the rows at the same moment (see outreach.claim_sends).
        WHERE s.workspace_id = old.workspace_id AND s.id = old.id AND s.created_at - old.created_at = interval '0'
          AND s.created_at < plan.cut;
        GET DIAGNOSTICS gone = ROW_COUNT;
    END IF;
    RETURN QUERY
    SELECT gone, plan.due_partitions, plan.due_rows, count(*)
    FROM outreach.campaigns AS c
    WHERE c.launched_at < plan.cut AND (ws IS NULL OR c.workspace_id = ws)
      AND (c.status NOT IN ('completed', 'cancelled') OR c.completed_at >= plan.cut);
END
$$;
REVOKE EXECUTE ON FUNCTION outreach.cleanup_old_email_sends(interval, integer, boolean) FROM PUBLIC;
GRANT EXECUTE ON FUNCTION outreach.cleanup_old_email_sends(interval, integer, boolean) TO outreachdb_trusted;

-- Forgets what imports, and actions on segments, that ended longer ago than p_older_than have changed and rejected: their before-images
-- and rejected rows go, their counts stay, history_pruned_at says since when, and they can't be undone any more. Whole imports, the oldest
-- first, until p_limit rows are reached; returns how many rows went: call again while that is p_limit or more. One that somebody works on or
-- undoes is left for the next time, one under a legal hold until that ends. In a session with a workspace only its imports.
-- owner: outreachdb_trusted
CREATE OR REPLACE FUNCTION outreach.prune_import_history(p_older_than interval, p_limit bigint DEFAULT 1000000)
RETURNS bigint
LANGUAGE plpgsql SECURITY DEFINER
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    ws constant bigint := outreach.current_workspace();
    cut constant timestamptz := now() - p_older_than;
    old record;
    part bigint;
    gone bigint := 0;
BEGIN
    IF cut IS NULL OR cut > now() THEN
        RAISE EXCEPTION 'imports can''t be older than %', coalesce(p_older_than::text, 'nothing')
            USING ERRCODE = 'invalid_parameter_value', HINT = 'an interval, such as 365 days';
    END IF;
    -- A row for each import: read whole once a week. A failed import has left nothing, and may be resumed. Learning words reads
    -- before-images (learn_search_words).
    FOR old IN
        SELECT i.workspace_id, i.id
        FROM outreach.imports AS i
        WHERE i.history_pruned_at IS NULL AND i.status IN ('done', 'applied', 'undone') AND NOT i.words_pending
          AND coalesce(i.finished_at, i.started_at) < cut AND (ws IS NULL OR i.workspace_id = ws)
          AND NOT ops.row_is_kept('import_changes', i.workspace_id, i.started_at)
        ORDER BY coalesce(i.finished_at, i.started_at), i.workspace_id, i.id
        FOR NO KEY UPDATE SKIP LOCKED
    LOOP
        DELETE FROM outreach.import_changes AS c WHERE c.workspace_id = old.workspace_id AND c.import_id = old.id;
        GET DIAGNOSTICS part = ROW_COUNT;
        gone := gone + part;
        DELETE FROM outreach.import_rejects AS r WHERE r.workspace_id = old.workspace_id AND r.import_id = old.id;
        GET DIAGNOSTICS part = ROW_COUNT;
        gone := gone + part;
        UPDATE outreach.imports AS i SET history_pruned_at = now() WHERE i.workspace_id = old.workspace_id AND i.id = old.id;
        EXIT WHEN gone >= p_limit;
    END LOOP;
    RETURN gone;
END
$$;
REVOKE EXECUTE ON FUNCTION outreach.prune_import_history(interval, bigint) FROM PUBLIC;
GRANT EXECUTE ON FUNCTION outreach.prune_import_history(interval, bigint) TO outreachdb_trusted;
