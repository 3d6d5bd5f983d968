-- title: Index that another one begins with
-- severity: info
-- group: indexes
-- uses: indexes reset
-- why: An index on (a) answers nothing that one on (a, b) of the same order can't. It costs a write per row. It is smaller,
--   though: keep it where queries on it alone are frequent and the longer one is much larger.
-- fix: Drop the shorter one. Neither unique indexes nor those that back a constraint or a foreign key are proposed, and of
--   two indexes that replace each other never both.
-- sources: https://wiki.postgresql.org/wiki/Index_Maintenance https://github.com/ankane/pghero
--   https://github.com/mfvanek/pg-index-health
WITH usable AS (
    SELECT i.*, pg_stat_get_numscans(i.oid) AS scans FROM indexes AS i
    WHERE i.indisvalid AND i.indisready AND i.indislive AND i.method = 'btree'
)

SELECT
    a.relation, NULL::text AS schema, a.columns::text[] AS columns, a.name::text AS object, NULL::text AS severity,
    jsonb_strip_nulls(jsonb_build_object(
        'summary', format('%s begins with the same columns', string_agg(b.name, ', ' ORDER BY b.indnkeyatts DESC, b.name)),
        'covered_by', jsonb_agg(b.name ORDER BY b.indnkeyatts DESC, b.name), 'index_bytes', a.bytes, 'scans', a.scans,
        'covering_bytes', max(b.bytes), 'statistics_since', r.stats_reset, 'statistics_days', r.days, 'standbys', r.standbys
    )) AS evidence,
    jsonb_build_object(
        'kind', 'drop_index', 'schema', a.schema, 'name', a.name, 'definition', pg_get_indexdef(a.oid),
        'partitioned', a.relkind = 'I', 'instead', jsonb_agg(b.name ORDER BY b.indnkeyatts DESC, b.name)
    ) AS fix
FROM usable AS a
CROSS JOIN reset AS r
JOIN usable AS b
    ON b.relation = a.relation AND b.oid <> a.oid
    AND (
        b.indnkeyatts > a.indnkeyatts
        OR (b.indnkeyatts = a.indnkeyatts AND b.indnatts > a.indnatts)
    )
    AND b.columns[1 : a.indnkeyatts] = a.columns
    AND b.classes[0 : a.indnkeyatts - 1] = a.classes[0 : a.indnkeyatts - 1]
    AND b.collations[0 : a.indnkeyatts - 1] = a.collations[0 : a.indnkeyatts - 1]
    AND b.predicate = a.predicate
    -- What the shorter one carries along, the longer one must carry as well.
    AND a.keys[a.indnkeyatts : a.indnatts - 1] <@ b.keys
    -- The same order, or its exact reverse.
    AND (
        a.options[0 : a.indnkeyatts - 1] = b.options[0 : a.indnkeyatts - 1]
        OR a.options[0 : a.indnkeyatts - 1] = ARRAY(
            SELECT (o.option # 3)::int2 FROM unnest(b.options[0 : a.indnkeyatts - 1]) WITH ORDINALITY AS o (option, place)
            ORDER BY o.place
        )
    )
WHERE
    NOT a.attached AND NOT a.backs AND NOT a.indisunique AND NOT a.indisexclusion AND NOT a.indisreplident
    AND NOT a.indisclustered
GROUP BY a.oid, a.relation, a.schema, a.name, a.columns, a.bytes, a.relkind, a.scans, a.indnkeyatts, r.stats_reset, r.days,
    r.standbys
ORDER BY a.indnkeyatts DESC, a.name
