-- title: Foreign key not served by an index
-- severity: error
-- group: indexes
-- uses: tables indexes
-- why: Each delete from the parent, and each change of its key, looks for children. Without an index that is one scan of
--   the whole child table per parent row, and row locks are held meanwhile. The check itself decides what serves it: the
--   key's columns must be the first of the index, in any order; the operator and the collation must be those of the
--   check; a predicate may say no more than that the key is not null. BRIN and an index that holds the column in a later
--   place would be read from end to end, so they don't count; the evidence names them.
-- fix: Build the index concurrently; on a partitioned table partition by partition.
-- sources: https://www.postgresql.org/docs/current/ddl-constraints.html#DDL-CONSTRAINTS-FK
--   https://github.com/supabase/splinter https://github.com/mfvanek/pg-index-health
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
        k.oid, p.leaf, a.attnum, a.attcollation, u.operator, k.confkey[u.place] AS parent_attnum
    FROM keys AS k
    JOIN parts AS p ON p.oid = k.oid
    CROSS JOIN LATERAL unnest(k.columns, k.operators) WITH ORDINALITY AS u (name, operator, place)
    JOIN pg_attribute AS a ON a.attrelid = p.leaf AND a.attname = u.name
),

places AS (
    SELECT w.oid, w.leaf, i.oid AS index, i.method, u.place, w.attnum, w.parent_attnum
    FROM wanted AS w
    JOIN indexes AS i ON i.relation = w.leaf AND i.indisvalid AND i.indisready AND i.indislive AND i.method <> 'brin'
    CROSS JOIN LATERAL unnest(i.keys, i.classes, i.collations) WITH ORDINALITY AS u (attnum, class, collated, place)
    JOIN pg_opclass AS c ON c.oid = u.class
    WHERE
        u.place <= i.indnkeyatts AND u.attnum = w.attnum AND u.collated IN (w.attcollation, 0)
        AND EXISTS (SELECT FROM pg_amop AS o WHERE o.amopfamily = c.opcfamily AND o.amopopr = w.operator)
        AND (
            i.predicate = ''
            OR regexp_replace(
                (
                    SELECT regexp_replace(
                        i.predicate, '\(?(' || string_agg(
                            regexp_replace(quote_ident(a.attname), '([^\w"])', '\\\1', 'g'), '|'
                        ) || ') IS NOT NULL\)?', '', 'g'
                    )
                    FROM wanted AS o JOIN pg_attribute AS a ON a.attrelid = o.leaf AND a.attnum = o.attnum
                    WHERE o.oid = w.oid AND o.leaf = w.leaf
                ), '[() ]|AND', '', 'g'
            ) = ''
        )
),

-- How many of the key's columns an index begins with; GIN knows no order.
begins AS (
    SELECT
        p.oid, p.leaf, p.index,
        count(*) FILTER (WHERE p.method = 'gin' OR p.place = p.nth) AS columns,
        array_agg(p.parent_attnum) FILTER (WHERE p.method = 'gin' OR p.place = p.nth) AS parent_columns
    FROM (
        SELECT places.*, row_number() OVER (PARTITION BY oid, leaf, index ORDER BY place) AS nth FROM places
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

unserved AS (
    SELECT
        k.*, m.leaves, m.missing, m.bytes, s.changes, n.nulls,
        -- An index can't help where the check casts the column.
        EXISTS (
            SELECT
            FROM unnest(k.conkey, k.operators) AS u (attnum, operator)
            JOIN pg_attribute AS a ON a.attrelid = k.conrelid AND a.attnum = u.attnum
            JOIN pg_operator AS o ON o.oid = u.operator
            JOIN pg_cast AS c ON c.castsource = a.atttypid AND c.casttarget = o.oprleft AND c.castmethod <> 'b'
        ) AS casts,
        h.near
    FROM keys AS k
    JOIN (
        SELECT
            p.oid, count(*) AS leaves, count(*) FILTER (WHERE s.oid IS NULL) AS missing,
            sum(pg_relation_size(p.leaf)) AS bytes
        FROM parts AS p
        LEFT JOIN served AS s ON s.oid = p.oid AND s.leaf = p.leaf
        GROUP BY p.oid
    ) AS m ON m.oid = k.oid AND m.missing > 0
    CROSS JOIN LATERAL (
        SELECT sum(pg_stat_get_tuples_updated(t.relid) + pg_stat_get_tuples_deleted(t.relid)) AS changes
        FROM (SELECT k.confrelid UNION SELECT p.relid FROM pg_partition_tree(k.confrelid) AS p) AS t (relid)
    ) AS s
    LEFT JOIN (
        SELECT t.oid, s.attname, max(s.null_frac) AS nulls
        FROM pg_stats AS s
        JOIN tables AS t ON t.schema = s.schemaname AND t.name = s.tablename
        WHERE s.null_frac > 0
        GROUP BY t.oid, s.attname
    ) AS n ON n.oid = k.conrelid AND k.n = 1 AND n.attname = k.columns[1]
    LEFT JOIN (
        SELECT k.oid, string_agg(DISTINCT i.name, ', ') AS near
        FROM keys AS k
        JOIN indexes AS i ON i.relation = k.conrelid AND i.indisvalid AND i.columns && k.columns::text[]
        GROUP BY k.oid
    ) AS h ON h.oid = k.oid
)

SELECT
    u.conrelid AS relation, NULL::text AS schema, u.columns::text[] AS columns, u.conname::text AS object,
    CASE WHEN u.bytes < 10 * 1024 * 1024 OR coalesce(u.changes, 0) = 0 THEN 'warning' ELSE 'error' END AS severity,
    jsonb_strip_nulls(jsonb_build_object(
        'summary', format(
            'a delete from %s looks through the whole of %s (%s)%s', u.confrelid::regclass, u.quoted,
            pg_size_pretty(u.bytes),
            CASE WHEN u.casts THEN '; no index can help, as the check casts the column: give both sides one type' ELSE '' END
        ),
        'references', u.confrelid::regclass::text, 'table_bytes', u.bytes, 'parent_changes', u.changes,
        'partitions', CASE WHEN u.leaves > 1 THEN u.leaves END,
        'partitions_without_index', CASE WHEN u.leaves > 1 THEN u.missing END,
        'not_enough', u.near, 'null_fraction', u.nulls
    )) AS evidence,
    CASE WHEN NOT u.casts THEN jsonb_strip_nulls(jsonb_build_object(
        'kind', 'create_index',
        'columns', (SELECT jsonb_agg(quote_ident(c) ORDER BY n) FROM unnest(u.columns) WITH ORDINALITY AS x (c, n)),
        'where', CASE WHEN u.nulls >= 0.5 THEN quote_ident(u.columns[1]) || ' IS NOT NULL' END
    )) END AS fix
FROM unserved AS u
