-- title: Cache hits of tables
-- group: memory
-- unit: %
-- worse: lower
-- yellow: 95
-- red: 90
-- given: min_blocks=10000
-- uses: memory
-- why: What is not in shared_buffers comes from the operating system's cache or the disk, ten to a thousand times slower.
--   The figure counts since the statistics began; below min_blocks it says nothing, and what is read for the first time must
--   come from disk: a low figure counts once more blocks came from there than shared_buffers holds, of data that don't fit.
-- advice: Give PostgreSQL more memory (outreachdb tune), or mend the queries that read most (outreachdb advise).
-- sources: https://www.postgresql.org/docs/current/monitoring-stats.html https://github.com/ankane/pghero
WITH read AS (
    SELECT coalesce(sum(s.heap_blks_hit), 0) AS hit, coalesce(sum(s.heap_blks_read), 0) AS missed
    FROM pg_statio_user_tables AS s
)

SELECT
    -- The size of all databases is asked last: it takes a look at every file.
    CASE
        WHEN r.hit + r.missed < g.min_blocks THEN NULL
        WHEN c.percent >= g.yellow THEN c.percent
        WHEN r.missed > (SELECT m.holds FROM memory AS m) AND (SELECT m.wanted > m.holds FROM memory AS m) THEN c.percent
    END AS value,
    CASE
        WHEN r.hit + r.missed < g.min_blocks THEN format('only %s blocks were read since the statistics began', r.hit + r.missed)
        WHEN c.percent >= g.yellow THEN NULL
        WHEN (SELECT m.wanted <= m.holds FROM memory AS m) THEN format('all data fits into shared_buffers; the %s blocks from disk were first reads', r.missed)
        ELSE format('%s blocks came from disk, fewer than shared_buffers holds: it was being filled', r.missed)
    END AS reason,
    jsonb_build_object(
        'summary', format('%s of %s blocks were in shared_buffers', r.hit, r.hit + r.missed), 'hit', r.hit, 'read', r.missed
    ) AS evidence
FROM read AS r
CROSS JOIN LATERAL (SELECT 100 * r.hit / nullif(r.hit + r.missed, 0) AS percent) AS c
CROSS JOIN given AS g
