-- title: Cache hits of tables
-- group: memory
-- unit: %
-- worse: lower
-- yellow: 95
-- red: 90
-- given: min_blocks=10000
-- why: What is not in shared_buffers comes from the operating system's cache or the disk, ten to a thousand times slower.
--   The figure counts since the statistics began; below min_blocks it says nothing.
-- advice: Give PostgreSQL more memory (outreachdb tune), or mend the queries that read most (outreachdb advise).
-- sources: https://www.postgresql.org/docs/current/monitoring-stats.html https://github.com/ankane/pghero
WITH read AS (
    SELECT coalesce(sum(s.heap_blks_hit), 0) AS hit, coalesce(sum(s.heap_blks_read), 0) AS missed
    FROM pg_statio_user_tables AS s
)

SELECT
    CASE WHEN r.hit + r.missed >= g.min_blocks THEN 100 * r.hit / (r.hit + r.missed) END AS value,
    format('only %s blocks were read since the statistics began', r.hit + r.missed) AS reason,
    jsonb_build_object(
        'summary', format('%s of %s blocks were in shared_buffers', r.hit, r.hit + r.missed), 'hit', r.hit, 'read', r.missed
    ) AS evidence
FROM read AS r
CROSS JOIN given AS g
