-- title: Table inheritance
-- severity: info
-- group: design
-- uses: tables
-- why: Unique keys and foreign keys don't reach the children, and a query of the parent reads all of them.
-- fix: Use declarative partitions, or separate tables.
-- sources: https://wiki.postgresql.org/wiki/Don%27t_Do_This#Don.27t_use_table_inheritance
--   https://github.com/mfvanek/pg-index-health
SELECT
    t.oid AS relation, NULL::text AS schema, '{}'::text[] AS columns, NULL::text AS object, NULL::text AS severity,
    jsonb_build_object('summary', format('it inherits from %s', min(h.inhparent::regclass::text))) AS evidence, NULL::jsonb AS fix
FROM tables AS t
JOIN pg_inherits AS h ON h.inhrelid = t.oid
WHERE NOT t.relispartition
GROUP BY t.oid
