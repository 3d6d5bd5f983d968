-- title: Invalid index
-- severity: error
-- group: indexes
-- uses: indexes
-- why: A concurrent build that failed leaves an index that every write maintains and no query uses; if it is unique, it can
--   refuse rows as well. `CREATE INDEX IF NOT EXISTS` takes it for the real one. The index of a partitioned table that
--   was made with ON ONLY is invalid until each partition's index is attached: that is work in progress, not reported.
-- fix: Rebuild it concurrently, or drop what a failed REINDEX left (`_ccnew`, `_ccold`).
-- sources: https://www.postgresql.org/docs/current/sql-createindex.html#SQL-CREATEINDEX-CONCURRENTLY
--   https://github.com/ankane/pghero
SELECT
    i.relation, NULL::text AS schema, i.columns::text[] AS columns, i.name::text AS object,
    CASE WHEN p.index_relid IS NOT NULL THEN 'info' END AS severity,
    jsonb_build_object(
        'summary', CASE
            WHEN p.index_relid IS NOT NULL THEN 'it is being built at this moment'
            WHEN i.name ~ '_cc(new|old)\d*$' THEN 'a failed REINDEX CONCURRENTLY left it'
            ELSE 'its concurrent build failed; no query uses it, every write pays for it'
        END,
        'index_bytes', i.bytes, 'unique', i.indisunique, 'ready', i.indisready
    ) AS evidence,
    CASE
        WHEN p.index_relid IS NOT NULL THEN NULL
        WHEN i.name ~ '_cc(new|old)\d*$' THEN jsonb_build_object(
            'kind', 'statement', 'do', jsonb_build_array(format('DROP INDEX CONCURRENTLY %I.%I', i.schema, i.name))
        )
        ELSE jsonb_build_object('kind', 'rebuild_index', 'schema', i.schema, 'name', i.name)
    END AS fix
FROM indexes AS i
LEFT JOIN pg_stat_progress_create_index AS p ON p.index_relid = i.oid
WHERE NOT i.indisvalid AND i.relkind = 'i'
