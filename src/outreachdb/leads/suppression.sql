-- Statements over the temporary table that a file of targets is copied into.

-- name: create_targets
CREATE TEMPORARY TABLE suppression_targets (line bigint, target text) ON COMMIT DROP

-- name: copy_targets
COPY pg_temp.suppression_targets FROM STDIN

-- name: bad_targets
SELECT line, target
FROM pg_temp.suppression_targets
WHERE outreach.suppression_target(target) IS NULL
ORDER BY line
LIMIT 3

-- name: suppress_targets
SELECT added, leads
FROM outreach.suppress(ARRAY(SELECT target FROM pg_temp.suppression_targets), %(reason)s, %(source)s)
