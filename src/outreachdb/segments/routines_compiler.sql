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
    keys text[] := outreach.segment_custom_keys(p_node -> 'field');
    kind text;
    offered text[];
    test text;
BEGIN
    IF keys IS NOT NULL THEN
        kind := 'custom';
        offered := outreach.segment_custom_operators();
    ELSE
        SELECT f.kind, f.operators INTO kind, offered FROM outreach.segment_fields() AS f WHERE f.field = p_node ->> 'field';
    END IF;
    IF NOT p_node ? 'field' THEN
        PERFORM outreach.segment_error(p_path || '.field', 'is missing');
    ELSIF kind IS NULL THEN
        PERFORM outreach.segment_error(p_path || '.field', format('there is no field %s', left((p_node -> 'field')::text, 100)),
            coalesce('did you mean "' || outreach.segment_nearest(field) || '"?',
                     'a field of leads, tags, engagement, suppressed, company.<field>, or custom.<column name>'));
    ELSIF positive IS NULL OR positive <> ALL (offered) THEN
        PERFORM outreach.segment_error(p_path || '.op', format('%s does not go with the field %s', left((p_node -> 'op')::text, 100), left(field, 100)),
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
        WHEN 'tags' THEN outreach.segment_tags_test(field, positive, p_node -> 'value', p_path)
        WHEN 'country' THEN outreach.segment_country_test(positive, p_node -> 'value', p_path)
        WHEN 'level' THEN outreach.segment_level_test(p_node -> 'value', p_path)
        WHEN 'suppressed' THEN outreach.segment_suppressed_test(p_node -> 'value', p_path)
        -- The table of companies takes the alias l there: the tests are those of leads.
        WHEN 'company text' THEN outreach.segment_company_test(
            outreach.segment_text_test(substr(field, 9), positive, p_node -> 'value', p_path))
        WHEN 'company date' THEN outreach.segment_company_test(
            outreach.segment_date_test(substr(field, 9), positive, p_node -> 'value', p_path))
        WHEN 'month' THEN outreach.segment_company_test(
            outreach.segment_month_test(positive, p_node -> 'value', p_path))
        ELSE outreach.segment_custom_test(keys,
            CASE WHEN jsonb_typeof(p_node -> 'field') = 'string' AND cardinality(keys) > 1 THEN substr(field, 8) END,
            positive, p_node -> 'value', p_path) END;
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
    -- What is far too large is told by its size in memory, before it is written out as text.
    IF pg_column_size(definition) > 1048576 OR octet_length(definition::text) > 262144 THEN
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

-- What a definition asks of a column whatever else it asks: " AND l.created_at >= ..." or nothing. Of a definition that
-- outreach.segment_condition has taken.
CREATE OR REPLACE FUNCTION outreach.segment_bounds(definition jsonb, p_column text) RETURNS text
LANGUAGE sql STABLE
SET search_path = pg_catalog, pg_temp
AS $$
    SELECT coalesce(string_agg(' AND ' || outreach.segment_test(c, ''), ''), '')
    FROM jsonb_array_elements(CASE WHEN jsonb_typeof(definition -> 'all') = 'array' THEN definition -> 'all'
                                   ELSE jsonb_build_array(definition) END) AS c
    WHERE c ->> 'field' = p_column AND p_column IN ('created_at', 'qualification_score', 'qualified_at', 'updated_at')
      AND c ->> 'op' IN ('equals', 'gt', 'gte', 'lt', 'lte', 'before', 'after', 'between', 'within_last')
$$;

-- Whether a workspace has so few leads that reading them all is the fastest way to anything. Asked of the index, not of the
-- statistics: what was imported a minute ago looks empty to them.
CREATE OR REPLACE FUNCTION outreach.workspace_is_small(p_workspace bigint) RETURNS boolean
LANGUAGE plpgsql STABLE
SET search_path = pg_catalog, pg_temp
SET enable_seqscan = off
SET enable_bitmapscan = off
AS $$
BEGIN
    RETURN (SELECT count(*) <= outreach.small_workspace()
            FROM (SELECT FROM outreach.leads AS l WHERE l.workspace_id = (SELECT p_workspace) LIMIT outreach.small_workspace() + 1) AS few);
END
$$;

-- What stands behind SELECT and the columns of l: FROM and WHERE. A small workspace is read whole before anything is compared:
-- through the index entries of a big neighbour the same took 56 ms instead of 4.
CREATE OR REPLACE FUNCTION outreach.segment_source(p_workspace bigint, p_condition text) RETURNS text
LANGUAGE sql STABLE
SET search_path = pg_catalog, pg_temp
AS $$
    SELECT format(CASE WHEN outreach.workspace_is_small(p_workspace)
            THEN 'FROM (SELECT l.* FROM outreach.leads AS l WHERE l.workspace_id = %s OFFSET 0) AS l WHERE (%s)'
            ELSE 'FROM outreach.leads AS l WHERE l.workspace_id = %s AND (%s)' END, p_workspace, p_condition)
$$;

-- How many leads a compiled condition holds for. A range of dates holds half a workspace: row by row through an index that is three
-- times the table's own pages. Bitmaps, index-only and sequential scans are left; but not to the compiler, whose hint at a misspelt
-- field took 1.2 s at 2,000,000 leads without an index.
CREATE OR REPLACE FUNCTION outreach.count_condition(p_workspace bigint, p_condition text) RETURNS bigint
LANGUAGE plpgsql STABLE
SET search_path = pg_catalog, pg_temp
SET enable_indexscan = off
AS $$
DECLARE
    found bigint;
BEGIN
    EXECUTE 'SELECT count(*) ' || outreach.segment_source(p_workspace, p_condition) INTO found;
    RETURN found;
END
$$;
REVOKE EXECUTE ON FUNCTION outreach.count_condition(bigint, text) FROM PUBLIC;
GRANT EXECUTE ON FUNCTION outreach.count_condition(bigint, text) TO outreachdb_trusted;

-- owner: outreachdb_trusted
CREATE OR REPLACE FUNCTION outreach.count_segmented_leads(definition jsonb) RETURNS bigint
LANGUAGE sql STABLE SECURITY DEFINER
SET search_path = pg_catalog, pg_temp
RETURN outreach.count_condition(outreach.required_workspace(), outreach.segment_condition(definition));
GRANT EXECUTE ON FUNCTION outreach.count_segmented_leads(jsonb) TO outreachdb_app;

-- Members in the order of their ids, those after after_id: page by passing the last id seen.
-- owner: outreachdb_trusted
CREATE OR REPLACE FUNCTION outreach.get_segmented_leads(
    definition jsonb, max_rows integer DEFAULT 100, after_id bigint DEFAULT 0)
RETURNS SETOF outreach.leads
LANGUAGE plpgsql STABLE SECURITY DEFINER
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    ws constant bigint := outreach.required_workspace();
    condition constant text := outreach.segment_condition(definition);
BEGIN
    IF max_rows BETWEEN 1 AND 1000 THEN
        -- A page: as search finds one, by walking first.
        RETURN QUERY
        SELECT l.*
        FROM unnest(outreach.search_part(ws, condition, '', NULL, '{id}', false, ARRAY[coalesce(after_id, 0)::text], max_rows))
            WITH ORDINALITY AS f (id, n)
        CROSS JOIN LATERAL (SELECT * FROM outreach.leads AS e WHERE e.workspace_id = (SELECT ws) AND e.id = f.id OFFSET 0) AS l
        ORDER BY f.n;
        RETURN;
    END IF;
    RETURN QUERY EXECUTE format(
        'SELECT l.* FROM outreach.leads AS l WHERE l.workspace_id = %s AND l.id > %L::bigint AND (%s) ORDER BY l.id LIMIT %L::integer',
        ws, coalesce(after_id, 0), condition, max_rows);
END
$$;
GRANT EXECUTE ON FUNCTION outreach.get_segmented_leads(jsonb, integer, bigint) TO outreachdb_app;

-- The newest members first: where a segment names no dates they are found first, and where it does the walk begins there. Page by
-- passing the last id seen.
-- owner: outreachdb_trusted
CREATE OR REPLACE FUNCTION outreach.preview_segment(
    definition jsonb, max_rows integer DEFAULT 20, after_id bigint DEFAULT NULL)
RETURNS SETOF outreach.leads
LANGUAGE plpgsql STABLE SECURITY DEFINER
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    ws constant bigint := outreach.required_workspace();
    condition constant text := outreach.segment_condition(definition);
    after text[];
BEGIN
    IF max_rows IS NULL OR max_rows < 1 THEN
        RAISE EXCEPTION 'max_rows: must be 1 or more' USING ERRCODE = 'invalid_parameter_value';
    ELSIF after_id IS NOT NULL THEN
        after := outreach.search_key(ws, after_id, '{created_at,id}');
        IF after IS NULL THEN
            RAISE EXCEPTION 'after_id: there is no lead with the id %', after_id
                USING ERRCODE = 'invalid_parameter_value', HINT = 'pass the id of the last lead of the page before';
        END IF;
    END IF;
    RETURN QUERY
    SELECT l.*
    FROM unnest(outreach.search_part(ws, condition, outreach.segment_bounds(definition, 'created_at'), NULL,
                '{created_at,id}', true, after, max_rows))
        WITH ORDINALITY AS f (id, n)
    CROSS JOIN LATERAL (SELECT * FROM outreach.leads AS e WHERE e.workspace_id = (SELECT ws) AND e.id = f.id OFFSET 0) AS l
    ORDER BY f.n;
END
$$;
GRANT EXECUTE ON FUNCTION outreach.preview_segment(jsonb, integer, bigint) TO outreachdb_app;
