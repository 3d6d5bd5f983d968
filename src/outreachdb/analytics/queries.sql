-- name: totals
SELECT clock.as_of, t.kind, t.total, t.people
FROM (SELECT statement_timestamp() AS as_of) AS clock
LEFT JOIN outreach.rollup_totals(%(grain)s, %(key)s) AS t ON true;

-- name: fold
SELECT outreach.fold_rollup_deltas(%(limit)s);

-- name: workspaces_with_deltas
-- One index probe per workspace, however many deltas it has.
WITH RECURSIVE found AS (
  (SELECT d.workspace_id FROM analytics.rollup_deltas AS d ORDER BY d.workspace_id LIMIT 1)
  UNION ALL
  SELECT (SELECT d.workspace_id FROM analytics.rollup_deltas AS d WHERE d.workspace_id > f.workspace_id
          ORDER BY d.workspace_id LIMIT 1)
  FROM found AS f
  WHERE f.workspace_id IS NOT NULL
)
SELECT w.id, w.name FROM found AS f JOIN outreach.workspaces AS w ON w.id = f.workspace_id ORDER BY w.id;
