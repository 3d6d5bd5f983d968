-- title: Rows in default partitions
-- group: partitions
-- unit: rows
-- yellow: 1
-- red: 100000
-- why: Rows that no partition takes end there; a partition can't be made for them until they are moved, and every such
--   attempt reads all of them under lock.
-- advice: Move the rows to a partition of their own, and make partitions ahead of time.
-- sources: https://www.postgresql.org/docs/current/ddl-partitioning.html
WITH defaults AS (
    SELECT c.oid::regclass::text AS name, greatest(c.reltuples, pg_stat_get_live_tuples(c.oid), 0) AS rows
    FROM pg_partitioned_table AS p
    JOIN pg_class AS c ON c.oid = p.partdefid
)

SELECT
    CASE WHEN count(*) > 0 THEN sum(d.rows) END AS value,
    'no table has a default partition' AS reason,
    jsonb_build_object(
        'summary', coalesce(string_agg(format('%s: %s', d.name, d.rows), ', ' ORDER BY d.name) FILTER (WHERE d.rows > 0), 'none')
    ) AS evidence
FROM defaults AS d
