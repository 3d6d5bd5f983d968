-- title: Foreign key without an index
-- severity: error
-- group: indexes
-- uses: tables indexes unserved_foreign_keys
-- why: Each delete from the parent, and each change of its key, looks for children. Without an index that is one scan of
--   the whole child table per parent row, and row locks are held meanwhile. The planner decides what counts: an index of
--   any kind with which it could answer the check's query, even by walking through all of it; foreign_key_in_later_column
--   tells of those that it would have to walk through. The operator and the collation must be those of the check; a
--   predicate may say no more than that the key is not null. Indexes that hold a column and don't count are named in the
--   evidence.
-- fix: Build the index concurrently; on a partitioned table partition by partition.
-- sources: https://www.postgresql.org/docs/current/ddl-constraints.html#DDL-CONSTRAINTS-FK
--   https://github.com/supabase/splinter https://github.com/mfvanek/pg-index-health
WITH near AS (
    SELECT k.relation, k.object, string_agg(DISTINCT i.name, ', ') AS names
    FROM unserved_foreign_keys AS k
    JOIN indexes AS i ON i.relation = k.relation AND i.indisvalid AND i.columns && k.columns
    GROUP BY k.relation, k.object
)

SELECT
    u.relation, NULL::text AS schema, u.columns, u.object,
    CASE WHEN u.quiet THEN 'warning' ELSE 'error' END AS severity,
    u.evidence || jsonb_strip_nulls(jsonb_build_object(
        'summary', format(
            'a delete from %s looks through the whole of %s (%s)%s', u.parent, u.quoted, u.size,
            CASE WHEN u.casts THEN '; no index can help, as the check casts the column: give both sides one type' ELSE '' END
        ),
        'not_enough', n.names
    )) AS evidence,
    u.fix AS fix
FROM unserved_foreign_keys AS u
LEFT JOIN near AS n ON n.relation = u.relation AND n.object = u.object
WHERE NOT u.walked
