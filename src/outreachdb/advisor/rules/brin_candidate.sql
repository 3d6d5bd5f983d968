-- title: Time column in the order of its rows
-- severity: info
-- group: storage
-- uses: columns
-- why: Rows only come, in the order of this column: a BRIN index finds a range with a few pages where a B-tree takes a
--   fifth of the table and a write per row.
-- fix: Build BRIN; drop the B-tree over this column alone if nothing sorts by it.
-- sources: https://www.postgresql.org/docs/current/brin.html
SELECT
    c.relation, NULL::text AS schema, ARRAY[c.name::text] AS columns, NULL::text AS object, NULL::text AS severity,
    jsonb_build_object(
        'summary', format('%s follows the order of the rows (correlation %s), and rows only come', c.name, round(s.correlation::numeric, 3)),
        'correlation', s.correlation, 'inserted', a.n_tup_ins, 'updated_or_deleted', a.n_tup_upd + a.n_tup_del
    ) AS evidence,
    jsonb_build_object('kind', 'create_index', 'columns', jsonb_build_array(quote_ident(c.name)), 'using', 'brin') AS fix
FROM columns AS c
JOIN pg_class AS t ON t.oid = c.relation
JOIN pg_stats AS s ON s.schemaname = c.schema AND s.tablename = c.table_name AND s.attname = c.name AND NOT s.inherited
JOIN pg_stat_all_tables AS a ON a.relid = c.relation
WHERE
    c.base IN ('timestamptz'::regtype, 'timestamp'::regtype, 'date'::regtype) AND s.correlation >= 0.99
    AND (s.n_distinct < -0.01 OR s.n_distinct > 100)
    -- One range is 128 pages: below ten of them there is nothing to skip.
    AND t.relpages >= 1280
    AND a.n_tup_upd + a.n_tup_del <= a.n_tup_ins * 0.01
    AND NOT EXISTS (
        SELECT FROM pg_index AS i
        JOIN pg_class AS x ON x.oid = i.indexrelid
        JOIN pg_am AS m ON m.oid = x.relam AND m.amname = 'brin'
        WHERE i.indrelid = c.relation AND c.attnum = ANY (i.indkey::int2[])
    )
