-- title: Detached partitions that nobody drops
-- group: partitions
-- unit: tables
-- yellow: 1
-- red: 24
-- needs: table:ops.partition_archives table:ops.partition_drops
-- why: A table in the schema of partitions that belongs to no table keeps rows that no query finds and no retention lets go:
--   somebody detached it by hand, or a restore was broken off.
-- advice: Look what is in it; then attach it again, archive it, or drop it.
-- sources: https://www.postgresql.org/docs/current/ddl-partitioning.html
WITH apart AS (
    SELECT c.oid, c.relname AS name, c.xmin::text::bigint AS version, format('%I.%I', n.nspname, c.relname) AS qualified
    FROM pg_class AS c
    JOIN pg_namespace AS n ON n.oid = c.relnamespace
    WHERE n.nspname = 'parts' AND c.relkind = 'r' AND NOT EXISTS (SELECT FROM pg_inherits AS i WHERE i.inhrelid = c.oid)
),

left_over AS (
    SELECT t.oid, t.name
    FROM apart AS t
    WHERE
        -- What retention is about to drop, an archive about to be written, a restore that is going on.
        NOT EXISTS (
            SELECT FROM ops.partition_drops AS d
            WHERE d.relation = t.oid::bigint AND d.partition_name = t.qualified AND d.detached_as = t.version
        )
        AND NOT EXISTS (
            SELECT FROM ops.partition_archives AS a
            WHERE a.state IN ('writing', 'verified') AND t.qualified IN (a.leaving, a.partition_name)
        )
        AND NOT EXISTS (
            SELECT FROM pg_locks AS l
            WHERE l.locktype = 'advisory' AND l.granted AND t.name ~ '_restoring_[0-9]+$'
              AND (l.classid::bigint << 32 | l.objid::bigint)
                  = hashtextextended('outreachdb.archive.' || substring(t.name FROM '[0-9]+$'), 0)
        )
)

SELECT
    count(*) AS value,
    jsonb_build_object(
        'summary', coalesce(string_agg(l.name, ', ' ORDER BY l.name), 'none'),
        'bytes', coalesce(sum(pg_total_relation_size(l.oid)), 0)
    ) AS evidence
FROM left_over AS l
