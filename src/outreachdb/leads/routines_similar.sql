-- ---------------------------------------------------------------------------------------------------------------------
-- The third way of a search: leads that the query may have meant, by the workspace's own words (routines_words.sql). The first two ways
-- and what they share are in routines_search.sql.

-- The words of the workspace that are spelt most like this one, best first, at most five. Trigrams say little of two letters that
-- changed places, so letters that only one of the words has count against it as well.
CREATE OR REPLACE FUNCTION outreach.search_spellings(p_workspace bigint, p_word text) RETURNS text[]
LANGUAGE plpgsql STABLE
SET search_path = pg_catalog, pg_temp
SET enable_seqscan = off
AS $$
DECLARE
    -- Asked before the setting is: it is unknown until the library is loaded.
    before constant text := public.show_limit()::text;
    found text[];
BEGIN
    -- What is left of the trigrams when two letters in the middle changed places.
    PERFORM set_config('pg_trgm.similarity_threshold', CASE WHEN length(p_word) >= 10 THEN '0.45' WHEN length(p_word) >= 8 THEN '0.35'
        WHEN length(p_word) = 7 THEN '0.3' WHEN length(p_word) = 6 THEN '0.25' ELSE '0.2' END, true);
    SELECT array_agg(w.word ORDER BY w.score DESC, w.word) INTO found
    FROM (
        SELECT w.word, w.score, max(w.score) OVER () AS best
        FROM (
            SELECT w.word, public.similarity(w.word, p_word) - abs(length(w.word) - length(p_word)) * 0.05
                - (length(translate(w.word, p_word, '')) + length(translate(p_word, w.word, ''))) * 0.1 AS score
            FROM outreach.search_words AS w
            WHERE w.workspace_id = (SELECT p_workspace) AND w.word OPERATOR(public.%) p_word
              AND abs(length(w.word) - length(p_word)) <= 3) AS w
        ORDER BY w.score DESC, w.word
        LIMIT 5) AS w
    WHERE w.score > 0 AND w.score >= w.best * 0.7;
    PERFORM set_config('pg_trgm.similarity_threshold', before, true);
    RETURN coalesce(found, '{}');
END
$$;
REVOKE EXECUTE ON FUNCTION outreach.search_spellings(bigint, text) FROM PUBLIC;
GRANT EXECUTE ON FUNCTION outreach.search_spellings(bigint, text) TO outreachdb_trusted;

-- What p_query may have meant: its words as words of the workspace are spelt, the three nearest ways, best first; NULL where a word is
-- like none. Words of three characters and less are taken as they stand.
CREATE OR REPLACE FUNCTION outreach.search_ways(p_workspace bigint, p_query text) RETURNS text[]
LANGUAGE plpgsql STABLE
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    word text;
    spelt text[];
    ways text[] := '{""}';
    ranks bigint[] := '{0}';
BEGIN
    FOREACH word IN ARRAY regexp_split_to_array(p_query, '[^[:alnum:]]+') LOOP
        CONTINUE WHEN word = '' OR length(word) < 4 AND word !~ '[[:alpha:]]';
        spelt := CASE WHEN length(word) < 4 THEN ARRAY[word] ELSE outreach.search_spellings(p_workspace, word) END;
        SELECT array_agg(n.way ORDER BY n.rank, n.way), array_agg(n.rank ORDER BY n.rank, n.way) INTO ways, ranks
        FROM (
            SELECT ltrim(w.way || ' ' || s.word) AS way, w.rank + s.n AS rank
            FROM unnest(ways, ranks) AS w (way, rank), unnest(spelt) WITH ORDINALITY AS s (word, n)
            ORDER BY rank, way
            LIMIT 3) AS n;
        IF ways IS NULL THEN
            RETURN NULL;
        END IF;
    END LOOP;
    RETURN nullif(ways, '{""}');
END
$$;
REVOKE EXECUTE ON FUNCTION outreach.search_ways(bigint, text) FROM PUBLIC;
GRANT EXECUTE ON FUNCTION outreach.search_ways(bigint, text) TO outreachdb_trusted;

-- What these ways ask of a lead: the words of one of them. Each is one look into the index, with all its words.
CREATE OR REPLACE FUNCTION outreach.search_alike(p_ways text[]) RETURNS text
LANGUAGE plpgsql STABLE
SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    RETURN (SELECT string_agg('(' || outreach.search_condition(w) || ')', ' OR ') FROM unnest(p_ways) AS w);
EXCEPTION WHEN invalid_parameter_value THEN
    RETURN NULL;  -- nothing but words too short to be looked for
END
$$;
REVOKE EXECUTE ON FUNCTION outreach.search_alike(text[]) FROM PUBLIC;
GRANT EXECUTE ON FUNCTION outreach.search_alike(text[]) TO outreachdb_trusted;

-- Whether a small workspace is asked for a word that is part of none of its own: it is misspelt then, or part of an address.
CREATE OR REPLACE FUNCTION outreach.search_unheard(p_workspace bigint, p_query text) RETURNS boolean
LANGUAGE plpgsql STABLE
SET search_path = pg_catalog, pg_temp
SET enable_seqscan = off
AS $$
DECLARE
    asked constant text[] := ARRAY(SELECT w FROM regexp_split_to_table(p_query, '[^[:alnum:]]+') AS w
                                   WHERE length(w) >= 4 AND w ~ '[[:alpha:]]');
BEGIN
    RETURN asked <> '{}' AND outreach.workspace_is_small(p_workspace) AND EXISTS (
        SELECT FROM unnest(asked) AS a (word)
        WHERE NOT EXISTS (SELECT FROM outreach.search_words AS k
                          WHERE k.workspace_id = (SELECT p_workspace) AND k.word LIKE '%' || a.word || '%'));
END
$$;
REVOKE EXECUTE ON FUNCTION outreach.search_unheard(bigint, text) FROM PUBLIC;
GRANT EXECUTE ON FUNCTION outreach.search_unheard(bigint, text) TO outreachdb_trusted;

-- Leads that the query may have meant: those of the nearest spelling first, of one spelling the newest; of many the newest two hundred
-- are looked at. A workspace that has learned no words is asked for similar texts instead, a thousand candidates at most.
-- p_exact is what the query itself asks for where nobody has looked for that yet: one walk does for both then, and NULL says that some
-- lead has it, or that this can't be told from here.
CREATE OR REPLACE FUNCTION outreach.search_similar(p_workspace bigint, p_query text, p_exact text, p_condition text, p_rows integer)
RETURNS bigint[]
LANGUAGE plpgsql STABLE
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    most constant integer := greatest(p_rows, 200);
    ways text[];
    wanted text;
    found bigint[];
    hit boolean;
BEGIN
    IF NOT EXISTS (SELECT FROM outreach.search_words AS w WHERE w.workspace_id = p_workspace) THEN
        RETURN CASE WHEN p_exact IS NULL THEN outreach.search_similar_texts(p_workspace, p_query, p_condition, p_rows) END;
    END IF;
    ways := outreach.search_ways(p_workspace, p_query);
    wanted := concat_ws(' OR ', '(' || p_exact || ')', outreach.search_alike(ways));
    IF wanted = '' THEN
        RETURN '{}';
    END IF;
    found := outreach.search_part(p_workspace, format('(%s) AND (%s)', wanted, p_condition), '', wanted, '{created_at,id}', true, NULL, most);
    IF p_exact IS NOT NULL AND cardinality(found) = most THEN
        RETURN NULL;
    ELSIF found = '{}' OR (p_exact IS NULL AND least(cardinality(ways), cardinality(found)) = 1) THEN
        RETURN found[1:p_rows];
    END IF;
    SELECT array_agg(r.id ORDER BY r.rank, r.n), bool_or(r.hit) INTO found, hit
    FROM (
        SELECT l.id, f.n,
               (SELECT min(w.n) FROM unnest(ways) WITH ORDINALITY AS w (way, n)
                WHERE NOT EXISTS (SELECT FROM unnest(string_to_array(w.way, ' ')) AS word WHERE strpos(l.named, word) = 0)) AS rank,
               NOT EXISTS (SELECT FROM unnest(string_to_array(p_query, ' ')) AS word WHERE strpos(l.named, word) = 0) AS hit
        FROM unnest(found) WITH ORDINALITY AS f (id, n)
        CROSS JOIN LATERAL (
            SELECT e.id, lower(concat_ws(' ', e.first_name, e.last_name, e.email, e.company_name)) AS named
            FROM outreach.leads AS e WHERE e.workspace_id = (SELECT p_workspace) AND e.id = f.id OFFSET 0) AS l) AS r;
    RETURN CASE WHEN p_exact IS NULL OR NOT hit THEN found[1:p_rows] END;
END
$$;
REVOKE EXECUTE ON FUNCTION outreach.search_similar(bigint, text, text, text, integer) FROM PUBLIC;
GRANT EXECUTE ON FUNCTION outreach.search_similar(bigint, text, text, text, integer) TO outreachdb_trusted;

-- Texts that are most like the query as a whole, best first. The threshold is a setting of pg_trgm; it is put back, and an error rolls it back.
CREATE OR REPLACE FUNCTION outreach.search_similar_texts(p_workspace bigint, p_query text, p_condition text, p_rows integer)
RETURNS bigint[]
LANGUAGE plpgsql STABLE
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    threshold text;
    found bigint[];
    named constant text := outreach.searched_text();
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
