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

-- A cell as an import takes it: composed letters, no white space around it, NULL if nothing is left.
CREATE OR REPLACE FUNCTION outreach.cell_of(p_text text) RETURNS text
LANGUAGE sql IMMUTABLE PARALLEL SAFE
RETURN nullif(btrim(normalize(p_text, NFC), E' \t\r\n'), '');

-- The rows of a JSON array as leads, judged by the rules of an import: row counts from 1, "given" holds the fields, a
-- rejected row has a reason and, where one is to blame, a column. Keys that are no field become custom fields. A row
-- without address and source key is known by its hash; one without anything has no key.
CREATE OR REPLACE FUNCTION outreach.judged_leads(p_leads jsonb)
RETURNS TABLE (row_number bigint, key text, given outreach.leads, column_name text, reason text)
LANGUAGE sql STABLE
SET search_path = pg_catalog, pg_temp
AS $$
    WITH cells AS MATERIALIZED (
        SELECT each.place, each.line, jsonb_typeof(each.line) = 'object' AS readable,
               (SELECT min(k) FROM jsonb_object_keys(CASE WHEN jsonb_typeof(each.line) = 'object' THEN each.line END) AS k
                WHERE k NOT IN ('tags', 'custom_fields') AND k = ANY (f.names)
                  AND jsonb_typeof(each.line -> k) IN ('object', 'array')) AS nested,
               outreach.cell_of(each.line ->> 'email') AS email,
               outreach.cell_of(each.line ->> 'company_website') AS website,
               outreach.cell_of(each.line ->> 'linkedin_url') AS linkedin,
               outreach.cell_of(each.line ->> 'qualification_score') AS score,
               lower(outreach.cell_of(each.line ->> 'status')) AS status,
               outreach.cell_of(each.line ->> 'full_name') AS full_name,
               outreach.cell_of(each.line ->> 'company_name') AS company_name,
               outreach.cell_of(each.line ->> 'industry') AS industry,
               outreach.cell_of(each.line ->> 'source_key') AS source_key,
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
                           'source_key', 'status', 'tags', 'custom_fields', 'notes', 'qualification_score'] AS names) AS f
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
                (3, 'email', outreach.email_problem(c.email)),
                (4, 'company_website', CASE WHEN c.website IS NOT NULL AND outreach.normal_url(c.website) IS NULL
                                            THEN 'not a web address' END),
                (5, 'linkedin_url', CASE WHEN c.linkedin IS NOT NULL AND outreach.normal_url(c.linkedin) IS NULL
                                         THEN 'not a web address' END),
                (6, 'qualification_score', CASE WHEN c.score IS NOT NULL AND outreach.score_of(c.score) IS NULL
                                                THEN 'not a score between 0 and 100' END),
                (7, 'company_name', CASE WHEN length(c.company_name) > 500 THEN 'longer than 500 characters' END),
                (8, 'industry', CASE WHEN length(c.industry) > 500 THEN 'longer than 500 characters' END),
                (9, 'source_key', CASE WHEN length(c.source_key) > 500 THEN 'longer than 500 characters' END),
                (10, 'tags', CASE WHEN EXISTS (SELECT FROM unnest(c.tags) AS tag WHERE length(tag) > 200)
                                  THEN 'a tag is longer than 200 characters' END),
                (11, 'status', CASE WHEN c.status NOT IN ('new', 'verified', 'contacted', 'replied', 'qualified',
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
               'first_name', coalesce(outreach.cell_of(j.line ->> 'first_name'), outreach.first_of_name(j.full_name)),
               'last_name', coalesce(outreach.cell_of(j.line ->> 'last_name'), outreach.last_of_name(j.full_name)),
               'phone', outreach.cell_of(j.line ->> 'phone'), 'title', outreach.cell_of(j.line ->> 'title'),
               'company_name', j.company_name, 'company_website', outreach.normal_url(j.website),
               'linkedin_url', outreach.normal_url(j.linkedin), 'industry', j.industry,
               'country', outreach.cell_of(j.line ->> 'country'), 'city', outreach.cell_of(j.line ->> 'city'),
               'timezone', outreach.cell_of(j.line ->> 'timezone'), 'source', outreach.cell_of(j.line ->> 'source'),
               'source_key', j.known_by, 'status', j.status, 'tags', coalesce(j.tags, '{}'),
               'custom_fields', j.custom, 'notes', outreach.cell_of(j.line ->> 'notes'),
               'qualification_score', outreach.score_of(j.score))),
           j.column_name, j.reason
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
    unsubscribed text[];
    bounced text[];
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
           array_agg((j.given).email) FILTER (WHERE j.reason IS NULL AND (j.given).status = 'unsubscribed'
                                                AND (j.given).email IS NOT NULL),
           array_agg((j.given).email) FILTER (WHERE j.reason IS NULL AND (j.given).status = 'bounced'
                                                AND (j.given).email IS NOT NULL),
           (SELECT array_agg(s.lead ORDER BY s.key) FROM speaking AS s)
    INTO rows_read, rejected, errors, unsubscribed, bounced, batch
    FROM judged AS j;
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
            workspace_id, email, first_name, last_name, phone, title, company_id, company_name, company_website,
            linkedin_url, industry, country, city, timezone, source, source_key, status, tags, custom_fields, notes,
            qualification_score, created_at, updated_at)
        SELECT workspace, c.email, c.first_name, c.last_name, c.phone, c.title, c.firm_id, c.company_name,
               c.company_website, c.linkedin_url, c.industry, c.country, c.city, c.timezone, c.source, c.source_key,
               coalesce(outreach.suppressed_status(address.reason), outreach.suppressed_status(domain.reason),
                        c.status, 'new'),
               c.tags, c.custom_fields, c.notes, c.qualification_score, instant, instant
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
                phone = (m.new).phone, title = (m.new).title, company_name = (m.new).company_name,
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
    -- What the rows themselves mark as unsubscribed or bounced.
    IF unsubscribed IS NOT NULL THEN
        PERFORM outreach.suppress(unsubscribed, 'unsubscribed', 'bulk_insert_leads');
    END IF;
    IF bounced IS NOT NULL THEN
        PERFORM outreach.suppress(bounced, 'bounced', 'bulk_insert_leads');
    END IF;
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
