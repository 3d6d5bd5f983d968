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
        WHEN field LIKE 'custom._%' THEN 'custom' END;
    offered text[] := CASE
        WHEN kind = 'text' THEN '{equals,in,contains,starts_with,ends_with,is_set}'::text[]
        WHEN kind IN ('integer', 'real') THEN '{equals,in,gt,gte,lt,lte,between,is_set}'::text[]
        WHEN kind = 'date' THEN '{equals,before,after,gt,gte,lt,lte,between,within_last,is_set}'::text[]
        WHEN kind = 'tags' THEN '{has_any,has_all,is_set}'::text[]
        WHEN kind = 'custom' THEN
            '{equals,in,contains,starts_with,ends_with,gt,gte,lt,lte,between,before,after,within_last,is_set}'::text[] END;
    test text;
BEGIN
    IF kind IS NULL THEN
        PERFORM outreach.segment_error(p_path || '.field', format('there is no field %s', p_node -> 'field'),
            'a field of leads, tags, or custom.<column name>');
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
        ELSE outreach.segment_custom_test(substr(field, 8), positive, p_node -> 'value', p_path) END;
    RETURN CASE WHEN positive = op THEN test ELSE format('(%s) IS NOT TRUE', test) END;
END
$$;

CREATE OR REPLACE FUNCTION outreach.segment_node(p_node jsonb, p_path text, p_depth integer) RETURNS text
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
    ELSIF word IS NULL THEN
        RETURN outreach.segment_test(p_node, p_path);
    ELSIF p_node - word <> '{}' THEN
        PERFORM outreach.segment_error(p_path, format('"%s" must be the only key of its object', word));
    ELSIF word = 'not' THEN
        RETURN format('((%s) IS NOT TRUE)', outreach.segment_node(p_node -> 'not', p_path || '.not', p_depth + 1));
    ELSIF jsonb_typeof(p_node -> word) IS DISTINCT FROM 'array' THEN
        PERFORM outreach.segment_error(p_path || '.' || word, 'must be a list');
    END IF;
    SELECT string_agg('(' || outreach.segment_node(
               e.value, format('%s.%s[%s]', p_path, word, e.ordinality - 1), p_depth + 1) || ')',
               CASE word WHEN 'all' THEN ' AND ' ELSE ' OR ' END)
    INTO parts
    FROM jsonb_array_elements(p_node -> word) WITH ORDINALITY AS e;
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
    ELSIF jsonb_array_length(jsonb_path_query_array(definition, 'strict $.**.field')) > 500 THEN
        PERFORM outreach.segment_error('', 'has too many conditions', 'at most 500');
    END IF;
    RETURN outreach.segment_node(definition, '', 1);
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
