-- title: Timestamp without time zone
-- severity: warning
-- group: types
-- uses: columns
-- why: The value means another instant in each time zone, and in none of them when the clock goes back an hour. `time
--   with time zone` is reported as well: it has an offset and no date to apply it to.
-- fix: ALTER ... TYPE timestamptz USING column AT TIME ZONE 'UTC' (the zone that the writers meant); it rewrites the
--   table.
-- sources: https://wiki.postgresql.org/wiki/Don%27t_Do_This#Don.27t_use_timestamp_.28without_time_zone.29
--   https://github.com/mfvanek/pg-index-health
SELECT
    c.relation, NULL::text AS schema, ARRAY[c.name::text] AS columns, NULL::text AS object, NULL::text AS severity,
    jsonb_build_object('summary', format('%s is %s', c.name, c.type), 'type', c.type) AS evidence,
    NULL::jsonb AS fix
FROM columns AS c
WHERE c.base IN ('timestamp'::regtype, 'timetz'::regtype)
