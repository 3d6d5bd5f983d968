-- ---------------------------------------------------------------------------------------------------------------------
-- The queues of checks that somebody else's workers do: web sites to crawl, profiles to look at, addresses to verify. What waits
-- is told by the instants of the last check on companies and leads; who works on it by outreach.queue_leases. Claim, check,
-- complete: what a lost worker had taken comes back when its lease is over. All in the session's workspace.

-- Takes the leases of what a claim chose. One that somebody else took in the meantime is left out.
CREATE OR REPLACE FUNCTION outreach.take_leases(
    p_workspace bigint, p_queue text, p_items bigint[], p_worker text, p_lease interval)
RETURNS SETOF bigint
LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp
AS $$
#variable_conflict use_column
DECLARE
    v_now constant timestamptz := clock_timestamp();
BEGIN
    IF p_worker = '' OR p_lease NOT BETWEEN interval '1 second' AND interval '7 days' THEN
        RAISE EXCEPTION 'a claim needs the name of a worker and a lease of a second to a week'
            USING ERRCODE = 'invalid_parameter_value';
    END IF;
    RETURN QUERY
    INSERT INTO outreach.queue_leases AS q (workspace_id, queue, item_id, worker, lease_until)
    SELECT p_workspace, p_queue, i.item, p_worker, v_now + p_lease FROM unnest(p_items) AS i (item) ORDER BY i.item
    ON CONFLICT (workspace_id, queue, item_id) DO UPDATE
        SET worker = excluded.worker, lease_until = excluded.lease_until
        WHERE q.lease_until <= v_now
    RETURNING q.item_id;
END
$$;
REVOKE EXECUTE ON FUNCTION outreach.take_leases(bigint, text, bigint[], text, interval) FROM PUBLIC;
GRANT EXECUTE ON FUNCTION outreach.take_leases(bigint, text, bigint[], text, interval) TO outreachdb_trusted;

-- Up to p_n companies with a web site whose last crawl is older than p_stale, those never crawled first. Any number of workers
-- may claim at once: none gets what another one has.
-- owner: outreachdb_trusted
CREATE OR REPLACE FUNCTION outreach.claim_url_crawls(
    p_n integer, p_worker text, p_lease interval DEFAULT '15 minutes', p_stale interval DEFAULT '30 days')
RETURNS TABLE (company_id bigint, website_url text, linkedin_url text, news_url text, last_crawled_at timestamptz)
LANGUAGE plpgsql SECURITY DEFINER
SET search_path = pg_catalog, pg_temp
SET plan_cache_mode = force_generic_plan
AS $$
#variable_conflict use_column
DECLARE
    ws constant bigint := outreach.required_workspace();
    v_n constant integer := least(greatest(p_n, 0), 10000);
    v_items bigint[];
BEGIN
    v_items := ARRAY(
        SELECT c.id FROM outreach.companies AS c
        WHERE c.workspace_id = ws AND c.last_crawled_at IS NULL AND c.website_url IS NOT NULL
          AND NOT EXISTS (SELECT FROM outreach.queue_leases AS q WHERE q.workspace_id = ws AND q.queue = 'url'
                          AND q.item_id = c.id AND q.lease_until > clock_timestamp())
        LIMIT v_n
        FOR NO KEY UPDATE OF c SKIP LOCKED);
    v_items := v_items || ARRAY(
        SELECT c.id FROM outreach.companies AS c
        WHERE c.workspace_id = ws AND c.last_crawled_at < now() - p_stale AND c.website_url IS NOT NULL
          AND NOT EXISTS (SELECT FROM outreach.queue_leases AS q WHERE q.workspace_id = ws AND q.queue = 'url'
                          AND q.item_id = c.id AND q.lease_until > clock_timestamp())
        ORDER BY c.last_crawled_at
        LIMIT v_n - cardinality(v_items)
        FOR NO KEY UPDATE OF c SKIP LOCKED);
    RETURN QUERY
    SELECT c.id, c.website_url, c.linkedin_url, c.news_url, c.last_crawled_at
    FROM outreach.take_leases(ws, 'url', v_items, p_worker, p_lease) AS t (id)
    CROSS JOIN LATERAL (SELECT * FROM outreach.companies AS k WHERE k.workspace_id = ws AND k.id = t.id OFFSET 0) AS c
    ORDER BY c.last_crawled_at NULLS FIRST, c.id;
END
$$;
GRANT EXECUTE ON FUNCTION outreach.claim_url_crawls(integer, text, interval, interval) TO outreachdb_app;

-- Up to p_n leads with a profile whose last look is older than p_stale, those never looked at first.
-- owner: outreachdb_trusted
CREATE OR REPLACE FUNCTION outreach.claim_profile_checks(
    p_n integer, p_worker text, p_lease interval DEFAULT '15 minutes', p_stale interval DEFAULT '30 days')
RETURNS TABLE (lead_id bigint, linkedin_url text, profile_checked_at timestamptz)
LANGUAGE plpgsql SECURITY DEFINER
SET search_path = pg_catalog, pg_temp
SET plan_cache_mode = force_generic_plan
AS $$
#variable_conflict use_column
DECLARE
    ws constant bigint := outreach.required_workspace();
    v_n constant integer := least(greatest(p_n, 0), 10000);
    v_items bigint[];
BEGIN
    v_items := ARRAY(
        SELECT l.id FROM outreach.leads AS l
        WHERE l.workspace_id = ws AND l.profile_checked_at IS NULL AND l.linkedin_url IS NOT NULL
          AND NOT EXISTS (SELECT FROM outreach.queue_leases AS q WHERE q.workspace_id = ws AND q.queue = 'profile'
                          AND q.item_id = l.id AND q.lease_until > clock_timestamp())
        LIMIT v_n
        FOR NO KEY UPDATE OF l SKIP LOCKED);
    v_items := v_items || ARRAY(
        SELECT l.id FROM outreach.leads AS l
        WHERE l.workspace_id = ws AND l.profile_checked_at < now() - p_stale AND l.linkedin_url IS NOT NULL
          AND NOT EXISTS (SELECT FROM outreach.queue_leases AS q WHERE q.workspace_id = ws AND q.queue = 'profile'
                          AND q.item_id = l.id AND q.lease_until > clock_timestamp())
        ORDER BY l.profile_checked_at
        LIMIT v_n - cardinality(v_items)
        FOR NO KEY UPDATE OF l SKIP LOCKED);
    RETURN QUERY
    SELECT l.id, l.linkedin_url, l.profile_checked_at
    FROM outreach.take_leases(ws, 'profile', v_items, p_worker, p_lease) AS t (id)
    CROSS JOIN LATERAL (SELECT * FROM outreach.leads AS k WHERE k.workspace_id = ws AND k.id = t.id OFFSET 0) AS l
    ORDER BY l.profile_checked_at NULLS FIRST, l.id;
END
$$;
GRANT EXECUTE ON FUNCTION outreach.claim_profile_checks(integer, text, interval, interval) TO outreachdb_app;

-- Up to p_n addresses to verify: those never checked, then those of which the last check knew nothing for sure, then the rest;
-- each after p_stale. One that was found invalid is not asked for again.
-- owner: outreachdb_trusted
CREATE OR REPLACE FUNCTION outreach.claim_email_checks(
    p_n integer, p_worker text, p_lease interval DEFAULT '15 minutes', p_stale interval DEFAULT '30 days')
RETURNS TABLE (lead_id bigint, email text, email_status text, email_checked_at timestamptz)
LANGUAGE plpgsql SECURITY DEFINER
SET search_path = pg_catalog, pg_temp
SET plan_cache_mode = force_generic_plan
AS $$
#variable_conflict use_column
DECLARE
    ws constant bigint := outreach.required_workspace();
    v_n constant integer := least(greatest(p_n, 0), 10000);
    v_items bigint[] := '{}';
    v_status text;
BEGIN
    FOREACH v_status IN ARRAY ARRAY['unchecked', 'unknown', 'risky', 'valid'] LOOP
        v_items := v_items || ARRAY(
            SELECT l.id FROM outreach.leads AS l
            WHERE l.workspace_id = ws AND l.email_status = v_status AND l.email_checked_at IS NULL AND l.email IS NOT NULL
              AND NOT EXISTS (SELECT FROM outreach.queue_leases AS q WHERE q.workspace_id = ws AND q.queue = 'email'
                              AND q.item_id = l.id AND q.lease_until > clock_timestamp())
            LIMIT v_n - cardinality(v_items)
            FOR NO KEY UPDATE OF l SKIP LOCKED);
        v_items := v_items || ARRAY(
            SELECT l.id FROM outreach.leads AS l
            WHERE l.workspace_id = ws AND l.email_status = v_status AND l.email_checked_at < now() - p_stale
              AND l.email IS NOT NULL
              AND NOT EXISTS (SELECT FROM outreach.queue_leases AS q WHERE q.workspace_id = ws AND q.queue = 'email'
                              AND q.item_id = l.id AND q.lease_until > clock_timestamp())
            ORDER BY l.email_checked_at
            LIMIT v_n - cardinality(v_items)
            FOR NO KEY UPDATE OF l SKIP LOCKED);
        EXIT WHEN cardinality(v_items) >= v_n;
    END LOOP;
    RETURN QUERY
    SELECT l.id, l.email, l.email_status, l.email_checked_at
    FROM outreach.take_leases(ws, 'email', v_items, p_worker, p_lease) AS t (id)
    CROSS JOIN LATERAL (SELECT * FROM outreach.leads AS k WHERE k.workspace_id = ws AND k.id = t.id OFFSET 0) AS l
    ORDER BY l.email_checked_at NULLS FIRST, l.id;
END
$$;
GRANT EXECUTE ON FUNCTION outreach.claim_email_checks(integer, text, interval, interval) TO outreachdb_app;

-- Gives leases back: of the items whose lease this worker still has, done or failed. Returns those that were still its own. What
-- failed waits an hour, then twice as long each time, at most a week.
CREATE OR REPLACE FUNCTION outreach.end_leases(
    p_workspace bigint, p_queue text, p_items bigint[], p_worker text, p_error text)
RETURNS bigint[]
LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    v_mine bigint[] := ARRAY(
        SELECT q.item_id FROM outreach.queue_leases AS q
        WHERE q.workspace_id = p_workspace AND q.queue = p_queue AND q.item_id = ANY (p_items) AND q.worker = p_worker
          AND q.lease_until > clock_timestamp()
        ORDER BY q.item_id
        FOR UPDATE);
BEGIN
    IF p_error IS NULL THEN
        DELETE FROM outreach.queue_leases AS q
        WHERE q.workspace_id = p_workspace AND q.queue = p_queue AND q.item_id = ANY (v_mine);
    ELSE
        -- Nobody's any more: the same worker must claim it again, too.
        UPDATE outreach.queue_leases AS q
        SET worker = '', failures = q.failures + 1, error = left(p_error, 500),
            lease_until = clock_timestamp() + least(interval '7 days', interval '1 hour' * 2 ^ least(q.failures, 10))
        WHERE q.workspace_id = p_workspace AND q.queue = p_queue AND q.item_id = ANY (v_mine);
    END IF;
    RETURN v_mine;
END
$$;
REVOKE EXECUTE ON FUNCTION outreach.end_leases(bigint, text, bigint[], text, text) FROM PUBLIC;
GRANT EXECUTE ON FUNCTION outreach.end_leases(bigint, text, bigint[], text, text) TO outreachdb_trusted;

-- Companies were crawled (or could not be, p_error says why); returns how many of them this worker still had. What it had lost
-- to another worker stays that one's.
-- owner: outreachdb_trusted
CREATE OR REPLACE FUNCTION outreach.complete_url_crawls(
    p_companies bigint[], p_worker text, p_error text DEFAULT NULL, p_at timestamptz DEFAULT now())
RETURNS bigint
LANGUAGE plpgsql SECURITY DEFINER
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    ws constant bigint := outreach.required_workspace();
    v_mine constant bigint[] := outreach.end_leases(ws, 'url', p_companies, p_worker, p_error);
BEGIN
    IF p_error IS NULL THEN
        UPDATE outreach.companies AS c SET last_crawled_at = p_at
        FROM (SELECT k.id FROM outreach.companies AS k WHERE k.workspace_id = ws AND k.id = ANY (v_mine)
              ORDER BY k.id FOR NO KEY UPDATE) AS mine
        WHERE c.workspace_id = ws AND c.id = mine.id;
    END IF;
    RETURN cardinality(v_mine);
END
$$;
GRANT EXECUTE ON FUNCTION outreach.complete_url_crawls(bigint[], text, text, timestamptz) TO outreachdb_app;

-- Profiles were looked at; what was found is stored by whoever looked (outreach.contact_social_profiles).
-- owner: outreachdb_trusted
CREATE OR REPLACE FUNCTION outreach.complete_profile_checks(
    p_leads bigint[], p_worker text, p_error text DEFAULT NULL, p_at timestamptz DEFAULT now())
RETURNS bigint
LANGUAGE plpgsql SECURITY DEFINER
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    ws constant bigint := outreach.required_workspace();
    v_mine constant bigint[] := outreach.end_leases(ws, 'profile', p_leads, p_worker, p_error);
BEGIN
    IF p_error IS NULL THEN
        UPDATE outreach.leads AS l SET profile_checked_at = p_at
        FROM (SELECT k.id FROM outreach.leads AS k WHERE k.workspace_id = ws AND k.id = ANY (v_mine)
              ORDER BY k.id FOR NO KEY UPDATE) AS mine
        WHERE l.workspace_id = ws AND l.id = mine.id;
    END IF;
    RETURN cardinality(v_mine);
END
$$;
GRANT EXECUTE ON FUNCTION outreach.complete_profile_checks(bigint[], text, text, timestamptz) TO outreachdb_app;

-- Addresses were verified: p_statuses says of each lead, in the same order, valid, risky, invalid or unknown.
-- owner: outreachdb_trusted
CREATE OR REPLACE FUNCTION outreach.complete_email_checks(
    p_leads bigint[], p_statuses text[], p_worker text, p_error text DEFAULT NULL, p_at timestamptz DEFAULT now())
RETURNS bigint
LANGUAGE plpgsql SECURITY DEFINER
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    ws constant bigint := outreach.required_workspace();
    v_mine bigint[];
BEGIN
    IF p_error IS NULL AND (cardinality(p_leads) <> cardinality(p_statuses)
                            OR NOT p_statuses <@ ARRAY['valid', 'risky', 'invalid', 'unknown']) THEN
        RAISE EXCEPTION 'each lead needs a status: valid, risky, invalid or unknown'
            USING ERRCODE = 'invalid_parameter_value';
    END IF;
    v_mine := outreach.end_leases(ws, 'email', p_leads, p_worker, p_error);
    IF p_error IS NULL THEN
        UPDATE outreach.leads AS l SET email_status = mine.status, email_checked_at = p_at
        FROM (SELECT k.id, g.status
              FROM (SELECT DISTINCT ON (u.id) u.id, u.status
                    FROM unnest(p_leads, p_statuses) WITH ORDINALITY AS u (id, status, place)
                    WHERE u.id = ANY (v_mine) ORDER BY u.id, u.place DESC) AS g
              CROSS JOIN LATERAL (SELECT x.id FROM outreach.leads AS x WHERE x.workspace_id = ws AND x.id = g.id
                                  FOR NO KEY UPDATE) AS k) AS mine
        WHERE l.workspace_id = ws AND l.id = mine.id;
    END IF;
    RETURN cardinality(v_mine);
END
$$;
GRANT EXECUTE ON FUNCTION outreach.complete_email_checks(bigint[], text[], text, text, timestamptz) TO outreachdb_app;

-- Forgets the leases of lost workers in all workspaces, a day after they ended (until then a failure is remembered); what they
-- held is free already. Returns how many.
-- owner: outreachdb_trusted
CREATE OR REPLACE FUNCTION outreach.release_check_leases() RETURNS bigint
LANGUAGE plpgsql SECURITY DEFINER
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    v_count bigint;
BEGIN
    DELETE FROM outreach.queue_leases AS q
    WHERE q.lease_until < now() - CASE WHEN q.failures > 0 THEN interval '30 days' ELSE interval '0' END;
    GET DIAGNOSTICS v_count = ROW_COUNT;
    RETURN v_count;
END
$$;
GRANT EXECUTE ON FUNCTION outreach.release_check_leases() TO outreachdb_trusted;
