-- requires: 0010

-- The one way in which a campaign's status moves (tenants may not write the column): draft -> scheduled -> running <->
-- paused -> completed or cancelled. Starting a draft is the schedule's work (outreach.bulk_schedule_email_sends), because
-- a running campaign without its sends would be finished at once. Cancelling takes the sends that are still to come along.
-- owner: outreachdb_trusted
CREATE OR REPLACE FUNCTION outreach.set_campaign_status(campaign_id bigint, status text) RETURNS text
LANGUAGE plpgsql SECURITY DEFINER
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    workspace bigint := outreach.required_workspace();
    wanted text := status;
    current outreach.campaigns;
    allowed text[];
BEGIN
    -- The claim holds FOR SHARE on running campaigns: once this lock is ours, no claim is under way.
    SELECT c.* INTO current FROM outreach.campaigns AS c
    WHERE c.workspace_id = workspace AND c.id = campaign_id
    FOR NO KEY UPDATE;
    IF NOT FOUND THEN
        RAISE EXCEPTION 'no campaign with the id %', campaign_id USING ERRCODE = 'no_data_found';
    END IF;
    allowed := CASE current.status
        WHEN 'draft' THEN '{scheduled,cancelled}'
        WHEN 'scheduled' THEN '{draft,cancelled}'
        WHEN 'running' THEN '{paused,completed,cancelled}'
        WHEN 'paused' THEN '{running,cancelled}'
        ELSE '{}' END::text[];
    IF wanted IS NULL OR wanted <> ALL (allowed) THEN
        RAISE EXCEPTION 'a campaign that is % can''t become %', current.status, coalesce(wanted, 'NULL')
            USING ERRCODE = 'object_not_in_prerequisite_state',
                  HINT = CASE WHEN allowed = '{}' THEN 'it is closed'
                         ELSE 'from there it may become ' || array_to_string(allowed, ', ')
                              || CASE WHEN 'scheduled' IN (current.status, allowed[1]) THEN ', or be launched' ELSE '' END END;
    END IF;
    -- Whoever was told that it is paused or cancelled doesn't look again after a crash.
    PERFORM outreach.commit_durably();
    IF wanted = 'cancelled' AND current.launched_at IS NOT NULL THEN
        UPDATE outreach.email_sends AS s
        SET status = 'cancelled', last_error = 'the campaign was cancelled'
        WHERE s.workspace_id = workspace AND s.campaign_id = current.id AND s.created_at = current.launched_at
          AND s.status = 'scheduled';
    END IF;
    UPDATE outreach.campaigns AS c
    SET status = wanted,
        updated_at = clock_timestamp(),
        completed_at = CASE WHEN wanted IN ('completed', 'cancelled') THEN clock_timestamp() END
    WHERE c.workspace_id = workspace AND c.id = current.id;
    RETURN wanted;
END
$$;
GRANT EXECUTE ON FUNCTION outreach.set_campaign_status(bigint, text) TO outreachdb_app;
