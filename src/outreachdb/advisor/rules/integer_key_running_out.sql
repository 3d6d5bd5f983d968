-- title: Integer key that runs out
-- severity: error
-- group: types
-- uses: columns
-- why: A smallint or integer key that is filled by the application, or refers to a larger one, fails at its type's
--   last value as a sequence does.
-- fix: Change it to bigint before that: new column, batches, swap.
-- sources: https://www.postgresql.org/docs/current/datatype-numeric.html https://github.com/ankane/pghero
WITH highest AS (
    SELECT
        c.*,
        (
            SELECT max(v::numeric) FROM unnest(
                coalesce(s.histogram_bounds::text::text[], '{}') || coalesce(s.most_common_vals::text::text[], '{}')
            ) AS v
        ) AS value,
        CASE c.base WHEN 'int2'::regtype THEN 32767 ELSE 2147483647 END AS most
    FROM columns AS c
    JOIN pg_stats AS s ON s.schemaname = c.schema AND s.tablename = c.table_name AND s.attname = c.name
        AND s.inherited = (c.relkind = 'p')
    WHERE c.base IN ('int2'::regtype, 'int4'::regtype)
)

SELECT
    h.relation, NULL::text AS schema, ARRAY[h.name::text] AS columns, NULL::text AS object,
    CASE WHEN h.value / h.most >= 0.9 THEN 'error' WHEN h.value / h.most >= 0.7 THEN 'warning' ELSE 'info' END AS severity,
    jsonb_build_object(
        'summary', format('%s has reached %s of %s (%s%%)', h.name, h.value, h.most, round(h.value / h.most * 100, 1)),
        'highest_seen', h.value, 'most', h.most, 'used', round(h.value / h.most, 4)
    ) AS evidence,
    NULL::jsonb AS fix
FROM highest AS h
WHERE
    h.value / h.most >= 0.5
    -- Keys and what refers to keys; those with a sequence are told of by the sequence.
    AND EXISTS (
        SELECT FROM pg_constraint AS k
        WHERE k.conrelid = h.relation AND k.contype IN ('p', 'u', 'f') AND k.conkey @> ARRAY[h.attnum]
    )
    AND NOT EXISTS (
        SELECT FROM pg_depend AS d JOIN pg_class AS s ON s.oid = d.objid AND s.relkind = 'S'
        WHERE d.refobjid = h.relation AND d.refobjsubid = h.attnum AND d.classid = 'pg_class'::regclass
    )
