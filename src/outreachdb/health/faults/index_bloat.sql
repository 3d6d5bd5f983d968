-- title: Bloated index
-- severity: warning
-- group: storage
-- weigh: size
-- uses: indexes
-- why: Much of the index's file is empty pages; a search reads more of them, and the cache holds them. Estimated from
--   the planner's statistics for B-trees over plain columns; pgstattuple measures it.
-- fix: REINDEX INDEX CONCURRENTLY.
-- sources: https://www.postgresql.org/docs/current/routine-reindex.html https://github.com/mfvanek/pg-index-health
--   https://github.com/ankane/pghero
WITH large AS MATERIALIZED (
    SELECT i.*, c.relpages, c.reltuples, n.nspname, t.relname
    FROM indexes AS i
    JOIN pg_class AS c ON c.oid = i.oid
    JOIN pg_class AS t ON t.oid = i.relation
    JOIN pg_namespace AS n ON n.oid = t.relnamespace
    WHERE
        i.method = 'btree' AND i.relkind = 'i' AND i.expressions = '' AND i.indnatts = i.indnkeyatts
        AND c.reltuples >= 0 AND c.relpages >= 128
),

estimated AS (
    SELECT
        i.*, ceil(i.reltuples * (12 + ceil(w.width / 8.0) * 8) / ((8192 - 40) * 0.9)) + 1 AS pages
    FROM large AS i
    JOIN LATERAL (
        SELECT sum((1 - s.null_frac) * s.avg_width) AS width, count(*) AS known
        FROM pg_stats AS s
        WHERE s.schemaname = i.nspname AND s.tablename = i.relname AND NOT s.inherited AND s.attname = ANY (i.columns)
    ) AS w ON w.known = i.indnkeyatts
)

SELECT
    e.relation, NULL::text AS schema, e.columns::text[] AS columns, e.name::text AS object, NULL::text AS severity,
    jsonb_build_object(
        'summary', format('some %s of %s are empty', pg_size_pretty(((e.relpages - e.pages) * 8192)::bigint), pg_size_pretty(e.relpages * 8192::bigint)),
        'pages', e.relpages, 'pages_needed', e.pages, 'share', round((1 - e.pages / e.relpages)::numeric, 2)
    ) AS evidence,
    jsonb_build_object('kind', 'rebuild_index', 'schema', e.schema, 'name', e.name) AS fix
FROM estimated AS e
WHERE 1 - e.pages / e.relpages >= 0.4
