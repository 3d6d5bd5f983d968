-- Custom fields: any key of custom_fields, at any depth. "custom.a.b" is the key "a.b" where the lead has it (columns of files
-- may be called so), else b inside a; the list ["custom", "a", "b"] is only the latter. p_whole is the former's key.

CREATE OR REPLACE FUNCTION outreach.segment_custom_value(p_keys text[], p_whole text, p_text boolean) RETURNS text
LANGUAGE sql STABLE
RETURN CASE
    WHEN cardinality(p_keys) = 1 THEN format('(l.custom_fields %s %L)', CASE WHEN p_text THEN '->>' ELSE '->' END, p_keys[1])
    WHEN p_whole IS NULL THEN format('(l.custom_fields %s %L::text[])', CASE WHEN p_text THEN '#>>' ELSE '#>' END, p_keys)
    ELSE format('(CASE WHEN l.custom_fields ? %1$L THEN l.custom_fields %2$s %1$L ELSE l.custom_fields %3$s %4$L::text[] END)',
        p_whole, CASE WHEN p_text THEN '->>' ELSE '->' END, CASE WHEN p_text THEN '#>>' ELSE '#>' END, p_keys)
END;

-- {"a": {"b": value}}.
CREATE OR REPLACE FUNCTION outreach.segment_nested(p_keys text[], p_value jsonb) RETURNS jsonb
LANGUAGE plpgsql STABLE
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    built jsonb := p_value;
BEGIN
    FOR place IN REVERSE cardinality(p_keys)..1 LOOP
        built := jsonb_build_object(p_keys[place], built);
    END LOOP;
    RETURN built;
END
$$;

-- Whether the field is this JSON value, or a list that holds it. Containment is what the index on custom_fields answers; a key
-- of digits may also be a place in a list, which containment does not know.
CREATE OR REPLACE FUNCTION outreach.segment_custom_holds(p_keys text[], p_whole text, p_value jsonb) RETURNS text
LANGUAGE sql STABLE
RETURN CASE
    WHEN cardinality(p_keys) = 1 THEN format('l.custom_fields @> %L::jsonb', jsonb_build_object(p_keys[1], p_value))
    WHEN EXISTS (SELECT FROM unnest(p_keys[2:]) AS key WHERE key ~ '^-?[0-9]+$') THEN format(
        CASE jsonb_typeof(p_value) WHEN 'array' THEN '%s @> %L::jsonb' ELSE '%s = %L::jsonb' END,
        outreach.segment_custom_value(p_keys, p_whole, false), p_value)
    WHEN p_whole IS NULL THEN format('l.custom_fields @> %L::jsonb', outreach.segment_nested(p_keys, p_value))
    ELSE format('(l.custom_fields @> %L::jsonb OR (l.custom_fields @> %L::jsonb AND NOT l.custom_fields ? %L))',
        jsonb_build_object(p_whole, p_value), outreach.segment_nested(p_keys, p_value), p_whole)
END;

-- 1000 and "1000" are the same to people, so both are tried.
CREATE OR REPLACE FUNCTION outreach.segment_custom_equals(p_keys text[], p_whole text, p_value jsonb, p_listed boolean) RETURNS text
LANGUAGE sql STABLE
RETURN (
    SELECT '(' || string_agg(outreach.segment_custom_holds(p_keys, p_whole,
        CASE WHEN p_listed THEN jsonb_build_array(spelt) ELSE spelt END), ' OR ' ORDER BY place) || ')'
    FROM unnest(ARRAY[
        p_value,
        CASE WHEN jsonb_typeof(p_value) IN ('number', 'boolean') THEN to_jsonb(p_value #>> '{}')
             ELSE to_jsonb(outreach.json_number(p_value)) END
    ]) WITH ORDINALITY AS s (spelt, place)
    WHERE spelt IS NOT NULL
);

-- Dates in lists are ISO texts: compared by the day, as text, which no bad value can upset.
CREATE OR REPLACE FUNCTION outreach.segment_custom_day(p_text text, p_op text, p_value jsonb, p_path text) RETURNS text
LANGUAGE plpgsql STABLE
SET search_path = pg_catalog, pg_temp
SET timezone = 'UTC'
AS $$
DECLARE
    col text := format('CASE WHEN %1$s ~ ''^[0-9]{4}-[0-9]{2}-[0-9]{2}'' THEN left(%1$s, 10) COLLATE "C" END', p_text);
BEGIN
    IF p_op = 'within_last' THEN
        RETURN format('%s BETWEEN to_char((now() AT TIME ZONE ''UTC'') - %L::interval, ''YYYY-MM-DD'') '
            'AND to_char(now() AT TIME ZONE ''UTC'', ''YYYY-MM-DD'')', col, outreach.segment_duration(p_value, p_path));
    ELSIF p_op = 'between' THEN
        RETURN format('%s BETWEEN %L AND %L', col,
            to_char(lower(outreach.segment_instant(p_value -> 0, p_path || '.value[0]')), 'YYYY-MM-DD'),
            to_char(lower(outreach.segment_instant(p_value -> 1, p_path || '.value[1]')), 'YYYY-MM-DD'));
    END IF;
    RETURN format('%s %s %L', col,
        CASE p_op WHEN 'before' THEN '<' WHEN 'after' THEN '>' ELSE outreach.segment_order(p_op) END,
        to_char(lower(outreach.segment_instant(p_value, p_path || '.value')), 'YYYY-MM-DD'));
END
$$;

-- A number compared. json_number takes the value out of the document up to four times, a JSON path once: 2,000,000 leads took a
-- fifth less. So numbers are compared by the path, and only texts that say a number by the function; but where somebody built an
-- index on the function (outreach.segment_index), the condition has to say what the index says.
CREATE OR REPLACE FUNCTION outreach.segment_custom_number(p_keys text[], p_whole text, p_op text, p_value jsonb, p_path text)
RETURNS text
LANGUAGE plpgsql STABLE
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    col constant text := outreach.segment_custom_value(p_keys, p_whole, false);
    test constant text := outreach.segment_number_test(format('outreach.json_number(%s)', col), 'numeric', p_op, p_value, p_path);
BEGIN
    IF p_op NOT IN ('gt', 'gte', 'lt', 'lte') OR p_whole IS NOT NULL
        OR EXISTS (SELECT FROM unnest(p_keys[2:]) AS key WHERE key ~ '^-?[0-9]+$')
        OR EXISTS (SELECT FROM pg_index AS i
                   WHERE i.indrelid = 'outreach.leads'::regclass AND pg_get_indexdef(i.indexrelid) LIKE '%json_number(%')
    THEN
        RETURN test;
    END IF;
    RETURN format('(l.custom_fields @@ %L::jsonpath OR (jsonb_typeof(%s) = ''string'' AND %s))',
        format('strict $%s %s %s', (SELECT string_agg('.' || to_json(key), '' ORDER BY n) FROM unnest(p_keys) WITH ORDINALITY AS u (key, n)),
               outreach.segment_order(p_op), p_value), col, test);
END
$$;

CREATE OR REPLACE FUNCTION outreach.segment_custom_test(p_keys text[], p_whole text, p_op text, p_value jsonb, p_path text)
RETURNS text
LANGUAGE plpgsql STABLE
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    col text := outreach.segment_custom_value(p_keys, p_whole, true);
    join_word text := CASE p_op WHEN 'has_all' THEN ' AND ' ELSE ' OR ' END;
BEGIN
    IF p_op = 'is_set' THEN
        RETURN format('%s <> ''''', col);
    ELSIF p_op = 'equals' THEN
        IF jsonb_typeof(p_value) NOT IN ('string', 'number', 'boolean') THEN
            PERFORM outreach.segment_error(p_path || '.value', 'must be a text, a number, true or false');
        END IF;
        RETURN outreach.segment_custom_equals(p_keys, p_whole, p_value, false);
    ELSIF p_op IN ('in', 'has_any', 'has_all') THEN
        PERFORM outreach.segment_texts(p_value, p_path);
        RETURN (SELECT '(' || string_agg(outreach.segment_custom_equals(p_keys, p_whole, e, p_op <> 'in'), join_word) || ')'
                FROM jsonb_array_elements(p_value) AS e);
    ELSIF p_op = 'matches' THEN
        RETURN format('%s ~* %L', col, outreach.segment_regex(p_value, p_path));
    ELSIF p_op IN ('contains', 'starts_with', 'ends_with') THEN
        IF jsonb_typeof(p_value) IS DISTINCT FROM 'string' THEN
            PERFORM outreach.segment_error(p_path || '.value', 'must be a text');
        END IF;
        RETURN format('lower(%s) LIKE %L', col, outreach.segment_like(p_op, p_value #>> '{}'));
    ELSIF p_op IN ('within_last', 'before', 'after')
        OR (p_op IN ('gt', 'gte', 'lt', 'lte') AND jsonb_typeof(p_value) = 'string')
        OR (p_op = 'between' AND CASE WHEN jsonb_typeof(p_value) = 'array'
                                 THEN jsonb_array_length(p_value) = 2 AND jsonb_typeof(p_value -> 0) = 'string' END)
    THEN
        RETURN outreach.segment_custom_day(col, p_op, p_value, p_path);
    END IF;
    RETURN outreach.segment_custom_number(p_keys, p_whole, p_op, p_value, p_path);
END
$$;

-- The keys of a custom field as it is written; NULL for anything else.
CREATE OR REPLACE FUNCTION outreach.segment_custom_keys(p_field jsonb) RETURNS text[]
LANGUAGE sql STABLE
RETURN CASE
    WHEN jsonb_typeof(p_field) = 'string' AND p_field #>> '{}' LIKE 'custom._%'
    THEN string_to_array(substr(p_field #>> '{}', 8), '.')
    WHEN jsonb_typeof(p_field) = 'array' AND p_field ->> 0 = 'custom' AND jsonb_array_length(p_field) BETWEEN 2 AND 32
        AND NOT EXISTS (SELECT FROM jsonb_array_elements(p_field) AS e WHERE jsonb_typeof(e) <> 'string')
    THEN ARRAY(SELECT e.value FROM jsonb_array_elements_text(p_field - 0) WITH ORDINALITY AS e ORDER BY e.ordinality)
END;

-- Custom fields that a definition names and no lead has, of a large workspace none of its newest 200,000; and the field that may be
-- meant: one that an import brought or the newest leads have, of the same letters or spelt alike.
-- owner: outreachdb_trusted
CREATE OR REPLACE FUNCTION outreach.unknown_custom_fields(definition jsonb) RETURNS TABLE (field text, meant text)
LANGUAGE plpgsql STABLE SECURITY DEFINER
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    ws constant bigint := outreach.required_workspace();
    known text[];
    asked jsonb;
    keys text[];
    whole text;
    found boolean;
BEGIN
    FOR asked IN SELECT DISTINCT f FROM jsonb_path_query(definition, 'strict $.**.field') AS f LOOP
        keys := outreach.segment_custom_keys(asked);
        CONTINUE WHEN keys IS NULL;
        whole := CASE WHEN jsonb_typeof(asked) = 'string' THEN substr(asked #>> '{}', 8) END;
        SELECT EXISTS (
            SELECT FROM (SELECT l.custom_fields FROM outreach.leads AS l
                         WHERE l.workspace_id = ws
                         ORDER BY l.created_at DESC, l.id DESC
                         LIMIT 200000) AS newest
            WHERE newest.custom_fields ? whole OR newest.custom_fields #> keys IS NOT NULL) INTO found;
        CONTINUE WHEN found;
        IF known IS NULL THEN
            known := ARRAY(
                SELECT substr(column_to ->> 1, 8)
                FROM (SELECT i.mapping FROM outreach.imports AS i
                      WHERE i.workspace_id = ws AND i.status = 'done' AND jsonb_typeof(i.mapping) = 'array'
                      ORDER BY i.started_at DESC LIMIT 100) AS imported
                CROSS JOIN LATERAL jsonb_array_elements(imported.mapping) AS column_to
                WHERE column_to ->> 1 LIKE 'custom._%'
                UNION
                SELECT k.key
                FROM (SELECT n.custom_fields FROM outreach.leads AS n WHERE n.workspace_id = ws
                      ORDER BY n.created_at DESC, n.id DESC LIMIT 1000) AS newest
                CROSS JOIN LATERAL jsonb_object_keys(newest.custom_fields) AS k (key));
        END IF;
        field := 'custom.' || coalesce(whole, array_to_string(keys, '.'));
        SELECT 'custom.' || k INTO meant
        FROM unnest(known) AS k
        CROSS JOIN LATERAL (SELECT CASE WHEN lower(k) = lower(substr(field, 8)) THEN 1
                                        ELSE public.similarity(k, left(substr(field, 8), 100)) END AS alike) AS a
        WHERE a.alike > 0.3
        ORDER BY a.alike DESC, k
        LIMIT 1;
        RETURN NEXT;
    END LOOP;
END
$$;
GRANT EXECUTE ON FUNCTION outreach.unknown_custom_fields(jsonb) TO outreachdb_app;
