-- requires: 0010

-- Why a text is no e-mail address, or NULL if it is one (or is NULL). The shape that ck_leads_email_format asks for, and
-- what every mail system agrees on: no quoted local parts, no empty labels, no domain that ends in digits.
CREATE OR REPLACE FUNCTION outreach.email_problem(p_email text) RETURNS text
LANGUAGE sql IMMUTABLE PARALLEL SAFE
RETURN CASE
    WHEN p_email ~ '^[^][@\s[:cntrl:]()<>,;:\\".]+(\.[^][@\s[:cntrl:]()<>,;:\\".]+)*@([^\s[:cntrl:]!-/:-@[-`{-~]+(-+[^\s[:cntrl:]!-/:-@[-`{-~]+)*\.)+[^\s[:cntrl:]!-/:-@[-`{-~0-9][^\s[:cntrl:]!-,./:-@[-`{-~]*[^\s[:cntrl:]!-/:-@[-`{-~]$'
        AND length(p_email) <= 254 AND strpos(p_email, '@') <= 65 THEN NULL
    WHEN length(p_email) > 254 THEN 'longer than the 254 characters that an address may have'
    WHEN p_email IS NOT NULL THEN 'not an e-mail address'
END;

-- A web address with its scheme: as given, or with https:// before what looks like a host; NULL for anything else.
CREATE OR REPLACE FUNCTION outreach.normal_url(p_url text) RETURNS text
LANGUAGE sql IMMUTABLE PARALLEL SAFE
RETURN CASE
    WHEN p_url ~ '^https?://[^\s[:cntrl:]/]+[^\s[:cntrl:]]*$' THEN p_url
    WHEN p_url ~* '^https?://[^\s[:cntrl:]/]+[^\s[:cntrl:]]*$'
        THEN lower(split_part(p_url, '://', 1)) || substr(p_url, strpos(p_url, '://'))
    WHEN p_url ~ '^(//)?[^\s[:cntrl:]/@:?#,]+\.[^\s[:cntrl:]/@:?#.,0-9][^\s[:cntrl:]/@:?#.,]+(:[0-9]+)?([/?#][^\s[:cntrl:]]*)?$'
        THEN 'https://' || ltrim(p_url, '/')
END;

-- The host of a web address in lower case, without "www.", port and login; companies are known by it. NULL if it is
-- longer than a host can be.
CREATE OR REPLACE FUNCTION outreach.web_domain(p_url text) RETURNS text
LANGUAGE sql IMMUTABLE PARALLEL SAFE
RETURN CASE WHEN length(substring(p_url FROM '^https?://([^/?#]*)')) <= 253
    THEN substring(lower(p_url) FROM '^https?://(?:[^/@?#]*@)?(?:www\.)?([^/:?#@]+)') END;

-- A score between 0 and 100 ("85", "85.5", "85,5", "85 %"), else NULL.
CREATE OR REPLACE FUNCTION outreach.score_of(p_text text) RETURNS real
LANGUAGE sql IMMUTABLE PARALLEL SAFE
RETURN CASE
    WHEN p_text ~ '^\+?0*([0-9]{1,2}([.,][0-9]{1,20})?|100([.,]0{1,20})?)( ?%)?$'
        THEN replace(rtrim(p_text, ' %'), ',', '.')::real
END;

-- A cell's tags: split at comma, semicolon and bar, trimmed, each once, in the cell's order.
CREATE OR REPLACE FUNCTION outreach.split_tags(p_text text) RETURNS text[]
LANGUAGE sql IMMUTABLE PARALLEL SAFE
RETURN ARRAY(
    SELECT tag
    FROM (SELECT btrim(part, E' \t\r\n') AS tag, place
          FROM string_to_table(translate(p_text, ';|', ',,'), ',') WITH ORDINALITY AS cut (part, place)) AS parts
    WHERE tag <> ''
    GROUP BY tag
    ORDER BY min(place)
);

-- The first name in a full name: before the last word, or after the comma of "Last, First".
CREATE OR REPLACE FUNCTION outreach.first_of_name(p_name text) RETURNS text
LANGUAGE sql IMMUTABLE PARALLEL SAFE
RETURN CASE
    WHEN strpos(p_name, ',') > 0 THEN nullif(btrim(split_part(p_name, ',', 2)), '')
    WHEN strpos(p_name, ' ') > 0 THEN btrim(regexp_replace(p_name, '\s+\S+$', ''))
    ELSE p_name
END;

CREATE OR REPLACE FUNCTION outreach.last_of_name(p_name text) RETURNS text
LANGUAGE sql IMMUTABLE PARALLEL SAFE
RETURN CASE
    WHEN strpos(p_name, ',') > 0 THEN nullif(btrim(split_part(p_name, ',', 1)), '')
    WHEN strpos(p_name, ' ') > 0 THEN substring(p_name FROM '\S+$')
END;

-- What a suppression makes of a lead's status; NULL where it says nothing about the lead.
CREATE OR REPLACE FUNCTION outreach.suppressed_status(p_reason text) RETURNS text
LANGUAGE sql IMMUTABLE PARALLEL SAFE
RETURN CASE WHEN p_reason IN ('unsubscribed', 'complained') THEN 'unsubscribed' WHEN p_reason = 'bounced' THEN 'bounced' END;

-- Suppresses addresses and whole domains (without their subdomains) of the session's workspace for good, and sets the
-- status of the leads they hit in the same statement. A target that is suppressed for good already keeps its reason.
-- added: new targets; leads: leads whose status changed.
-- owner: outreachdb_trusted
CREATE OR REPLACE FUNCTION outreach.suppress(targets text[], reason text DEFAULT 'manual', source text DEFAULT NULL)
RETURNS TABLE (added bigint, leads bigint)
LANGUAGE plpgsql
SECURITY DEFINER
SET search_path = pg_catalog, pg_temp
AS $$
#variable_conflict use_column
DECLARE
    workspace CONSTANT bigint := outreach.current_workspace();
    status_now CONSTANT text := outreach.suppressed_status(suppress.reason);
    wrong text;
BEGIN
    IF workspace IS NULL THEN
        RAISE EXCEPTION 'no workspace is set' USING ERRCODE = 'invalid_parameter_value';
    END IF;
    SELECT t INTO wrong FROM unnest(suppress.targets) AS t WHERE outreach.suppression_target(t) IS NULL LIMIT 1;
    IF FOUND THEN
        RAISE EXCEPTION 'neither an e-mail address nor a domain: %', coalesce(wrong, 'NULL')
            USING ERRCODE = 'invalid_parameter_value';
    END IF;
    RETURN QUERY
    WITH wanted AS (
        SELECT DISTINCT outreach.suppression_target(t) AS target FROM unnest(suppress.targets) AS t
    ), stored AS (
        INSERT INTO outreach.suppressions AS s (workspace_id, target, reason, source)
        SELECT workspace, w.target, suppress.reason, suppress.source FROM wanted AS w ORDER BY w.target
        ON CONFLICT (workspace_id, target) DO UPDATE
            SET reason = excluded.reason, source = excluded.source, expires_at = NULL
            WHERE s.expires_at IS NOT NULL
        RETURNING s.id
    ), hit AS (
        SELECT l.id FROM outreach.leads AS l JOIN wanted AS w ON l.email_key = w.target
        WHERE l.workspace_id = workspace AND w.target LIKE '%@%' AND status_now IS NOT NULL
        UNION
        SELECT l.id FROM outreach.leads AS l JOIN wanted AS w ON split_part(l.email_key, '@', 2) = w.target
        WHERE l.workspace_id = workspace AND w.target NOT LIKE '%@%' AND status_now IS NOT NULL
    ), locked AS (
        -- In the order of ids, as imports do, so that they wait for each other and never in a circle.
        SELECT l.id FROM outreach.leads AS l JOIN hit AS h ON h.id = l.id
        WHERE l.workspace_id = workspace AND l.status IS DISTINCT FROM status_now
          AND NOT (l.status = 'unsubscribed' AND status_now = 'bounced')
        ORDER BY l.id FOR NO KEY UPDATE OF l
    ), changed AS (
        UPDATE outreach.leads AS l SET status = status_now, updated_at = statement_timestamp()
        FROM locked AS k WHERE l.workspace_id = workspace AND l.id = k.id
        RETURNING l.id
    )
    SELECT (SELECT count(*) FROM stored), (SELECT count(*) FROM changed);
END
$$;

-- The form in which a suppression is stored: lower case; "@example.com" is the domain. NULL if it is neither. Takes every
-- address that ck_leads_email_format lets into the table: whoever is in there can be suppressed.
CREATE OR REPLACE FUNCTION outreach.suppression_target(p_text text) RETURNS text
LANGUAGE sql IMMUTABLE PARALLEL SAFE
RETURN CASE
    WHEN p_text ~ '^\s*@?[^\s[:cntrl:]@,;]+\.[^\s[:cntrl:]@,;]+\s*$' THEN ltrim(lower(btrim(p_text, E' \t\r\n')), '@')
    WHEN p_text ~ '^\s*[^@\s[:cntrl:]]+@[^@\s[:cntrl:]]+\.[^@\s[:cntrl:]]+\s*$' THEN lower(btrim(p_text, E' \t\r\n'))
END;
REVOKE EXECUTE ON FUNCTION outreach.suppress(text[], text, text) FROM PUBLIC;
GRANT EXECUTE ON FUNCTION outreach.suppress(text[], text, text) TO outreachdb_app, outreachdb_trusted;

-- ---------------------------------------------------------------------------------------------------------------------
-- Search. Three ways, tried in this order, none of which asks the statistics how large the workspace is (what was imported a
-- minute ago looks empty to them, and (SELECT $1) hides it even where they know it):
--   in order  reads at most 5000 leads in the order of the sort. Whatever is common fills its page here, and a small
--             workspace is read to its end, so that it never pays for the index entries of a big neighbour;
--   by index  only for what the first way found to be rare: all matches through trigrams or the filter's indexes, then sorted;
--   similar   nothing contains the text: the nearest spellings, best first, one page.
-- Each page begins behind the last row seen (keyset), so a deep page costs what the first does.
-- They call the compiler of segments (outreach.segment_condition), which is replayed after this file.

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

-- What a text of the user's asks of a lead: each word must occur. Words of one or two characters have no trigram of their own:
-- beside longer words they are looked for anywhere, alone they must begin a word.
CREATE OR REPLACE FUNCTION outreach.search_condition(p_query text) RETURNS text
LANGUAGE plpgsql STABLE
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    words text[] := string_to_array(p_query, ' ');
    named constant text := 'lower(coalesce(l.first_name, '''') || '' '' || coalesce(l.last_name, '''') || '' '' || '
        'coalesce(l.email, '''') || '' '' || coalesce(l.company_name, ''''))';
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

-- Ids of the leads that meet p_condition, in the order of p_keys, behind the key p_after.
CREATE OR REPLACE FUNCTION outreach.search_part(
    p_workspace bigint, p_condition text, p_keys text[], p_down boolean, p_after text[], p_rows integer) RETURNS bigint[]
LANGUAGE plpgsql STABLE
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    step constant integer := 5000;
    ordered text := (SELECT string_agg('l.' || k || CASE WHEN p_down THEN ' DESC' ELSE '' END, ', ') FROM unnest(p_keys) AS k);
    scope text := 'l.workspace_id = (SELECT $1)'
        || CASE WHEN p_keys[1] IN ('created_at', 'updated_at', 'id') THEN '' ELSE format(' AND l.%I IS NOT NULL', p_keys[1]) END
        || CASE WHEN p_after IS NULL THEN '' ELSE format(' AND (%s) %s (%s)',
            (SELECT string_agg('l.' || k, ', ') FROM unnest(p_keys) AS k), CASE WHEN p_down THEN '<' ELSE '>' END,
            (SELECT string_agg(format('%L::%s', p_after[n], outreach.search_type(k)), ', ' ORDER BY n)
             FROM unnest(p_keys) WITH ORDINALITY AS u (k, n))) END;
    found bigint[];
BEGIN
    found := outreach.search_in_order(format(
        'SELECT array_agg(f.id) FROM (SELECT l.id FROM (SELECT l.* FROM outreach.leads AS l WHERE %s ORDER BY %s LIMIT %s) AS l '
        'WHERE %s LIMIT %s) AS f', scope, ordered, step, p_condition, p_rows), p_workspace);
    IF cardinality(found) = p_rows OR p_condition = 'true' OR outreach.search_in_order(format(
        'SELECT array_agg(f.id) FROM (SELECT l.id FROM outreach.leads AS l WHERE %s ORDER BY %s OFFSET %s LIMIT 1) AS f',
        scope, ordered, step), p_workspace) IS NULL
    THEN
        RETURN coalesce(found, '{}');
    END IF;
    -- OFFSET 0: first what matches, then the order; walking in the order once more is what has just failed.
    found := outreach.search_by_index(format(
        'SELECT array_agg(f.id) FROM (SELECT l.id FROM (SELECT l.* FROM outreach.leads AS l WHERE %s AND (%s) OFFSET 0) AS l '
        'ORDER BY %s LIMIT %s) AS f', scope, p_condition, ordered, p_rows), p_workspace);
    RETURN coalesce(found, '{}');
END
$$;

-- Nearest spellings, best first. The threshold is a setting of pg_trgm; it is put back, and an error rolls it back.
CREATE OR REPLACE FUNCTION outreach.search_similar(p_workspace bigint, p_query text, p_condition text, p_rows integer)
RETURNS bigint[]
LANGUAGE plpgsql STABLE
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    threshold text;
    found bigint[];
    named constant text := 'lower(coalesce(l.first_name, '''') || '' '' || coalesce(l.last_name, '''') || '' '' || '
        'coalesce(l.email, '''') || '' '' || coalesce(l.company_name, ''''))';
    before constant text := coalesce(nullif(current_setting('pg_trgm.word_similarity_threshold', true), ''), '0.6');
BEGIN
    IF cardinality(public.show_trgm(p_query)) < 4 THEN
        RETURN '{}';
    END IF;
    FOREACH threshold IN ARRAY '{0.6,0.4}'::text[] LOOP
        PERFORM set_config('pg_trgm.word_similarity_threshold', threshold, true);
        -- The first thousand are enough to choose from; a name that is like a tenth of all others is no typo.
        found := outreach.search_by_index(format(
            'SELECT array_agg(f.id) FROM (SELECT l.id FROM (SELECT l.* FROM outreach.leads AS l WHERE l.workspace_id = (SELECT $1) '
            'AND %1$s OPERATOR(public.%%>) %2$L AND (%3$s) LIMIT 1000) AS l '
            'ORDER BY public.word_similarity(%2$L, %1$s) DESC, l.id LIMIT %4$s) AS f',
            named, p_query, p_condition, p_rows), p_workspace);
        EXIT WHEN found IS NOT NULL;
    END LOOP;
    PERFORM set_config('pg_trgm.word_similarity_threshold', before, true);
    RETURN coalesce(found, '{}');
END
$$;

CREATE OR REPLACE FUNCTION outreach.search_type(p_key text) RETURNS text
LANGUAGE sql IMMUTABLE
RETURN CASE WHEN p_key = 'id' THEN 'bigint' WHEN p_key = 'qualification_score' THEN 'real'
    WHEN p_key IN ('email_key', 'company_name') THEN 'text' ELSE 'timestamptz' END;

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
    down constant boolean := sort LIKE '-%';
    keys constant text[] := CASE ltrim(sort, '-')
        WHEN 'id' THEN '{id}' WHEN 'created_at' THEN '{created_at,id}' WHEN 'updated_at' THEN '{updated_at,id}'
        WHEN 'score' THEN '{qualification_score,created_at,id}' WHEN 'qualified_at' THEN '{qualified_at,id}'
        WHEN 'email' THEN '{email_key,id}' WHEN 'company_name' THEN '{company_name,id}' END;
    rest constant text[] := CASE WHEN keys[1] NOT IN ('id', 'created_at', 'updated_at') THEN '{created_at,id}'::text[] END;
    search constant text := md5(jsonb_build_array(sort, wanted, filters)::text);
    start integer := 0;
    after text[];
    found bigint[] := '{}';
    with_value integer := 0;
    kind text := 'exact';
BEGIN
    IF keys IS NULL OR sort LIKE '--%' THEN
        RAISE EXCEPTION 'sort: there is no order %', coalesce(sort, 'NULL') USING ERRCODE = 'invalid_parameter_value',
            HINT = 'id, created_at, updated_at, score, qualified_at, email or company_name; a minus before it turns it round';
    ELSIF max_rows IS NULL OR max_rows NOT BETWEEN 1 AND 1001 THEN
        RAISE EXCEPTION 'max_rows: must lie between 1 and 1001' USING ERRCODE = 'invalid_parameter_value';
    END IF;
    IF wanted IS NOT NULL THEN
        condition := CASE WHEN filter = 'true' THEN outreach.search_condition(wanted)
            ELSE format('(%s) AND (%s)', outreach.search_condition(wanted), filter) END;
    END IF;
    IF search_leads_optimized.cursor IS NOT NULL THEN
        SELECT c.part, c.after INTO start, after
        FROM outreach.search_cursor_read(search_leads_optimized.cursor, search, keys, rest) AS c;
    END IF;
    IF start = 0 THEN
        found := outreach.search_part(ws, condition, keys, down, after, max_rows);
        after := NULL;
        with_value := cardinality(found);
    END IF;
    IF rest IS NOT NULL AND cardinality(found) < max_rows THEN
        found := found || outreach.search_part(ws, format('l.%I IS NULL AND (%s)', keys[1], condition), rest, down, after,
            max_rows - cardinality(found));
    END IF;
    IF found = '{}' AND wanted IS NOT NULL AND search_leads_optimized.cursor IS NULL THEN
        kind := 'similar';
        found := outreach.search_similar(ws, wanted, filter, max_rows);
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
