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
-- without address and source key is known by its hash; one that says nothing has no key, one that names nobody is rejected.
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
               outreach.given_name(outreach.cell_of(each.line ->> 'first_name')) AS first_name,
               outreach.given_name(outreach.cell_of(each.line ->> 'last_name')) AS last_name,
               outreach.given(outreach.cell_of(each.line ->> 'company_name')) AS company_name,
               outreach.given(outreach.cell_of(each.line ->> 'industry')) AS industry,
               outreach.given(outreach.cell_of(each.line ->> 'source_key')) AS source_key,
               CASE jsonb_typeof(each.line -> 'tags')
                   WHEN 'array' THEN outreach.distinct_tags(ARRAY(
                       SELECT tag FROM jsonb_array_elements_text(each.line -> 'tags') WITH ORDINALITY AS t (tag, n) ORDER BY n))
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
    ), told AS (
        SELECT c.*, coalesce(c.full_name, c.first_name, c.last_name, c.website, c.linkedin, c.phone, c.company_name, c.industry,
                             c.country, outreach.given(outreach.cell_of(c.line ->> 'title')),
                             outreach.given(outreach.cell_of(c.line ->> 'city')),
                             outreach.given(outreach.cell_of(c.line ->> 'timezone')),
                             outreach.cell_of(c.line ->> 'notes')) IS NOT NULL AS who
        FROM cells AS c
    ), judged AS (
        SELECT c.*, v.column_name, v.reason,
               coalesce(c.source_key, CASE WHEN c.email IS NULL
                   AND c.who THEN 'sha256:' || encode(sha256(convert_to(jsonb_strip_nulls(c.line)::text, 'UTF8')), 'hex') END)
                   AS known_by
        FROM told AS c
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
                                           THEN 'not a JSON object' END),
                (13, outreach.overlong_key(c.custom, 100000), CASE WHEN outreach.overlong_key(c.custom, 100000) IS NOT NULL
                                                                   THEN 'longer than 100,000 characters' END),
                (14, NULL, CASE
                    WHEN coalesce(c.email, c.source_key) IS NULL AND NOT c.who
                        AND (c.custom <> '{}' OR c.tags <> '{}'
                             OR coalesce(outreach.given(outreach.cell_of(c.line ->> 'source')), c.status, c.mark, c.score) IS NOT NULL)
                    THEN 'names nobody: it holds only custom fields, tags, a source, a status or a score' END)
            ) AS each (place, column_name, reason)
            WHERE each.reason IS NOT NULL
            ORDER BY each.place
            LIMIT 1
        ) AS v ON true
    )
    SELECT j.place, CASE WHEN j.reason IS NULL THEN coalesce(lower(j.email), chr(31) || j.known_by) END,
           jsonb_populate_record(NULL::outreach.leads, jsonb_build_object(
               'email', j.email, 'email_key', lower(j.email),
               'first_name', coalesce(j.first_name, outreach.first_of_name(j.full_name)),
               'last_name', coalesce(j.last_name, outreach.last_of_name(j.full_name)),
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
           -- An opt-out counts also where its row is rejected, but for what is no address nobody can opt out.
           CASE WHEN j.mark IS NOT NULL AND coalesce(outreach.email_problem(j.bare), outreach.email_problem(j.email)) IS NULL
               THEN j.mark END,
           j.column_name, j.reason
    FROM judged AS j
$$;

-- The judged rows of a JSON array, settled by the rules of an import: rows of one key are one lead, "nth" 1 speaks for it. Only
-- where rows repeat a lead or an external id do they need a table.
CREATE OR REPLACE FUNCTION outreach.settled_leads(p_leads jsonb, p_policy text)
RETURNS TABLE (row_number bigint, key text, nth bigint, given outreach.leads, mark text, column_name text, reason text)
LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp
AS $$
#variable_conflict use_column
DECLARE
    numbers bigint[];
    keys text[];
    givens outreach.leads[];
    marks text[];
    columns text[];
    reasons text[];
    repeated boolean;
BEGIN
    SELECT array_agg(j.row_number), array_agg(j.key), array_agg(j.given), array_agg(j.mark), array_agg(j.column_name),
           array_agg(j.reason),
           count(j.key) > count(DISTINCT j.key) OR count((j.given).source_key) > count(DISTINCT (j.given).source_key)
    INTO numbers, keys, givens, marks, columns, reasons, repeated
    FROM (SELECT * FROM outreach.judged_leads(p_leads) ORDER BY row_number) AS j;
    IF repeated IS NOT TRUE THEN
        RETURN QUERY
        SELECT j.row_number, j.key, CASE WHEN j.key IS NOT NULL THEN 1::bigint END, j.given, j.mark, j.column_name, j.reason
        FROM (SELECT unnest(numbers) AS row_number, unnest(keys) AS key, unnest(givens) AS given, unnest(marks) AS mark,
                     unnest(columns) AS column_name, unnest(reasons) AS reason) AS j;
        RETURN;
    END IF;
    CREATE TEMPORARY TABLE bulk_insert_rows AS
    SELECT j.row_number, j.reason AS problem, j.column_name AS problem_column, j.mark,
           j.key COLLATE "C" AS key,
           CASE WHEN j.key IS NOT NULL THEN row_number() OVER (
               PARTITION BY j.key ORDER BY CASE WHEN p_policy = 'update' THEN -j.row_number ELSE j.row_number END) END AS nth,
           (j.given).email, (j.given).email_key, (j.given).first_name, (j.given).last_name, (j.given).phone,
           (j.given).phone_e164, (j.given).title, (j.given).company_name, (j.given).industry, (j.given).country,
           (j.given).city, (j.given).timezone, (j.given).source, (j.given).notes, (j.given).company_website,
           (j.given).linkedin_url, (j.given).source_key, (j.given).qualification_score, (j.given).status AS status_now,
           (j.given).tags, (j.given).custom_fields, NULL::text AS firm
    FROM (SELECT unnest(numbers) AS row_number, unnest(keys) AS key, unnest(givens) AS given, unnest(marks) AS mark,
                 unnest(columns) AS column_name, unnest(reasons) AS reason) AS j;
    PERFORM outreach.settle_rows('pg_temp.bulk_insert_rows', p_policy, 'source_key');
    RETURN QUERY EXECUTE $sql$
        SELECT b.row_number, b.key, b.nth,
               jsonb_populate_record(NULL::outreach.leads, to_jsonb(b) || jsonb_build_object('status', b.status_now)),
               b.mark, b.problem_column, b.problem
        FROM pg_temp.bulk_insert_rows AS b$sql$;
    DROP TABLE pg_temp.bulk_insert_rows;
END
$$;
REVOKE EXECUTE ON FUNCTION outreach.settled_leads(jsonb, text) FROM PUBLIC;
GRANT EXECUTE ON FUNCTION outreach.settled_leads(jsonb, text) TO outreachdb_trusted;

-- The leads that are there already for these rows, in their order, NULL where there is none: by address, else by external id, unless
-- the address of another row means that lead. What this call has made itself is no match.
CREATE OR REPLACE FUNCTION outreach.matched_leads(p_workspace bigint, p_rows outreach.leads[], p_made bigint[]) RETURNS bigint[]
LANGUAGE sql STABLE
SET search_path = pg_catalog, pg_temp
AS $$
    WITH rows AS (
        SELECT c.ordinality, c.source_key, e.id
        FROM unnest(p_rows) WITH ORDINALITY AS c
        LEFT JOIN outreach.leads AS e
            ON e.workspace_id = p_workspace AND e.email_key = c.email_key AND e.id <> ALL (p_made)
    )
    SELECT array_agg(coalesce(r.id, s.id) ORDER BY r.ordinality)
    FROM rows AS r
    LEFT JOIN outreach.leads AS s
        ON r.id IS NULL AND s.workspace_id = p_workspace AND s.source_key = r.source_key AND s.id <> ALL (p_made)
        AND NOT EXISTS (SELECT FROM rows AS o WHERE o.id = s.id)
$$;

-- Rows of leads that are refused as a whole, as errors.
CREATE OR REPLACE FUNCTION outreach.refused_rows(p_numbers bigint[], p_keys text[], p_refused text[], p_reasons text[]) RETURNS jsonb
LANGUAGE sql IMMUTABLE
SET search_path = pg_catalog, pg_temp
AS $$
    SELECT coalesce(jsonb_agg(jsonb_build_object('row', r.number, 'column', 'source_key', 'reason', f.reason)), '[]')
    FROM unnest(p_numbers, p_keys) AS r (number, key)
    JOIN unnest(p_refused, p_reasons) AS f (key, reason) ON f.key = r.key
$$;

-- Makes the companies that the rows name and nobody has yet, those of leads that keep what they have left out.
CREATE OR REPLACE FUNCTION outreach.ensure_companies(
    p_workspace bigint, p_rows outreach.leads[], p_matched bigint[], p_policy text, p_now timestamptz) RETURNS void
LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    INSERT INTO outreach.companies (workspace_id, name, domain, website_url, created_at, updated_at)
    SELECT p_workspace, coalesce(min(c.company_name), outreach.web_domain(c.company_website)),
           outreach.web_domain(c.company_website), min(c.company_website), p_now, p_now
    FROM ROWS FROM (unnest(p_matched), unnest(p_rows)) AS c (lead_id)
    LEFT JOIN outreach.leads AS l ON l.workspace_id = p_workspace AND l.id = c.lead_id
    WHERE outreach.web_domain(c.company_website) IS NOT NULL
      AND (p_policy = 'update' OR l.id IS NULL OR (p_policy = 'fill' AND l.company_id IS NULL))
    GROUP BY outreach.web_domain(c.company_website)
    ORDER BY outreach.web_domain(c.company_website)
    ON CONFLICT (workspace_id, domain) WHERE domain IS NOT NULL DO NOTHING;
    INSERT INTO outreach.companies (workspace_id, name, created_at, updated_at)
    SELECT p_workspace, min(c.company_name), p_now, p_now
    FROM ROWS FROM (unnest(p_matched), unnest(p_rows)) AS c (lead_id)
    LEFT JOIN outreach.leads AS l ON l.workspace_id = p_workspace AND l.id = c.lead_id
    WHERE outreach.web_domain(c.company_website) IS NULL AND c.company_name IS NOT NULL
      AND (p_policy = 'update' OR l.id IS NULL OR (p_policy = 'fill' AND l.company_id IS NULL))
      AND NOT EXISTS (SELECT FROM outreach.companies AS k
                      WHERE k.workspace_id = p_workspace AND k.name_key = lower(c.company_name))
    GROUP BY lower(c.company_name)
    ORDER BY lower(c.company_name)
    ON CONFLICT (workspace_id, name_key) WHERE domain IS NULL DO NOTHING;
END
$$;

-- The companies of the rows, in their order: by domain, else by name; of several of one name the one without a domain, else the
-- oldest.
CREATE OR REPLACE FUNCTION outreach.companies_of(p_workspace bigint, p_rows outreach.leads[]) RETURNS bigint[]
LANGUAGE sql STABLE
SET search_path = pg_catalog, pg_temp
AS $$
    SELECT array_agg(
        CASE WHEN outreach.web_domain(c.company_website) IS NOT NULL
            THEN (SELECT k.id FROM outreach.companies AS k
                  WHERE k.workspace_id = p_workspace AND k.domain = outreach.web_domain(c.company_website))
            ELSE (SELECT k.id FROM outreach.companies AS k
                  WHERE k.workspace_id = p_workspace AND k.name_key = lower(c.company_name)
                  ORDER BY k.domain IS NOT NULL, k.id LIMIT 1) END
        ORDER BY c.ordinality)
    FROM unnest(p_rows) WITH ORDINALITY AS c
$$;
REVOKE EXECUTE ON FUNCTION outreach.matched_leads(bigint, outreach.leads[], bigint[]) FROM PUBLIC;
REVOKE EXECUTE ON FUNCTION outreach.ensure_companies(bigint, outreach.leads[], bigint[], text, timestamptz) FROM PUBLIC;
REVOKE EXECUTE ON FUNCTION outreach.companies_of(bigint, outreach.leads[]) FROM PUBLIC;
GRANT EXECUTE ON FUNCTION outreach.matched_leads(bigint, outreach.leads[], bigint[]) TO outreachdb_trusted;
GRANT EXECUTE ON FUNCTION outreach.ensure_companies(bigint, outreach.leads[], bigint[], text, timestamptz) TO outreachdb_trusted;
GRANT EXECUTE ON FUNCTION outreach.companies_of(bigint, outreach.leads[]) TO outreachdb_trusted;

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
    numbers bigint[];
    keys text[];
    batch outreach.leads[];
    places text[];
    matched bigint[];
    refused text[];
    reasons text[];
    made bigint[] := '{}';
    new bigint[];
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
    -- numbers and keys: each row with the lead that it is of; places and batch: each such lead.
    SELECT count(*), count(j.reason),
           coalesce(jsonb_agg(jsonb_build_object('row', j.row_number, 'column', j.column_name, 'reason', j.reason)
                              ORDER BY j.row_number) FILTER (WHERE j.reason IS NOT NULL), '[]'),
           array_agg((j.given).email) FILTER (WHERE j.mark IS NOT NULL AND (j.given).email IS NOT NULL),
           array_agg(j.mark) FILTER (WHERE j.mark IS NOT NULL AND (j.given).email IS NOT NULL),
           array_agg(j.row_number) FILTER (WHERE j.key IS NOT NULL), array_agg(j.key) FILTER (WHERE j.key IS NOT NULL),
           array_agg(j.key ORDER BY j.key) FILTER (WHERE j.nth = 1), array_agg(j.given ORDER BY j.key) FILTER (WHERE j.nth = 1)
    INTO rows_read, rejected, errors, marked, marks, numbers, keys, places, batch
    FROM outreach.settled_leads(bulk_insert_leads.leads, policy) AS j;
    -- Before any lead is locked, as everywhere.
    PERFORM outreach.store_suppressions(marked, marks, 'bulk_insert_leads');
    inserted := 0;
    -- A lead that somebody else inserts meanwhile is matched instead.
    FOR round IN 1..5 LOOP
        matched := outreach.matched_leads(workspace, batch, made);
        IF keeps THEN
            -- An external id leads to a lead of another address: that one keeps its own, so the row's would vanish.
            SELECT array_agg(c.place) INTO refused
            FROM ROWS FROM (unnest(places), unnest(matched), unnest(batch)) AS c (place, lead_id)
            JOIN outreach.leads AS l ON l.workspace_id = workspace AND l.id = c.lead_id
            WHERE c.email_key IS NOT NULL AND (l.email_key <> c.email_key OR (policy = 'skip' AND l.email_key IS NULL));
            IF refused IS NOT NULL THEN
                reasons := array_fill(outreach.kept_address_reason(policy), ARRAY[cardinality(refused)]);
                errors := errors || outreach.refused_rows(numbers, keys, refused, reasons);
                SELECT array_agg(c.place ORDER BY c.n), array_agg(c.given ORDER BY c.n), array_agg(c.lead_id ORDER BY c.n)
                INTO places, batch, matched
                FROM (SELECT unnest(places) AS place, unnest(batch) AS given, unnest(matched) AS lead_id,
                             generate_series(1, cardinality(places)) AS n) AS c
                WHERE c.place <> ALL (refused);
            END IF;
        END IF;
        IF round = 1 THEN
            PERFORM outreach.ensure_companies(workspace, batch, matched, policy, instant);
        END IF;
        firms := outreach.companies_of(workspace, batch);
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
        SELECT array_agg(n.id) INTO new FROM new AS n;
        made := made || new;
        EXIT WHEN cardinality(made) + (SELECT count(m) FROM unnest(matched) AS m) >= coalesce(cardinality(batch), 0);
    END LOOP;
    inserted := cardinality(made);
    -- Rows whose external id is that of a lead that another row names.
    SELECT array_agg(c.place), array_agg(outreach.unplaced_reason(c.source_key)) INTO refused, reasons
    FROM ROWS FROM (unnest(places), unnest(matched), unnest(batch)) AS c (place, lead_id)
    WHERE c.lead_id IS NULL AND cardinality(made) < (SELECT count(*) FROM unnest(matched) AS m WHERE m IS NULL)
      AND NOT EXISTS (
          SELECT FROM outreach.leads AS l
          WHERE l.workspace_id = workspace AND l.id = ANY (made)
            AND (l.email_key = c.email_key OR (c.email_key IS NULL AND l.source_key = c.source_key)));
    errors := errors || outreach.refused_rows(numbers, keys, refused, reasons);
    updated := 0;
    IF policy <> 'skip' THEN
        PERFORM FROM outreach.leads AS l WHERE l.workspace_id = workspace AND l.id = ANY (matched)
        ORDER BY l.id FOR NO KEY UPDATE OF l;
        WITH merged AS (
            SELECT l.id, new.*
            FROM ROWS FROM (unnest(matched), unnest(firms), unnest(batch)) AS c (lead_id, firm_id)
            JOIN outreach.leads AS l ON l.workspace_id = workspace AND l.id = c.lead_id
            CROSS JOIN LATERAL outreach.merged_lead(
                l, c.email, c.email_key, c.first_name, c.last_name, c.phone, c.title, c.company_name, c.industry, c.country,
                c.city, c.timezone, c.source, c.notes, c.company_website, c.linkedin_url, c.firm_id, c.source_key,
                c.qualification_score, c.status, c.tags, c.custom_fields, policy = 'fill', instant) AS new
        ), done AS (
            UPDATE outreach.leads AS l
            SET email = m.email, email_flags = m.email_flags, first_name = m.first_name, last_name = m.last_name,
                phone = m.phone, title = m.title, company_name = m.company_name, industry = m.industry, country = m.country,
                city = m.city, timezone = m.timezone, source = m.source, notes = m.notes, phone_e164 = m.phone_e164,
                company_website = m.company_website, linkedin_url = m.linkedin_url, company_id = m.company_id,
                source_key = m.source_key, qualification_score = m.qualification_score, status = m.status, tags = m.tags,
                custom_fields = m.custom_fields, updated_at = instant
            FROM merged AS m
            WHERE l.workspace_id = workspace AND l.id = m.id
              AND (m.email, m.email_flags, m.first_name, m.last_name, m.phone, m.title, m.company_name, m.industry, m.country,
                   m.city, m.timezone, m.source, m.notes, m.phone_e164, m.company_website, m.linkedin_url, m.company_id,
                   m.source_key, m.qualification_score, m.status, m.tags, m.custom_fields)
                  IS DISTINCT FROM
                  (l.email, l.email_flags, l.first_name, l.last_name, l.phone, l.title, l.company_name, l.industry, l.country,
                   l.city, l.timezone, l.source, l.notes, l.phone_e164, l.company_website, l.linkedin_url, l.company_id,
                   l.source_key, l.qualification_score, l.status, l.tags, l.custom_fields)
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
    rejected := jsonb_array_length(errors);
    errors := (SELECT coalesce(jsonb_agg(e ORDER BY (e ->> 'row')::bigint), '[]') FROM jsonb_array_elements(errors) AS e);
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

