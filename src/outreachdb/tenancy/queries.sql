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
