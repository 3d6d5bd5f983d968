-- requires: 0010

-- Events of relays that call a message by a name of their own and return nothing of ours. The relay told that name in its
-- answer to the message, and the log of messages keeps it.

-- The send of the message that a relay calls so; the recipient must be the same where the event names one. An event may be a
-- little older than the log's line: a worker logs its messages by the chunk.
CREATE OR REPLACE FUNCTION outreach.send_of_relay(
    p_workspace bigint, p_provider_id text, p_recipient text, p_at timestamptz)
RETURNS TABLE (send_id bigint, month timestamp)
LANGUAGE sql STABLE
BEGIN ATOMIC
    SELECT l.send_id, timezone('UTC', c.launched_at) AS month
    FROM outreach.message_log AS l
    JOIN outreach.campaigns AS c ON c.workspace_id = p_workspace AND c.id = l.campaign_id
    WHERE l.workspace_id = p_workspace AND l.provider_id = p_provider_id
      AND l.created_at BETWEEN p_at - interval '1 year' AND p_at + interval '1 day'
      AND (p_recipient IS NULL OR lower(l.recipient) = lower(p_recipient))
    ORDER BY l.created_at DESC
    LIMIT 1;
END;
GRANT EXECUTE ON FUNCTION outreach.send_of_relay(bigint, text, text, timestamptz) TO outreachdb_app, outreachdb_trusted;

-- A batch for batch_update_email_status, in which events without a send have that of the message that their message_id
-- names at its relay, where the log knows it.
CREATE OR REPLACE FUNCTION outreach.with_sends_of_relays(p_events jsonb) RETURNS jsonb
LANGUAGE sql STABLE
SET search_path = pg_catalog, pg_temp
AS $$
    SELECT coalesce(jsonb_agg(
        CASE WHEN s.send_id IS NULL THEN e.event
             ELSE e.event || jsonb_build_object('send_id', s.send_id, 'month', s.month) END ORDER BY e.place), '[]')
    FROM jsonb_array_elements(p_events) WITH ORDINALITY AS e (event, place)
    LEFT JOIN LATERAL outreach.send_of_relay(
        outreach.required_workspace(), e.event ->> 'message_id', e.event ->> 'recipient',
        (e.event ->> 'created_at')::timestamptz) AS s
        ON e.event ->> 'send_id' IS NULL
$$;
GRANT EXECUTE ON FUNCTION outreach.with_sends_of_relays(jsonb) TO outreachdb_app, outreachdb_trusted;

-- Events received since an instant that were faster than the log: they are taken out and stored again, now with their send
-- and all that follows from it. Returns how many; about p_limit at a time. Whoever sends calls it after logging, and once
-- in a while, because an event and its line in the log may be written at the same moment.
-- owner: outreachdb_trusted
CREATE OR REPLACE FUNCTION outreach.match_late_events(
    p_since timestamptz DEFAULT now() - interval '1 hour', p_limit integer DEFAULT 5000)
RETURNS bigint
LANGUAGE plpgsql SECURITY DEFINER
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    v_workspace bigint := outreach.required_workspace();
    v_events jsonb;
BEGIN
    WITH late AS MATERIALIZED (
        SELECT e.event_key, e.created_at, s.send_id, s.month
        FROM outreach.email_events AS e
        CROSS JOIN LATERAL outreach.send_of_relay(v_workspace, e.message_id, e.recipient, e.created_at) AS s
        WHERE e.workspace_id = v_workspace AND e.send_id IS NULL AND e.message_id IS NOT NULL AND e.received_at >= p_since
          -- What is older than that was late for another reason.
          AND e.created_at >= p_since - interval '3 days'
        ORDER BY e.created_at, e.event_key
        LIMIT p_limit
    ), taken AS (
        DELETE FROM outreach.email_events AS e
        USING late AS l
        WHERE e.workspace_id = v_workspace AND e.event_key = l.event_key AND e.created_at - l.created_at = interval '0'
          AND e.created_at >= p_since - interval '3 days' AND e.send_id IS NULL
        RETURNING jsonb_build_object(
            'event_key', e.event_key, 'created_at', e.created_at, 'event', e.event, 'provider', e.provider,
            'severity', e.severity, 'recipient', e.recipient, 'message_id', e.message_id, 'reason', e.reason, 'url', e.url,
            'raw', e.raw, 'prefetched', e.prefetched, 'send_id', l.send_id, 'month', l.month) AS event
    )
    SELECT jsonb_agg(t.event) INTO v_events FROM taken AS t;
    IF v_events IS NULL THEN
        RETURN 0;
    END IF;
    RETURN (SELECT b.stored FROM outreach.batch_update_email_status(v_events) AS b);
END
$$;
GRANT EXECUTE ON FUNCTION outreach.match_late_events(timestamptz, integer) TO outreachdb_app, outreachdb_trusted;
