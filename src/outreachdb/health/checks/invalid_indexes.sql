-- title: Invalid indexes
-- group: indexes
-- unit: indexes
-- yellow: 1
-- red: 3
-- faults: invalid_index
-- why: What a failed concurrent build leaves is written by every insert and used by no query; if unique, it refuses rows.
-- advice: REINDEX INDEX CONCURRENTLY, or drop it; outreachdb advise --rule invalid_index has the statements.
-- sources: https://www.postgresql.org/docs/current/sql-createindex.html https://github.com/ankane/pghero
SELECT
    count(*) AS value,
    jsonb_build_object(
        'summary', CASE WHEN count(*) = 0 THEN 'none' ELSE string_agg(f.object, ', ' ORDER BY f.object) END
    ) AS evidence
FROM invalid_index AS f
-- One that is being built at this moment is told as info.
WHERE f.severity IS DISTINCT FROM 'info'
