-- title: Foreign keys without an index
-- group: indexes
-- unit: keys
-- yellow: 1
-- red: 10
-- uses: tables indexes unserved_foreign_keys
-- why: Each delete from the parent reads the whole child table, or walks through an index that holds the key in a later
--   column, holding row locks meanwhile.
-- advice: Build the indexes; outreachdb advise --rule foreign_key_without_index --rule foreign_key_in_later_column has the statements.
-- sources: https://www.postgresql.org/docs/current/ddl-constraints.html#DDL-CONSTRAINTS-FK
SELECT
    count(*) AS value,
    jsonb_build_object(
        'summary', CASE WHEN count(*) = 0 THEN 'none' ELSE string_agg(f.object, ', ' ORDER BY f.object) END
    ) AS evidence
FROM unserved_foreign_keys AS f
