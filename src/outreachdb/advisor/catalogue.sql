-- What the advisor itself knows of a database, whatever the rules ask.

-- name: relations
WITH RECURSIVE tree AS (
    SELECT c.oid, c.oid AS root
    FROM pg_class AS c
    WHERE c.relkind IN ('r', 'p', 'm', 'v', 'f') AND NOT c.relispartition
    UNION ALL
    SELECT h.inhrelid, tree.root
    FROM tree
    JOIN pg_inherits AS h ON h.inhparent = tree.oid
    JOIN pg_class AS c ON c.oid = h.inhrelid AND c.relispartition
)

SELECT
    c.oid, tree.root, n.nspname AS schema, c.relname AS name, c.relkind::text AS kind,
    greatest(c.reltuples, s.n_live_tup, 0)::float8 AS rows,
    CASE WHEN c.relkind IN ('r', 'm') THEN pg_relation_size(c.oid) ELSE 0 END AS bytes,
    CASE WHEN c.relispartition THEN (SELECT min(h.inhparent) FROM pg_inherits AS h WHERE h.inhrelid = c.oid) END AS parent,
    has_table_privilege(c.oid, 'SELECT') AS readable,
    CASE WHEN c.relrowsecurity THEN row_security_active(c.oid) ELSE false END AS filtered,
    coalesce(
        (
            SELECT array_agg(a.attname::text ORDER BY k.place)
            FROM pg_partitioned_table AS p
            CROSS JOIN LATERAL unnest(p.partattrs::int2[]) WITH ORDINALITY AS k (attnum, place)
            JOIN pg_attribute AS a ON a.attrelid = p.partrelid AND a.attnum = k.attnum
            WHERE p.partrelid = c.oid
        ), '{}'
    ) AS partition_key,
    coalesce(s.n_tup_ins, 0) AS inserted, coalesce(s.n_tup_upd, 0) AS updated, coalesce(s.n_tup_hot_upd, 0) AS hot,
    coalesce(s.n_tup_del, 0) AS deleted
FROM pg_class AS c
JOIN tree ON tree.oid = c.oid
JOIN pg_namespace AS n ON n.oid = c.relnamespace
LEFT JOIN pg_stat_all_tables AS s ON s.relid = c.oid
WHERE n.nspname NOT IN ('pg_catalog', 'information_schema', 'pg_toast') AND c.relpersistence <> 't'

-- name: taken_names
SELECT n.nspname AS schema, c.relname AS name
FROM pg_class AS c
JOIN pg_namespace AS n ON n.oid = c.relnamespace
WHERE n.nspname NOT IN ('pg_catalog', 'information_schema', 'pg_toast')

-- name: columns
SELECT
    a.attrelid AS relation, a.attname::text AS name, format_type(a.atttypid, NULL) AS type, a.attnotnull AS not_null,
    t.typcategory::text AS category, s.null_frac, s.n_distinct, s.correlation, s.avg_width,
    CASE WHEN s.most_common_freqs IS NOT NULL THEN s.most_common_vals::text::text[] END AS common_values,
    s.most_common_freqs AS common_frequencies
FROM pg_attribute AS a
JOIN pg_class AS c ON c.oid = a.attrelid AND c.relkind IN ('r', 'p', 'm')
JOIN pg_type AS t ON t.oid = a.atttypid
JOIN pg_namespace AS n ON n.oid = c.relnamespace
LEFT JOIN pg_stats AS s
    ON s.schemaname = n.nspname AND s.tablename = c.relname AND s.attname = a.attname
    AND s.inherited = (c.relkind = 'p')
WHERE
    a.attnum > 0 AND NOT a.attisdropped
    AND n.nspname NOT IN ('pg_catalog', 'information_schema', 'pg_toast') AND c.relpersistence <> 't'
ORDER BY a.attrelid, a.attnum

-- name: indexes
SELECT
    i.indexrelid AS oid, i.indrelid AS relation, c.relname::text AS name, am.amname::text AS method, i.indisunique AS unique,
    ARRAY(
        SELECT pg_get_indexdef(i.indexrelid, p.n, true) FROM generate_series(1, i.indnkeyatts) AS p (n) ORDER BY p.n
    ) AS keys,
    ARRAY(
        SELECT o.opcname::text FROM unnest(i.indclass::oid[]) WITH ORDINALITY AS k (class, place)
        JOIN pg_opclass AS o ON o.oid = k.class ORDER BY k.place
    ) AS classes,
    coalesce(pg_get_expr(i.indpred, i.indrelid), '') AS predicate
FROM pg_index AS i
JOIN pg_class AS c ON c.oid = i.indexrelid
JOIN pg_namespace AS n ON n.oid = c.relnamespace
JOIN pg_am AS am ON am.oid = c.relam
WHERE i.indisvalid AND n.nspname NOT IN ('pg_catalog', 'information_schema', 'pg_toast')

-- name: about
SELECT
    current_database() AS database, current_setting('server_version') AS version, now() AS as_of,
    current_user AS role, pg_is_in_recovery() AS standby,
    pg_has_role(current_user, 'pg_read_all_stats', 'USAGE') AS reads_statistics,
    (SELECT r.days FROM reset AS r) AS statistics_days,
    EXISTS (SELECT FROM pg_extension AS e WHERE e.extname = 'pg_stat_statements') AS has_statements,
    (
        SELECT format('%I', n.nspname) FROM pg_extension AS e JOIN pg_namespace AS n ON n.oid = e.extnamespace
        WHERE e.extname = 'pg_stat_statements'
    ) AS statements_schema,
    (
        SELECT format('%I', n.nspname) FROM pg_extension AS e JOIN pg_namespace AS n ON n.oid = e.extnamespace
        WHERE e.extname = 'hypopg'
    ) AS hypopg_schema,
    (
        SELECT format('%I', n.nspname) FROM pg_extension AS e JOIN pg_namespace AS n ON n.oid = e.extnamespace
        WHERE e.extname = 'pg_trgm'
    ) AS trgm_schema,
    (
        SELECT count(*)::int FROM pg_sequence AS s WHERE NOT has_sequence_privilege(s.seqrelid, 'USAGE, SELECT')
    ) AS hidden_sequences
