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

-- The spot is told twice: for people in the message, and as a JSON pointer in the detail.
CREATE OR REPLACE FUNCTION outreach.segment_error(p_path text, p_problem text, p_hint text DEFAULT '') RETURNS text
LANGUAGE plpgsql STABLE
SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    RAISE EXCEPTION '%: %', coalesce(nullif(ltrim(p_path, '.'), ''), 'definition'), p_problem
        USING ERRCODE = 'invalid_parameter_value', HINT = p_hint,
            DETAIL = translate(regexp_replace(p_path, '\(.*$', ''), '.[]', '//');
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
    IF jsonb_typeof(p_value) IS DISTINCT FROM 'number' THEN
        PERFORM outreach.segment_error(p_path, 'must be a number');
    -- What a real can't hold is no text of one either.
    ELSIF abs(p_value::numeric) >= 1e37 OR (p_value::numeric <> 0 AND abs(p_value::numeric) < 1e-37) THEN
        PERFORM outreach.segment_error(p_path, 'must be a number below 1e37, and no nearer to 0 than 1e-37');
    END IF;
    RETURN p_value::numeric;
END
$$;

-- An ISO date or "today" (the whole day, UTC) or an instant ("now", "30 days ago", "in 2 weeks"), as the range from its first
-- to the instant after its last moment.
CREATE OR REPLACE FUNCTION outreach.segment_instant(p_value jsonb, p_path text) RETURNS tstzrange
LANGUAGE plpgsql STABLE
SET search_path = pg_catalog, pg_temp
SET timezone = 'UTC'
SET datestyle = 'ISO, YMD'
AS $$
DECLARE
    written text := CASE WHEN p_value = '"today"' THEN to_char(now(), 'YYYY-MM-DD') ELSE p_value #>> '{}' END;
    relative text[] := regexp_match(written, '^(?:(in) )?([0-9]{1,4} (?:minute|hour|day|week|month|year)s?)(?: (ago))?$');
    instant timestamptz;
BEGIN
    IF jsonb_typeof(p_value) IS DISTINCT FROM 'string' OR (written <> 'now' AND num_nonnulls(relative[1], relative[3]) <> 1
        AND written !~
        '^[0-9]{4}-[0-9]{2}-[0-9]{2}([T ][0-9]{2}:[0-9]{2}(:[0-9]{2}([.][0-9]{1,6})?)?(Z|[-+][0-9]{2}(:?[0-9]{2})?)?)?$')
    THEN
        PERFORM outreach.segment_error(p_path,
            'must be a date such as 2026-01-31 or 2026-01-31T12:00:00Z, or a text such as "30 days ago"');
    END IF;
    BEGIN
        instant := CASE WHEN written = 'now' THEN now()
            WHEN relative[3] IS NOT NULL THEN now() - relative[2]::interval
            WHEN relative[1] IS NOT NULL THEN now() + relative[2]::interval
            ELSE written::timestamptz END;
    EXCEPTION WHEN datetime_field_overflow OR invalid_datetime_format OR invalid_time_zone_displacement_value THEN
        PERFORM outreach.segment_error(p_path, format('there is no date %s', written));
    END;
    IF length(written) = 10 AND relative IS NULL THEN
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
    IF jsonb_typeof(p_value) IS DISTINCT FROM 'string' OR written !~ '^([0-9]{1,4} (minute|hour|day|week|month)|[0-9]{1,3} year)s?$' THEN
        PERFORM outreach.segment_error(p_path || '.value', 'must be a number of days or a text such as "30 days"');
    END IF;
    RETURN written::interval;
END
$$;

-- A regular expression that runs in linear time: without references back, looks around and long repeats, PostgreSQL's is a
-- plain automaton. Repeats are written out in full before anything is looked for, and what may be empty is then joined to all
-- that may follow: "((.*){30}){30}" took longer than anybody waited. Hence the limit of repeats multiplied by each other, and by
-- the signs that may make a part empty; what is below it is built in some milliseconds.
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
    ELSIF given ~ '\{[^}]*[0-9]{3}' OR regexp_count(given, '\{') > 3
        OR (SELECT exp(sum(ln(greatest(m[1]::numeric, coalesce(nullif(m[2], '')::numeric, 1), 1))))
            FROM regexp_matches(given, '\{([0-9]+)(?:,([0-9]*))?\}', 'g') AS m)
            * greatest(5 * regexp_count(replace(given, '(?:', '('), '[*+?|]|\{0'), 1) > 1000.5
    THEN
        PERFORM outreach.segment_error(p_path || '.value', 'repeats too much',
            'at most three {m,n}, each at most 99; multiplied, at most 1000, and with *, +, ?, | or {0, at most 200 divided by their number');
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
        RETURN format('(%s LIKE %L AND %s)', outreach.searched_text(),
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

CREATE OR REPLACE FUNCTION outreach.segment_tags_test(p_field text, p_op text, p_value jsonb, p_path text) RETURNS text
LANGUAGE plpgsql STABLE
SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    IF p_op = 'is_set' THEN
        RETURN format('l.%I <> ''{}''::text[]', p_field);
    END IF;
    RETURN format('l.%I %s %L::text[]', p_field, CASE p_op WHEN 'has_all' THEN '@>' ELSE '&&' END,
        outreach.segment_texts(p_value, p_path));
END
$$;

-- Lists say "DE", "DEU", "Germany" or "Deutschland": a code means all of them. The spellings are put into the statement, so a lead
-- keeps the country as it was given, and a longer list of spellings counts for leads that are there already.
CREATE OR REPLACE FUNCTION outreach.segment_country_test(p_op text, p_value jsonb, p_path text) RETURNS text
LANGUAGE plpgsql STABLE
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    codes text[];
    wrong text;
BEGIN
    IF p_op = 'is_set' THEN
        RETURN format('lower(l.country) = ANY (%L::text[])', ARRAY(SELECT jsonb_object_keys(outreach.country_spellings())));
    ELSIF p_op = 'in' THEN
        codes := outreach.segment_texts(p_value, p_path);
    ELSIF jsonb_typeof(p_value) IS DISTINCT FROM 'string' THEN
        PERFORM outreach.segment_error(p_path || '.value', 'must be a text');
    ELSE
        codes := ARRAY[p_value #>> '{}'];
    END IF;
    SELECT c INTO wrong FROM unnest(codes) AS c
    WHERE c !~ '^[A-Za-z]{2}$' OR upper(c) NOT IN (SELECT value FROM jsonb_each_text(outreach.country_spellings())) LIMIT 1;
    IF FOUND THEN
        PERFORM outreach.segment_error(p_path || '.value', format('there is no country %s', to_json(left(wrong, 40))),
            coalesce('did you mean "' || outreach.country_code(wrong) || '"?', 'two letters of ISO 3166, such as "DE"'));
    END IF;
    RETURN format('lower(l.country) = ANY (%L::text[])', ARRAY(
        SELECT s.key FROM jsonb_each_text(outreach.country_spellings()) AS s
        WHERE s.value IN (SELECT upper(c) FROM unnest(codes) AS c) ORDER BY s.key));
END
$$;
