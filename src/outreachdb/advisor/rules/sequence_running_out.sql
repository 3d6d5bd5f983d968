-- title: Sequence that runs out
-- severity: error
-- group: types
-- uses: sequences
-- why: When the last value is given, or the column's type can't hold the next one, every insert fails.
-- fix: Change the column to bigint ahead of time: add a new column, fill it in batches, swap; or ALTER TYPE where a
--   rewrite under lock is acceptable.
-- sources: https://www.postgresql.org/docs/current/sql-createsequence.html https://github.com/ankane/pghero
--   https://github.com/mfvanek/pg-index-health
SELECT
    u.relation, CASE WHEN u.relation IS NULL THEN u.nspname::text END AS schema,
    CASE WHEN u.attname IS NULL THEN '{}'::text[] ELSE ARRAY[u.attname::text] END AS columns, u.relname::text AS object,
    CASE WHEN u.share >= 0.9 THEN 'error' WHEN u.share >= 0.7 THEN 'warning' ELSE 'info' END AS severity,
    jsonb_build_object(
        'summary', format('%s%% of its values are given: %s of %s', round(u.share * 100, 1), u.last, u.most),
        'last_value', u.last, 'most', u.most, 'used', round(u.share, 4)
    ) AS evidence,
    NULL::jsonb AS fix
FROM sequences AS u
WHERE u.share >= 0.5
