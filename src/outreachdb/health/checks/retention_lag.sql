-- title: Partitions past their retention
-- group: partitions
-- unit: days
-- yellow: 7
-- red: 35
-- needs: table:ops.partitioned_tables
-- uses: time_partitions
-- why: What should have gone costs room, and keeps personal data longer than was promised.
-- advice: outreachdb retention plan tells what would go and what holds it back; outreachdb retention run does it.
-- sources: R0 R3
WITH late AS (
    SELECT
        p.table_name, p.name,
        extract(epoch FROM
            now() - make_interval(months => r.retention_months::int, days => r.retention_days::int) - p.upper) / 86400 AS days
    FROM ops.partitioned_tables AS r
    -- The registry names a table as SQL writes it, a bare name standing in outreach.
    JOIN time_partitions AS p
        ON r.table_name = CASE p.schema WHEN 'outreach' THEN '' ELSE quote_ident(p.schema) || '.' END || quote_ident(p.table_name)
    -- An empty one keeps nothing too long.
    WHERE r.retention_months IS NOT NULL AND pg_relation_size(p.oid) > 0
)

SELECT
    greatest(coalesce(max(l.days), 0), 0) AS value,
    jsonb_build_object(
        'summary', CASE WHEN count(*) FILTER (WHERE l.days > 0) = 0 THEN 'none' ELSE
            format('%s, the oldest is %s', count(*) FILTER (WHERE l.days > 0),
                (SELECT o.name FROM late AS o ORDER BY o.days DESC LIMIT 1)) END,
        'partitions', count(*) FILTER (WHERE l.days > 0)
    ) AS evidence
FROM late AS l
