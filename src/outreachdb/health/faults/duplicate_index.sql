-- title: Duplicate index
-- severity: warning
-- group: indexes
-- uses: indexes
-- why: Two indexes with the same columns, operator classes, collations, order and predicate answer the same queries. Each
--   costs a write per row and memory. A unique index answers all that a plain one does. An order that is the exact
--   reverse counts as the same, since an index is read both ways; `DESC NULLS LAST` beside a plain column does not.
-- fix: Drop all but one. The one that backs a constraint or a foreign key, is unique, or identifies rows for replication stays.
-- sources: https://wiki.postgresql.org/wiki/Index_Maintenance https://github.com/supabase/splinter
--   https://github.com/ankane/pghero
WITH same AS (
    SELECT
        i.*,
        -- Read backwards, DESC NULLS FIRST is ASC NULLS LAST: both get one spelling.
        ARRAY(
            SELECT CASE WHEN i.options[0] & 1 = 1 THEN o.option # 3 ELSE o.option END
            FROM unnest(i.options) WITH ORDINALITY AS o (option, place) ORDER BY o.place
        ) AS spelling,
        ARRAY(SELECT k.attnum FROM unnest(i.keys) WITH ORDINALITY AS k (attnum, place)
            WHERE k.place > i.indnkeyatts ORDER BY k.attnum) AS included
    FROM indexes AS i
    WHERE i.indisvalid AND i.indisready AND i.indislive
),

ranked AS (
    SELECT
        s.*,
        first_value(s.oid) OVER w AS keep, count(*) OVER g AS members,
        count(*) FILTER (WHERE NOT s.attached) OVER g AS free
    FROM same AS s
    WINDOW
        g AS (PARTITION BY s.relation, s.method, s.columns, s.classes, s.collations, s.spelling, s.included, s.predicate),
        w AS (
            PARTITION BY s.relation, s.method, s.columns, s.classes, s.collations, s.spelling, s.included, s.predicate
            ORDER BY
                s.attached DESC, s.indisprimary DESC, s.backs DESC, s.indisexclusion DESC, s.indisreplident DESC,
                s.indisclustered DESC, s.indisunique DESC, s.indnullsnotdistinct DESC, s.name, s.oid
        )
),

judged AS (
    SELECT
        r.*, k.name AS keep_name,
        NOT (
            r.oid = r.keep OR r.attached OR r.backs OR r.indisexclusion OR r.indisreplident OR r.indisclustered
            OR (r.indisunique AND NOT (
                k.indisunique AND (k.indimmediate OR NOT r.indimmediate) AND k.indnullsnotdistinct >= r.indnullsnotdistinct
            ))
        ) AS droppable
    FROM ranked AS r
    JOIN indexes AS k ON k.oid = r.keep
    WHERE r.members > 1 AND r.free > 0
)

SELECT
    j.relation, NULL::text AS schema, max(j.columns) AS columns,
    coalesce(
        string_agg(j.name, ', ' ORDER BY j.name) FILTER (WHERE j.droppable),
        string_agg(j.name, ', ' ORDER BY j.name) FILTER (WHERE j.oid <> j.keep)
    ) AS object,
    NULL::text AS severity,
    jsonb_build_object(
        'summary', format(
            '%s indexes hold the same%s', count(*),
            CASE WHEN bool_or(j.droppable) THEN format('; %s stays', j.keep_name)
            ELSE '; all of them back constraints: drop one of the constraints' END
        ),
        'indexes', jsonb_agg(j.name ORDER BY j.name), 'stays', j.keep_name,
        'wasted_bytes', coalesce(sum(j.bytes) FILTER (WHERE j.droppable), 0)
    ) AS evidence,
    jsonb_agg(jsonb_build_object(
        'kind', 'drop_index', 'schema', j.schema, 'name', j.name, 'definition', pg_get_indexdef(j.oid),
        'partitioned', j.relkind = 'I', 'keep', jsonb_build_array(j.keep_name)
    ) ORDER BY j.name) FILTER (WHERE j.droppable) AS fix
FROM judged AS j
GROUP BY j.relation, j.keep, j.keep_name
