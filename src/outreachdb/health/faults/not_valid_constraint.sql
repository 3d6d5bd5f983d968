-- title: Constraint never validated
-- severity: warning
-- group: constraints
-- uses: tables
-- why: A NOT VALID constraint holds for new rows only: old rows may break it, and the planner can't rely on it. Constraints
--   that are NOT ENFORCED (PostgreSQL 18) say so on purpose and can't be validated; they are not reported.
-- fix: Mend the rows that break it, then validate: writers go on meanwhile.
-- sources: https://www.postgresql.org/docs/current/sql-altertable.html https://github.com/ankane/pghero
SELECT
    k.conrelid AS relation, NULL::text AS schema,
    ARRAY(SELECT a.attname::text FROM unnest(k.conkey) WITH ORDINALITY AS u (attnum, place)
        JOIN pg_attribute AS a ON a.attrelid = k.conrelid AND a.attnum = u.attnum ORDER BY u.place) AS columns,
    k.conname::text AS object, NULL::text AS severity,
    jsonb_build_object(
        'summary', format('%s holds for new rows only', pg_get_constraintdef(k.oid)), 'kind', k.contype::text
    ) AS evidence,
    jsonb_build_object(
        'kind', 'statement', 'do', jsonb_build_array(format('ALTER TABLE %s VALIDATE CONSTRAINT %I', t.quoted, k.conname))
    ) AS fix
FROM pg_constraint AS k
JOIN tables AS t ON t.oid = k.conrelid
WHERE
    NOT k.convalidated AND k.conparentid = 0 AND k.contype IN ('c', 'f', 'n')
    AND (k.contype <> 'c' OR k.coninhcount = 0)
    AND coalesce((to_jsonb(k) ->> 'conenforced')::boolean, true)
