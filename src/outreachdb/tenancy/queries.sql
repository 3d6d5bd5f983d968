-- name: create_workspace
INSERT INTO outreach.workspaces (name) VALUES (%(name)s) RETURNING id, name, created_at, read_limit_ms;

-- name: find_workspace
SELECT id, name, created_at, read_limit_ms FROM outreach.workspaces WHERE name = %(name)s;

-- name: list_workspaces
SELECT w.id, w.name, w.created_at, w.read_limit_ms
FROM outreach.workspaces AS w
WHERE w.name > %(after)s
ORDER BY w.name
LIMIT %(limit)s;

-- name: set_read_limit
UPDATE outreach.workspaces SET read_limit_ms = %(read_limit_ms)s WHERE name = %(name)s
RETURNING id, name, created_at, read_limit_ms;

-- name: create_key
-- The line of the audit log is written by the same statement: neither is there without the other.
WITH made AS (
    INSERT INTO outreach.api_keys AS k
        (workspace_id, name, prefix, key_hash, scopes, renew, lifetime_seconds, expires_at)
    VALUES (%(workspace_id)s, %(name)s, %(prefix)s, %(key_hash)s, %(scopes)s, %(renew)s, %(lifetime_seconds)s,
            now() + make_interval(secs => %(lifetime_seconds)s::bigint))
    RETURNING k.workspace_id, k.id, k.name, k.prefix, k.scopes, k.renew, k.created_at, k.expires_at, k.last_used_at,
        k.revoked_at, outreach.api_key_details(k) AS details
), noted AS (
    INSERT INTO outreach.audit_log (workspace_id, actor, action, object_type, object_id, details)
    SELECT m.workspace_id, coalesce(nullif(%(by)s::text, ''), session_user), 'key.create', 'api_key', m.id::text,
           m.details || jsonb_strip_nulls(jsonb_build_object('in_place_of', %(in_place_of)s::bigint))
    FROM made AS m
)
SELECT m.id, m.name, m.prefix, m.scopes, m.renew, m.created_at, m.expires_at, m.last_used_at, m.revoked_at
FROM made AS m;

-- name: list_keys
SELECT k.id, k.name, k.prefix, k.scopes, k.renew, k.created_at, k.expires_at, k.last_used_at, k.revoked_at
FROM outreach.api_keys AS k
WHERE k.workspace_id = %(workspace_id)s
ORDER BY k.created_at;

-- name: hold_key
SELECT k.id, k.name, k.scopes, k.renew, k.lifetime_seconds, k.revoked_at
FROM outreach.api_keys AS k
WHERE k.workspace_id = %(workspace_id)s AND k.id = %(id)s
FOR UPDATE;

-- name: end_key
-- With a period of grace the old key goes on until the new one is everywhere; never longer than it would have.
WITH ended AS (
    UPDATE outreach.api_keys AS k
    SET revoked_at = CASE WHEN %(grace_seconds)s::bigint = 0 THEN now() ELSE k.revoked_at END,
        renew = false,
        expires_at = CASE WHEN %(grace_seconds)s::bigint = 0 THEN k.expires_at
                          ELSE least(k.expires_at, now() + make_interval(secs => %(grace_seconds)s::bigint)) END
    WHERE k.workspace_id = %(workspace_id)s AND k.id = %(id)s AND k.revoked_at IS NULL
    RETURNING k.workspace_id, k.id, k.name, k.prefix, k.scopes, k.renew, k.created_at, k.expires_at, k.last_used_at,
        k.revoked_at, outreach.api_key_details(k) AS details
), noted AS (
    INSERT INTO outreach.audit_log (workspace_id, actor, action, object_type, object_id, details)
    SELECT e.workspace_id, coalesce(nullif(%(by)s::text, ''), session_user),
           CASE WHEN %(replaced_by)s::bigint IS NULL THEN 'key.revoke' ELSE 'key.rotate' END, 'api_key', e.id::text,
           e.details || jsonb_strip_nulls(jsonb_build_object('replaced_by', %(replaced_by)s::bigint))
    FROM ended AS e
)
SELECT e.id, e.name, e.prefix, e.scopes, e.renew, e.created_at, e.expires_at, e.last_used_at, e.revoked_at
FROM ended AS e;

-- name: authenticate_key
SELECT a.key_id, a.workspace_id, a.workspace, a.read_limit_ms, a.scopes FROM outreach.authenticate_key(%(hash)s) AS a;

-- name: prepare_audit_month
SELECT outreach.ensure_partitions('audit_log', now(), now());

-- name: audit_entries
SELECT a.id, a.created_at, a.actor, a.action, a.object_type, a.object_id, a.details
FROM outreach.audit_log AS a
WHERE a.workspace_id = %(workspace_id)s AND (%(before)s::bigint IS NULL OR a.id < %(before)s)
ORDER BY a.id DESC
LIMIT %(limit)s;

-- name: audit_entries_of_action
SELECT a.id, a.created_at, a.actor, a.action, a.object_type, a.object_id, a.details
FROM outreach.audit_log AS a
WHERE a.workspace_id = %(workspace_id)s AND a.action = %(action)s AND (%(before)s::bigint IS NULL OR a.id < %(before)s)
ORDER BY a.created_at DESC, a.id DESC
LIMIT %(limit)s;
