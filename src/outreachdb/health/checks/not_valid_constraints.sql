-- title: Constraints never validated
-- group: indexes
-- unit: constraints
-- yellow: 1
-- red: 10
-- faults: not_valid_constraint
-- why: They hold for new rows only; old rows may break the rule, and the planner can't rely on it.
-- advice: outreachdb constraints validate reports the rows that break them, then validates while writers go on.
-- sources: https://www.postgresql.org/docs/current/sql-altertable.html
SELECT
    count(*) AS value,
    jsonb_build_object(
        'summary', CASE WHEN count(*) = 0 THEN 'none' ELSE string_agg(f.object, ', ' ORDER BY f.object) END
    ) AS evidence
FROM not_valid_constraint AS f
