-- title: Duplicate indexes
-- group: indexes
-- unit: indexes
-- yellow: 1
-- red: 10
-- faults: duplicate_index
-- why: Two indexes that hold the same answer the same queries; one of them only costs.
-- advice: Drop all but one; outreachdb advise --rule duplicate_index has the statements.
-- sources: https://wiki.postgresql.org/wiki/Index_Maintenance https://github.com/ankane/pghero
SELECT
    count(*) AS value,
    jsonb_build_object(
        'summary', CASE WHEN count(*) = 0 THEN 'none' ELSE string_agg(f.object, '; ' ORDER BY f.object) END,
        'wasted_bytes', coalesce(sum((f.evidence ->> 'wasted_bytes')::numeric), 0)
    ) AS evidence
FROM duplicate_index AS f
