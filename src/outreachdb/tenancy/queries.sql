-- name: create_workspace
INSERT INTO outreach.workspaces (name) VALUES (%(name)s) RETURNING id, name, created_at;

-- name: find_workspace
SELECT id, name, created_at FROM outreach.workspaces WHERE name = %(name)s;

-- name: list_workspaces
SELECT w.id, w.name, w.created_at
FROM outreach.workspaces AS w
WHERE w.name > %(after)s
ORDER BY w.name
LIMIT %(limit)s;
