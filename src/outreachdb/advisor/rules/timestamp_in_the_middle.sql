-- title: Time in the middle of an index
-- severity: info
-- group: indexes
-- uses: indexes
-- why: Times are asked for by range, and columns behind a range narrow nothing: they are read and thrown away.
-- fix: Put the time last, behind the columns that are asked by equality.
-- sources: https://www.postgresql.org/docs/current/indexes-multicolumn.html https://github.com/mfvanek/pg-index-health
SELECT
    i.relation, NULL::text AS schema, i.columns::text[] AS columns, i.name::text AS object, NULL::text AS severity,
    jsonb_build_object('summary', format('%s stands before %s', a.attname, i.columns[cardinality(i.columns)])) AS evidence,
    NULL::jsonb AS fix
FROM indexes AS i
CROSS JOIN LATERAL unnest(i.keys[0 : i.indnkeyatts - 2]) AS k (attnum)
JOIN pg_attribute AS a ON a.attrelid = i.relation AND a.attnum = k.attnum
    AND a.atttypid IN ('timestamptz'::regtype, 'timestamp'::regtype)
-- A unique index states a rule, whatever its order; a last column that breaks ties (an id) is for paging.
WHERE i.method = 'btree' AND NOT i.indisunique AND NOT i.attached AND i.columns[cardinality(i.columns)] !~ '(^|_)id$'
