-- requires: 0010

-- The one compiler of segment definitions: JSON in, a predicate over the alias l of outreach.leads out. Fields come from a
-- fixed list and operators from fixed text; whatever a person wrote passes through format(%L). The functions that run the
-- predicate belong to outreachdb_trusted, whose policy folds away (under a tenant's policy no GIN or trigram index is
-- used); they take the workspace from the session alone.
--
-- Three-valued logic: a condition that meets an empty value is not true. Negative operators and "not" are written as
-- (positive) IS NOT TRUE, so they include empty values.

CREATE OR REPLACE FUNCTION outreach.required_workspace() RETURNS bigint
LANGUAGE plpgsql STABLE PARALLEL SAFE
SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    IF outreach.current_workspace() IS NULL THEN
        RAISE EXCEPTION 'no workspace is set in this session'
            USING ERRCODE = 'invalid_parameter_value', HINT = 'SET LOCAL app.workspace_id = ''<id>''';
    END IF;
    RETURN outreach.current_workspace();
END
$$;

-- Lists come from spreadsheets: a number is often text there. Anything else is no number, hence not true.
CREATE OR REPLACE FUNCTION outreach.json_number(p_value jsonb) RETURNS numeric
LANGUAGE sql IMMUTABLE PARALLEL SAFE
RETURN CASE
    WHEN pg_catalog.jsonb_typeof(p_value) = 'number' THEN p_value::numeric
    WHEN pg_catalog.jsonb_typeof(p_value) = 'string' AND (p_value #>> '{}') ~ '^\s*[-+]?[0-9]{1,40}([.][0-9]{1,40})?\s*$'
    THEN (p_value #>> '{}')::numeric
END;

CREATE OR REPLACE FUNCTION outreach.segment_error(p_path text, p_problem text, p_hint text DEFAULT '') RETURNS text
LANGUAGE plpgsql STABLE
SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    RAISE EXCEPTION '%: %', coalesce(nullif(ltrim(p_path, '.'), ''), 'definition'), p_problem
        USING ERRCODE = 'invalid_parameter_value', HINT = p_hint;
END
$$;

-- What a LIKE pattern must say to mean the text itself.
CREATE OR REPLACE FUNCTION outreach.segment_like(p_op text, p_text text) RETURNS text
LANGUAGE sql STABLE
RETURN CASE WHEN p_op = 'starts_with' THEN '' ELSE '%' END
    || replace(replace(replace(lower(p_text), '\', '\\'), '%', '\%'), '_', '\_')
    || CASE WHEN p_op = 'ends_with' THEN '' ELSE '%' END;

CREATE OR REPLACE FUNCTION outreach.segment_texts(p_value jsonb, p_path text) RETURNS text[]
LANGUAGE plpgsql STABLE
SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    IF jsonb_typeof(p_value) IS DISTINCT FROM 'array' OR jsonb_array_length(p_value) = 0 THEN
        PERFORM outreach.segment_error(p_path || '.value', 'must be a list with at least one item');
    END IF;
    IF EXISTS (SELECT FROM jsonb_array_elements(p_value) AS e WHERE jsonb_typeof(e) NOT IN ('string', 'number', 'boolean')) THEN
        PERFORM outreach.segment_error(p_path || '.value', 'must hold texts or numbers only');
    END IF;
    RETURN ARRAY(SELECT e #>> '{}' FROM jsonb_array_elements(p_value) AS e);
END
$$;

CREATE OR REPLACE FUNCTION outreach.segment_number(p_value jsonb, p_path text) RETURNS numeric
LANGUAGE plpgsql STABLE
SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    IF jsonb_typeof(p_value) IS DISTINCT FROM 'number' OR abs(p_value::numeric) >= 1e37 THEN
        PERFORM outreach.segment_error(p_path, 'must be a number');
    END IF;
    RETURN p_value::numeric;
END
$$;

-- An ISO date (the whole day, UTC) or an instant, as the range from its first to the instant after its last moment.
CREATE OR REPLACE FUNCTION outreach.segment_instant(p_value jsonb, p_path text) RETURNS tstzrange
LANGUAGE plpgsql STABLE
SET search_path = pg_catalog, pg_temp
SET timezone = 'UTC'
SET datestyle = 'ISO, YMD'
AS $$
DECLARE
    written text := p_value #>> '{}';
    instant timestamptz;
BEGIN
    IF jsonb_typeof(p_value) IS DISTINCT FROM 'string' OR written !~
        '^[0-9]{4}-[0-9]{2}-[0-9]{2}([T ][0-9]{2}:[0-9]{2}(:[0-9]{2}([.][0-9]{1,6})?)?(Z|[-+][0-9]{2}(:?[0-9]{2})?)?)?$'
    THEN
        PERFORM outreach.segment_error(p_path, 'must be a date such as 2026-01-31 or 2026-01-31T12:00:00Z');
    END IF;
    BEGIN
        instant := written::timestamptz;
    EXCEPTION WHEN datetime_field_overflow OR invalid_datetime_format OR invalid_time_zone_displacement_value THEN
        PERFORM outreach.segment_error(p_path, format('there is no date %s', written));
    END;
    IF length(written) = 10 THEN
        RETURN tstzrange(instant, instant + interval '1 day', '[)');
    END IF;
    RETURN tstzrange(instant, instant, '[]');
END
$$;

-- A number of days, or a number and a unit: "6 hours", "2 weeks", "3 months".
CREATE OR REPLACE FUNCTION outreach.segment_duration(p_value jsonb, p_path text) RETURNS interval
LANGUAGE plpgsql STABLE
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    written text := p_value #>> '{}';
BEGIN
    IF jsonb_typeof(p_value) = 'number' AND written ~ '^[0-9]{1,4}$' THEN
        RETURN make_interval(days => written::integer);
    END IF;
    IF jsonb_typeof(p_value) IS DISTINCT FROM 'string' OR written !~ '^[0-9]{1,4} (minute|hour|day|week|month|year)s?$' THEN
        PERFORM outreach.segment_error(p_path || '.value', 'must be a number of days or a text such as "30 days"');
    END IF;
    RETURN written::interval;
END
$$;

-- A regular expression that runs in linear time: without references back, looks around and long repeats, PostgreSQL's is a
-- plain automaton.
CREATE OR REPLACE FUNCTION outreach.segment_regex(p_value jsonb, p_path text) RETURNS text
LANGUAGE plpgsql STABLE
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    given text := p_value #>> '{}';
    problem text;
BEGIN
    IF jsonb_typeof(p_value) IS DISTINCT FROM 'string' OR given = '' OR length(given) > 200 THEN
        PERFORM outreach.segment_error(p_path || '.value', 'must be a regular expression of 1 to 200 characters');
    ELSIF given ~ '\\[1-9]' OR given ~ '\(\?[^:]' OR given ~ '^\*\*\*' THEN
        PERFORM outreach.segment_error(p_path || '.value', 'must hold no references back, looks around or options',
            'of what begins with (? only (?: is allowed');
    ELSIF given ~ '\{[^}]*[0-9]{3}' OR regexp_count(given, '\{') > 3 THEN
        PERFORM outreach.segment_error(p_path || '.value', 'repeats too much', 'at most three {m,n}, each at most 99');
    END IF;
    BEGIN
        PERFORM '' ~* given;
    EXCEPTION WHEN invalid_regular_expression THEN
        GET STACKED DIAGNOSTICS problem = MESSAGE_TEXT;
        PERFORM outreach.segment_error(p_path || '.value', replace(problem, 'invalid regular expression', 'no regular expression'));
    END;
    RETURN given;
END
$$;

CREATE OR REPLACE FUNCTION outreach.segment_text_test(p_field text, p_op text, p_value jsonb, p_path text) RETURNS text
LANGUAGE plpgsql STABLE
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    -- email_key carries the unique index and is in lower case; so is what it is compared with.
    col text := format('l.%I', CASE WHEN p_field = 'email' THEN 'email_key' ELSE p_field END);
    pattern text;
BEGIN
    IF p_op = 'is_set' THEN
        RETURN format('%s <> ''''', col);
    ELSIF p_op = 'in' THEN
        RETURN format('%s = ANY (%L::text[])', col, ARRAY(
            SELECT CASE WHEN p_field = 'email' THEN lower(e) ELSE e END
            FROM unnest(outreach.segment_texts(p_value, p_path)) AS e));
    ELSIF jsonb_typeof(p_value) IS DISTINCT FROM 'string' THEN
        PERFORM outreach.segment_error(p_path || '.value', 'must be a text');
    ELSIF p_op = 'equals' THEN
        RETURN format('%s = %L', col, CASE WHEN p_field = 'email' THEN lower(p_value #>> '{}') ELSE p_value #>> '{}' END);
    ELSIF p_op = 'matches' THEN
        RETURN format('%s ~* %L', col, outreach.segment_regex(p_value, p_path));
    END IF;
    pattern := format('lower(%s) LIKE %L', col, outreach.segment_like(p_op, p_value #>> '{}'));
    IF p_field IN ('first_name', 'last_name', 'email', 'company_name') AND length(p_value #>> '{}') >= 3 THEN
        -- Implied by the pattern, and what gin_leads_search can answer.
        RETURN format(
            '(lower(coalesce(l.first_name, '''') || '' '' || coalesce(l.last_name, '''') || '' '' || '
            'coalesce(l.email, '''') || '' '' || coalesce(l.company_name, '''')) LIKE %L AND %s)',
            outreach.segment_like('contains', p_value #>> '{}'), pattern);
    END IF;
    RETURN pattern;
END
$$;

CREATE OR REPLACE FUNCTION outreach.segment_order(p_op text) RETURNS text
LANGUAGE sql IMMUTABLE
RETURN CASE p_op WHEN 'equals' THEN '=' WHEN 'gt' THEN '>' WHEN 'gte' THEN '>=' WHEN 'lt' THEN '<' WHEN 'lte' THEN '<=' END;

-- p_type keeps the comparison in the column's own type, as its index wants it.
CREATE OR REPLACE FUNCTION outreach.segment_number_test(p_expression text, p_type text, p_op text, p_value jsonb, p_path text)
RETURNS text
LANGUAGE plpgsql STABLE
SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    IF p_op = 'is_set' THEN
        RETURN format('%s IS NOT NULL', p_expression);
    ELSIF p_op = 'in' THEN
        PERFORM outreach.segment_texts(p_value, p_path);
        RETURN format('%s = ANY (%L::%s[])', p_expression, ARRAY(
            SELECT outreach.segment_number(e.value, format('%s.value[%s]', p_path, e.ordinality - 1))
            FROM jsonb_array_elements(p_value) WITH ORDINALITY AS e), p_type);
    ELSIF p_op = 'between' THEN
        IF jsonb_typeof(p_value) IS DISTINCT FROM 'array' OR jsonb_array_length(p_value) <> 2 THEN
            PERFORM outreach.segment_error(p_path || '.value', 'must be a list of two');
        END IF;
        RETURN format('%s BETWEEN %L::%s AND %L::%s', p_expression,
            outreach.segment_number(p_value -> 0, p_path || '.value[0]'), p_type,
            outreach.segment_number(p_value -> 1, p_path || '.value[1]'), p_type);
    END IF;
    RETURN format('%s %s %L::%s', p_expression, outreach.segment_order(p_op),
        outreach.segment_number(p_value, p_path || '.value'), p_type);
END
$$;

CREATE OR REPLACE FUNCTION outreach.segment_date_test(p_field text, p_op text, p_value jsonb, p_path text) RETURNS text
LANGUAGE plpgsql STABLE
SET search_path = pg_catalog, pg_temp
SET timezone = 'UTC'
AS $$
DECLARE
    col text := format('l.%I', p_field);
    given tstzrange;
    until tstzrange;
BEGIN
    IF p_op = 'is_set' THEN
        RETURN format('%s IS NOT NULL', col);
    ELSIF p_op = 'within_last' THEN
        RETURN format('%s BETWEEN now() - %L::interval AND now()', col, outreach.segment_duration(p_value, p_path));
    ELSIF p_op = 'between' THEN
        IF jsonb_typeof(p_value) IS DISTINCT FROM 'array' OR jsonb_array_length(p_value) <> 2 THEN
            PERFORM outreach.segment_error(p_path || '.value', 'must be a list of two');
        END IF;
        given := outreach.segment_instant(p_value -> 0, p_path || '.value[0]');
        until := outreach.segment_instant(p_value -> 1, p_path || '.value[1]');
    ELSE
        given := outreach.segment_instant(p_value, p_path || '.value');
        until := given;
    END IF;
    RETURN CASE
        WHEN p_op IN ('before', 'lt') THEN format('%s < %L::timestamptz', col, lower(given))
        WHEN p_op = 'gte' THEN format('%s >= %L::timestamptz', col, lower(given))
        -- "after 31 January" starts on 1 February; "after noon" with the first moment past noon.
        WHEN p_op IN ('after', 'gt') THEN
            format('%s %s %L::timestamptz', col, CASE WHEN upper_inc(until) THEN '>' ELSE '>=' END, upper(until))
        WHEN p_op = 'lte' THEN
            format('%s %s %L::timestamptz', col, CASE WHEN upper_inc(until) THEN '<=' ELSE '<' END, upper(until))
        ELSE format('(%s >= %L::timestamptz AND %s %s %L::timestamptz)', col, lower(given),
            col, CASE WHEN upper_inc(until) THEN '<=' ELSE '<' END, upper(until))
    END;
END
$$;

CREATE OR REPLACE FUNCTION outreach.segment_tags_test(p_op text, p_value jsonb, p_path text) RETURNS text
LANGUAGE plpgsql STABLE
SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    IF p_op = 'is_set' THEN
        RETURN 'l.tags <> ''{}''::text[]';
    END IF;
    RETURN format('l.tags %s %L::text[]', CASE p_op WHEN 'has_all' THEN '@>' ELSE '&&' END,
        outreach.segment_texts(p_value, p_path));
END
$$;

-- Containment is what the index on custom_fields answers; 1000 and "1000" are the same to people, so both are tried.
CREATE OR REPLACE FUNCTION outreach.segment_custom_equals(p_key text, p_value jsonb) RETURNS text
LANGUAGE sql STABLE
RETURN format('(l.custom_fields @> %L::jsonb', jsonb_build_object(p_key, p_value))
    || CASE
        WHEN jsonb_typeof(p_value) IN ('number', 'boolean')
        THEN format(' OR l.custom_fields @> %L::jsonb', jsonb_build_object(p_key, p_value #>> '{}'))
        WHEN outreach.json_number(p_value) IS NOT NULL
        THEN format(' OR l.custom_fields @> %L::jsonb', jsonb_build_object(p_key, outreach.json_number(p_value)))
        ELSE ''
    END || ')';

CREATE OR REPLACE FUNCTION outreach.segment_custom_test(p_key text, p_op text, p_value jsonb, p_path text) RETURNS text
LANGUAGE plpgsql STABLE
SET search_path = pg_catalog, pg_temp
SET timezone = 'UTC'
AS $$
DECLARE
    col text := format('(l.custom_fields ->> %L)', p_key);
    -- Dates in lists are ISO texts: compared by the day, as text, which no bad value can upset.
    day text := format('CASE WHEN %1$s ~ ''^[0-9]{4}-[0-9]{2}-[0-9]{2}'' THEN left(%1$s, 10) COLLATE "C" END', col);
BEGIN
    IF p_op = 'is_set' THEN
        RETURN format('%s <> ''''', col);
    ELSIF p_op = 'equals' THEN
        IF jsonb_typeof(p_value) NOT IN ('string', 'number', 'boolean') THEN
            PERFORM outreach.segment_error(p_path || '.value', 'must be a text, a number, true or false');
        END IF;
        RETURN outreach.segment_custom_equals(p_key, p_value);
    ELSIF p_op = 'in' THEN
        PERFORM outreach.segment_texts(p_value, p_path);
        RETURN (SELECT '(' || string_agg(outreach.segment_custom_equals(p_key, e), ' OR ') || ')'
                FROM jsonb_array_elements(p_value) AS e);
    ELSIF p_op = 'matches' THEN
        RETURN format('%s ~* %L', col, outreach.segment_regex(p_value, p_path));
    ELSIF p_op IN ('contains', 'starts_with', 'ends_with') THEN
        IF jsonb_typeof(p_value) IS DISTINCT FROM 'string' THEN
            PERFORM outreach.segment_error(p_path || '.value', 'must be a text');
        END IF;
        RETURN format('lower(%s) LIKE %L', col, outreach.segment_like(p_op, p_value #>> '{}'));
    ELSIF p_op = 'within_last' THEN
        RETURN format('%s BETWEEN to_char((now() AT TIME ZONE ''UTC'') - %L::interval, ''YYYY-MM-DD'') '
            'AND to_char(now() AT TIME ZONE ''UTC'', ''YYYY-MM-DD'')', day, outreach.segment_duration(p_value, p_path));
    ELSIF p_op IN ('before', 'after') THEN
        RETURN format('%s %s %L', day, CASE p_op WHEN 'before' THEN '<' ELSE '>' END,
            to_char(lower(outreach.segment_instant(p_value, p_path || '.value')), 'YYYY-MM-DD'));
    ELSIF p_op = 'between' AND jsonb_typeof(p_value -> 0) = 'string' AND jsonb_array_length(p_value) = 2 THEN
        RETURN format('%s BETWEEN %L AND %L', day,
            to_char(lower(outreach.segment_instant(p_value -> 0, p_path || '.value[0]')), 'YYYY-MM-DD'),
            to_char(lower(outreach.segment_instant(p_value -> 1, p_path || '.value[1]')), 'YYYY-MM-DD'));
    END IF;
    RETURN outreach.segment_number_test(
        format('outreach.json_number(l.custom_fields -> %L)', p_key), 'numeric', p_op, p_value, p_path);
END
$$;

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

-- One {"field", "op", "value"}.
CREATE OR REPLACE FUNCTION outreach.segment_test(p_node jsonb, p_path text) RETURNS text
LANGUAGE plpgsql STABLE
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    field text := p_node ->> 'field';
    op text := p_node ->> 'op';
    positive text := CASE op
        WHEN 'not_equals' THEN 'equals' WHEN 'not_in' THEN 'in' WHEN 'not_contains' THEN 'contains'
        WHEN 'is_not_set' THEN 'is_set' WHEN 'has_none' THEN 'has_any' ELSE op END;
    kind text := CASE
        WHEN field IN ('email', 'first_name', 'last_name', 'phone', 'title', 'company_name', 'company_website',
            'linkedin_url', 'industry', 'country', 'city', 'timezone', 'source', 'source_key', 'status', 'notes',
            'email_status') THEN 'text'
        WHEN field IN ('id', 'company_id', 'qualification_latency_ms') THEN 'integer'
        WHEN field = 'qualification_score' THEN 'real'
        WHEN field IN ('created_at', 'updated_at', 'qualified_at', 'email_checked_at', 'profile_checked_at') THEN 'date'
        WHEN field = 'tags' THEN 'tags'
        WHEN field IN ('company.name', 'company.domain', 'company.industry', 'company.website_url') THEN 'company text'
        WHEN field = 'company.renewal_month' THEN 'month'
        WHEN field = 'company.last_crawled_at' THEN 'company date'
        WHEN field = 'engagement' THEN 'level'
        WHEN field = 'suppressed' THEN 'suppressed'
        WHEN field LIKE 'custom._%' THEN 'custom' END;
    offered text[] := CASE
        WHEN kind IN ('text', 'company text') THEN '{equals,in,contains,starts_with,ends_with,matches,is_set}'::text[]
        WHEN kind IN ('integer', 'real') THEN '{equals,in,gt,gte,lt,lte,between,is_set}'::text[]
        WHEN kind = 'month' THEN '{equals,in,gt,gte,lt,lte,between,within_next_months,is_set}'::text[]
        WHEN kind = 'level' THEN '{equals,in}'::text[]
        WHEN kind = 'suppressed' THEN '{equals}'::text[]
        WHEN kind IN ('date', 'company date') THEN '{equals,before,after,gt,gte,lt,lte,between,within_last,is_set}'::text[]
        WHEN kind = 'tags' THEN '{has_any,has_all,is_set}'::text[]
        WHEN kind = 'custom' THEN
            '{equals,in,contains,starts_with,ends_with,matches,gt,gte,lt,lte,between,before,after,within_last,is_set}'::text[] END;
    test text;
BEGIN
    IF kind IS NULL THEN
        PERFORM outreach.segment_error(p_path || '.field', format('there is no field %s', p_node -> 'field'),
            'a field of leads, tags, engagement, suppressed, company.<field>, or custom.<column name>');
    ELSIF positive IS NULL OR positive <> ALL (offered) THEN
        PERFORM outreach.segment_error(p_path || '.op', format('%s does not go with the field %s', p_node -> 'op', field),
            'this field takes ' || array_to_string(offered, ', ') || ' and their opposites');
    ELSIF p_node - '{field,op,value}'::text[] <> '{}' THEN
        PERFORM outreach.segment_error(p_path, 'a condition has the keys field, op and value, and no others');
    ELSIF (p_node ? 'value') = (positive = 'is_set') THEN
        PERFORM outreach.segment_error(p_path || '.value',
            CASE WHEN positive = 'is_set' THEN op || ' takes no value' ELSE 'is missing' END);
    END IF;
    test := CASE kind
        WHEN 'text' THEN outreach.segment_text_test(field, positive, p_node -> 'value', p_path)
        WHEN 'integer' THEN outreach.segment_number_test(format('l.%I', field), 'numeric', positive, p_node -> 'value', p_path)
        WHEN 'real' THEN outreach.segment_number_test(format('l.%I', field), 'real', positive, p_node -> 'value', p_path)
        WHEN 'date' THEN outreach.segment_date_test(field, positive, p_node -> 'value', p_path)
        WHEN 'tags' THEN outreach.segment_tags_test(positive, p_node -> 'value', p_path)
        WHEN 'level' THEN outreach.segment_level_test(p_node -> 'value', p_path)
        WHEN 'suppressed' THEN outreach.segment_suppressed_test(p_node -> 'value', p_path)
        -- The table of companies takes the alias l there: the tests are those of leads.
        WHEN 'company text' THEN outreach.segment_company_test(
            outreach.segment_text_test(substr(field, 9), positive, p_node -> 'value', p_path))
        WHEN 'company date' THEN outreach.segment_company_test(
            outreach.segment_date_test(substr(field, 9), positive, p_node -> 'value', p_path))
        WHEN 'month' THEN outreach.segment_company_test(
            outreach.segment_month_test(positive, p_node -> 'value', p_path))
        ELSE outreach.segment_custom_test(substr(field, 8), positive, p_node -> 'value', p_path) END;
    RETURN CASE WHEN positive = op THEN test ELSE format('(%s) IS NOT TRUE', test) END;
END
$$;

CREATE OR REPLACE FUNCTION outreach.segment_node(p_node jsonb, p_path text, p_depth integer, p_inside bigint[]) RETURNS text
LANGUAGE plpgsql STABLE
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    word text := CASE WHEN p_node ? 'all' THEN 'all' WHEN p_node ? 'any' THEN 'any' WHEN p_node ? 'not' THEN 'not' END;
    parts text;
BEGIN
    IF p_depth > 32 THEN
        PERFORM outreach.segment_error(p_path, 'nested too deep', 'at most 32 levels');
    ELSIF jsonb_typeof(p_node) IS DISTINCT FROM 'object' THEN
        PERFORM outreach.segment_error(p_path, 'must be an object');
    ELSIF p_node = '{}' THEN
        RETURN 'true';
    ELSIF word IS NULL AND p_node ? 'event' THEN
        RETURN outreach.segment_event_test(p_node, p_path);
    ELSIF word IS NULL AND p_node ? 'random_percent' AND p_node - '{random_percent,seed}'::text[] = '{}' THEN
        RETURN outreach.segment_random_test(p_node, p_path);
    ELSIF word IS NULL AND p_node ? 'import' AND p_node - 'import' = '{}' THEN
        RETURN outreach.segment_import_test(p_node, p_path);
    ELSIF word IS NULL AND p_node ? 'segment' AND p_node - 'segment' = '{}' THEN
        RETURN outreach.segment_segment_test(p_node, p_path, p_depth + 1, p_inside);
    ELSIF word IS NULL THEN
        RETURN outreach.segment_test(p_node, p_path);
    ELSIF p_node - word <> '{}' THEN
        PERFORM outreach.segment_error(p_path, format('"%s" must be the only key of its object', word));
    ELSIF word = 'not' THEN
        RETURN format('((%s) IS NOT TRUE)', outreach.segment_node(p_node -> 'not', p_path || '.not', p_depth + 1, p_inside));
    ELSIF jsonb_typeof(p_node -> word) IS DISTINCT FROM 'array' THEN
        PERFORM outreach.segment_error(p_path || '.' || word, 'must be a list');
    END IF;
    SELECT string_agg('(' || outreach.segment_node(
               e.value, format('%s.%s[%s]', p_path, word, e.ordinality - 1), p_depth + 1, p_inside) || ')',
               CASE word WHEN 'all' THEN ' AND ' ELSE ' OR ' END)
    INTO parts
    FROM jsonb_array_elements(p_node -> word) WITH ORDINALITY AS e;
    IF length(parts) > 4000000 THEN
        PERFORM outreach.segment_error(p_path, 'is too large with the segments that it is made of');
    END IF;
    -- Nothing is asked of all: true. None of nothing can be met: false.
    RETURN '(' || coalesce(parts, CASE word WHEN 'all' THEN 'true' ELSE 'false' END) || ')';
END
$$;

CREATE OR REPLACE FUNCTION outreach.segment_condition(definition jsonb) RETURNS text
LANGUAGE plpgsql STABLE
SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    IF octet_length(definition::text) > 262144 THEN
        PERFORM outreach.segment_error('', 'is too large', 'at most 256 kB');
    ELSIF jsonb_array_length(jsonb_path_query_array(definition, 'strict $.**.field'))
        + jsonb_array_length(jsonb_path_query_array(definition, 'strict $.**.random_percent')) > 500
    THEN
        PERFORM outreach.segment_error('', 'has too many conditions', 'at most 500');
    ELSIF jsonb_array_length(jsonb_path_query_array(definition, 'strict $.**.event')) > 50
        OR jsonb_array_length(jsonb_path_query_array(definition, 'strict $.**.segment'))
            + jsonb_array_length(jsonb_path_query_array(definition, 'strict $.**.import')) > 20
    THEN
        PERFORM outreach.segment_error('', 'has too many conditions', 'at most 50 on events, and 20 on segments and imports');
    END IF;
    RETURN outreach.segment_node(definition, '', 1, '{}');
END
$$;

-- owner: outreachdb_trusted
CREATE OR REPLACE FUNCTION outreach.count_segmented_leads(definition jsonb) RETURNS bigint
LANGUAGE plpgsql STABLE SECURITY DEFINER
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    found bigint;
BEGIN
    EXECUTE format('SELECT count(*) FROM outreach.leads AS l WHERE l.workspace_id = %s AND (%s)',
        outreach.required_workspace(), outreach.segment_condition(definition)) INTO found;
    RETURN found;
END
$$;
GRANT EXECUTE ON FUNCTION outreach.count_segmented_leads(jsonb) TO outreachdb_app;

-- Members in the order of their ids, those after after_id: page by passing the last id seen.
-- owner: outreachdb_trusted
CREATE OR REPLACE FUNCTION outreach.get_segmented_leads(
    definition jsonb, max_rows integer DEFAULT 100, after_id bigint DEFAULT 0)
RETURNS SETOF outreach.leads
LANGUAGE plpgsql STABLE SECURITY DEFINER
SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    RETURN QUERY EXECUTE format(
        'SELECT l.* FROM outreach.leads AS l WHERE l.workspace_id = %s AND l.id > %L::bigint AND (%s) ORDER BY l.id LIMIT %L::integer',
        outreach.required_workspace(), after_id, outreach.segment_condition(definition), max_rows);
END
$$;
GRANT EXECUTE ON FUNCTION outreach.get_segmented_leads(jsonb, integer, bigint) TO outreachdb_app;
