-- Some leads of the session's workspace, as text of a subquery: p_blocks runs of p_rows leads, spread over their ids.
CREATE OR REPLACE FUNCTION outreach.segment_sample_of(p_workspace bigint, p_blocks integer, p_rows integer) RETURNS text
LANGUAGE sql STABLE
RETURN format('(SELECT b.first + ((b.last - b.first) * ((n + random()) / %2$s))::bigint AS start FROM generate_series(0, %2$s - 1) AS n,'
    ' (SELECT min(e.id) AS first, max(e.id) AS last FROM outreach.leads AS e WHERE e.workspace_id = %1$s) AS b) AS s'
    ' CROSS JOIN LATERAL (SELECT l.* FROM outreach.leads AS l WHERE l.workspace_id = %1$s AND l.id >= s.start'
    ' ORDER BY l.id LIMIT %3$s) AS l', p_workspace, p_blocks, p_rows);

-- What the planner means to do for the count of a segment: EXPLAIN (FORMAT JSON); with p_measured it is run, and what happened
-- stands beside what was expected. "Leads" is how many the planner takes the workspace for; "Rows" says for the conditions of
-- indexes of a large workspace how many leads meet each, by a sample: the planner guesses at what stands in custom fields. A
-- workspace of fewer leads than p_least is not looked into further: there is only "Leads" then.
-- owner: outreachdb_trusted
CREATE OR REPLACE FUNCTION outreach.explain_segment(
    definition jsonb, p_measured boolean DEFAULT false, p_least bigint DEFAULT 0) RETURNS jsonb
LANGUAGE plpgsql SECURITY DEFINER
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    ws constant bigint := outreach.required_workspace();
    whole jsonb;
    plan jsonb;
    conditions text[];
    leads numeric;
    counts bigint[];
BEGIN
    EXECUTE format('EXPLAIN (FORMAT JSON) SELECT FROM outreach.leads AS l WHERE l.workspace_id = %s', ws) INTO whole;
    leads := (whole #>> '{0,Plan,Plan Rows}')::numeric;
    IF leads < p_least THEN
        RETURN jsonb_build_object('Leads', leads);
    END IF;
    EXECUTE format('EXPLAIN (FORMAT JSON, ANALYZE %s) SELECT count(*) FROM outreach.leads AS l WHERE l.workspace_id = %s AND (%s)',
        CASE WHEN p_measured THEN 'true, BUFFERS, TIMING false' ELSE 'false' END,
        ws, outreach.segment_condition(definition)) INTO plan;
    plan := (plan -> 0) || jsonb_build_object('Leads', leads, 'Rows', '{}'::jsonb);
    -- What the planner wrote is SQL over the columns of leads; it names sets of other tables in ways that are not.
    conditions := ARRAY(
        SELECT DISTINCT c #>> '{}'
        FROM jsonb_path_query(plan, 'strict $.** ? (@."Index Cond" starts with "(")."Index Cond"') AS c
        WHERE c #>> '{}' !~ '[$]|SubPlan|InitPlan' AND jsonb_path_exists(plan,
            'strict $.** ? (@."Index Cond" == $c && (@."Relation Name" == "leads" || @."Index Name" like_regex "_leads_"))',
            jsonb_build_object('c', c)));
    IF leads > 2000 AND cardinality(conditions) BETWEEN 1 AND 50 THEN
        EXECUTE 'SELECT ARRAY[count(*), ' || (SELECT string_agg(format('count(*) FILTER (WHERE %s)', c), ', ' ORDER BY place)
                                    FROM unnest(conditions) WITH ORDINALITY AS u (c, place))
            || '] FROM ' || outreach.segment_sample_of(ws, 20, 50) INTO counts;
        plan := jsonb_set(plan, '{Rows}', (SELECT coalesce(jsonb_object_agg(c, round(leads * counts[place + 1] / counts[1])), '{}')
            FROM unnest(conditions) WITH ORDINALITY AS u (c, place)));
    END IF;
    RETURN plan;
END
$$;
GRANT EXECUTE ON FUNCTION outreach.explain_segment(jsonb, boolean, bigint) TO outreachdb_app;

-- A definition held against a sample of the workspace's leads: p_blocks runs of p_rows leads, spread over their ids. leads is
-- the planner's estimate of how many there are; where they are fewer than the sample would be, all are read.
-- owner: outreachdb_trusted
CREATE OR REPLACE FUNCTION outreach.sample_segment(
    definition jsonb, p_blocks integer DEFAULT 40, p_rows integer DEFAULT 50,
    OUT leads bigint, OUT looked bigint, OUT members bigint, OUT milliseconds real)
LANGUAGE plpgsql SECURITY DEFINER
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    ws constant bigint := outreach.required_workspace();
    test constant text := outreach.segment_condition(definition);
    plan jsonb;
    began timestamptz;
BEGIN
    EXECUTE format('EXPLAIN (FORMAT JSON) SELECT FROM outreach.leads AS l WHERE l.workspace_id = %s', ws) INTO plan;
    leads := (plan #>> '{0,Plan,Plan Rows}')::numeric;
    began := clock_timestamp();
    IF leads <= p_blocks * p_rows THEN
        EXECUTE format('SELECT count(*), count(*) FILTER (WHERE %s) FROM outreach.leads AS l WHERE l.workspace_id = %s', test, ws)
        INTO looked, members;
        leads := looked;
    ELSE
        EXECUTE format(
            'SELECT count(*), count(*) FILTER (WHERE %s) FROM %s', test, outreach.segment_sample_of(ws, p_blocks, p_rows))
        INTO looked, members;
    END IF;
    milliseconds := extract(epoch FROM clock_timestamp() - began) * 1000;
END
$$;
GRANT EXECUTE ON FUNCTION outreach.sample_segment(jsonb, integer, integer) TO outreachdb_app;

-- The ids of a segment's leads, in no order: for statements that work on all of them.
-- owner: outreachdb_trusted
CREATE OR REPLACE FUNCTION outreach.segment_lead_ids(definition jsonb) RETURNS SETOF bigint
LANGUAGE plpgsql STABLE SECURITY DEFINER
SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    RETURN QUERY EXECUTE 'SELECT l.id ' || outreach.segment_source(
        outreach.required_workspace(), outreach.segment_condition(definition));
END
$$;
GRANT EXECUTE ON FUNCTION outreach.segment_lead_ids(jsonb) TO outreachdb_app, outreachdb_trusted;

-- Whether a definition can be saved (as the segment segment_id): raises what is wrong with it, and that the segment would be
-- made of itself.
CREATE OR REPLACE FUNCTION outreach.check_segment(definition jsonb, segment_id bigint DEFAULT NULL) RETURNS void
LANGUAGE plpgsql STABLE
SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    PERFORM outreach.segment_condition(definition);
    IF segment_id IS NOT NULL THEN
        PERFORM outreach.segment_node(definition, '', 1, ARRAY[segment_id]);
    END IF;
END
$$;

-- How many leads of a segment there are by status, country, industry and engagement: the p_top values of each, and all of
-- them together (kind "all").
-- owner: outreachdb_trusted
CREATE OR REPLACE FUNCTION outreach.segment_breakdown(definition jsonb, p_top integer DEFAULT 10)
RETURNS TABLE (kind text, value text, leads bigint)
LANGUAGE plpgsql STABLE SECURITY DEFINER
SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    RETURN QUERY EXECUTE format($sql$
        WITH members AS (
            SELECT m.status, m.country, m.industry, coalesce(g.level, 'cold') AS level
            FROM (SELECT l.id, l.status, l.country, l.industry %2$s) AS m
            LEFT JOIN outreach.lead_engagement AS g ON g.workspace_id = %1$s AND g.lead_id = m.id
        ), counted AS (
            SELECT CASE grouping(m.status, m.country, m.industry, m.level)
                       WHEN 7 THEN 'status' WHEN 11 THEN 'country' WHEN 13 THEN 'industry' WHEN 14 THEN 'engagement' ELSE 'all'
                   END AS kind,
                   coalesce(m.status, m.country, m.industry, m.level) AS value, count(*) AS leads
            FROM members AS m
            GROUP BY GROUPING SETS ((m.status), (m.country), (m.industry), (m.level), ())
        )
        SELECT r.kind, r.value, r.leads
        FROM (SELECT c.*, row_number() OVER (PARTITION BY c.kind ORDER BY c.leads DESC, c.value) AS place FROM counted AS c) AS r
        WHERE r.place <= %3$L
        ORDER BY r.kind, r.leads DESC, r.value $sql$,
        outreach.required_workspace(),
        outreach.segment_source(outreach.required_workspace(), outreach.segment_condition(definition)), p_top);
END
$$;
GRANT EXECUTE ON FUNCTION outreach.segment_breakdown(jsonb, integer) TO outreachdb_app;

-- The index that would answer one condition on its own, as what stands after "ON outreach.leads": NULL where there is one
-- already or none can. The expressions are the compiler's, or no plan would use the index.
CREATE OR REPLACE FUNCTION outreach.segment_index(p_condition jsonb) RETURNS text
LANGUAGE plpgsql STABLE
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    keys text[] := outreach.segment_custom_keys(p_condition -> 'field');
    whole text := CASE WHEN jsonb_typeof(p_condition -> 'field') = 'string' AND cardinality(keys) > 1
        THEN substr(p_condition ->> 'field', 8) END;
    op text := p_condition ->> 'op';
    first jsonb := CASE WHEN jsonb_typeof(p_condition -> 'value') = 'array' THEN p_condition -> 'value' -> 0
        ELSE p_condition -> 'value' END;
    words constant boolean := op IN ('contains', 'starts_with', 'ends_with') AND length(first #>> '{}') >= 3;
    text_of text := replace(outreach.segment_custom_value(keys, whole, true), 'l.custom_fields', 'custom_fields');
    field text := p_condition ->> 'field';
BEGIN
    IF keys IS NOT NULL AND words THEN
        RETURN format('USING gin (workspace_id, (lower(%s)) public.gin_trgm_ops)', text_of);
    ELSIF keys IS NOT NULL AND op IN ('gt', 'gte', 'lt', 'lte', 'between') AND jsonb_typeof(first) = 'number' THEN
        RETURN format('(workspace_id, (outreach.json_number(%s)))',
            replace(outreach.segment_custom_value(keys, whole, false), 'l.custom_fields', 'custom_fields'));
    ELSIF keys IS NOT NULL AND op IN ('gt', 'gte', 'lt', 'lte', 'between', 'before', 'after', 'within_last') THEN
        RETURN format('(workspace_id, (CASE WHEN %1$s ~ ''^[0-9]{4}-[0-9]{2}-[0-9]{2}'' THEN left(%1$s, 10) COLLATE "C" END))',
            text_of);
    ELSIF keys IS NULL AND words AND field IN (SELECT f.field FROM outreach.segment_fields() AS f WHERE f.kind = 'text')
        AND field NOT IN ('first_name', 'last_name', 'email', 'company_name')
    THEN
        RETURN format('USING gin (workspace_id, (lower(%I)) public.gin_trgm_ops)', field);
    ELSIF keys IS NULL AND op IN ('equals', 'in') AND field IN
        ('city', 'company_website', 'country', 'first_name', 'last_name', 'linkedin_url', 'phone', 'source', 'timezone', 'title')
    THEN
        RETURN format('(workspace_id, %I)', field);
    END IF;
    RETURN NULL;
END
$$;
