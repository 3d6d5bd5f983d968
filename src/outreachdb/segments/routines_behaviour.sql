-- Membership of a set that another table gives. Written so that no statistics are asked: the set is read once, taken for ten
-- rows (unnest of an array) and hashed; IS TRUE keeps the planner from turning it into a join with a loop over it.
CREATE OR REPLACE FUNCTION outreach.segment_within(p_column text, p_set text) RETURNS text
LANGUAGE sql STABLE
RETURN '((' || p_column || ' IN (SELECT unnest(ARRAY(' || p_set || ')))) IS TRUE)';

CREATE OR REPLACE FUNCTION outreach.segment_company_test(p_test text) RETURNS text
LANGUAGE sql STABLE
RETURN outreach.segment_within('l.company_id', format(
    'SELECT l.id FROM outreach.companies AS l WHERE l.workspace_id = %s AND (%s)', outreach.required_workspace(), p_test));

-- within_next_months: from the current month (UTC) through that many after it, past December.
CREATE OR REPLACE FUNCTION outreach.segment_month_test(p_op text, p_value jsonb, p_path text) RETURNS text
LANGUAGE plpgsql STABLE
SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    IF p_op <> 'within_next_months' THEN
        RETURN outreach.segment_number_test('l.renewal_month', 'numeric', p_op, p_value, p_path);
    ELSIF jsonb_typeof(p_value) IS DISTINCT FROM 'number' OR p_value #>> '{}' !~ '^([0-9]|1[01])$' THEN
        PERFORM outreach.segment_error(p_path || '.value', 'must be a number of months, 0 to 11');
    END IF;
    RETURN format('l.renewal_month = ANY (%L::smallint[])', ARRAY(
        SELECT (extract(month FROM timezone('UTC', now()))::integer - 1 + n) % 12 + 1
        FROM generate_series(0, (p_value #>> '{}')::integer) AS n));
END
$$;

-- Who has no row in lead_engagement is cold.
CREATE OR REPLACE FUNCTION outreach.segment_level_test(p_value jsonb, p_path text) RETURNS text
LANGUAGE plpgsql STABLE
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    levels text[] := CASE jsonb_typeof(p_value) WHEN 'string' THEN ARRAY[p_value #>> '{}']
        ELSE outreach.segment_texts(p_value, p_path) END;
    cold boolean := 'cold' = ANY (levels);
BEGIN
    IF NOT levels <@ '{cold,warm,engaged,hot}'::text[] THEN
        PERFORM outreach.segment_error(p_path || '.value', 'must be cold, warm, engaged or hot');
    END IF;
    RETURN CASE WHEN cold THEN 'NOT ' ELSE '' END || outreach.segment_within('l.id', format(
        'SELECT e.lead_id FROM outreach.lead_engagement AS e WHERE e.workspace_id = %s AND %s e.level = ANY (%L::text[])',
        outreach.required_workspace(), CASE WHEN cold THEN 'NOT' ELSE '' END, levels));
END
$$;

-- Whose address or domain must not be mailed now.
CREATE OR REPLACE FUNCTION outreach.segment_suppressed_test(p_value jsonb, p_path text) RETURNS text
LANGUAGE plpgsql STABLE
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    targets text := format('SELECT x.target FROM outreach.suppressions AS x WHERE x.workspace_id = %s '
        'AND (x.expires_at IS NULL OR x.expires_at > now())', outreach.required_workspace());
BEGIN
    IF jsonb_typeof(p_value) IS DISTINCT FROM 'boolean' THEN
        PERFORM outreach.segment_error(p_path || '.value', 'must be true or false');
    END IF;
    RETURN format('(%s OR %s) = %L::boolean', outreach.segment_within('l.email_key', targets),
        outreach.segment_within('split_part(l.email_key, ''@'', 2)', targets), p_value::text);
END
$$;

-- A whole number of the definition, or what stands in where there is none.
CREATE OR REPLACE FUNCTION outreach.segment_whole(p_node jsonb, p_key text, p_from bigint, p_to bigint, p_path text) RETURNS bigint
LANGUAGE plpgsql STABLE
SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    IF NOT p_node ? p_key THEN
        RETURN NULL;
    ELSIF jsonb_typeof(p_node -> p_key) IS DISTINCT FROM 'number' OR p_node ->> p_key !~ '^[0-9]{1,18}$'
        OR (p_node ->> p_key)::bigint NOT BETWEEN p_from AND p_to
    THEN
        PERFORM outreach.segment_error(p_path || '.' || p_key, format('must be a whole number, %s to %s', p_from, p_to));
    END IF;
    RETURN (p_node ->> p_key)::bigint;
END
$$;

-- One {"event", "campaign", "at_least", "within_days"}: what a lead did or was sent. "sent" is the ledger's word. Without a
-- campaign the counters and latest instants of lead_engagement answer, which outlive the events, wherever they can.
CREATE OR REPLACE FUNCTION outreach.segment_event_test(p_node jsonb, p_path text) RETURNS text
LANGUAGE plpgsql STABLE
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    ws constant bigint := outreach.required_workspace();
    event text := p_node ->> 'event';
    campaign bigint := outreach.segment_whole(p_node, 'campaign', 1, 999999999999999999, p_path);
    least bigint := coalesce(outreach.segment_whole(p_node, 'at_least', 1, 1000, p_path), 1);
    days bigint := outreach.segment_whole(p_node, 'within_days', 1, 3650, p_path);
    counter text := CASE event WHEN 'sent' THEN 'sent_count' WHEN 'opened' THEN 'open_count' WHEN 'clicked' THEN 'click_count'
        WHEN 'replied' THEN 'reply_count' WHEN 'bounced' THEN 'bounce_count' END;
    latest text := CASE event WHEN 'sent' THEN 'last_contacted_at' WHEN 'opened' THEN 'last_opened_at'
        WHEN 'clicked' THEN 'last_clicked_at' WHEN 'replied' THEN 'last_replied_at' END;
    launched timestamptz;
    source text;
BEGIN
    IF jsonb_typeof(p_node -> 'event') IS DISTINCT FROM 'string' OR event <> ALL
        ('{sent,delivered,deferred,opened,clicked,replied,bounced,complained,unsubscribed,autoresponded}'::text[])
    THEN
        PERFORM outreach.segment_error(p_path || '.event', format('there is no event %s', p_node -> 'event'),
            'sent, delivered, deferred, opened, clicked, replied, bounced, complained, unsubscribed or autoresponded');
    ELSIF p_node - '{event,campaign,at_least,within_days}'::text[] <> '{}' THEN
        PERFORM outreach.segment_error(p_path, 'this condition has the keys event, campaign, at_least and within_days only');
    ELSIF campaign IS NOT NULL THEN
        SELECT c.launched_at INTO launched FROM outreach.campaigns AS c WHERE c.workspace_id = ws AND c.id = campaign;
        IF NOT FOUND THEN
            PERFORM outreach.segment_error(p_path || '.campaign', format('there is no campaign %s', campaign), 'outreachdb campaign list');
        END IF;
    ELSIF days IS NULL AND counter IS NOT NULL THEN
        RETURN outreach.segment_within('l.id', format(
            'SELECT e.lead_id FROM outreach.lead_engagement AS e WHERE e.workspace_id = %s AND e.%I >= %s', ws, counter, least));
    ELSIF least = 1 AND latest IS NOT NULL THEN
        RETURN outreach.segment_within('l.id', format(
            'SELECT e.lead_id FROM outreach.lead_engagement AS e WHERE e.workspace_id = %s AND e.%I >= now() - interval ''%s days''',
            ws, latest, days));
    END IF;
    IF event = 'sent' THEN
        -- The instant of the run leads to its month.
        source := format('outreach.email_sends AS e WHERE e.workspace_id = %s AND e.status = ''sent''', ws)
            || CASE WHEN campaign IS NULL THEN '' ELSE format(' AND e.created_at = %L::timestamptz', coalesce(launched, '-infinity')) END
            || CASE WHEN days IS NULL THEN '' ELSE format(' AND e.sent_at >= now() - interval ''%s days''', days) END;
    ELSE
        source := format('outreach.email_events AS e WHERE e.workspace_id = %s AND e.event = %L AND e.lead_id IS NOT NULL', ws, event)
            -- What a machine opened or clicked, nobody did.
            || CASE WHEN event IN ('opened', 'clicked') THEN ' AND NOT e.prefetched' ELSE '' END
            || CASE WHEN days IS NULL THEN '' ELSE format(' AND e.created_at >= now() - interval ''%s days''', days) END;
    END IF;
    RETURN outreach.segment_within('l.id', 'SELECT e.lead_id FROM ' || source
        || CASE WHEN campaign IS NULL THEN '' ELSE format(' AND e.campaign_id = %s', campaign) END
        || format(' GROUP BY e.lead_id HAVING count(*) >= %s', least));
END
$$;

-- {"import": 42}: leads that this import created or changed.
CREATE OR REPLACE FUNCTION outreach.segment_import_test(p_node jsonb, p_path text) RETURNS text
LANGUAGE plpgsql STABLE
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    ws constant bigint := outreach.required_workspace();
    wanted bigint := outreach.segment_whole(p_node, 'import', 1, 999999999999999999, p_path);
BEGIN
    IF NOT EXISTS (SELECT FROM outreach.imports AS i WHERE i.workspace_id = ws AND i.id = wanted) THEN
        PERFORM outreach.segment_error(p_path || '.import', format('there is no import %s', wanted), 'outreachdb imports list');
    ELSIF EXISTS (SELECT FROM outreach.imports AS i WHERE i.workspace_id = ws AND i.id = wanted
                  AND i.history_pruned_at IS NOT NULL AND (i.updated > 0 OR i.format = 'segment')) THEN
        -- What it created is still known; a part of its leads would pass for all.
        PERFORM outreach.segment_error(
            p_path || '.import', format('which leads import %s changed is forgotten: its history was pruned', wanted),
            'name its leads otherwise, by a tag or a field; OUTREACHDB_IMPORT_HISTORY_DAYS says how long imports are remembered');
    END IF;
    RETURN outreach.segment_within('l.id', format(
        'SELECT c.lead_id FROM outreach.import_changes AS c WHERE c.workspace_id = %1$s AND c.import_id = %2$s'
        -- What it created is a range of ids at the import''s own instant.
        ' UNION ALL SELECT n.id FROM outreach.imports AS i JOIN outreach.leads AS n ON n.workspace_id = %1$s'
        ' AND n.id BETWEEN i.first_lead_id AND i.last_lead_id AND n.created_at = i.started_at'
        ' WHERE i.workspace_id = %1$s AND i.id = %2$s', ws, wanted));
END
$$;

-- {"random_percent": 10, "seed": "a"}: the same leads each time, and those of 10 among those of 20; another seed, others.
CREATE OR REPLACE FUNCTION outreach.segment_random_test(p_node jsonb, p_path text) RETURNS text
LANGUAGE plpgsql STABLE
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    percent numeric := outreach.segment_number(p_node -> 'random_percent', p_path || '.random_percent');
BEGIN
    IF percent NOT BETWEEN 0 AND 100 THEN
        PERFORM outreach.segment_error(p_path || '.random_percent', 'must lie between 0 and 100');
    ELSIF p_node ? 'seed' AND (jsonb_typeof(p_node -> 'seed') <> 'string' OR length(p_node ->> 'seed') > 200) THEN
        PERFORM outreach.segment_error(p_path || '.seed', 'must be a text of at most 200 characters');
    END IF;
    RETURN format('(hashint8extended(l.id, %s) & 1048575) < %s', hashtextextended(coalesce(p_node ->> 'seed', ''), 0),
        round(percent * 1048576 / 100));
END
$$;

-- {"segment": "name"} or {"segment": 7}: members of another saved segment, as it stands now.
CREATE OR REPLACE FUNCTION outreach.segment_segment_test(p_node jsonb, p_path text, p_depth integer, p_inside bigint[]) RETURNS text
LANGUAGE plpgsql STABLE
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    ws constant bigint := outreach.required_workspace();
    found outreach.segments;
    spot text := p_path || '.segment';
BEGIN
    IF jsonb_typeof(p_node -> 'segment') = 'string' THEN
        SELECT s.* INTO found FROM outreach.segments AS s WHERE s.workspace_id = ws AND s.name = p_node ->> 'segment';
    ELSE
        SELECT s.* INTO found FROM outreach.segments AS s
        WHERE s.workspace_id = ws AND s.id = outreach.segment_whole(p_node, 'segment', 1, 999999999999999999, p_path);
    END IF;
    IF found.id IS NULL THEN
        PERFORM outreach.segment_error(spot, format('there is no segment %s', p_node -> 'segment'), 'outreachdb segment list');
    ELSIF found.id = ANY (p_inside) THEN
        PERFORM outreach.segment_error(spot, format('the segment %s would be made of itself', p_node -> 'segment'));
    ELSIF cardinality(p_inside) >= 3 THEN
        PERFORM outreach.segment_error(spot, 'segments stand inside each other too deep', 'at most three levels');
    ELSIF jsonb_array_length(jsonb_path_query_array(found.definition, 'strict $.**.segment')) > 20 THEN
        PERFORM outreach.segment_error(spot, 'is made of too many others', 'at most 20');
    END IF;
    RETURN outreach.segment_node(found.definition, spot || format('(%s)', found.name), p_depth, p_inside || found.id);
END
$$;

