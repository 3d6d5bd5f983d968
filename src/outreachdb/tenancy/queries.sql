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
INSERT INTO outreach.api_keys (workspace_id, name, prefix, key_hash, scopes, renew, lifetime_seconds, expires_at)
VALUES (%(workspace_id)s, %(name)s, %(prefix)s, %(key_hash)s, %(scopes)s, %(renew)s, %(lifetime_seconds)s,
        now() + make_interval(secs => %(lifetime_seconds)s::bigint))
RETURNING id, name, prefix, scopes, renew, created_at, expires_at, last_used_at, revoked_at;

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
UPDATE outreach.api_keys AS k
SET revoked_at = CASE WHEN %(grace_seconds)s::bigint = 0 THEN now() ELSE k.revoked_at END,
    renew = false,
    expires_at = CASE WHEN %(grace_seconds)s::bigint = 0 THEN k.expires_at
                      ELSE least(k.expires_at, now() + make_interval(secs => %(grace_seconds)s::bigint)) END
WHERE k.workspace_id = %(workspace_id)s AND k.id = %(id)s AND k.revoked_at IS NULL
RETURNING k.id, k.name, k.prefix, k.scopes, k.renew, k.created_at, k.expires_at, k.last_used_at, k.revoked_at;

-- name: authenticate_key
SELECT a.key_id, a.workspace_id, a.workspace, a.read_limit_ms, a.scopes FROM outreach.authenticate_key(%(hash)s) AS a;
