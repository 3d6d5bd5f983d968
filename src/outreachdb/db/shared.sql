-- Expressions that several rules begin with. All of them leave out the system's own objects, temporary ones, and those
-- that an extension brought.

-- name: tables
SELECT
    c.oid, c.relnamespace, n.nspname AS schema, c.relname AS name, c.relkind, c.relowner, c.relispartition,
    c.relrowsecurity, c.relacl, c.reltuples, c.reloptions, c.relpages, c.relnatts,
    format('%I.%I', n.nspname, c.relname) AS quoted,
    pg_relation_size(c.oid) AS bytes
FROM pg_class AS c
JOIN pg_namespace AS n ON n.oid = c.relnamespace
WHERE
    c.relkind IN ('r', 'p')
    AND c.relpersistence <> 't'
    AND n.nspname NOT IN ('pg_catalog', 'information_schema', 'pg_toast')
    AND NOT EXISTS (
        SELECT FROM pg_depend AS d
        WHERE d.classid = 'pg_class'::regclass AND d.objid = c.oid AND d.deptype = 'e'
    )

-- name: indexes
SELECT
    i.indexrelid AS oid, i.indrelid AS relation, n.nspname AS schema, c.relname AS name, c.relkind, am.amname AS method,
    i.indisunique, i.indisprimary, i.indisexclusion, i.indisvalid, i.indisready, i.indislive, i.indisreplident,
    i.indisclustered, i.indimmediate, i.indnullsnotdistinct, i.indnkeyatts, i.indnatts, i.indkey::int2[] AS keys, i.indclass::oid[] AS classes,
    i.indcollation::oid[] AS collations, i.indoption::int2[] AS options,
    coalesce(pg_get_expr(i.indexprs, i.indrelid), '') AS expressions,
    coalesce(pg_get_expr(i.indpred, i.indrelid), '') AS predicate,
    EXISTS (SELECT FROM pg_inherits AS h WHERE h.inhrelid = i.indexrelid) AS attached,
    EXISTS (SELECT FROM pg_constraint AS k WHERE k.conindid = i.indexrelid) AS backs,
    ARRAY(
        SELECT coalesce(a.attname::text, pg_get_indexdef(i.indexrelid, p.n::int, true))
        FROM generate_series(1, i.indnkeyatts) AS p (n)
        LEFT JOIN pg_attribute AS a
            ON a.attrelid = i.indrelid AND a.attnum = (i.indkey::int2[])[p.n - 1] AND a.attnum <> 0
        ORDER BY p.n
    ) AS columns,
    pg_relation_size(i.indexrelid) AS bytes
FROM pg_index AS i
JOIN pg_class AS c ON c.oid = i.indexrelid
JOIN pg_class AS t ON t.oid = i.indrelid
JOIN pg_namespace AS n ON n.oid = c.relnamespace
JOIN pg_am AS am ON am.oid = c.relam
WHERE
    t.relkind IN ('r', 'p', 'm')
    AND t.relpersistence <> 't'
    AND n.nspname NOT IN ('pg_catalog', 'information_schema', 'pg_toast')
    AND NOT EXISTS (
        SELECT FROM pg_depend AS d
        WHERE d.classid = 'pg_class'::regclass AND d.objid = t.oid AND d.deptype = 'e'
    )

-- name: columns
-- Columns of tables that are not partitions: a partition's columns are its parent's.
SELECT
    a.attrelid AS relation, a.attname AS name, a.attnum, a.attnotnull, a.atttypid, a.atttypmod, a.atthasdef,
    a.attidentity, a.attgenerated, a.attcollation,
    CASE WHEN y.typtype = 'd' THEN y.typbasetype ELSE a.atttypid END AS base,
    format_type(a.atttypid, a.atttypmod) AS type,
    n.nspname AS schema, c.relname AS table_name, c.relkind, c.reltuples, format('%I.%I', n.nspname, c.relname) AS quoted
FROM pg_attribute AS a
JOIN pg_class AS c ON c.oid = a.attrelid
JOIN pg_type AS y ON y.oid = a.atttypid
JOIN pg_namespace AS n ON n.oid = c.relnamespace
WHERE
    c.relkind IN ('r', 'p')
    AND NOT c.relispartition
    AND c.relpersistence <> 't'
    AND a.attnum > 0
    AND NOT a.attisdropped
    AND n.nspname NOT IN ('pg_catalog', 'information_schema', 'pg_toast')
    AND NOT EXISTS (
        SELECT FROM pg_depend AS d
        WHERE d.classid = 'pg_class'::regclass AND d.objid = c.oid AND d.deptype = 'e'
    )

-- name: checked
-- Columns that a CHECK, of the table or of their domain, says something about.
SELECT k.conrelid AS relation, u.attnum, pg_get_constraintdef(k.oid) AS said
FROM pg_constraint AS k
CROSS JOIN LATERAL unnest(k.conkey) AS u (attnum)
WHERE k.contype = 'c'
UNION ALL
SELECT a.attrelid, a.attnum, pg_get_constraintdef(k.oid)
FROM pg_constraint AS k
JOIN pg_attribute AS a ON a.atttypid = k.contypid
WHERE k.contype = 'c' AND k.contypid <> 0 AND NOT a.attisdropped

-- name: reset
-- Since when the statistics of this database count. A crash throws away all counts and leaves no mark at the database, as if it
-- had never been reset; the counts of the server as a whole begin anew at that instant, and keep it.
SELECT
    w.since AS stats_reset, extract(day FROM now() - w.since)::int AS days,
    (SELECT count(*)::int FROM pg_stat_replication) AS standbys, pg_is_in_recovery() AS standby
FROM pg_stat_database AS s
CROSS JOIN pg_stat_bgwriter AS b
CROSS JOIN LATERAL (SELECT greatest(s.stats_reset, b.stats_reset) AS since) AS w
WHERE s.datname = current_database()

-- name: cache_hits
-- Of what was read of tables and of indexes, how much was in shared_buffers; for checks, whose numbers "given" holds. A low share counts
-- once more blocks came from disk than shared_buffers holds, of data that don't fit. "memory" has the blocks that they hold, and those of
-- all databases that share them, as far as this role may know; it is asked last, as it takes a look at every file.
WITH read AS (
    SELECT 'tables' AS kind, coalesce(sum(s.heap_blks_hit), 0) AS hit, coalesce(sum(s.heap_blks_read), 0) AS missed
    FROM pg_statio_user_tables AS s
    UNION ALL
    SELECT 'indexes', coalesce(sum(s.idx_blks_hit), 0), coalesce(sum(s.idx_blks_read), 0)
    FROM pg_statio_user_indexes AS s
),

memory AS MATERIALIZED (
    SELECT
        b.setting::bigint AS holds,
        (
            SELECT sum(CASE WHEN has_database_privilege(d.oid, 'CONNECT') OR pg_has_role(current_user, 'pg_read_all_stats', 'USAGE')
                THEN pg_database_size(d.oid) END) / current_setting('block_size')::int
            FROM pg_database AS d
        ) AS wanted
    FROM pg_settings AS b
    WHERE b.name = 'shared_buffers'
)

SELECT
    r.kind,
    CASE
        WHEN r.hit + r.missed < g.min_blocks THEN NULL
        WHEN c.percent >= g.yellow THEN c.percent
        WHEN r.missed > (SELECT m.holds FROM memory AS m) AND (SELECT m.wanted > m.holds FROM memory AS m) THEN c.percent
    END AS value,
    CASE
        WHEN r.hit + r.missed < g.min_blocks THEN format('only %s blocks were read since the statistics began', r.hit + r.missed)
        WHEN c.percent >= g.yellow THEN NULL
        WHEN (SELECT m.wanted <= m.holds FROM memory AS m) THEN format('all data fits into shared_buffers; the %s blocks from disk were first reads', r.missed)
        ELSE format('%s blocks came from disk, fewer than shared_buffers holds: it was being filled', r.missed)
    END AS reason,
    jsonb_build_object(
        'summary', format('%s of %s blocks were in shared_buffers', r.hit, r.hit + r.missed), 'hit', r.hit, 'read', r.missed
    ) AS evidence
FROM read AS r
CROSS JOIN LATERAL (SELECT 100 * r.hit / nullif(r.hit + r.missed, 0) AS percent) AS c
CROSS JOIN given AS g

-- name: sequences
-- Sequences that end, with the share of their values that is given; what the column's type can't hold does not count.
SELECT
    g.*, least(g.maximum_value, coalesce(g.holds, g.maximum_value)) AS most,
    CASE WHEN g.increment > 0
        THEN (g.last - least(g.start_value, g.minimum_value))::numeric
            / nullif(least(g.maximum_value, coalesce(g.holds, g.maximum_value))::numeric - g.minimum_value, 0)
        ELSE (g.maximum_value - g.last)::numeric / nullif(g.maximum_value::numeric - g.minimum_value, 0)
    END AS share
FROM (
    SELECT
        s.seqrelid, d.refobjid AS relation, a.attname, n.nspname, c.relname,
        s.seqstart AS start_value, s.seqmin AS minimum_value, s.seqmax AS maximum_value, s.seqincrement AS increment,
        s.seqcycle AS cycle_option,
        CASE WHEN has_sequence_privilege(s.seqrelid, 'USAGE, SELECT') THEN pg_sequence_last_value(s.seqrelid) END AS last,
        CASE a.atttypid WHEN 'int2'::regtype THEN 32767 WHEN 'int4'::regtype THEN 2147483647 END AS holds
    FROM pg_sequence AS s
    JOIN pg_class AS c ON c.oid = s.seqrelid AND c.relpersistence <> 't'
    JOIN pg_namespace AS n ON n.oid = c.relnamespace
    LEFT JOIN pg_depend AS d
        ON d.classid = 'pg_class'::regclass AND d.objid = s.seqrelid AND d.refclassid = 'pg_class'::regclass
        AND d.refobjsubid > 0 AND d.deptype IN ('a', 'i')
    LEFT JOIN pg_attribute AS a ON a.attrelid = d.refobjid AND a.attnum = d.refobjsubid
) AS g
WHERE NOT g.cycle_option

-- name: unserved_foreign_keys
-- Foreign keys whose check can't go straight to the rows, for want of an index that begins with their columns. `walked`
-- where the planner has an index all the same, in each partition: one of another kind, to walk through; `walk` is one.
WITH keys AS (
    SELECT
        k.oid, k.conname, k.conrelid, k.confrelid, k.conkey, k.confkey, cardinality(k.conkey) AS n, t.quoted, t.name,
        ARRAY(
            SELECT a.attname FROM unnest(k.conkey) WITH ORDINALITY AS u (attnum, place)
            JOIN pg_attribute AS a ON a.attrelid = k.conrelid AND a.attnum = u.attnum ORDER BY u.place
        ) AS columns,
        -- The check asks `parent = child`; an index on the child is asked by the commutator.
        ARRAY(
            SELECT o.oprcom FROM unnest(k.conpfeqop) WITH ORDINALITY AS u (operator, place)
            JOIN pg_operator AS o ON o.oid = u.operator ORDER BY u.place
        ) AS operators
    FROM pg_constraint AS k
    JOIN tables AS t ON t.oid = k.conrelid
    WHERE
        k.contype = 'f' AND k.conparentid = 0
        AND coalesce((to_jsonb(k) ->> 'conenforced')::boolean, true)
),

parts AS (
    SELECT k.oid, p.relid::oid AS leaf
    FROM keys AS k
    CROSS JOIN LATERAL pg_partition_tree(k.conrelid) AS p
    WHERE p.isleaf
    UNION
    SELECT k.oid, k.conrelid FROM keys AS k WHERE NOT EXISTS (
        SELECT FROM pg_inherits AS h JOIN pg_class AS c ON c.oid = h.inhrelid AND c.relispartition
        WHERE h.inhparent = k.conrelid
    )
),

-- A partition may hold its columns in another order: they are found by name.
wanted AS (
    SELECT
        k.oid, p.leaf, a.attname, a.attnum, a.attcollation, u.operator, k.confkey[u.place] AS parent_attnum
    FROM keys AS k
    JOIN parts AS p ON p.oid = k.oid
    CROSS JOIN LATERAL unnest(k.columns, k.operators) WITH ORDINALITY AS u (name, operator, place)
    JOIN pg_attribute AS a ON a.attrelid = p.leaf AND a.attname = u.name
),

-- Indexes that hold every row of the check: a predicate says no more than that columns of the key are not null.
usable AS (
    SELECT w.oid, w.leaf, i.oid AS index, i.name, i.method, i.predicate, i.bytes, i.keys, i.classes, i.collations, i.indnkeyatts
    FROM (
        SELECT oid, leaf, string_agg(regexp_replace(quote_ident(attname), '([^\w"])', '\\\1', 'g'), '|') AS names
        FROM wanted
        GROUP BY oid, leaf
    ) AS w
    JOIN indexes AS i ON i.relation = w.leaf AND i.indisvalid AND i.indisready AND i.indislive
    WHERE
        i.predicate = ''
        OR regexp_replace(
            regexp_replace(i.predicate, '\(?(' || w.names || ') IS NOT NULL\)?', '', 'g'), '[() ]|AND|OR', '', 'g'
        ) = ''
),

-- Where they hold columns of the key in a way that the check's operators can ask.
places AS (
    SELECT i.oid, i.leaf, i.index, i.method, p.place, w.attname, w.parent_attnum
    FROM usable AS i
    JOIN wanted AS w ON w.oid = i.oid AND w.leaf = i.leaf
    CROSS JOIN LATERAL unnest(i.keys, i.classes, i.collations) WITH ORDINALITY AS p (attnum, class, collated, place)
    JOIN pg_opclass AS c ON c.oid = p.class
    WHERE
        p.place <= i.indnkeyatts AND p.attnum = w.attnum AND p.collated IN (w.attcollation, 0)
        AND EXISTS (SELECT FROM pg_amop AS o WHERE o.amopfamily = c.opcfamily AND o.amopopr = w.operator)
),

-- How many of the key's columns an index begins with; GIN knows no order, BRIN is always read from end to end.
begins AS (
    SELECT
        p.oid, p.leaf, p.index,
        count(*) FILTER (WHERE p.method = 'gin' OR p.place = p.nth) AS columns,
        array_agg(p.parent_attnum) FILTER (WHERE p.method = 'gin' OR p.place = p.nth) AS parent_columns
    FROM (
        SELECT places.*, row_number() OVER (PARTITION BY oid, leaf, index ORDER BY place) AS nth
        FROM places
        WHERE method <> 'brin'
    ) AS p
    GROUP BY p.oid, p.leaf, p.index
),

served AS (
    SELECT DISTINCT b.oid, b.leaf
    FROM begins AS b
    JOIN keys AS k ON k.oid = b.oid
    WHERE
        b.columns = k.n
        -- Some of the columns are enough where they alone are unique in the parent.
        OR EXISTS (
            SELECT FROM pg_index AS u
            WHERE
                u.indrelid = k.confrelid AND u.indisunique AND u.indimmediate AND u.indisvalid
                AND u.indpred IS NULL AND u.indexprs IS NULL
                AND (u.indkey::int2[])[0 : u.indnkeyatts - 1] <@ b.parent_columns
        )
),

-- What the planner is left with where nothing serves: an index that holds some of the key, or, but for hash, one whose
-- predicate alone speaks of it.
walks AS (
    SELECT DISTINCT ON (i.oid, i.leaf) i.oid, i.leaf, i.name, i.method, i.bytes, p.place, p.held
    FROM usable AS i
    LEFT JOIN (
        SELECT oid, leaf, index, min(place) AS place, string_agg(attname, ', ' ORDER BY place) AS held
        FROM places
        GROUP BY oid, leaf, index
    ) AS p ON p.oid = i.oid AND p.leaf = i.leaf AND p.index = i.index
    WHERE p.place IS NOT NULL OR (i.predicate <> '' AND i.method <> 'hash')
    ORDER BY i.oid, i.leaf, p.place, i.bytes, i.name
)

SELECT
    k.conrelid AS relation, k.columns::text[] AS columns, k.conname::text AS object, m.walked,
    m.bytes < 10 * 1024 * 1024 OR coalesce(s.changes, 0) = 0 AS quiet,
    k.confrelid::regclass::text AS parent, k.quoted, pg_size_pretty(m.bytes) AS size, f.casts,
    w.name AS walk, w.method AS walk_method, w.place AS walk_place, w.held AS walk_held, w.bytes AS walk_bytes,
    jsonb_strip_nulls(jsonb_build_object(
        'references', k.confrelid::regclass::text, 'table_bytes', m.bytes, 'parent_changes', s.changes,
        'partitions', CASE WHEN m.leaves > 1 THEN m.leaves END,
        'partitions_without_index', CASE WHEN m.leaves > 1 THEN m.missing END,
        'null_fraction', n.nulls
    )) AS evidence,
    CASE WHEN NOT f.casts THEN jsonb_strip_nulls(jsonb_build_object(
        'kind', 'create_index',
        'columns', (SELECT jsonb_agg(quote_ident(c) ORDER BY n) FROM unnest(k.columns) WITH ORDINALITY AS x (c, n)),
        'where', CASE WHEN n.nulls >= 0.5 THEN quote_ident(k.columns[1]) || ' IS NOT NULL' END
    )) END AS fix
FROM keys AS k
JOIN (
    SELECT
        p.oid, count(*) AS leaves, count(*) FILTER (WHERE s.oid IS NULL) AS missing,
        bool_and(s.oid IS NOT NULL OR w.oid IS NOT NULL) AS walked,
        sum(pg_relation_size(p.leaf)) AS bytes, min(p.leaf) FILTER (WHERE s.oid IS NULL) AS example
    FROM parts AS p
    LEFT JOIN served AS s ON s.oid = p.oid AND s.leaf = p.leaf
    LEFT JOIN walks AS w ON w.oid = p.oid AND w.leaf = p.leaf
    GROUP BY p.oid
) AS m ON m.oid = k.oid AND m.missing > 0
LEFT JOIN walks AS w ON w.oid = m.oid AND w.leaf = m.example
CROSS JOIN LATERAL (
    SELECT sum(pg_stat_get_tuples_updated(t.relid) + pg_stat_get_tuples_deleted(t.relid)) AS changes
    FROM (SELECT k.confrelid UNION SELECT p.relid FROM pg_partition_tree(k.confrelid) AS p) AS t (relid)
) AS s
-- An index can't help where the check casts the column.
CROSS JOIN LATERAL (
    SELECT EXISTS (
        SELECT
        FROM unnest(k.conkey, k.operators) AS u (attnum, operator)
        JOIN pg_attribute AS a ON a.attrelid = k.conrelid AND a.attnum = u.attnum
        JOIN pg_operator AS o ON o.oid = u.operator
        JOIN pg_cast AS c ON c.castsource = a.atttypid AND c.casttarget = o.oprleft AND c.castmethod <> 'b'
    ) AS casts
) AS f
LEFT JOIN (
    SELECT t.oid, s.attname, max(s.null_frac) AS nulls
    FROM pg_stats AS s
    JOIN tables AS t ON t.schema = s.schemaname AND t.name = s.tablename
    WHERE s.null_frac > 0
    GROUP BY t.oid, s.attname
) AS n ON n.oid = k.conrelid AND k.n = 1 AND n.attname = k.columns[1]

-- name: time_partitions
-- Partitions of tables that are partitioned by ranges of one column of time; instants without a zone are taken as UTC.
SELECT
    p.partrelid AS parent, n.nspname AS schema, t.relname AS table_name, c.oid, c.relname AS name,
    coalesce(b.found[1], '-infinity')::timestamptz AS lower, coalesce(b.found[2], 'infinity')::timestamptz AS upper
FROM pg_partitioned_table AS p
JOIN pg_class AS t ON t.oid = p.partrelid AND NOT t.relispartition
JOIN pg_namespace AS n ON n.oid = t.relnamespace
JOIN pg_attribute AS a ON a.attrelid = p.partrelid AND a.attnum = p.partattrs[0]
JOIN pg_inherits AS h ON h.inhparent = p.partrelid AND NOT h.inhdetachpending
JOIN pg_class AS c ON c.oid = h.inhrelid
CROSS JOIN LATERAL (
    SELECT regexp_match(
        pg_get_expr(c.relpartbound, c.oid), 'FROM \((?:MINVALUE|''([^'']*)'')\) TO \((?:MAXVALUE|''([^'']*)'')\)'
    ) AS found
) AS b
WHERE
    p.partstrat = 'r' AND p.partnatts = 1
    AND a.atttypid IN ('timestamptz'::regtype, 'timestamp'::regtype, 'date'::regtype)
    AND b.found IS NOT NULL

-- name: company_sample
-- Companies with an address to crawl: all of them, or those in a sample of 5,000 pages, which stands for `whole` as many.
SELECT c.last_crawled_at AS checked_at, s.whole
FROM outreach.companies AS c TABLESAMPLE SYSTEM (
    (SELECT least(100, 500000 / greatest(pg_relation_size('outreach.companies') / 8192.0, 1)))
)
CROSS JOIN (SELECT greatest(pg_relation_size('outreach.companies') / 8192 / 5000.0, 1) AS whole) AS s
WHERE c.website_url IS NOT NULL

-- name: lead_sample
-- Leads, sampled in the same way, with what the queues of checks need to know of them.
SELECT
    l.linkedin_url IS NOT NULL AS has_profile, l.profile_checked_at, l.email IS NOT NULL AS has_email,
    l.email_status, l.email_checked_at, s.whole
FROM outreach.leads AS l TABLESAMPLE SYSTEM (
    (SELECT least(100, 500000 / greatest(pg_relation_size('outreach.leads') / 8192.0, 1)))
)
CROSS JOIN (SELECT greatest(pg_relation_size('outreach.leads') / 8192 / 5000.0, 1) AS whole) AS s
