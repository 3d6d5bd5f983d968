-- ---------------------------------------------------------------------------------------------------------------------
-- Search. Three ways, tried in this order. Statistics may shorten them, none trusts them (what was imported a minute ago looks empty to
-- them, and (SELECT $1) hides it even where they know it):
--   in order  reads 5000 leads in the order of the sort, and up to 75000 (more above 4,000,000 leads) where those promise a full page.
--             Whatever is common fills its page here, and a small workspace is read to its end, so that it never pays for the
--             index entries of a big neighbour;
--   by index  only for what the first way found to be rare: all matches through trigrams or the filter's indexes, then sorted; where
--             those on tags and custom fields would still be thousands, only those of the part of the list that should do;
--   similar   (routines_similar.sql) nothing contains the text: its words are spelt as the nearest of the workspace's own words are (search_words), and
--             the two ways above find the leads with those; best first, one page. Where a small workspace knows no such word, one
--             walk looks for the text and for its like at once.
-- Each page begins behind the last row seen (keyset), so a deep page costs what the first does.
-- They call the compiler of segments (outreach.segment_condition), which is replayed after this file.

-- As many leads as a workspace has at most that is read whole sooner than anything is looked up.
CREATE OR REPLACE FUNCTION outreach.small_workspace() RETURNS integer
LANGUAGE sql IMMUTABLE PARALLEL SAFE
RETURN 5000;

-- p_statement is written by search_part, never by a user.
CREATE OR REPLACE FUNCTION outreach.search_in_order(p_statement text, p_workspace bigint) RETURNS bigint[]
LANGUAGE plpgsql STABLE
SET search_path = pg_catalog, pg_temp
SET enable_sort = off
SET enable_seqscan = off
SET enable_bitmapscan = off
SET work_mem = '64MB'
AS $$
DECLARE
    found bigint[];
BEGIN
    EXECUTE p_statement INTO found USING p_workspace;
    RETURN found;
END
$$;
REVOKE EXECUTE ON FUNCTION outreach.search_in_order(text, bigint) FROM PUBLIC;
GRANT EXECUTE ON FUNCTION outreach.search_in_order(text, bigint) TO outreachdb_trusted;

CREATE OR REPLACE FUNCTION outreach.search_by_index(p_statement text, p_workspace bigint) RETURNS bigint[]
LANGUAGE plpgsql STABLE
SET search_path = pg_catalog, pg_temp
SET enable_seqscan = off
SET enable_indexscan = off
SET enable_indexonlyscan = off
SET work_mem = '64MB'
AS $$
DECLARE
    found bigint[];
BEGIN
    EXECUTE p_statement INTO found USING p_workspace;
    RETURN found;
END
$$;
REVOKE EXECUTE ON FUNCTION outreach.search_by_index(text, bigint) FROM PUBLIC;
GRANT EXECUTE ON FUNCTION outreach.search_by_index(text, bigint) TO outreachdb_trusted;

-- The text that a lead is searched by, as the index gin_leads_search has it.
CREATE OR REPLACE FUNCTION outreach.searched_text() RETURNS text
LANGUAGE sql IMMUTABLE PARALLEL SAFE
RETURN 'lower(coalesce(l.first_name, '''') || '' '' || coalesce(l.last_name, '''') || '' '' || coalesce(l.email, '''') || '' '' '
    '|| coalesce(l.company_name, ''''))';

-- What a text of the user's asks of a lead: each word must occur. Words of one or two characters have no trigram of their own:
-- beside longer words they are looked for anywhere, alone they must begin a word.
CREATE OR REPLACE FUNCTION outreach.search_condition(p_query text) RETURNS text
LANGUAGE plpgsql STABLE
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    words text[] := string_to_array(p_query, ' ');
    named constant text := outreach.searched_text();
    long boolean := EXISTS (SELECT FROM unnest(words) AS w WHERE length(w) >= 3);
    parts text;
BEGIN
    IF length(p_query) > 200 OR cardinality(words) > 10 THEN
        RAISE EXCEPTION 'query: is too long' USING ERRCODE = 'invalid_parameter_value', HINT = 'at most 200 characters and 10 words';
    ELSIF p_query !~ '[[:alnum:]]' OR (NOT long AND cardinality(public.show_trgm(p_query)) = 0) THEN
        RAISE EXCEPTION 'query: is too short to look for' USING ERRCODE = 'invalid_parameter_value',
            HINT = 'three characters or more, with a letter or digit; one or two only as the beginning of a word';
    END IF;
    SELECT string_agg(
        CASE WHEN long THEN format('%s LIKE %L', named, '%' || w.safe || '%')
             ELSE format('(%1$s LIKE %2$L OR %1$s LIKE %3$L)', named, w.safe || '%', '% ' || w.safe || '%') END, ' AND ')
    INTO parts
    FROM (SELECT replace(replace(replace(w, '\', '\\'), '%', '\%'), '_', '\_') AS safe FROM unnest(words) AS w) AS w;
    RETURN parts;
END
$$;

-- How many leads of the workspace the planner expects to meet p_condition: under row-level security pg_stats shows nothing, but the
-- planner knows. VOLATILE because EXPLAIN is refused elsewhere; it reads no row.
CREATE OR REPLACE FUNCTION outreach.search_expected(p_workspace bigint, p_condition text) RETURNS double precision
LANGUAGE plpgsql VOLATILE
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    plan jsonb;
BEGIN
    EXECUTE format('EXPLAIN (FORMAT JSON) SELECT FROM outreach.leads AS l WHERE l.workspace_id = %L::bigint AND (%s)', p_workspace,
        p_condition) INTO plan;
    RETURN plan #>> '{0,Plan,Plan Rows}';
END
$$;
REVOKE EXECUTE ON FUNCTION outreach.search_expected(bigint, text) FROM PUBLIC;
GRANT EXECUTE ON FUNCTION outreach.search_expected(bigint, text) TO outreachdb_trusted;

-- How a collection by index names the workspace. Its list of entries is as long as it has leads: one that holds most of the table
-- is left out of the index scan (as an expression that no index has) and compared afterwards. Statistics decide about the
-- cost alone; without them the index looks at both.
CREATE OR REPLACE FUNCTION outreach.search_scope(p_workspace bigint) RETURNS text
LANGUAGE sql VOLATILE
SET search_path = pg_catalog, pg_temp
RETURN CASE WHEN outreach.search_expected(p_workspace, 'true')
        > 0.3 * (SELECT c.reltuples FROM pg_class AS c WHERE c.oid = 'outreach.leads'::regclass)
    THEN 'l.workspace_id + 0 = (SELECT $1)' ELSE 'l.workspace_id = (SELECT $1)' END;
REVOKE EXECUTE ON FUNCTION outreach.search_scope(bigint) FROM PUBLIC;
GRANT EXECUTE ON FUNCTION outreach.search_scope(bigint) TO outreachdb_trusted;

CREATE OR REPLACE FUNCTION outreach.search_type(p_key text) RETURNS text
LANGUAGE sql IMMUTABLE
RETURN CASE WHEN p_key = 'id' THEN 'bigint' WHEN p_key = 'qualification_score' THEN 'real'
    WHEN p_key IN ('email_key', 'company_name') THEN 'text' ELSE 'timestamptz' END;

-- The part of a list on one side of a key, as an index in the order of p_keys finds it.
CREATE OR REPLACE FUNCTION outreach.search_side(p_keys text[], p_operator text, p_key text[]) RETURNS text
LANGUAGE sql STABLE
SET search_path = pg_catalog, pg_temp
RETURN format(' AND (%s) %s (%s)', (SELECT string_agg('l.' || k, ', ') FROM unnest(p_keys) AS k), p_operator,
    (SELECT string_agg(format('%L::%s', p_key[n], outreach.search_type(k)), ', ' ORDER BY n)
     FROM unnest(p_keys) WITH ORDINALITY AS u (k, n)));

-- The key of a lead in a list. Instants are printed to be read back, in whatever style and zone the session has.
CREATE OR REPLACE FUNCTION outreach.search_key(p_workspace bigint, p_lead bigint, p_keys text[]) RETURNS text[]
LANGUAGE plpgsql STABLE
SET search_path = pg_catalog, pg_temp
SET datestyle = 'ISO'
SET timezone = 'UTC'
SET extra_float_digits = 1
AS $$
DECLARE
    found text[];
BEGIN
    EXECUTE format('SELECT ARRAY[%s] FROM outreach.leads AS l WHERE l.workspace_id = $1 AND l.id = $2',
        (SELECT string_agg('l.' || k || '::text', ', ') FROM unnest(p_keys) AS k)) INTO found USING p_workspace, p_lead;
    RETURN found;
END
$$;
REVOKE EXECUTE ON FUNCTION outreach.search_key(bigint, bigint, text[]) FROM PUBLIC;
GRANT EXECUTE ON FUNCTION outreach.search_key(bigint, bigint, text[]) TO outreachdb_trusted;

-- How a part of a list is collected by index: what meets p_indexed, of that what meets p_rest too, and only then the order (OFFSET 0), as
-- walking in the order has just failed.
CREATE OR REPLACE FUNCTION outreach.search_collected(p_inside text, p_indexed text, p_rest text, p_ordered text, p_rows integer) RETURNS text
LANGUAGE sql IMMUTABLE
SET search_path = pg_catalog, pg_temp
RETURN 'SELECT array_agg(f.id) FROM (SELECT l.id FROM (SELECT l.* FROM outreach.leads AS l WHERE ' || p_inside || ' AND (' || p_indexed
    || ') OFFSET 0) AS l WHERE (' || p_rest || ') ORDER BY ' || p_ordered || ' LIMIT ' || p_rows || ') AS f';

-- What search_condition says, weaker: of long words every third trigram, and what is left at the end of a run of letters, instead of
-- all, as they follow from each other. The lists of all that forty addresses have ("carla.castillo") took 10.6 ms to compare at 2,000,000
-- leads (median; p95 25), of these 4.9 (19); at 10,000,000 the p95 of the whole search fell from 120 ms to 83. Of words below eleven characters too few are left:
-- a part of a surname took 837 ms instead of 101. Only letters of ASCII have trigrams everywhere.
CREATE OR REPLACE FUNCTION outreach.search_thinned(p_condition text) RETURNS text
LANGUAGE plpgsql STABLE
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    word text;
    apart text;
    thinned text := p_condition;
BEGIN
    FOR word IN SELECT m[1] FROM regexp_matches(p_condition, 'LIKE ''%([^''%_\\]{11,})%''', 'g') AS m LOOP
        apart := regexp_replace(word, '([a-z0-9]{3})', '%\1%', 'g');
        IF length(apart) >= length(word) + 6 THEN
            thinned := replace(thinned, format('LIKE %L', '%' || word || '%'), format('LIKE %L', '%' || apart || '%'));
        END IF;
    END LOOP;
    RETURN thinned;
END
$$;

-- A condition as a walk asks it: of one text that is put together once for all words of all spellings. A literal of the user's can hold
-- neither its expression nor a pattern: quotes are doubled there. strpos finds a word of six characters or more in less time than LIKE
-- does (two words in 2,000 leads in 1.1 ms instead of 1.3), a shorter one in more.
CREATE OR REPLACE FUNCTION outreach.search_seen(p_condition text) RETURNS text
LANGUAGE sql IMMUTABLE
SET search_path = pg_catalog, pg_temp
RETURN regexp_replace(replace(p_condition, outreach.searched_text(), 'l.searched'),
    'l\.searched LIKE ''%([^''%_\\]{6,})%''', 'strpos(l.searched, ''\1'') > 0', 'g');

-- A full page of what an index knows exactly (tags, custom fields), or NULL. The part of the list that should hold the page and two
-- fifths of another is asked of two indexes at once: 0.1 us a lead, where walking takes 0.4 and fetching a match from anywhere 2, after
-- the walk of p_walked that the caller would try before. How long the part is follows from what the planner expects; where that is
-- wrong the page is not filled, and the caller goes on. B-trees compare the workspace with an integer too, GIN indexes (btree_gin 1.3)
-- only with a bigint: theirs is the longest list of all.
CREATE OR REPLACE FUNCTION outreach.search_window(
    p_workspace bigint, p_condition text, p_behind text, p_keys text[], p_down boolean, p_ordered text, p_walked integer, p_rows integer)
RETURNS bigint[]
LANGUAGE plpgsql STABLE
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    leads constant double precision := outreach.search_expected(p_workspace, 'true');
    expected constant double precision := greatest(outreach.search_expected(p_workspace, p_condition), 1);
    span constant double precision := 1.4 * p_rows * leads / expected;
    edge bigint[];
    found bigint[];
BEGIN
    IF span NOT BETWEEN p_walked AND least(leads, 20 * expected + 5 * p_walked) OR p_workspace >= 2147483648 THEN
        RETURN NULL;
    END IF;
    edge := outreach.search_in_order('SELECT array_agg(f.id) FROM (SELECT l.id FROM outreach.leads AS l WHERE l.workspace_id = (SELECT $1)'
        || p_behind || ' ORDER BY ' || p_ordered || ' LIMIT 1 OFFSET ' || ceil(span) || ') AS f', p_workspace);
    IF edge IS NOT NULL THEN
        found := outreach.search_by_index(outreach.search_collected('l.workspace_id = (SELECT $1::integer)' || p_behind
            || outreach.search_side(p_keys, CASE WHEN p_down THEN '>=' ELSE '<=' END, outreach.search_key(p_workspace, edge[1], p_keys)),
            p_condition, 'true', p_ordered, p_rows), p_workspace);
    END IF;
    RETURN CASE WHEN cardinality(found) = p_rows THEN found END;
END
$$;
REVOKE EXECUTE ON FUNCTION outreach.search_window(bigint, text, text, text[], boolean, text, integer, integer) FROM PUBLIC;
GRANT EXECUTE ON FUNCTION outreach.search_window(bigint, text, text, text[], boolean, text, integer, integer) TO outreachdb_trusted;

-- Ids of the leads that meet p_condition, in the order of p_keys, behind the key p_after; p_text is what part of it trigrams answer
-- (as GIN indexes do those on tags and custom fields), NULL where none, p_bounds what part of it bounds the first key (outreach.segment_bounds): the walk begins there.
CREATE OR REPLACE FUNCTION outreach.search_part(
    p_workspace bigint, p_condition text, p_bounds text, p_text text, p_keys text[], p_down boolean, p_after text[],
    p_rows integer)
RETURNS bigint[]
LANGUAGE plpgsql STABLE
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    step constant integer := outreach.small_workspace();  -- the walk has to hold a small one
    -- Where one lead in so many matches, the 50 of a page are sooner met than all are found by an index, which of texts has to compare
    -- trigrams (at 2,000,000 leads 15 to 47 ms for 2,500 matches; walking by 40,000 takes 24), of tags has not (8 for 3,400). How far
    -- there is to walk does not depend on the number of leads, how long the lists of trigrams are does: see below.
    rare integer := CASE WHEN p_text IS NOT NULL THEN 1000 ELSE 400 END;
    exactly constant boolean := p_text IS NULL AND p_condition ~ 'l\.(tags|custom_fields) (&&|@>)';
    thinned text;
    ordered text := (SELECT string_agg('l.' || k || CASE WHEN p_down THEN ' DESC' ELSE '' END, ', ') FROM unnest(p_keys) AS k);
    inside constant text := 'l.workspace_id = (SELECT $1)';
    behind constant text := CASE WHEN p_keys[1] IN ('created_at', 'updated_at', 'id') THEN '' ELSE format(' AND l.%I IS NOT NULL', p_keys[1]) END
        || CASE WHEN p_after IS NULL THEN '' ELSE outreach.search_side(p_keys, CASE WHEN p_down THEN '<' ELSE '>' END, p_after) END
        || p_bounds;
    seen constant text := outreach.search_seen(p_condition);
    -- 2,000 leads are walked in 1.1 ms with all their columns, in 1.0 with the text alone.
    walk constant text := 'SELECT array_agg(f.id) FROM (SELECT l.id FROM (SELECT '
        || CASE WHEN replace(seen, 'l.searched', '') ~ '\ml\M' THEN 'l.*, ' ELSE 'l.id, ' END || outreach.searched_text() || ' AS searched'
        ' FROM outreach.leads AS l WHERE %s ORDER BY %s LIMIT %s) AS l WHERE %s LIMIT %s) AS f';
    further constant text := 'SELECT array_agg(f.id) FROM (SELECT l.id FROM outreach.leads AS l WHERE ' || inside || behind
        || ' ORDER BY ' || ordered || ' LIMIT 1 OFFSET ' || step || ') AS f';
    found bigint[];
BEGIN
    IF exactly THEN
        found := outreach.search_in_order(format(walk, inside || behind, ordered, step / 20, seen, p_rows), p_workspace);
        IF cardinality(found) = p_rows THEN
            RETURN found;
        END IF;
        IF coalesce(cardinality(found), 0) < 2 THEN
            found := outreach.search_window(p_workspace, p_condition, behind, p_keys, p_down, ordered, step, p_rows);
            IF found IS NOT NULL THEN
                RETURN found;
            END IF;
        END IF;
    END IF;
    found := outreach.search_in_order(format(walk, inside || behind, ordered, step, seen, p_rows), p_workspace);
    IF cardinality(found) = p_rows OR (p_condition = 'true' AND p_rows <= step) OR outreach.workspace_is_small(p_workspace)
        OR (behind <> '' AND outreach.search_in_order(further, p_workspace) IS NULL)
    THEN
        RETURN coalesce(found, '{}');
    END IF;
    IF p_text IS NOT NULL THEN
        rare := rare * greatest(1, outreach.search_expected(p_workspace, 'true') / 4000000);
    END IF;
    -- The walk ends when the page is full; the bound is for what was met more often than it is there.
    IF cardinality(found) * rare * 50 >= step * p_rows THEN
        found := outreach.search_in_order(format(walk, inside || behind, ordered, rare * 75, seen, p_rows), p_workspace);
        IF cardinality(found) = p_rows THEN
            RETURN found;
        END IF;
    END IF;
    thinned := outreach.search_thinned(p_text);
    found := outreach.search_by_index(outreach.search_collected(
        CASE WHEN p_text IS NOT NULL OR exactly THEN outreach.search_scope(p_workspace) ELSE inside END || behind,
        coalesce(replace(p_condition, p_text, thinned), p_condition), CASE WHEN thinned <> p_text THEN p_text ELSE 'true' END, ordered, p_rows),
        p_workspace);
    RETURN coalesce(found, '{}');
END
$$;

-- A cursor is JSON in URL-safe base64: the search it belongs to, the part of the list, the last key there.
CREATE OR REPLACE FUNCTION outreach.search_cursor(p_search text, p_part integer, p_key jsonb) RETURNS text
LANGUAGE sql STABLE
RETURN translate(encode(convert_to(jsonb_build_object('s', p_search, 'p', p_part, 'k', p_key)::text, 'UTF8'), 'base64'),
    E'+/=\n', '-_');

CREATE OR REPLACE FUNCTION outreach.search_cursor_read(p_cursor text, p_search text, p_keys text[], p_rest text[])
RETURNS TABLE (part integer, after text[])
LANGUAGE plpgsql STABLE
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    given jsonb;
    n integer;
BEGIN
    BEGIN
        IF length(p_cursor) > 4000 OR p_cursor !~ '^[A-Za-z0-9_-]+$' THEN
            RAISE EXCEPTION USING ERRCODE = 'invalid_parameter_value';
        END IF;
        given := convert_from(decode(
            rpad(translate(p_cursor, '-_', '+/'), (length(p_cursor) + 3) / 4 * 4, '='), 'base64'), 'UTF8')::jsonb;
        part := (given ->> 'p')::integer;
        after := ARRAY(SELECT jsonb_array_elements_text(given -> 'k'));
        IF part = 1 THEN
            p_keys := p_rest;
        END IF;
        IF given ->> 's' IS NULL OR part NOT IN (0, 1) OR p_keys IS NULL OR array_position(after, NULL) IS NOT NULL
            OR (given ->> 's' = p_search AND cardinality(after) <> cardinality(p_keys))
        THEN
            RAISE EXCEPTION USING ERRCODE = 'invalid_parameter_value';
        ELSIF given ->> 's' = p_search THEN
            FOR n IN 1 .. cardinality(p_keys) LOOP
                EXECUTE format('SELECT %L::%s', after[n], outreach.search_type(p_keys[n]));
            END LOOP;
        END IF;
    EXCEPTION WHEN data_exception OR raise_exception THEN
        RAISE EXCEPTION 'cursor: is not one that a search gave' USING ERRCODE = 'invalid_parameter_value',
            HINT = 'pass the cursor of the last row unchanged, or none for the first page';
    END;
    IF given ->> 's' <> p_search THEN
        RAISE EXCEPTION 'cursor: belongs to another search or sort' USING ERRCODE = 'invalid_parameter_value',
            HINT = 'a cursor goes on with the query, filters and sort that gave it';
    END IF;
    RETURN NEXT;
END
$$;

-- Leads whose name, address or company contains every word of the query, within a filter (a segment definition), page by page.
-- sort: id, created_at, updated_at, score, qualified_at, email or company_name; a minus before it turns it round; leads without
-- that value come last, in the order of their creation. cursor: that of the last row seen. match says "exact", or "similar"
-- where nothing contains the words and these are the nearest spellings: one page, best first, without cursors.
-- owner: outreachdb_trusted
CREATE OR REPLACE FUNCTION outreach.search_leads_optimized(
    query text DEFAULT NULL, filters jsonb DEFAULT NULL, sort text DEFAULT '-created_at', max_rows integer DEFAULT 50,
    cursor text DEFAULT NULL)
RETURNS TABLE (
    id bigint, email text, first_name text, last_name text, title text, company_name text, industry text, country text,
    status text, tags text[], qualification_score real, created_at timestamptz, updated_at timestamptz, match text, next_cursor text)
LANGUAGE plpgsql STABLE SECURITY DEFINER
SET search_path = pg_catalog, pg_temp
SET timezone = 'UTC'
SET extra_float_digits = 1
AS $$
#variable_conflict use_column
DECLARE
    ws constant bigint := outreach.required_workspace();
    wanted constant text := nullif(btrim(regexp_replace(lower(search_leads_optimized.query), '\s+', ' ', 'g')), '');
    filter constant text := CASE WHEN filters IS NULL OR filters = '{}' THEN 'true' ELSE outreach.segment_condition(filters) END;
    condition text := filter;
    worded text;
    down constant boolean := sort LIKE '-%';
    keys constant text[] := CASE ltrim(sort, '-')
        WHEN 'id' THEN '{id}' WHEN 'created_at' THEN '{created_at,id}' WHEN 'updated_at' THEN '{updated_at,id}'
        WHEN 'score' THEN '{qualification_score,created_at,id}' WHEN 'qualified_at' THEN '{qualified_at,id}'
        WHEN 'email' THEN '{email_key}' WHEN 'company_name' THEN '{company_name,id}' END;
    rest constant text[] := CASE WHEN keys[1] NOT IN ('id', 'created_at', 'updated_at') THEN '{created_at,id}'::text[] END;
    search constant text := md5(jsonb_build_array(sort, wanted, filters)::text);
    start integer := 0;
    after text[];
    found bigint[];
    with_value integer := 0;
    kind text := 'similar';
BEGIN
    IF keys IS NULL OR sort LIKE '--%' THEN
        RAISE EXCEPTION 'sort: there is no order %', coalesce(sort, 'NULL') USING ERRCODE = 'invalid_parameter_value',
            HINT = 'id, created_at, updated_at, score, qualified_at, email or company_name; a minus before it turns it round';
    ELSIF max_rows IS NULL OR max_rows NOT BETWEEN 1 AND 1001 THEN
        RAISE EXCEPTION 'max_rows: must lie between 1 and 1001' USING ERRCODE = 'invalid_parameter_value';
    END IF;
    IF wanted IS NOT NULL THEN
        worded := outreach.search_condition(wanted);
        condition := CASE WHEN filter = 'true' THEN worded ELSE format('(%s) AND (%s)', worded, filter) END;
    END IF;
    IF search_leads_optimized.cursor IS NOT NULL THEN
        SELECT c.part, c.after INTO start, after
        FROM outreach.search_cursor_read(search_leads_optimized.cursor, search, keys, rest) AS c;
    END IF;
    IF wanted IS NOT NULL AND search_leads_optimized.cursor IS NULL AND outreach.search_unheard(ws, wanted) THEN
        found := outreach.search_similar(ws, wanted, worded, filter, max_rows);
    END IF;
    IF found IS NULL THEN
        kind := 'exact';
        found := '{}';
        IF start = 0 THEN
            found := outreach.search_part(ws, condition, outreach.segment_bounds(filters, keys[1]), worded, keys, down, after, max_rows);
            after := NULL;
            with_value := cardinality(found);
        END IF;
        IF rest IS NOT NULL AND cardinality(found) < max_rows THEN
            found := found || outreach.search_part(ws, format('l.%I IS NULL AND (%s)', keys[1], condition),
                outreach.segment_bounds(filters, rest[1]), worded, rest, down, after, max_rows - cardinality(found));
        END IF;
        IF found = '{}' AND wanted IS NOT NULL AND search_leads_optimized.cursor IS NULL THEN
            kind := 'similar';
            found := outreach.search_similar(ws, wanted, NULL, filter, max_rows);
        END IF;
    END IF;
    RETURN QUERY
    SELECT l.id, l.email, l.first_name, l.last_name, l.title, l.company_name, l.industry, l.country, l.status, l.tags,
           l.qualification_score, l.created_at, l.updated_at, kind,
           CASE WHEN kind = 'exact' THEN outreach.search_cursor(search, (f.n > with_value)::integer,
               (SELECT jsonb_agg(CASE k.name
                    WHEN 'id' THEN to_jsonb(l.id) WHEN 'created_at' THEN to_jsonb(l.created_at)
                    WHEN 'updated_at' THEN to_jsonb(l.updated_at) WHEN 'qualification_score' THEN to_jsonb(l.qualification_score)
                    WHEN 'qualified_at' THEN to_jsonb(l.qualified_at) WHEN 'email_key' THEN to_jsonb(l.email_key)
                    ELSE to_jsonb(l.company_name) END ORDER BY k.n)
                FROM unnest(CASE WHEN f.n > with_value THEN rest ELSE keys END) WITH ORDINALITY AS k (name, n))) END
    FROM unnest(found) WITH ORDINALITY AS f (id, n)
    -- One look-up by key each, whatever the statistics think of the workspace.
    CROSS JOIN LATERAL (SELECT * FROM outreach.leads AS e WHERE e.workspace_id = (SELECT ws) AND e.id = f.id OFFSET 0) AS l
    ORDER BY f.n;
END
$$;
REVOKE EXECUTE ON FUNCTION outreach.search_leads_optimized(text, jsonb, text, integer, text) FROM PUBLIC;
GRANT EXECUTE ON FUNCTION outreach.search_leads_optimized(text, jsonb, text, integer, text) TO outreachdb_app, outreachdb_trusted;

-- Works what waits for the GIN indexes of leads into their trees; returns the pages taken. A large import calls it again and again on a
-- second connection while the first inserts: trigrams are the dearest part of a lead, and a list that is left over (1,500 pages of tags
-- and custom fields from 100,000 leads) is read by every search for a tag until autovacuum comes. Returns 0 where somebody else is at it.
CREATE OR REPLACE FUNCTION outreach.settle_search_index() RETURNS bigint
LANGUAGE plpgsql SECURITY DEFINER
SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    IF NOT pg_try_advisory_xact_lock(hashtext('outreachdb.settle_search_index')) THEN
        RETURN 0;
    END IF;
    RETURN gin_clean_pending_list('outreach.gin_leads_search'::regclass) + gin_clean_pending_list('outreach.gin_leads_tags'::regclass)
        + gin_clean_pending_list('outreach.gin_leads_custom_fields'::regclass);
END
$$;
REVOKE EXECUTE ON FUNCTION outreach.settle_search_index() FROM PUBLIC;
GRANT EXECUTE ON FUNCTION outreach.settle_search_index() TO outreachdb_trusted;
