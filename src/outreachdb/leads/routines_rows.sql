-- A cell as an import takes it: composed letters, no white space around it, NULL if nothing is left.
CREATE OR REPLACE FUNCTION outreach.cell_of(p_text text) RETURNS text
LANGUAGE sql IMMUTABLE PARALLEL SAFE
RETURN nullif(outreach.trimmed(normalize(p_text, NFC)), '');

-- How many characters a field may have; the same numbers as LIMITS in importing/cells.py.
CREATE OR REPLACE FUNCTION outreach.field_limits() RETURNS TABLE (field text, characters integer)
LANGUAGE sql IMMUTABLE PARALLEL SAFE
SET search_path = pg_catalog, pg_temp
AS $$
    VALUES ('first_name', 200), ('last_name', 200), ('full_name', 400), ('phone', 100), ('title', 500),
           ('company_name', 500), ('company_website', 2000), ('linkedin_url', 2000), ('industry', 500),
           ('country', 200), ('city', 200), ('timezone', 100), ('source', 500), ('source_key', 500), ('notes', 100000)
$$;

-- The rows of a JSON array as leads, judged by the rules of an import: row counts from 1, "given" holds the fields, a
-- rejected row has a reason and, where one is to blame, a column. Keys that are no field become custom fields. A row
-- without address and source key is known by its hash; one without anything has no key.
CREATE OR REPLACE FUNCTION outreach.judged_leads(p_leads jsonb)
RETURNS TABLE (row_number bigint, key text, given outreach.leads, mark text, column_name text, reason text)
LANGUAGE sql STABLE
SET search_path = pg_catalog, pg_temp
AS $$
    WITH cells AS MATERIALIZED (
        SELECT each.place, each.line, jsonb_typeof(each.line) = 'object' AS readable,
               (SELECT min(k) FROM jsonb_object_keys(CASE WHEN jsonb_typeof(each.line) = 'object' THEN each.line END) AS k
                WHERE k NOT IN ('tags', 'custom_fields') AND k = ANY (f.names)
                  AND jsonb_typeof(each.line -> k) IN ('object', 'array')) AS nested,
               outreach.bare_address(outreach.cell_of(each.line ->> 'email')) AS bare,
               outreach.normal_address(outreach.bare_address(outreach.cell_of(each.line ->> 'email'))) AS email,
               outreach.given(outreach.cell_of(each.line ->> 'company_website')) AS website,
               outreach.given(outreach.cell_of(each.line ->> 'linkedin_url')) AS linkedin,
               outreach.given(outreach.cell_of(each.line ->> 'qualification_score')) AS score,
               lower(outreach.given(outreach.cell_of(each.line ->> 'status'))) AS status,
               coalesce(outreach.mark_of_flag(outreach.cell_of(each.line ->> 'unsubscribed'), 'unsubscribed'),
                        outreach.mark_of_flag(outreach.cell_of(each.line ->> 'bounced'), 'bounced'),
                        outreach.mark_of_flag(outreach.cell_of(each.line ->> 'blocked'), 'blocked'),
                        outreach.mark_of_word(outreach.cell_of(each.line ->> 'status'))) AS mark,
               outreach.given(outreach.cell_of(each.line ->> 'phone')) AS phone,
               outreach.given(outreach.cell_of(each.line ->> 'country')) AS country,
               outreach.given_name(outreach.cell_of(each.line ->> 'full_name')) AS full_name,
               outreach.given(outreach.cell_of(each.line ->> 'company_name')) AS company_name,
               outreach.given(outreach.cell_of(each.line ->> 'industry')) AS industry,
               outreach.given(outreach.cell_of(each.line ->> 'source_key')) AS source_key,
               CASE jsonb_typeof(each.line -> 'tags')
                   WHEN 'array' THEN (SELECT outreach.split_tags(string_agg(tag, ',' ORDER BY n))
                                      FROM jsonb_array_elements_text(each.line -> 'tags') WITH ORDINALITY AS t (tag, n))
                   ELSE outreach.split_tags(outreach.cell_of(each.line ->> 'tags'))
               END AS tags,
               CASE WHEN jsonb_typeof(each.line) = 'object' THEN jsonb_strip_nulls((each.line - f.names)
                   || CASE WHEN jsonb_typeof(each.line -> 'custom_fields') = 'object' THEN each.line -> 'custom_fields'
                           ELSE '{}' END) END AS custom
        FROM jsonb_array_elements(p_leads) WITH ORDINALITY AS each (line, place),
             (SELECT ARRAY['email', 'first_name', 'last_name', 'full_name', 'phone', 'title', 'company_name',
                           'company_website', 'linkedin_url', 'industry', 'country', 'city', 'timezone', 'source',
                           'source_key', 'status', 'tags', 'custom_fields', 'notes', 'qualification_score',
                           'unsubscribed', 'bounced', 'blocked'] AS names) AS f
    ), judged AS (
        SELECT c.*, v.column_name, v.reason,
               coalesce(c.source_key, CASE WHEN c.email IS NULL AND jsonb_strip_nulls(c.line) <> '{}'
                   THEN 'sha256:' || encode(sha256(convert_to(jsonb_strip_nulls(c.line)::text, 'UTF8')), 'hex') END)
                   AS known_by
        FROM cells AS c
        LEFT JOIN LATERAL (
            SELECT each.column_name, each.reason
            FROM (VALUES
                (1, NULL, CASE WHEN NOT c.readable THEN 'not a JSON object' END),
                (2, c.nested, CASE WHEN c.nested IS NOT NULL THEN 'neither text nor number' END),
                (3, 'email', coalesce(outreach.email_problem(c.bare), outreach.email_problem(c.email))),
                (4, 'company_website', CASE WHEN c.website IS NOT NULL AND outreach.normal_url(c.website) IS NULL
                                            THEN 'not a web address' END),
                (5, 'linkedin_url', CASE WHEN c.linkedin IS NOT NULL AND outreach.normal_url(c.linkedin) IS NULL
                                         THEN 'not a web address' END),
                (6, 'qualification_score', CASE WHEN c.score IS NOT NULL AND outreach.score_of(c.score) IS NULL
                                                THEN 'not a score between 0 and 100' END),
                (7, (SELECT min(l.field) FROM outreach.field_limits() AS l
                     WHERE length(outreach.cell_of(c.line ->> l.field)) > l.characters),
                    (SELECT 'longer than ' || to_char(l.characters, 'FM999,999') || ' characters'
                     FROM outreach.field_limits() AS l
                     WHERE length(outreach.cell_of(c.line ->> l.field)) > l.characters ORDER BY l.field LIMIT 1)),
                (10, 'tags', CASE WHEN EXISTS (SELECT FROM unnest(c.tags) AS tag WHERE length(tag) > 200)
                                  THEN 'a tag is longer than 200 characters' END),
                (11, 'status', CASE WHEN c.mark IS NULL AND c.status NOT IN ('new', 'verified', 'contacted', 'replied', 'qualified',
                                                          'converted', 'unsubscribed', 'bounced', 'archived')
                                    THEN 'not a status' END),
                (12, 'custom_fields', CASE WHEN jsonb_typeof(c.line -> 'custom_fields') NOT IN ('object', 'null')
                                           THEN 'not a JSON object' END)
            ) AS each (place, column_name, reason)
            WHERE each.reason IS NOT NULL
            ORDER BY each.place
            LIMIT 1
        ) AS v ON true
    )
    SELECT j.place, CASE WHEN j.reason IS NULL THEN coalesce(lower(j.email), chr(31) || j.known_by) END,
           jsonb_populate_record(NULL::outreach.leads, jsonb_build_object(
               'email', j.email, 'email_key', lower(j.email),
               'first_name', coalesce(outreach.given_name(outreach.cell_of(j.line ->> 'first_name')), outreach.first_of_name(j.full_name)),
               'last_name', coalesce(outreach.given_name(outreach.cell_of(j.line ->> 'last_name')), outreach.last_of_name(j.full_name)),
               'phone', j.phone,
               'phone_e164', outreach.phone_e164(outreach.phone_digits(j.phone), outreach.phone_rule(j.country)),
               'title', outreach.given(outreach.cell_of(j.line ->> 'title')),
               'company_name', j.company_name, 'company_website', outreach.normal_url(j.website),
               'linkedin_url', outreach.normal_url(j.linkedin), 'industry', j.industry,
               'country', j.country, 'city', outreach.given(outreach.cell_of(j.line ->> 'city')),
               'timezone', outreach.given(outreach.cell_of(j.line ->> 'timezone')),
               'source', outreach.given(outreach.cell_of(j.line ->> 'source')),
               'source_key', j.known_by, 'status', coalesce(outreach.status_of_mark(j.mark), j.status), 'tags', coalesce(j.tags, '{}'),
               'custom_fields', j.custom, 'notes', outreach.cell_of(j.line ->> 'notes'),
               'qualification_score', outreach.score_of(j.score))),
           j.mark, j.column_name, j.reason
    FROM judged AS j
$$;

-- What a given row makes of a lead that is there: "fill" keeps what the lead has, else what is given wins; nothing given
-- erases nothing, an opt-out stays.
CREATE OR REPLACE FUNCTION outreach.merged_lead(
    p_lead outreach.leads, p_given outreach.leads, p_company_id bigint, p_fill boolean) RETURNS outreach.leads
LANGUAGE plpgsql STABLE
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    l outreach.leads := p_lead;
    c outreach.leads := p_given;
    old jsonb := jsonb_strip_nulls(jsonb_build_object(
        'first_name', l.first_name, 'last_name', l.last_name, 'phone', l.phone, 'title', l.title,
        'company_name', l.company_name, 'industry', l.industry, 'country', l.country, 'city', l.city,
        'timezone', l.timezone, 'source', l.source, 'notes', l.notes, 'company_website', l.company_website,
        'linkedin_url', l.linkedin_url, 'qualification_score', l.qualification_score));
    given jsonb := jsonb_strip_nulls(jsonb_build_object(
        'first_name', c.first_name, 'last_name', c.last_name, 'phone', c.phone, 'title', c.title,
        'company_name', c.company_name, 'industry', c.industry, 'country', c.country, 'city', c.city,
        'timezone', c.timezone, 'source', c.source, 'notes', c.notes, 'company_website', c.company_website,
        'linkedin_url', c.linkedin_url, 'qualification_score', c.qualification_score));
    merged outreach.leads := jsonb_populate_record(l, CASE WHEN p_fill THEN given || old ELSE old || given END);
BEGIN
    IF l.email_key IS DISTINCT FROM c.email_key THEN
        merged.email := CASE WHEN p_fill THEN coalesce(l.email, c.email) ELSE coalesce(c.email, l.email) END;
        IF merged.email IS DISTINCT FROM l.email THEN
            merged.email_flags := outreach.email_flags(c.email_key);
        END IF;
    END IF;
    IF (merged.phone, merged.country) IS DISTINCT FROM (l.phone, l.country) THEN
        merged.phone_e164 := outreach.phone_e164(outreach.phone_digits(merged.phone), outreach.phone_rule(merged.country));
    END IF;
    -- A name alone says less than the company that the lead is linked to under that name.
    IF NOT (c.company_website IS NULL AND l.company_id IS NOT NULL
            AND coalesce(lower(l.company_name) = lower(c.company_name), false)) THEN
        merged.company_id := CASE WHEN p_fill THEN coalesce(l.company_id, p_company_id)
                                  ELSE coalesce(p_company_id, l.company_id) END;
    END IF;
    IF l.source_key IS NULL AND NOT EXISTS (
        SELECT FROM outreach.leads AS o WHERE o.workspace_id = l.workspace_id AND o.source_key = c.source_key) THEN
        merged.source_key := c.source_key;
    END IF;
    IF l.status IS NULL OR l.status NOT IN ('unsubscribed', 'bounced') THEN
        merged.status := CASE WHEN c.status IN ('unsubscribed', 'bounced') OR NOT p_fill THEN coalesce(c.status, l.status)
                              ELSE coalesce(l.status, c.status) END;
    END IF;
    IF p_fill THEN
        merged.tags := CASE WHEN l.tags = '{}' THEN c.tags ELSE l.tags END;
        merged.custom_fields := c.custom_fields || l.custom_fields;
    ELSE
        merged.tags := l.tags || ARRAY(SELECT tag FROM unnest(c.tags) WITH ORDINALITY AS t (tag, place)
                                       WHERE tag <> ALL (l.tags) ORDER BY place);
        merged.custom_fields := l.custom_fields || c.custom_fields;
    END IF;
    RETURN merged;
END
$$;

-- What the rows of one lead say together, in their order: the first has the last word under "fill", else the last.
CREATE OR REPLACE FUNCTION outreach.folded_lead(p_rows outreach.leads[], p_fill boolean) RETURNS outreach.leads
LANGUAGE plpgsql STABLE
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    folded outreach.leads := p_rows[1];
    each outreach.leads;
BEGIN
    FOREACH each IN ARRAY p_rows[2:] LOOP
        folded := outreach.merged_lead(folded, each, NULL, p_fill);
    END LOOP;
    IF NOT p_fill THEN
        folded.email := each.email;
    END IF;
    RETURN folded;
END
$$;

-- Takes leads from a JSON array of objects into the session's workspace, by the rules of an import: on_conflict is skip,
-- update or fill. rows_read = inserted + updated + skipped + rejected; errors lists rejected rows as
-- [{"row": 1, "column": "email", "reason": "..."}], rows counted from 1. Addresses stay email_status = unchecked. Nothing is
-- kept for an undo: that is the caller's transaction.
-- owner: outreachdb_trusted
CREATE OR REPLACE FUNCTION outreach.bulk_insert_leads(leads jsonb, on_conflict text DEFAULT 'skip')
RETURNS TABLE (rows_read bigint, inserted bigint, updated bigint, skipped bigint, rejected bigint, errors jsonb)
LANGUAGE plpgsql
SECURITY DEFINER
SET search_path = pg_catalog, pg_temp
AS $$
#variable_conflict use_column
DECLARE
    workspace CONSTANT bigint := outreach.required_workspace();
    instant CONSTANT timestamptz := clock_timestamp();
    policy CONSTANT text := bulk_insert_leads.on_conflict;
    keeps CONSTANT boolean := policy <> 'update';
    batch outreach.leads[];
    matched bigint[];
    firms bigint[];
    marked text[];
    marks text[];
BEGIN
    IF policy IS NULL OR policy NOT IN ('skip', 'update', 'fill') THEN
        RAISE EXCEPTION 'on_conflict is skip, update or fill, not %', coalesce(policy, 'NULL')
            USING ERRCODE = 'invalid_parameter_value';
    END IF;
    IF jsonb_typeof(bulk_insert_leads.leads) IS DISTINCT FROM 'array' THEN
        RAISE EXCEPTION 'leads must be a JSON array of objects'
            USING ERRCODE = 'invalid_parameter_value', HINT = 'for example [{"email": "ann@example.com"}]';
    END IF;
    -- As imports do: one merge in a workspace at a time.
    PERFORM pg_advisory_xact_lock(hashtextextended('outreachdb.import', workspace));
    WITH judged AS MATERIALIZED (
        SELECT * FROM outreach.judged_leads(bulk_insert_leads.leads)
    ), speaking AS (
        SELECT j.key, CASE WHEN count(*) = 1 OR policy = 'skip' THEN (array_agg(j.given ORDER BY j.row_number))[1]
                           ELSE outreach.folded_lead(array_agg(j.given ORDER BY j.row_number), keeps) END AS lead
        FROM judged AS j
        WHERE j.key IS NOT NULL
        GROUP BY j.key
    )
    SELECT count(*), count(j.reason),
           coalesce(jsonb_agg(jsonb_build_object('row', j.row_number, 'column', j.column_name, 'reason', j.reason)
                              ORDER BY j.row_number) FILTER (WHERE j.reason IS NOT NULL), '[]'),
           array_agg((j.given).email) FILTER (WHERE j.reason IS NULL AND j.mark IS NOT NULL AND (j.given).email IS NOT NULL),
           array_agg(j.mark) FILTER (WHERE j.reason IS NULL AND j.mark IS NOT NULL AND (j.given).email IS NOT NULL),
           (SELECT array_agg(s.lead ORDER BY s.key) FROM speaking AS s)
    INTO rows_read, rejected, errors, marked, marks, batch
    FROM judged AS j;
    -- Before any lead is locked, as everywhere.
    PERFORM outreach.store_suppressions(marked, marks, 'bulk_insert_leads');
    matched := ARRAY(
        SELECT coalesce(e.id, s.id)
        FROM unnest(batch) WITH ORDINALITY AS c
        LEFT JOIN outreach.leads AS e ON e.workspace_id = workspace AND e.email_key = c.email_key
        LEFT JOIN outreach.leads AS s ON s.workspace_id = workspace AND s.source_key = c.source_key
        ORDER BY c.ordinality);
    INSERT INTO outreach.companies (workspace_id, name, domain, website_url, created_at, updated_at)
    SELECT workspace, coalesce(min(c.company_name), outreach.web_domain(c.company_website)),
           outreach.web_domain(c.company_website), min(c.company_website), instant, instant
    FROM ROWS FROM (unnest(matched), unnest(batch)) AS c (lead_id)
    LEFT JOIN outreach.leads AS l ON l.workspace_id = workspace AND l.id = c.lead_id
    WHERE outreach.web_domain(c.company_website) IS NOT NULL
      AND (NOT keeps OR l.id IS NULL OR (policy = 'fill' AND l.company_id IS NULL))
    GROUP BY outreach.web_domain(c.company_website)
    ORDER BY outreach.web_domain(c.company_website)
    ON CONFLICT (workspace_id, domain) WHERE domain IS NOT NULL DO NOTHING;
    INSERT INTO outreach.companies (workspace_id, name, created_at, updated_at)
    SELECT workspace, min(c.company_name), instant, instant
    FROM ROWS FROM (unnest(matched), unnest(batch)) AS c (lead_id)
    LEFT JOIN outreach.leads AS l ON l.workspace_id = workspace AND l.id = c.lead_id
    WHERE outreach.web_domain(c.company_website) IS NULL AND c.company_name IS NOT NULL
      AND (NOT keeps OR l.id IS NULL OR (policy = 'fill' AND l.company_id IS NULL))
      AND NOT EXISTS (SELECT FROM outreach.companies AS k
                      WHERE k.workspace_id = workspace AND k.name_key = lower(c.company_name))
    GROUP BY lower(c.company_name)
    ORDER BY lower(c.company_name)
    ON CONFLICT (workspace_id, name_key) WHERE domain IS NULL DO NOTHING;
    firms := ARRAY(
        SELECT CASE WHEN outreach.web_domain(c.company_website) IS NOT NULL
            THEN (SELECT k.id FROM outreach.companies AS k
                  WHERE k.workspace_id = workspace AND k.domain = outreach.web_domain(c.company_website))
            ELSE (SELECT k.id FROM outreach.companies AS k
                  WHERE k.workspace_id = workspace AND k.name_key = lower(c.company_name)
                  ORDER BY k.domain IS NOT NULL, k.id LIMIT 1) END
        FROM unnest(batch) WITH ORDINALITY AS c
        ORDER BY c.ordinality);
    WITH new AS (
        INSERT INTO outreach.leads (
            workspace_id, email, first_name, last_name, phone, phone_e164, title, company_id, company_name, company_website,
            linkedin_url, industry, country, city, timezone, source, source_key, status, tags, custom_fields, notes,
            qualification_score, email_flags, created_at, updated_at)
        SELECT workspace, c.email, c.first_name, c.last_name, c.phone, c.phone_e164, c.title, c.firm_id, c.company_name,
               c.company_website, c.linkedin_url, c.industry, c.country, c.city, c.timezone, c.source, c.source_key,
               coalesce(outreach.suppressed_status(address.reason), outreach.suppressed_status(domain.reason),
                        c.status, 'new'),
               c.tags, c.custom_fields, c.notes, c.qualification_score, outreach.email_flags(c.email_key), instant, instant
        FROM ROWS FROM (unnest(matched), unnest(firms), unnest(batch)) AS c (lead_id, firm_id)
        LEFT JOIN outreach.suppressions AS address
            ON address.workspace_id = workspace AND address.target = c.email_key
            AND (address.expires_at IS NULL OR address.expires_at > instant)
        LEFT JOIN outreach.suppressions AS domain
            ON domain.workspace_id = workspace AND domain.target = split_part(c.email_key, '@', 2)
            AND (domain.expires_at IS NULL OR domain.expires_at > instant)
        WHERE c.lead_id IS NULL
        ON CONFLICT DO NOTHING
        RETURNING id
    )
    SELECT count(*) INTO inserted FROM new AS n;
    updated := 0;
    IF policy <> 'skip' THEN
        PERFORM FROM outreach.leads AS l WHERE l.workspace_id = workspace AND l.id = ANY (matched)
        ORDER BY l.id FOR NO KEY UPDATE OF l;
        WITH merged AS (
            SELECT DISTINCT ON (l.id) l.id, outreach.merged_lead(l, c.given, c.firm_id, policy = 'fill') AS new
            FROM unnest(matched, firms) WITH ORDINALITY AS m (lead_id, firm_id, place)
            CROSS JOIN LATERAL (SELECT batch[m.place] AS given, m.firm_id) AS c
            JOIN outreach.leads AS l ON l.workspace_id = workspace AND l.id = m.lead_id
            ORDER BY l.id, m.place
        ), done AS (
            UPDATE outreach.leads AS l
            SET email = (m.new).email, first_name = (m.new).first_name, last_name = (m.new).last_name,
                phone = (m.new).phone, phone_e164 = (m.new).phone_e164, email_flags = (m.new).email_flags,
                title = (m.new).title, company_name = (m.new).company_name,
                industry = (m.new).industry, country = (m.new).country, city = (m.new).city,
                timezone = (m.new).timezone, source = (m.new).source, notes = (m.new).notes,
                company_website = (m.new).company_website, linkedin_url = (m.new).linkedin_url,
                company_id = (m.new).company_id, source_key = (m.new).source_key,
                qualification_score = (m.new).qualification_score, status = (m.new).status, tags = (m.new).tags,
                custom_fields = (m.new).custom_fields, updated_at = instant
            FROM merged AS m
            WHERE l.workspace_id = workspace AND l.id = m.id AND m.new IS DISTINCT FROM l.*
            RETURNING l.id
        )
        SELECT count(*) INTO updated FROM done AS d;
    END IF;
    IF inserted + updated > 0 THEN
        PERFORM outreach.add_search_words(workspace, outreach.words_of(ARRAY(
            SELECT DISTINCT concat_ws(' ', b.first_name, b.last_name, b.company_name, split_part(b.email, '@', 2))
            FROM unnest(batch) AS b)));
    END IF;
    -- What the rows themselves mark as unsubscribed, bounced or blocked; of several marks the gravest.
    PERFORM outreach.suppress(array_agg(t.email), t.mark, 'bulk_insert_leads')
    FROM (SELECT m.email, max(m.mark) AS mark FROM unnest(marked, marks) AS m (email, mark) GROUP BY m.email) AS t
    GROUP BY t.mark;
    skipped := rows_read - inserted - updated - rejected;
    RETURN NEXT;
END
$$;
REVOKE EXECUTE ON FUNCTION outreach.bulk_insert_leads(jsonb, text) FROM PUBLIC;
GRANT EXECUTE ON FUNCTION outreach.bulk_insert_leads(jsonb, text) TO outreachdb_app, outreachdb_trusted;

-- Inserts the leads of a JSON array that are not there yet and leaves all others alone: bulk_insert_leads with "skip".
CREATE OR REPLACE FUNCTION outreach.fast_bulk_lead_import(leads jsonb)
RETURNS TABLE (rows_read bigint, inserted bigint, updated bigint, skipped bigint, rejected bigint, errors jsonb)
LANGUAGE sql
SET search_path = pg_catalog, pg_temp
AS $$ SELECT * FROM outreach.bulk_insert_leads($1, 'skip') $$;
REVOKE EXECUTE ON FUNCTION outreach.fast_bulk_lead_import(jsonb) FROM PUBLIC;
GRANT EXECUTE ON FUNCTION outreach.fast_bulk_lead_import(jsonb) TO outreachdb_app, outreachdb_trusted;

