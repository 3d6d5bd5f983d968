-- title: Index that holds mostly nulls
-- severity: info
-- group: indexes
-- uses: indexes
-- why: Most rows of the column are null, and a query that looks for a value never needs them: a partial index is as
--   quick, smaller, and untouched by rows without a value.
-- fix: Build it again WHERE the column IS NOT NULL, then drop the whole one, unless queries ask for IS NULL.
-- sources: https://www.postgresql.org/docs/current/indexes-partial.html https://github.com/mfvanek/pg-index-health
SELECT
    i.relation, NULL::text AS schema, i.columns::text[] AS columns, i.name::text AS object, NULL::text AS severity,
    jsonb_build_object(
        'summary', format('%s%% of the rows have no %s', round(s.null_frac::numeric * 100), i.columns[1]),
        'null_fraction', s.null_frac, 'index_bytes', i.bytes
    ) AS evidence,
    CASE WHEN i.relkind = 'i' AND NOT i.attached THEN jsonb_build_array(
        jsonb_build_object(
            'kind', 'create_index', 'columns', jsonb_build_array(pg_get_indexdef(i.oid, 1, false)), 'using', i.method,
            'where', quote_ident(i.columns[1]) || ' IS NOT NULL'
        ),
        jsonb_build_object(
            'kind', 'drop_index', 'schema', i.schema, 'name', i.name, 'definition', pg_get_indexdef(i.oid), 'partitioned', false
        )
    ) END AS fix
FROM indexes AS i
JOIN pg_class AS t ON t.oid = i.relation
JOIN pg_namespace AS n ON n.oid = t.relnamespace
JOIN pg_stats AS s ON s.schemaname = n.nspname AND s.tablename = t.relname AND s.attname = i.columns[1]
WHERE
    i.indnatts = 1 AND i.predicate = '' AND i.expressions = '' AND NOT i.indisunique AND NOT i.backs AND i.indisvalid
    AND i.options[0] = 0 AND i.method = 'btree' AND s.null_frac >= 0.5 AND NOT i.attached
