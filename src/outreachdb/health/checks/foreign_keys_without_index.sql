-- title: Foreign keys without an index
-- group: indexes
-- unit: keys
-- yellow: 1
-- red: 10
-- faults: foreign_key_without_index
-- why: Each delete from the parent reads the whole child table, holding row locks meanwhile.
-- advice: Build the indexes; outreachdb advise --rule foreign_key_without_index has the statements.
-- sources: https://www.postgresql.org/docs/current/ddl-constraints.html#DDL-CONSTRAINTS-FK
SELECT
    count(*) AS value,
    jsonb_build_object(
        'summary', CASE WHEN count(*) = 0 THEN 'none' ELSE string_agg(f.object, ', ' ORDER BY f.object) END
    ) AS evidence
FROM foreign_key_without_index AS f
