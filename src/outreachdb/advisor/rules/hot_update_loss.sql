-- title: Updates that rewrite every index
-- severity: warning
-- group: storage
-- weigh: size
-- uses: tables
-- why: An update that changes no indexed column and finds room on its page is HOT: it touches no index. Few of this
--   table's updates are: either its pages are full, or what changes is indexed.
-- fix: Leave room on the pages (fillfactor 70 to 90; holds for new pages), and index what changes often only where a
--   query needs it.
-- sources: https://www.postgresql.org/docs/current/storage-hot.html
SELECT
    t.oid AS relation, NULL::text AS schema, '{}'::text[] AS columns, NULL::text AS object, NULL::text AS severity,
    jsonb_build_object(
        'summary', format('%s%% of %s updates were HOT', round(100.0 * s.n_tup_hot_upd / s.n_tup_upd), s.n_tup_upd),
        'updated', s.n_tup_upd, 'hot', s.n_tup_hot_upd, 'indexes', i.count,
        'fillfactor', coalesce(f.value, 100)
    ) AS evidence,
    CASE WHEN coalesce(f.value, 100) > 80 THEN jsonb_build_object(
        'kind', 'statement', 'do', jsonb_build_array(format('ALTER TABLE %s SET (fillfactor = 80)', t.quoted)),
        'undo', jsonb_build_array(
            CASE WHEN f.value IS NULL THEN format('ALTER TABLE %s RESET (fillfactor)', t.quoted)
            ELSE format('ALTER TABLE %s SET (fillfactor = %s)', t.quoted, f.value) END
        )
    ) END AS fix
FROM tables AS t
JOIN pg_stat_all_tables AS s ON s.relid = t.oid
JOIN LATERAL (SELECT count(*) AS count FROM pg_index AS i WHERE i.indrelid = t.oid) AS i ON i.count > 0
LEFT JOIN LATERAL (
    SELECT o.option_value::int AS value FROM pg_options_to_table(t.reloptions) AS o WHERE o.option_name = 'fillfactor'
) AS f ON true
WHERE s.n_tup_upd >= 1000 AND s.n_tup_hot_upd < s.n_tup_upd * 0.5
