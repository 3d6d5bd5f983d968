-- The form in which a suppression is stored: lower case; "@example.com" is the domain; domains in letters, as addresses of
-- leads are. NULL if it is neither. Takes every address that ck_leads_email_format lets into the table: whoever is in there
-- can be suppressed.
CREATE OR REPLACE FUNCTION outreach.suppression_target(p_text text) RETURNS text
LANGUAGE sql IMMUTABLE PARALLEL SAFE
RETURN CASE
    WHEN p_text ~ '^\s*@?[^\s[:cntrl:]@,;]+[.。．｡][^\s[:cntrl:]@,;]+\s*$'
        THEN outreach.normal_domain(ltrim(btrim(p_text, E' \t\r\n'), '@'))
    WHEN p_text ~ '^\s*[^@\s[:cntrl:]]+@[^@\s[:cntrl:]]+[.。．｡][^@\s[:cntrl:]]+\s*$'
        THEN lower(outreach.normal_address(btrim(p_text, E' \t\r\n')))
END;

-- The forms under which a target is stored: its normal one and, where it is written in Punycode, that: direct SQL can have
-- stored leads so, or will.
CREATE OR REPLACE FUNCTION outreach.suppression_spellings(p_text text) RETURNS text[]
LANGUAGE sql IMMUTABLE PARALLEL SAFE
RETURN CASE
    WHEN strpos(lower(p_text), 'xn--') > 0 AND outreach.suppression_target(p_text) IS NOT NULL
        THEN ARRAY[outreach.suppression_target(p_text), ltrim(lower(btrim(p_text, E' \t\r\n')), '@')]
    ELSE ARRAY[outreach.suppression_target(p_text)]
END;

-- Until when a suppression lasts as people read it: the year 3000 stands for "until somebody takes it back".
CREATE OR REPLACE FUNCTION outreach.shown_end(p_expires_at timestamptz) RETURNS timestamptz
LANGUAGE sql IMMUTABLE PARALLEL SAFE
RETURN CASE WHEN p_expires_at < timestamptz '3000-01-01 00:00:00+00' THEN p_expires_at END;

-- Stores suppressions, each with its reason, in the order of targets: whoever suppresses locks these rows first and leads
-- after them, so that nobody waits in a circle. What is suppressed for good already keeps its reason. Returns how many are
-- new, a target of two spellings counted once.
CREATE OR REPLACE FUNCTION outreach.store_suppressions(targets text[], reasons text[], source text) RETURNS bigint
LANGUAGE sql
SET search_path = pg_catalog, pg_temp
AS $$
    WITH stored AS (
        INSERT INTO outreach.suppressions AS s (workspace_id, target, reason, source)
        SELECT DISTINCT ON (w.target) outreach.current_workspace(), w.target, w.reason, $3
        FROM (SELECT unnest(outreach.suppression_spellings(g.target)) AS target, g.reason
              FROM unnest($1, $2) AS g (target, reason)) AS w
        ORDER BY w.target, w.reason DESC
        ON CONFLICT (workspace_id, target) DO UPDATE
            SET reason = excluded.reason, source = excluded.source, expires_at = NULL
            WHERE s.expires_at IS NOT NULL
        RETURNING s.target
    )
    SELECT count(*) FROM stored WHERE stored.target = outreach.suppression_target(stored.target)
$$;
REVOKE EXECUTE ON FUNCTION outreach.store_suppressions(text[], text[], text) FROM PUBLIC;
GRANT EXECUTE ON FUNCTION outreach.store_suppressions(text[], text[], text) TO outreachdb_trusted;

-- Leads with an address of one of these domains. Of a few domains the trigram index of searches knows the leads; many are looked
-- for in one pass over all leads, which an index on domains would spare at the price of one more entry for every import's rows.
CREATE OR REPLACE FUNCTION outreach.leads_of_domains(p_workspace bigint, p_domains text[]) RETURNS SETOF bigint
LANGUAGE plpgsql STABLE
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    domain text;
BEGIN
    IF cardinality(p_domains) = 0 THEN
        RETURN;
    ELSIF cardinality(p_domains) <= 20 THEN
        FOREACH domain IN ARRAY p_domains LOOP
            -- With the domain in the statement the planner knows how rare its trigrams are.
            RETURN QUERY EXECUTE format(
                $sql$SELECT l.id FROM outreach.leads AS l
                     WHERE l.workspace_id = %s
                       AND lower(coalesce(l.first_name, '') || ' ' || coalesce(l.last_name, '') || ' ' || coalesce(l.email, '')
                                 || ' ' || coalesce(l.company_name, '')) LIKE %L
                       AND split_part(l.email_key, '@', 2) = %L$sql$,
                p_workspace, '%@' || replace(replace(replace(domain, '\', '\\'), '%', '\%'), '_', '\_') || '%', domain);
        END LOOP;
        RETURN;
    END IF;
    RETURN QUERY
    SELECT l.id FROM outreach.leads AS l
    WHERE l.workspace_id = p_workspace
      AND split_part(l.email_key, '@', 2) IN (SELECT DISTINCT u.target FROM unnest(p_domains) AS u (target));
END
$$;
REVOKE EXECUTE ON FUNCTION outreach.leads_of_domains(bigint, text[]) FROM PUBLIC;
GRANT EXECUTE ON FUNCTION outreach.leads_of_domains(bigint, text[]) TO outreachdb_trusted;

-- The commit under way waits until it is on disk, also where synchronous_commit is off: for what nobody says twice after it was
-- acknowledged (a suppression, a pause, a provider's report, the beginning of a mail). A setting that waits for a standby stays.
CREATE OR REPLACE FUNCTION outreach.commit_durably() RETURNS void
LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    IF current_setting('synchronous_commit') = 'off' THEN
        SET LOCAL synchronous_commit = 'on';
    END IF;
END
$$;
GRANT EXECUTE ON FUNCTION outreach.commit_durably() TO outreachdb_app, outreachdb_trusted;

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
    new bigint;
BEGIN
    IF workspace IS NULL THEN
        RAISE EXCEPTION 'no workspace is set' USING ERRCODE = 'invalid_parameter_value';
    END IF;
    SELECT t INTO wrong FROM unnest(suppress.targets) AS t WHERE outreach.suppression_target(t) IS NULL LIMIT 1;
    IF FOUND THEN
        RAISE EXCEPTION 'neither an e-mail address nor a domain: %', coalesce(wrong, 'NULL')
            USING ERRCODE = 'invalid_parameter_value';
    END IF;
    PERFORM outreach.commit_durably();
    new := outreach.store_suppressions(
        suppress.targets, array_fill(suppress.reason, ARRAY[coalesce(cardinality(suppress.targets), 0)]), suppress.source);
    RETURN QUERY
    WITH wanted AS (
        SELECT DISTINCT unnest(outreach.suppression_spellings(t)) AS target FROM unnest(suppress.targets) AS t
    ), hit AS (
        SELECT l.id FROM outreach.leads AS l JOIN wanted AS w ON l.email_key = w.target
        WHERE l.workspace_id = workspace AND w.target LIKE '%@%' AND status_now IS NOT NULL
        UNION
        SELECT d.id
        FROM outreach.leads_of_domains(workspace, ARRAY(
            SELECT w.target FROM wanted AS w WHERE w.target NOT LIKE '%@%' AND status_now IS NOT NULL)) AS d (id)
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
    SELECT new, (SELECT count(*) FROM changed);
END
$$;

REVOKE EXECUTE ON FUNCTION outreach.suppress(text[], text, text) FROM PUBLIC;
GRANT EXECUTE ON FUNCTION outreach.suppress(text[], text, text) TO outreachdb_app, outreachdb_trusted;
