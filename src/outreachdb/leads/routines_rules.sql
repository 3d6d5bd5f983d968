-- ---------------------------------------------------------------------------------------------------------------------
-- The rules by which rows become leads, each in one place: files and bulk_insert_leads both go by them.

-- What of new custom fields says something else than the old ones: 10 and "10" are the same to people, so are texts that differ
-- in the white space around them. A column of a later file may be of another type, and what was exported comes back as text.
CREATE OR REPLACE FUNCTION outreach.told_anew(p_old jsonb, p_new jsonb) RETURNS jsonb
LANGUAGE sql IMMUTABLE PARALLEL SAFE
RETURN (
    SELECT coalesce(jsonb_object_agg(n.key, n.value), '{}')
    FROM jsonb_each(p_new) AS n (key, value)
    WHERE outreach.cell_of(p_old ->> n.key) IS DISTINCT FROM outreach.cell_of(n.value #>> '{}'));

-- What a given row makes of a lead that is there: under p_fill what the lead has stays, else what is given wins; nothing given
-- erases nothing, an opt-out stays, and whoever takes over a suppressed address takes over its opt-out. The planner puts the body into the calling statement, so it costs no call for each lead; for
-- that it takes single values and has no settings.
CREATE OR REPLACE FUNCTION outreach.merged_lead(
    p_lead outreach.leads, p_email text, p_email_key text, p_first_name text, p_last_name text, p_phone text, p_title text,
    p_company_name text, p_industry text, p_country text, p_city text, p_timezone text, p_source text, p_notes text,
    p_company_website text, p_linkedin_url text, p_company_id bigint, p_source_key text, p_qualification_score real,
    p_status text, p_tags text[], p_custom_fields jsonb, p_fill boolean, p_now timestamptz)
RETURNS TABLE (
    email text, email_flags text[], first_name text, last_name text, phone text, title text, company_name text, industry text,
    country text, city text, timezone text, source text, notes text, phone_e164 text, company_website text,
    linkedin_url text, company_id bigint, source_key text, qualification_score real, status text, tags text[],
    custom_fields jsonb)
LANGUAGE sql STABLE ROWS 1
BEGIN ATOMIC
    SELECT
        -- An address in other letters of case is the same address: it is not worth a write.
        CASE WHEN (p_lead).email_key = p_email_key THEN (p_lead).email
             WHEN p_fill THEN coalesce((p_lead).email, p_email) ELSE coalesce(p_email, (p_lead).email) END,
        CASE WHEN p_email_key IS NULL OR (p_lead).email_key = p_email_key OR (p_fill AND (p_lead).email_key IS NOT NULL)
             THEN (p_lead).email_flags ELSE outreach.email_flags(p_email_key) END,
        CASE WHEN p_fill THEN coalesce((p_lead).first_name, p_first_name) ELSE coalesce(p_first_name, (p_lead).first_name) END,
        CASE WHEN p_fill THEN coalesce((p_lead).last_name, p_last_name) ELSE coalesce(p_last_name, (p_lead).last_name) END,
        CASE WHEN p_fill THEN coalesce((p_lead).phone, p_phone) ELSE coalesce(p_phone, (p_lead).phone) END,
        CASE WHEN p_fill THEN coalesce((p_lead).title, p_title) ELSE coalesce(p_title, (p_lead).title) END,
        CASE WHEN p_fill THEN coalesce((p_lead).company_name, p_company_name)
             ELSE coalesce(p_company_name, (p_lead).company_name) END,
        CASE WHEN p_fill THEN coalesce((p_lead).industry, p_industry) ELSE coalesce(p_industry, (p_lead).industry) END,
        CASE WHEN p_fill THEN coalesce((p_lead).country, p_country) ELSE coalesce(p_country, (p_lead).country) END,
        CASE WHEN p_fill THEN coalesce((p_lead).city, p_city) ELSE coalesce(p_city, (p_lead).city) END,
        CASE WHEN p_fill THEN coalesce((p_lead).timezone, p_timezone) ELSE coalesce(p_timezone, (p_lead).timezone) END,
        CASE WHEN p_fill THEN coalesce((p_lead).source, p_source) ELSE coalesce(p_source, (p_lead).source) END,
        CASE WHEN p_fill THEN coalesce((p_lead).notes, p_notes) ELSE coalesce(p_notes, (p_lead).notes) END,
        CASE WHEN (CASE WHEN p_fill THEN coalesce((p_lead).phone, p_phone) ELSE coalesce(p_phone, (p_lead).phone) END,
                   CASE WHEN p_fill THEN coalesce((p_lead).country, p_country) ELSE coalesce(p_country, (p_lead).country) END)
                  IS NOT DISTINCT FROM ((p_lead).phone, (p_lead).country)
             THEN (p_lead).phone_e164
             ELSE outreach.phone_e164(
                 outreach.phone_digits(
                     CASE WHEN p_fill THEN coalesce((p_lead).phone, p_phone) ELSE coalesce(p_phone, (p_lead).phone) END),
                 outreach.phone_rule(
                     CASE WHEN p_fill THEN coalesce((p_lead).country, p_country) ELSE coalesce(p_country, (p_lead).country) END))
        END,
        CASE WHEN p_fill THEN coalesce((p_lead).company_website, p_company_website)
             ELSE coalesce(p_company_website, (p_lead).company_website) END,
        CASE WHEN p_fill THEN coalesce((p_lead).linkedin_url, p_linkedin_url)
             ELSE coalesce(p_linkedin_url, (p_lead).linkedin_url) END,
        -- A name alone says less than the company that the lead is linked to under that name; and what the lead says itself is
        -- no news.
        CASE WHEN (p_lead).company_id IS NULL THEN p_company_id
             WHEN p_fill OR p_company_id IS NULL THEN (p_lead).company_id
             WHEN (p_company_website IS NULL OR p_company_website = (p_lead).company_website)
                  AND lower((p_lead).company_name) IS NOT DISTINCT FROM lower(coalesce(p_company_name, (p_lead).company_name))
             THEN (p_lead).company_id
             ELSE p_company_id END,
        CASE WHEN (p_lead).source_key IS NULL AND p_source_key IS NOT NULL AND NOT EXISTS (
                 SELECT FROM outreach.leads AS o
                 WHERE o.workspace_id = (SELECT outreach.current_workspace()) AND o.source_key = p_source_key)
             THEN p_source_key ELSE (p_lead).source_key END,
        CASE WHEN p_fill THEN coalesce((p_lead).qualification_score, p_qualification_score)
             ELSE coalesce(p_qualification_score, (p_lead).qualification_score) END,
        coalesce(
            -- Suppressions are looked up only for an address that the lead has not had: of its own the status tells already.
            CASE WHEN (p_lead).status <> 'unsubscribed' AND p_email_key <> coalesce((p_lead).email_key, '')
                      AND NOT (p_fill AND (p_lead).email_key IS NOT NULL)
                 THEN (SELECT max(outreach.suppressed_status(s.reason))
                       FROM outreach.suppressions AS s
                       WHERE s.workspace_id = (SELECT outreach.current_workspace())
                         AND s.target IN (p_email_key, split_part(p_email_key, '@', 2))
                         AND (s.expires_at IS NULL OR s.expires_at > p_now)) END,
            CASE WHEN (p_lead).status IN ('unsubscribed', 'bounced') THEN (p_lead).status
                 WHEN p_status IN ('unsubscribed', 'bounced') THEN p_status
                 WHEN p_fill THEN (p_lead).status
                 ELSE coalesce(p_status, (p_lead).status) END),
        CASE WHEN p_fill THEN CASE WHEN (p_lead).tags = '{}' THEN p_tags ELSE (p_lead).tags END
             WHEN p_tags <@ (p_lead).tags THEN (p_lead).tags
             ELSE (p_lead).tags || ARRAY(SELECT given.tag FROM unnest(p_tags) WITH ORDINALITY AS given (tag, place)
                                         WHERE given.tag <> ALL ((p_lead).tags) ORDER BY given.place) END,
        CASE WHEN p_fill THEN p_custom_fields || (p_lead).custom_fields
             WHEN p_custom_fields = '{}' OR (p_lead).custom_fields || p_custom_fields = (p_lead).custom_fields
             THEN (p_lead).custom_fields
             ELSE (p_lead).custom_fields || outreach.told_anew((p_lead).custom_fields, p_custom_fields) END;
END;

-- Why the lead that a row's external id names does not take the row's address: skip and fill leave it the one it has.
CREATE OR REPLACE FUNCTION outreach.kept_address_reason(p_policy text) RETURNS text
LANGUAGE sql IMMUTABLE PARALLEL SAFE
RETURN 'the lead with its external id has not this address, and "' || p_policy || '" leaves it so';

-- Why a row's lead could neither be inserted nor matched.
CREATE OR REPLACE FUNCTION outreach.unplaced_reason(p_source_key text) RETURNS text
LANGUAGE sql IMMUTABLE PARALLEL SAFE
RETURN CASE WHEN p_source_key IS NULL THEN 'another row gives it an external id that' ELSE 'its external id' END
    || ' belongs to a lead that another row names';

-- Lets one row speak for all rows of its lead: it takes from the others what it lacks, in their order. p_rows is a table of typed
-- rows ("clean" in importing/merge.sql; bulk_insert_leads makes one of the same shape).
CREATE OR REPLACE FUNCTION outreach.fold_rows(p_rows regclass, p_fill boolean) RETURNS void
LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    fields CONSTANT text[] := '{email,email_key,first_name,last_name,phone,title,company_name,industry,country,city,timezone,
        source,notes,company_website,linkedin_url,source_key,qualification_score,status_now}';
    firsts text;
    assigned text;
    tags CONSTANT text := CASE WHEN p_fill
        THEN $sql$SELECT DISTINCT ON (key) key, tags FROM groups WHERE tags <> '{}' ORDER BY key, nth$sql$
        ELSE $sql$SELECT key, array_agg(tag ORDER BY first_seen) AS tags
                  FROM (SELECT key, tag, min(row_number * 1000 + place) AS first_seen
                        FROM groups, unnest(tags) WITH ORDINALITY AS each (tag, place)
                        GROUP BY key, tag) AS seen
                  GROUP BY key$sql$ END;
BEGIN
    SELECT string_agg(format('(array_agg(%1$I ORDER BY nth) FILTER (WHERE %1$I IS NOT NULL))[1] AS %1$I', f.name), ', '),
           string_agg(format('%1$I = cells.%1$I', f.name), ', ')
    INTO firsts, assigned
    FROM unnest(fields) AS f (name);
    EXECUTE format($sql$
        WITH groups AS MATERIALIZED (
            SELECT c.* FROM %1$s AS c WHERE c.key IN (SELECT key FROM %1$s WHERE nth = 2)
        ), cells AS (
            SELECT key, %2$s FROM groups GROUP BY key
        ), fields AS (
            SELECT key, jsonb_object_agg(field, value ORDER BY nth DESC) AS custom_fields
            FROM groups, jsonb_each(custom_fields) AS each (field, value)
            GROUP BY key
        ), labels AS (%3$s)
        UPDATE %1$s AS c
        SET %4$s,
            firm = nullif(concat(cells.company_website, chr(31), cells.company_name), chr(31)),
            phone_e164 = outreach.phone_e164(outreach.phone_digits(cells.phone), outreach.phone_rule(cells.country)),
            custom_fields = coalesce(fields.custom_fields, c.custom_fields),
            tags = coalesce(labels.tags, c.tags)
        FROM cells
        LEFT JOIN fields ON fields.key = cells.key
        LEFT JOIN labels ON labels.key = cells.key
        WHERE c.key = cells.key AND c.nth = 1$sql$, p_rows, firsts, tags, assigned);
END
$$;

-- Decides which rows of one source are the same lead, lets one of them speak for it, and refuses rows that contradict it. Rows of
-- one key are one lead, nth 1 is the row that speaks. p_id_column names the column of external ids, NULL where there is none.
-- Returns how many rows were refused; their problem says why.
CREATE OR REPLACE FUNCTION outreach.settle_rows(p_rows regclass, p_policy text, p_id_column text) RETURNS bigint
LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    direction CONSTANT text := CASE WHEN p_policy = 'update' THEN 'DESC' ELSE 'ASC' END;
    number_anew CONSTANT text := format($sql$
        UPDATE %1$s AS c
        SET nth = s.nth
        FROM (SELECT row_number, row_number() OVER (PARTITION BY key ORDER BY row_number %2$s) AS nth
              FROM %1$s WHERE key IS NOT NULL) AS s
        WHERE s.row_number = c.row_number AND c.nth <> s.nth$sql$, p_rows, direction);
    repeated boolean;
    refused bigint := 0;
    moved bigint := 0;
BEGIN
    IF p_id_column IS NOT NULL THEN
        -- One external id can't be two addresses: the row that speaks for the id keeps it, those with another address are refused.
        EXECUTE format($sql$
            UPDATE %1$s AS c
            SET problem = 'row ' || g.speaker || ' has the same external id with another address', problem_column = %3$L,
                key = NULL, nth = NULL
            FROM (
                SELECT row_number, email_key, first_value(email_key) OVER same AS address,
                       first_value(row_number) OVER same AS speaker
                FROM %1$s
                WHERE problem IS NULL AND source_key IS NOT NULL AND email_key IS NOT NULL
                WINDOW same AS (PARTITION BY source_key ORDER BY row_number %2$s)
            ) AS g
            WHERE g.row_number = c.row_number AND g.email_key <> g.address$sql$, p_rows, direction, p_id_column);
        GET DIAGNOSTICS refused = ROW_COUNT;
        IF refused > 0 THEN
            EXECUTE number_anew;
        END IF;
    END IF;
    EXECUTE format('SELECT EXISTS (SELECT FROM %s WHERE nth = 2)', p_rows) INTO repeated;
    IF repeated AND p_policy <> 'skip' THEN
        PERFORM outreach.fold_rows(p_rows, p_policy = 'fill');
    END IF;
    IF p_id_column IS NOT NULL THEN
        -- Rows with and without an address but the same external id are one lead as well.
        EXECUTE format($sql$
            UPDATE %1$s AS c
            SET key = chr(31) || c.source_key, nth = same.nth
            FROM (
                SELECT row_number, row_number() OVER (PARTITION BY source_key ORDER BY row_number %2$s) AS nth,
                       count(*) OVER (PARTITION BY source_key) AS rows
                FROM %1$s
                WHERE nth = 1 AND source_key IS NOT NULL
            ) AS same
            WHERE same.row_number = c.row_number AND same.rows > 1$sql$, p_rows, direction);
        GET DIAGNOSTICS moved = ROW_COUNT;
    END IF;
    IF moved > 0 THEN
        -- A row that came to speak for an external id, or to be spoken for by it, takes along the other rows of its address: the
        -- rows of one lead stand and fall together. Only the step before gives a row with an address a key of this kind.
        EXECUTE format($sql$
            UPDATE %1$s AS c
            SET key = s.key
            FROM %1$s AS s
            WHERE s.key = chr(31) || s.source_key AND s.email_key IS NOT NULL AND c.key = s.email_key$sql$, p_rows);
        EXECUTE number_anew;
        IF p_policy <> 'skip' THEN
            PERFORM outreach.fold_rows(p_rows, p_policy = 'fill');
        ELSE
            -- The first row alone speaks, but the address that another one has must not vanish.
            EXECUTE format($sql$
                UPDATE %1$s AS c
                SET email = o.email, email_key = o.email_key
                FROM (SELECT DISTINCT ON (key) key, email, email_key FROM %1$s
                      WHERE nth > 1 AND email_key IS NOT NULL ORDER BY key, nth) AS o
                WHERE o.key = c.key AND c.nth = 1 AND c.email_key IS NULL$sql$, p_rows);
        END IF;
    END IF;
    RETURN refused;
END
$$;
REVOKE EXECUTE ON FUNCTION outreach.fold_rows(regclass, boolean) FROM PUBLIC;
REVOKE EXECUTE ON FUNCTION outreach.settle_rows(regclass, text, text) FROM PUBLIC;
GRANT EXECUTE ON FUNCTION outreach.fold_rows(regclass, boolean) TO outreachdb_trusted;
GRANT EXECUTE ON FUNCTION outreach.settle_rows(regclass, text, text) TO outreachdb_trusted;
