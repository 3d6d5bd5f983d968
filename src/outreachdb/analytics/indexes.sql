-- Whom each index of this room serves; the form is told in outreachdb/db/index_catalogue.py.

-- name: pk_rollups
-- as: trusted
-- The totals of a campaign, and the row that folding adds to.
SELECT r.kind, sum(r.total), sum(r.people)
FROM analytics.rollups AS r
WHERE r.workspace_id = %(workspace_id)s AND r.grain = %(grain)s AND r.key = %(key)s
GROUP BY r.kind;

-- name: pk_rollup_deltas
-- as: trusted
-- What is not folded yet: of a campaign for exact totals, of a workspace in this order for folding.
SELECT d.kind, d.total, d.people
FROM analytics.rollup_deltas AS d
WHERE d.workspace_id = %(workspace_id)s AND d.grain = %(grain)s AND d.key = %(key)s;

-- name: pk_people_first
-- as: trusted
-- Whether a lead did this before: asked for every event.
SELECT p.first_at
FROM analytics.people_first AS p
WHERE p.workspace_id = %(workspace_id)s AND p.grain = %(grain)s AND p.key = %(key)s AND p.kind = %(event)s
  AND p.lead_id = %(lead_id)s;
