-- title: Sequence that runs out
-- severity: error
-- group: types
-- why: When the last value is given, or the column's type can't hold the next one, every insert fails.
-- fix: Change the column to bigint ahead of time: add a new column, fill it in batches, swap; or ALTER TYPE where a
--   rewrite under lock is acceptable.
-- sources: https://www.postgresql.org/docs/current/sql-createsequence.html https://github.com/ankane/pghero
--   https://github.com/mfvanek/pg-index-health
WITH given AS (
    SELECT
        s.seqrelid, d.refobjid AS relation, a.attname, n.nspname, c.relname,
        (pg_sequence_parameters(s.seqrelid)).*,
        CASE WHEN has_sequence_privilege(s.seqrelid, 'USAGE, SELECT') THEN pg_sequence_last_value(s.seqrelid) END AS last,
        CASE a.atttypid WHEN 'int2'::regtype THEN 32767 WHEN 'int4'::regtype THEN 2147483647 END AS holds
    FROM pg_sequence AS s
    JOIN pg_class AS c ON c.oid = s.seqrelid AND c.relpersistence <> 't'
    JOIN pg_namespace AS n ON n.oid = c.relnamespace
    LEFT JOIN pg_depend AS d
        ON d.classid = 'pg_class'::regclass AND d.objid = s.seqrelid AND d.refclassid = 'pg_class'::regclass
        AND d.refobjsubid > 0 AND d.deptype IN ('a', 'i')
    LEFT JOIN pg_attribute AS a ON a.attrelid = d.refobjid AND a.attnum = d.refobjsubid
),

used AS (
    SELECT
        g.*, least(g.maximum_value, coalesce(g.holds, g.maximum_value)) AS most,
        CASE WHEN g.increment > 0
            THEN (g.last - least(g.start_value, g.minimum_value))::numeric
                / nullif(least(g.maximum_value, coalesce(g.holds, g.maximum_value))::numeric - g.minimum_value, 0)
            ELSE (g.maximum_value - g.last)::numeric / nullif(g.maximum_value::numeric - g.minimum_value, 0)
        END AS share
    FROM given AS g
    WHERE NOT g.cycle_option
)

SELECT
    u.relation, CASE WHEN u.relation IS NULL THEN u.nspname::text END AS schema,
    CASE WHEN u.attname IS NULL THEN '{}'::text[] ELSE ARRAY[u.attname::text] END AS columns, u.relname::text AS object,
    CASE WHEN u.share >= 0.9 THEN 'error' WHEN u.share >= 0.7 THEN 'warning' ELSE 'info' END AS severity,
    jsonb_build_object(
        'summary', format('%s%% of its values are given: %s of %s', round(u.share * 100, 1), u.last, u.most),
        'last_value', u.last, 'most', u.most, 'used', round(u.share, 4)
    ) AS evidence,
    NULL::jsonb AS fix
FROM used AS u
WHERE u.share >= 0.5
