-- title: Foreign key between different types
-- severity: warning
-- group: types
-- uses: tables
-- why: The child can't hold every value of the parent's key (an integer that refers to a bigint runs out first), or each
--   check casts one side, which an index may not serve. Lengths and precisions count as well.
-- fix: Give both columns one type.
-- sources: https://www.postgresql.org/docs/current/ddl-constraints.html#DDL-CONSTRAINTS-FK
--   https://github.com/mfvanek/pg-index-health
SELECT
    k.conrelid AS relation, NULL::text AS schema, array_agg(a.attname::text ORDER BY u.place) AS columns,
    k.conname::text AS object, NULL::text AS severity,
    jsonb_build_object(
        'summary', string_agg(format(
            '%s is %s, %s.%s is %s', a.attname, format_type(a.atttypid, a.atttypmod), k.confrelid::regclass, p.attname,
            format_type(p.atttypid, p.atttypmod)
        ), '; ' ORDER BY u.place),
        'references', k.confrelid::regclass::text
    ) AS evidence,
    NULL::jsonb AS fix
FROM pg_constraint AS k
JOIN tables AS t ON t.oid = k.conrelid
CROSS JOIN LATERAL unnest(k.conkey, k.confkey) WITH ORDINALITY AS u (attnum, parent_attnum, place)
JOIN pg_attribute AS a ON a.attrelid = k.conrelid AND a.attnum = u.attnum
JOIN pg_attribute AS p ON p.attrelid = k.confrelid AND p.attnum = u.parent_attnum
WHERE k.contype = 'f' AND k.conparentid = 0 AND (a.atttypid, a.atttypmod) <> (p.atttypid, p.atttypmod)
GROUP BY k.oid, k.conrelid, k.confrelid, k.conname
