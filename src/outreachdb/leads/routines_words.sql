-- ---------------------------------------------------------------------------------------------------------------------
-- The words of a workspace's names, companies and mail domains, each once, for searches that are misspelt. A word among a hundred
-- thousand is found in milliseconds where a text like the query among millions of texts is not. They are learned in sets,
-- after an import or within a bulk insert, never row by row.

-- The words of these texts, each once and in order. Short ones and such without a letter are no use to a misspelt search.
CREATE OR REPLACE FUNCTION outreach.words_of(p_texts text[]) RETURNS text[]
LANGUAGE sql IMMUTABLE
RETURN ARRAY(
    SELECT DISTINCT w.word
    FROM unnest(p_texts) AS t (told)
    CROSS JOIN LATERAL regexp_split_to_table(lower(t.told), '[^[:alnum:]]+') AS w (word)
    WHERE length(w.word) >= 4 AND length(w.word) <= 40 AND w.word ~ '[[:alpha:]]'
    ORDER BY w.word);

-- Adds words that the workspace does not know yet; returns how many. In the order of the key: two of us never wait for each
-- other in a circle.
CREATE OR REPLACE FUNCTION outreach.add_search_words(p_workspace bigint, p_words text[]) RETURNS bigint
LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    added bigint;
BEGIN
    INSERT INTO outreach.search_words (workspace_id, word)
    SELECT p_workspace, w.word FROM unnest(p_words) AS w (word) ORDER BY w.word
    ON CONFLICT (workspace_id, word) DO NOTHING;
    GET DIAGNOSTICS added = ROW_COUNT;
    RETURN added;
END
$$;
REVOKE EXECUTE ON FUNCTION outreach.add_search_words(bigint, text[]) FROM PUBLIC;
GRANT EXECUTE ON FUNCTION outreach.add_search_words(bigint, text[]) TO outreachdb_trusted;

-- Learns the words of the leads that an import created or changed; without an import those of all leads of the workspace, and
-- forgets words that none of them has any more. Returns how many words are new. Run it after direct INSERTs and after erasing
-- people; imports and bulk_insert_leads learn by themselves.
-- owner: outreachdb_trusted
CREATE OR REPLACE FUNCTION outreach.learn_search_words(p_import bigint DEFAULT NULL) RETURNS bigint
LANGUAGE plpgsql SECURITY DEFINER
SET search_path = pg_catalog, pg_temp
SET work_mem = '128MB'
AS $$
DECLARE
    ws constant bigint := outreach.required_workspace();
    pending bigint[];
    words text[];
    added bigint;
BEGIN
    -- One learner at a time: what another one's snapshot did not show it must not forget.
    PERFORM pg_advisory_xact_lock(hashtextextended('outreachdb.words.' || ws, 0));
    -- Looked up before the leads: an import that is committed in between stays pending.
    pending := ARRAY(SELECT i.id FROM outreach.imports AS i
                     WHERE i.workspace_id = ws AND i.words_pending AND i.id = coalesce(p_import, i.id));
    -- Each value once before it is cut into words: lists name a company hundreds of times.
    SELECT outreach.words_of(array_agg(coalesce(v.first_name, v.last_name, v.company_name, v.domain))) INTO words
    FROM (
        SELECT p.first_name, p.last_name, p.company_name, p.domain
        FROM (
            SELECT l.first_name, l.last_name, l.company_name, split_part(l.email_key, '@', 2) AS domain
            FROM outreach.leads AS l
            WHERE l.workspace_id = ws AND p_import IS NULL
            UNION ALL
            SELECT l.first_name, l.last_name, l.company_name, split_part(l.email_key, '@', 2)
            FROM outreach.imports AS i
            JOIN outreach.leads AS l ON l.workspace_id = ws AND l.id BETWEEN i.first_lead_id AND i.last_lead_id
            WHERE i.workspace_id = ws AND i.id = p_import
            UNION ALL
            SELECT l.first_name, l.last_name, l.company_name, split_part(l.email_key, '@', 2)
            FROM outreach.import_changes AS c
            CROSS JOIN LATERAL (
                SELECT * FROM outreach.leads AS e WHERE e.workspace_id = (SELECT ws) AND e.id = c.lead_id OFFSET 0) AS l
            WHERE c.workspace_id = ws AND c.import_id = p_import) AS p
        GROUP BY GROUPING SETS ((p.first_name), (p.last_name), (p.company_name), (p.domain))) AS v;
    added := outreach.add_search_words(ws, words);
    IF p_import IS NULL THEN
        -- An unnested array is always hashed.
        DELETE FROM outreach.search_words AS k
        WHERE k.workspace_id = ws AND (k.word IN (SELECT unnest(words))) IS NOT TRUE;
    END IF;
    UPDATE outreach.imports AS i SET words_pending = false WHERE i.workspace_id = ws AND i.id = ANY (pending);
    RETURN added;
END
$$;
REVOKE EXECUTE ON FUNCTION outreach.learn_search_words(bigint) FROM PUBLIC;
GRANT EXECUTE ON FUNCTION outreach.learn_search_words(bigint) TO outreachdb_app, outreachdb_trusted;

-- Learns the words of imports whose process ended before it did. Each import calls it, and so may a job. Returns how many words
-- are new.
-- owner: outreachdb_trusted
CREATE OR REPLACE FUNCTION outreach.learn_pending_words() RETURNS bigint
LANGUAGE plpgsql SECURITY DEFINER
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    ws constant bigint := outreach.required_workspace();
    waiting bigint;
    added bigint := 0;
BEGIN
    PERFORM pg_advisory_xact_lock(hashtextextended('outreachdb.words.' || ws, 0));
    FOR waiting IN SELECT i.id FROM outreach.imports AS i WHERE i.workspace_id = ws AND i.words_pending ORDER BY i.id LOOP
        added := added + outreach.learn_search_words(waiting);
    END LOOP;
    RETURN added;
END
$$;
REVOKE EXECUTE ON FUNCTION outreach.learn_pending_words() FROM PUBLIC;
GRANT EXECUTE ON FUNCTION outreach.learn_pending_words() TO outreachdb_app, outreachdb_trusted;
