-- name: pending
-- Constraints that are enforced for new rows but were never checked against the old ones. NOT ENFORCED constraints
-- (PostgreSQL 18) can't be validated and are left out; conenforced does not exist before, hence the detour.
SELECT k.oid::bigint AS id,
       quote_ident(n.nspname) || '.' || quote_ident(c.relname) AS "table",
       k.conname AS name,
       k.contype::text AS kind,
       pg_get_constraintdef(k.oid) AS definition,
       pg_get_expr(k.conbin, k.conrelid) AS expression,
       k.confrelid::regclass::text AS referenced,
       ARRAY(SELECT a.attname::text FROM unnest(k.conkey) WITH ORDINALITY AS u (number, place)
             JOIN pg_attribute a ON a.attrelid = k.conrelid AND a.attnum = u.number ORDER BY u.place) AS columns,
       ARRAY(SELECT a.attname::text FROM unnest(k.confkey) WITH ORDINALITY AS u (number, place)
             JOIN pg_attribute a ON a.attrelid = k.confrelid AND a.attnum = u.number ORDER BY u.place) AS referenced_columns,
       ARRAY(SELECT a.attname::text FROM pg_index i, unnest(i.indkey) WITH ORDINALITY AS u (number, place)
             JOIN pg_attribute a ON a.attnum = u.number
             WHERE i.indrelid = k.conrelid AND i.indisprimary AND a.attrelid = k.conrelid ORDER BY u.place) AS key
FROM pg_constraint k
JOIN pg_class c ON c.oid = k.conrelid
JOIN pg_namespace n ON n.oid = c.relnamespace
WHERE k.contype IN ('c', 'f') AND NOT k.convalidated AND k.conparentid = 0 AND k.coninhcount = 0
  AND n.nspname IN ('outreach', 'parts', 'analytics', 'ops')
  AND to_jsonb(k) ->> 'conenforced' IS DISTINCT FROM 'false'
ORDER BY 2, 3
