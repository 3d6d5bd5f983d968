-- Whom each index of this room serves; the form is told in outreachdb/db/index_catalogue.py.

-- name: pk_workspaces
-- The session's own workspace, and the parent side of every foreign key to workspaces.
SELECT w.name, w.settings FROM outreach.workspaces AS w WHERE w.id = %(workspace_id)s;

-- name: uq_workspaces_name
-- as: trusted
-- query: find_workspace
-- A workspace by its name, before any session has one.

-- name: pk_api_keys
-- as: trusted
-- A key is rotated, revoked or marked as used.
SELECT k.name, k.revoked_at FROM outreach.api_keys AS k WHERE k.id = %(id)s;

-- name: uq_api_keys_key_hash
-- as: trusted
-- Every request with a key: the hash leads to the workspace.
SELECT k.workspace_id, k.scopes, k.expires_at FROM outreach.api_keys AS k WHERE k.key_hash = %(hash)s;

-- name: ix_api_keys_workspace
-- as: trusted
-- The keys of a workspace, oldest first; covers the foreign key to workspaces.
SELECT k.name, k.prefix, k.created_at, k.expires_at
FROM outreach.api_keys AS k
WHERE k.workspace_id = %(workspace_id)s
ORDER BY k.created_at;

-- name: ix_api_keys_expires_at
-- as: trusted
-- The nightly jobs that renew or clear away keys about to expire, over all workspaces (R2).
SELECT k.id FROM outreach.api_keys AS k WHERE k.revoked_at IS NULL AND k.expires_at < %(until)s ORDER BY k.expires_at;

-- name: pk_audit_log
-- The log of a workspace in the order in which it was written, page by page.
SELECT a.id, a.created_at, a.actor, a.action
FROM outreach.audit_log AS a
WHERE a.workspace_id = %(workspace_id)s AND a.id > %(after)s
ORDER BY a.id
LIMIT %(limit)s;

-- name: ix_audit_log_action
-- Who did a certain thing, latest first.
SELECT a.created_at, a.actor, a.object_type, a.object_id
FROM outreach.audit_log AS a
WHERE a.workspace_id = %(workspace_id)s AND a.action = %(action)s
ORDER BY a.created_at DESC
LIMIT %(limit)s;

-- name: brin_audit_log_created_at
-- as: trusted
-- What happened within a day, over all workspaces; rows arrive in the order of time.
SELECT a.workspace_id, a.actor, a.action, a.object_id
FROM outreach.audit_log AS a
WHERE a.created_at >= %(day)s AND a.created_at < %(next_day)s;
