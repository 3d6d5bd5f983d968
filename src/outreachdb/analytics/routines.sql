-- requires: 0007

-- owner: outreachdb_trusted
-- Folds the session's workspace's deltas into its rollups, about p_limit of them (1 or more); returns how many. What one call takes away it
-- adds in the same transaction, so a reader of both sees each event once at any moment. A second folder of the workspace
-- returns 0 at once; it has nothing to do that the first doesn't.
CREATE OR REPLACE FUNCTION outreach.fold_rollup_deltas(p_limit integer DEFAULT 100000)
RETURNS bigint
LANGUAGE plpgsql
SECURITY DEFINER
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    ws constant bigint := outreach.required_workspace();
    last record;
    everything boolean;
    folded bigint;
BEGIN
    IF NOT pg_try_advisory_xact_lock(hashtextextended('outreachdb.fold.' || ws, 0)) THEN
        RETURN 0;
    END IF;
    -- A range of the key, not a list of rows: a join would go through all pairs where statistics are old.
    SELECT d.grain, d.key, d.kind, d.day, d.id INTO last
    FROM analytics.rollup_deltas AS d
    WHERE d.workspace_id = ws
    ORDER BY d.grain, d.key, d.kind, d.day, d.id
    OFFSET p_limit - 1 LIMIT 1;
    everything := NOT FOUND;
    WITH taken AS (
        DELETE FROM analytics.rollup_deltas AS d
        WHERE d.workspace_id = ws
          AND (everything OR (d.grain, d.key, d.kind, d.day, d.id) <= (last.grain, last.key, last.kind, last.day, last.id))
        RETURNING d.grain, d.key, d.kind, d.day, d.total, d.people
    ), added AS (
        INSERT INTO analytics.rollups AS r (workspace_id, grain, key, kind, day, total, people)
        SELECT ws, t.grain, t.key, t.kind, t.day, sum(t.total), sum(t.people)
        FROM taken AS t
        GROUP BY t.grain, t.key, t.kind, t.day
        ORDER BY t.grain, t.key, t.kind, t.day
        ON CONFLICT (workspace_id, grain, key, kind, day) DO UPDATE
        SET total = r.total + excluded.total, people = r.people + excluded.people
    )
    SELECT count(*) INTO folded FROM taken;
    RETURN folded;
END
$$;
GRANT EXECUTE ON FUNCTION outreach.fold_rollup_deltas(integer) TO outreachdb_app, outreachdb_trusted;

-- owner: outreachdb_trusted
-- Folds when at least p_least deltas are waiting, about p_limit of them; returns how many. For whoever makes deltas: looking
-- costs p_least index entries, however many there are.
CREATE OR REPLACE FUNCTION outreach.fold_when_pending(p_least integer, p_limit integer)
RETURNS bigint
LANGUAGE plpgsql
SECURITY DEFINER
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    ws constant bigint := outreach.required_workspace();
BEGIN
    PERFORM FROM analytics.rollup_deltas AS d
    WHERE d.workspace_id = ws
    ORDER BY d.grain, d.key, d.kind, d.day, d.id
    OFFSET p_least - 1 LIMIT 1;
    RETURN CASE WHEN FOUND THEN outreach.fold_rollup_deltas(p_limit) ELSE 0 END;
END
$$;
GRANT EXECUTE ON FUNCTION outreach.fold_when_pending(integer, integer) TO outreachdb_app, outreachdb_trusted;

-- owner: outreachdb_trusted
-- Exact totals of one key of a grain in the session's workspace, per kind: what is folded and what is not, in one statement.
-- people counts distinct leads (campaign and step grains; 0 elsewhere).
CREATE OR REPLACE FUNCTION outreach.rollup_totals(p_grain text, p_key text)
RETURNS TABLE (kind text, total bigint, people bigint)
LANGUAGE sql
STABLE
SECURITY DEFINER
SET search_path = pg_catalog, pg_temp
AS $$
    SELECT u.kind, sum(u.total)::bigint, sum(u.people)::bigint
    FROM (
        SELECT r.kind, r.total, r.people
        FROM analytics.rollups AS r
        WHERE r.workspace_id = outreach.current_workspace() AND r.grain = p_grain AND r.key = p_key
        UNION ALL
        SELECT d.kind, d.total, d.people
        FROM analytics.rollup_deltas AS d
        WHERE d.workspace_id = outreach.current_workspace() AND d.grain = p_grain AND d.key = p_key
    ) AS u
    GROUP BY u.kind
$$;
GRANT EXECUTE ON FUNCTION outreach.rollup_totals(text, text) TO outreachdb_app, outreachdb_trusted;
