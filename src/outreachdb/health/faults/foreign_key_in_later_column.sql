-- title: Foreign key in a later column of an index
-- severity: warning
-- group: indexes
-- uses: tables indexes unserved_foreign_keys
-- why: Each delete from the parent, and each change of its key, looks for children. The planner has an index for that, but
--   none that begins with the key's columns, so it walks through all of it, or skips from one value of the first column to
--   the next (PostgreSQL 18). Most often that is a primary key such as (order_id, product_id) for the key on product_id.
--   BRIN is read from end to end too; an index on a part of a key finds more rows than the check asks for, unless that part
--   is unique in the parent; one whose predicate alone names the key holds them all. On a small or quiet table that will do.
-- fix: Build an index of the key's own where parent rows are deleted or updated often or the table is large, concurrently;
--   on a partitioned table partition by partition. Elsewhere accept the finding.
-- sources: https://www.postgresql.org/docs/current/indexes-multicolumn.html
--   https://www.postgresql.org/docs/current/ddl-constraints.html#DDL-CONSTRAINTS-FK
SELECT
    u.relation, NULL::text AS schema, u.columns, u.object,
    CASE WHEN u.quiet THEN 'info' ELSE 'warning' END AS severity,
    u.evidence || jsonb_strip_nulls(jsonb_build_object(
        'summary', format(
            CASE
                WHEN u.walk_place IS NULL THEN 'a delete from %1$s walks through all of %2$s, which names the key in its predicate only'
                WHEN u.walk_method = 'brin' THEN 'a delete from %1$s reads all of %2$s, which knows ranges of (%3$s), no rows'
                WHEN u.walk_place = 1 OR u.walk_method = 'gin'
                    THEN 'a delete from %1$s reads all that %2$s finds by (%3$s), a part of the key'
                ELSE 'a delete from %1$s walks through all of %2$s, which holds (%3$s) only from place %4$s on'
            END, u.parent, u.walk, u.walk_held, u.walk_place
        ),
        'index', u.walk, 'index_bytes', u.walk_bytes, 'place', u.walk_place
    )) AS evidence,
    u.fix AS fix
FROM unserved_foreign_keys AS u
WHERE u.walked
