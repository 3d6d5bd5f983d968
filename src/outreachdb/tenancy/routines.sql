-- requires: 0001

-- Who a key is: one probe of a unique index by the SHA-256 of the key, the same work for a right key, a wrong one and an expired
-- one. Notes the use at most once a minute, so that requests don't queue for one row.
-- owner: outreachdb_trusted
CREATE OR REPLACE FUNCTION outreach.authenticate_key(p_hash bytea)
RETURNS TABLE (key_id bigint, workspace_id bigint, workspace text, read_limit_ms bigint, scopes text[])
LANGUAGE plpgsql SECURITY DEFINER
SET search_path = pg_catalog, pg_temp
AS $$
#variable_conflict use_column
BEGIN
    UPDATE outreach.api_keys AS k SET last_used_at = clock_timestamp()
    WHERE k.key_hash = p_hash AND (k.last_used_at IS NULL OR k.last_used_at < clock_timestamp() - interval '1 minute')
      AND k.revoked_at IS NULL AND (k.expires_at IS NULL OR k.expires_at > clock_timestamp());
    RETURN QUERY
    SELECT k.id, w.id, w.name, w.read_limit_ms, k.scopes
    FROM outreach.api_keys AS k
    JOIN outreach.workspaces AS w ON w.id = k.workspace_id
    WHERE k.key_hash = p_hash AND k.revoked_at IS NULL
      AND (k.expires_at IS NULL OR k.expires_at > clock_timestamp());
END
$$;
GRANT EXECUTE ON FUNCTION outreach.authenticate_key(bytea) TO outreachdb_app, outreachdb_trusted;

-- What the audit log tells of a key, and the login that changed it: never its secret, nor the hash of it.
CREATE OR REPLACE FUNCTION outreach.api_key_details(p_key outreach.api_keys) RETURNS jsonb
LANGUAGE sql STABLE
RETURN jsonb_strip_nulls(jsonb_build_object(
    'name', p_key.name, 'prefix', p_key.prefix, 'scopes', to_jsonb(p_key.scopes), 'renew', p_key.renew,
    'expires_at', p_key.expires_at, 'last_used_at', p_key.last_used_at, 'revoked_at', p_key.revoked_at, 'login', session_user));

-- Revokes the keys whose time is over, as of that time, and forgets those revoked longer than p_keep ago. Returns how many were
-- revoked or forgotten. An expired key opens nothing before this either. Each is told in the audit log by the same statement.
-- owner: outreachdb_trusted
CREATE OR REPLACE FUNCTION outreach.expire_api_keys(p_keep interval DEFAULT '90 days') RETURNS bigint
LANGUAGE plpgsql SECURITY DEFINER
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    v_revoked bigint;
    v_forgotten bigint;
BEGIN
    PERFORM outreach.ensure_partitions('audit_log', now(), now());
    WITH ended AS (
        UPDATE outreach.api_keys AS k SET revoked_at = k.expires_at
        WHERE k.revoked_at IS NULL AND k.expires_at <= now()
        RETURNING k.workspace_id, k.id, outreach.api_key_details(k) AS details
    ), noted AS (
        INSERT INTO outreach.audit_log (workspace_id, actor, action, object_type, object_id, details)
        SELECT e.workspace_id, 'expire_api_keys', 'key.expire', 'api_key', e.id::text, e.details FROM ended AS e
    )
    SELECT count(*) INTO v_revoked FROM ended;
    WITH gone AS (
        DELETE FROM outreach.api_keys AS k WHERE k.revoked_at < now() - p_keep
        RETURNING k.workspace_id, k.id, outreach.api_key_details(k) AS details
    ), noted AS (
        INSERT INTO outreach.audit_log (workspace_id, actor, action, object_type, object_id, details)
        SELECT g.workspace_id, 'expire_api_keys', 'key.forget', 'api_key', g.id::text, g.details FROM gone AS g
    )
    SELECT count(*) INTO v_forgotten FROM gone;
    RETURN v_revoked + v_forgotten;
END
$$;
GRANT EXECUTE ON FUNCTION outreach.expire_api_keys(interval) TO outreachdb_trusted;

-- Prolongs the keys that are marked for renewal and expire within p_within by as long as they were made for. A key that nobody
-- has used for p_unused runs out all the same. The secret stays what it is: only its owner knows it, so only a rotation, which
-- somebody asks for, can replace it. Returns how many were prolonged; each is told in the audit log by the same statement.
-- owner: outreachdb_trusted
CREATE OR REPLACE FUNCTION outreach.renew_api_keys(
    p_within interval DEFAULT '7 days', p_unused interval DEFAULT '90 days')
RETURNS bigint
LANGUAGE plpgsql SECURITY DEFINER
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    v_renewed bigint;
BEGIN
    PERFORM outreach.ensure_partitions('audit_log', now(), now());
    WITH renewed AS (
        UPDATE outreach.api_keys AS k
        SET expires_at = now() + make_interval(secs => k.lifetime_seconds)
        WHERE k.revoked_at IS NULL AND k.expires_at > now() AND k.expires_at < now() + p_within
          AND k.renew AND k.lifetime_seconds IS NOT NULL
          AND coalesce(k.last_used_at, k.created_at) > now() - p_unused
          AND now() + make_interval(secs => k.lifetime_seconds) > k.expires_at
        RETURNING k.workspace_id, k.id, outreach.api_key_details(k) AS details
    ), noted AS (
        INSERT INTO outreach.audit_log (workspace_id, actor, action, object_type, object_id, details)
        SELECT r.workspace_id, 'renew_api_keys', 'key.renew', 'api_key', r.id::text, r.details FROM renewed AS r
    )
    SELECT count(*) INTO v_renewed FROM renewed;
    RETURN v_renewed;
END
$$;
GRANT EXECUTE ON FUNCTION outreach.renew_api_keys(interval, interval) TO outreachdb_trusted;
