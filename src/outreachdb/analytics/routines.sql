-- requires: 0010

-- Folds about p_limit deltas of a workspace into its rollups and totals; returns how many. What one call takes away it adds
-- in the same transaction, so a reader of both sees each event once at any moment. The caller holds the workspace's lock.
CREATE OR REPLACE FUNCTION outreach.fold_portion(p_workspace bigint, p_limit integer)
RETURNS bigint
LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    last record;
    everything boolean;
    folded bigint;
BEGIN
    -- A range of the key, not a list of rows: a join would go through all pairs where statistics are old.
    SELECT d.grain, d.key, d.kind, d.day, d.id INTO last
    FROM analytics.rollup_deltas AS d
    WHERE d.workspace_id = p_workspace
    ORDER BY d.grain, d.key, d.kind, d.day, d.id
    OFFSET p_limit - 1 LIMIT 1;
    everything := NOT FOUND;
    WITH taken AS (
        DELETE FROM analytics.rollup_deltas AS d
        WHERE d.workspace_id = p_workspace
          AND (everything OR (d.grain, d.key, d.kind, d.day, d.id) <= (last.grain, last.key, last.kind, last.day, last.id))
        RETURNING d.grain, d.key, d.kind, d.day, d.total, d.mails, d.people
    ), summed AS MATERIALIZED (
        SELECT t.grain, t.key, t.kind, t.day, count(*) AS n, sum(t.total)::bigint AS total, sum(t.mails)::bigint AS mails,
               sum(t.people)::bigint AS people
        FROM taken AS t
        GROUP BY t.grain, t.key, t.kind, t.day
    ), added AS (
        INSERT INTO analytics.rollups AS r (workspace_id, grain, key, kind, day, total, mails, people)
        SELECT p_workspace, s.grain, s.key, s.kind, s.day, s.total, s.mails, s.people
        FROM summed AS s
        ORDER BY s.grain, s.key, s.kind, s.day
        ON CONFLICT (workspace_id, grain, key, kind, day) DO UPDATE
        SET total = r.total + excluded.total, mails = r.mails + excluded.mails, people = r.people + excluded.people
    ), totalled AS (
        INSERT INTO analytics.totals AS o (workspace_id, grain, key, kind, total, mails, people)
        SELECT p_workspace, s.grain, s.key, s.kind, sum(s.total)::bigint, sum(s.mails)::bigint, sum(s.people)::bigint
        FROM summed AS s
        GROUP BY s.grain, s.key, s.kind
        ORDER BY s.grain, s.key, s.kind
        ON CONFLICT (workspace_id, grain, key, kind) DO UPDATE
        SET total = o.total + excluded.total, mails = o.mails + excluded.mails, people = o.people + excluded.people
    )
    SELECT coalesce(sum(s.n), 0) INTO folded FROM summed AS s;
    RETURN folded;
END
$$;
REVOKE EXECUTE ON FUNCTION outreach.fold_portion(bigint, integer) FROM PUBLIC;
GRANT EXECUTE ON FUNCTION outreach.fold_portion(bigint, integer) TO outreachdb_trusted;

-- The lock that whoever changes a workspace's rollups holds until its transaction ends.
CREATE OR REPLACE FUNCTION outreach.rollup_lock(p_workspace bigint) RETURNS bigint
LANGUAGE sql IMMUTABLE PARALLEL SAFE
RETURN hashtextextended('outreachdb.fold.' || p_workspace, 0);

-- owner: outreachdb_trusted
-- Folds the session's workspace's deltas into its rollups, about p_limit of them (1 or more); returns how many. A second folder
-- of the workspace returns 0 at once; it has nothing to do that the first doesn't.
CREATE OR REPLACE FUNCTION outreach.fold_rollup_deltas(p_limit integer DEFAULT 100000)
RETURNS bigint
LANGUAGE plpgsql
SECURITY DEFINER
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    ws constant bigint := outreach.required_workspace();
BEGIN
    IF NOT pg_try_advisory_xact_lock(outreach.rollup_lock(ws)) THEN
        RETURN 0;
    END IF;
    RETURN outreach.fold_portion(ws, p_limit);
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
-- Folds every workspace's deltas in one transaction, for servers that run their jobs by SQL alone; returns how many rows. A
-- workspace that somebody else folds is left to them.
CREATE OR REPLACE FUNCTION outreach.fold_all_rollups() RETURNS bigint
LANGUAGE plpgsql
SECURITY DEFINER
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    ws bigint;
    folded bigint;
    everything bigint := 0;
BEGIN
    FOR ws IN
        SELECT w.id FROM outreach.workspaces AS w
        WHERE EXISTS (SELECT FROM analytics.rollup_deltas AS d WHERE d.workspace_id = w.id)
        ORDER BY w.id
    LOOP
        CONTINUE WHEN NOT pg_try_advisory_xact_lock(outreach.rollup_lock(ws));
        LOOP
            folded := outreach.fold_portion(ws, 100000);
            everything := everything + folded;
            EXIT WHEN folded < 100000;
        END LOOP;
    END LOOP;
    RETURN everything;
END
$$;
GRANT EXECUTE ON FUNCTION outreach.fold_all_rollups() TO outreachdb_trusted;
