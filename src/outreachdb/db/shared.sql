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
-- Since when the statistics of this database count.
SELECT
    s.stats_reset, extract(day FROM now() - s.stats_reset)::int AS days,
    (SELECT count(*)::int FROM pg_stat_replication) AS standbys, pg_is_in_recovery() AS standby
FROM pg_stat_database AS s
WHERE s.datname = current_database()

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
