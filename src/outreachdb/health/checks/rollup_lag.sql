-- title: Deltas that wait for the rollups
-- group: analytics
-- unit: rows
-- yellow: 100000
-- red: 1000000
-- needs: table:analytics.rollup_deltas
-- why: Statistics add what is not folded yet, so they stay exact, but each read costs more. Counted no further than red.
-- advice: Run outreachdb worker (it folds every minute); outreachdb jobs history tells why it did not.
-- sources: R3
SELECT
    count(*) AS value, jsonb_build_object('summary', CASE WHEN count(*) = 0 THEN 'all is folded' ELSE 'not folded yet' END) AS evidence
FROM (
    SELECT FROM analytics.rollup_deltas AS d
    LIMIT (SELECT greatest(g.red, g.yellow)::bigint + 1 FROM given AS g)
) AS d
