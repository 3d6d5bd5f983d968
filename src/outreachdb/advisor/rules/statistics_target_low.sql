-- title: Statistics too coarse for a skewed column
-- severity: info
-- group: storage
-- uses: columns
-- why: The list of common values is full, and its last entry is still far more frequent than the rest: values behind
--   it are frequent as well, and the planner takes them for rare.
-- fix: Raise the column's statistics target and analyze.
-- sources: https://www.postgresql.org/docs/current/planner-stats.html
WITH many AS MATERIALIZED (
    SELECT * FROM columns WHERE reltuples >= current_setting('default_statistics_target')::int
),

listed AS (
    SELECT
        c.*, s.n_distinct, cardinality(s.most_common_freqs) AS listed,
        s.most_common_freqs[cardinality(s.most_common_freqs)] AS last,
        (SELECT sum(f) FROM unnest(s.most_common_freqs) AS f) AS covered, s.null_frac,
        CASE WHEN s.n_distinct < 0 THEN -s.n_distinct * c.reltuples ELSE s.n_distinct END AS distinct_values,
        coalesce((to_jsonb(a) ->> 'attstattarget')::int, -1) AS target
    FROM many AS c
    JOIN pg_attribute AS a ON a.attrelid = c.relation AND a.attnum = c.attnum
    JOIN pg_stats AS s ON s.schemaname = c.schema AND s.tablename = c.table_name AND s.attname = c.name
        AND s.inherited = (c.relkind = 'p')
    WHERE s.most_common_freqs IS NOT NULL
)

SELECT
    l.relation, NULL::text AS schema, ARRAY[l.name::text] AS columns, NULL::text AS object, NULL::text AS severity,
    jsonb_build_object(
        'summary', format('%s values are listed, the last with %s%% of the rows; %s more are not', l.listed, round(l.last::numeric * 100, 2), round(l.distinct_values - l.listed)),
        'listed', l.listed, 'distinct', round(l.distinct_values), 'last_frequency', l.last, 'covered', l.covered
    ) AS evidence,
    jsonb_build_object(
        'kind', 'statement',
        'do', jsonb_build_array(
            format('ALTER TABLE %s ALTER COLUMN %I SET STATISTICS %s', l.quoted, l.name, least(10000, l.listed * 10)),
            format('ANALYZE %s (%I)', l.quoted, l.name)
        ),
        'undo', jsonb_build_array(format('ALTER TABLE %s ALTER COLUMN %I SET STATISTICS -1', l.quoted, l.name))
    ) AS fix
FROM listed AS l
WHERE
    l.target = -1 AND l.listed >= current_setting('default_statistics_target')::int
    AND l.distinct_values > l.listed * 1.2
    -- Had the rest one frequency, the last listed would be near it.
    AND l.last >= 3 * (1 - l.covered - l.null_frac) / nullif(l.distinct_values - l.listed, 0)
