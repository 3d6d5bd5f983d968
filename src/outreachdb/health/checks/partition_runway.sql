-- title: Partitions ahead
-- group: partitions
-- unit: intervals
-- worse: lower
-- yellow: 2
-- red: 1
-- uses: time_partitions
-- why: When no partition takes the row of a new month, the insert fails. Counted from the partition of this moment on
--   without a gap, for the table that has the fewest; -1 is a table that takes no row of now.
-- advice: outreachdb partitions maintain makes them; see with outreachdb jobs history why its job did not.
-- sources: R3 https://www.postgresql.org/docs/current/ddl-partitioning.html
WITH RECURSIVE reached (parent, upper, ahead) AS (
    SELECT p.parent, p.upper, 0 FROM time_partitions AS p WHERE p.lower <= now() AND p.upper > now()
    UNION ALL
    SELECT p.parent, p.upper, r.ahead + 1
    FROM reached AS r
    JOIN time_partitions AS p ON p.parent = r.parent AND p.lower = r.upper
    WHERE r.ahead < 1000
),

tables AS (
    SELECT
        format('%I.%I', p.schema, p.table_name) AS name, max(r.upper) AS until,
        CASE WHEN max(r.upper) = 'infinity' THEN 1000 ELSE coalesce(max(r.ahead), -1) END AS ahead
    FROM (SELECT DISTINCT parent, schema, table_name FROM time_partitions) AS p
    LEFT JOIN reached AS r ON r.parent = p.parent
    GROUP BY 1
)

SELECT
    min(t.ahead) AS value,
    'no table is partitioned by time' AS reason,
    jsonb_build_object(
        'summary', (
            SELECT CASE WHEN o.ahead < 0 THEN format('%s takes no row of now', o.name)
                ELSE format('%s takes rows until %s', o.name, to_char(o.until, 'YYYY-MM-DD')) END
            FROM tables AS o ORDER BY o.ahead, o.name LIMIT 1
        ),
        'tables', coalesce(jsonb_object_agg(t.name, t.ahead) FILTER (WHERE t.name IS NOT NULL), '{}')
    ) AS evidence
FROM tables AS t
