-- title: Cache hits of indexes
-- group: memory
-- unit: %
-- worse: lower
-- yellow: 98
-- red: 95
-- given: min_blocks=10000
-- why: An index that is not in memory makes each look-up a read from disk, at every one of its levels.
-- advice: Give PostgreSQL more memory (outreachdb tune), and drop indexes that nobody uses (outreachdb advise).
-- sources: https://www.postgresql.org/docs/current/monitoring-stats.html https://github.com/ankane/pghero
WITH read AS (
    SELECT coalesce(sum(s.idx_blks_hit), 0) AS hit, coalesce(sum(s.idx_blks_read), 0) AS missed
    FROM pg_statio_user_indexes AS s
)

SELECT
    CASE WHEN r.hit + r.missed >= g.min_blocks THEN 100 * r.hit / (r.hit + r.missed) END AS value,
    format('only %s blocks were read since the statistics began', r.hit + r.missed) AS reason,
    jsonb_build_object(
        'summary', format('%s of %s blocks were in shared_buffers', r.hit, r.hit + r.missed), 'hit', r.hit, 'read', r.missed
    ) AS evidence
FROM read AS r
CROSS JOIN given AS g
