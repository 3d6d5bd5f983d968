-- name: create_segment
WITH made AS (
    INSERT INTO outreach.segments (workspace_id, name, definition)
    VALUES (%(workspace_id)s, %(name)s, %(definition)s)
    RETURNING workspace_id, id, name, definition, version, last_count, last_counted_at, last_used_at, created_at, updated_at
), noted AS (
    INSERT INTO outreach.segment_versions (workspace_id, segment_id, version, definition, changed_by, note)
    SELECT m.workspace_id, m.id, m.version, m.definition, coalesce(nullif(%(by)s::text, ''), session_user), %(note)s FROM made AS m
)
SELECT id, name, definition, version, last_count, last_counted_at, last_used_at, created_at, updated_at FROM made;

-- name: unknown_custom_fields
SELECT u.field, u.meant FROM outreach.unknown_custom_fields(%(definition)s) AS u ORDER BY u.field;

-- name: check_segment
SELECT outreach.check_segment(%(definition)s, %(id)s::bigint);

-- name: check_users
-- What is made of this segment, directly or not, must still make sense.
WITH RECURSIVE users AS (
    SELECT s.id, s.name FROM outreach.segments AS s WHERE s.workspace_id = %(workspace_id)s AND s.id = %(id)s
    UNION
    SELECT s.id, s.name
    FROM users AS u
    JOIN outreach.segments AS s ON s.workspace_id = %(workspace_id)s
        AND jsonb_path_exists(s.definition, 'strict $.**.segment ? (@ == $name || @ == $id)',
                              jsonb_build_object('name', u.name, 'id', u.id))
)
SELECT count(outreach.segment_condition(s.definition))
FROM outreach.segments AS s
WHERE s.workspace_id = %(workspace_id)s AND s.id IN (SELECT u.id FROM users AS u);

-- name: find_segment
SELECT s.id, s.name, s.definition, s.version, s.last_count, s.last_counted_at, s.last_used_at, s.created_at, s.updated_at
FROM outreach.segments AS s
WHERE s.workspace_id = %(workspace_id)s AND s.name = %(name)s;

-- name: lock_segment
SELECT s.id, s.name, s.definition, s.version, s.last_count, s.last_counted_at, s.last_used_at, s.created_at, s.updated_at
FROM outreach.segments AS s
WHERE s.workspace_id = %(workspace_id)s AND s.name = %(name)s
FOR UPDATE;

-- name: update_segment
WITH changed AS (
    UPDATE outreach.segments AS s
    SET definition = %(definition)s, version = s.version + 1, updated_at = %(now)s, last_count = NULL, last_counted_at = NULL
    WHERE s.workspace_id = %(workspace_id)s AND s.id = %(id)s
    RETURNING s.workspace_id, s.id, s.name, s.definition, s.version, s.last_count, s.last_counted_at, s.last_used_at,
        s.created_at, s.updated_at
), noted AS (
    INSERT INTO outreach.segment_versions (workspace_id, segment_id, version, definition, changed_by, note, changed_at)
    SELECT c.workspace_id, c.id, c.version, c.definition, coalesce(nullif(%(by)s::text, ''), session_user), %(note)s, c.updated_at FROM changed AS c
)
SELECT id, name, definition, version, last_count, last_counted_at, last_used_at, created_at, updated_at FROM changed;

-- name: segment_history
SELECT v.version, v.definition, v.changed_by, v.note, v.changed_at
FROM outreach.segment_versions AS v
WHERE v.workspace_id = %(workspace_id)s AND v.segment_id = %(id)s
ORDER BY v.version DESC;

-- name: delete_segment
DELETE FROM outreach.segments AS s WHERE s.workspace_id = %(workspace_id)s AND s.id = %(id)s;

-- name: campaigns_of_segment
SELECT c.id, c.name, c.run, c.status, c.launched_at
FROM outreach.campaigns AS c
WHERE c.workspace_id = %(workspace_id)s AND c.segment_id = %(id)s
ORDER BY c.id;

-- name: segments_of_segment
SELECT s.id, s.name
FROM outreach.segments AS s
WHERE s.workspace_id = %(workspace_id)s
  AND jsonb_path_exists(s.definition, 'strict $.**.segment ? (@ == $name || @ == $id)',
                        jsonb_build_object('name', %(name)s::text, 'id', %(id)s::bigint))
ORDER BY s.name;

-- name: names_of_segments
SELECT s.name FROM outreach.segments AS s WHERE s.workspace_id = %(workspace_id)s ORDER BY s.name LIMIT 1000;

-- name: list_segments
SELECT s.id, s.name, s.definition, s.version, s.last_count, s.last_counted_at, s.last_used_at, s.created_at, s.updated_at
FROM outreach.segments AS s
WHERE s.workspace_id = %(workspace_id)s
ORDER BY s.name;

-- name: count_leads
SELECT outreach.count_segmented_leads(%(definition)s);

-- name: sample_leads
SELECT s.leads, s.looked, s.members FROM outreach.sample_segment(%(definition)s, %(blocks)s, %(rows)s) AS s;

-- name: note_count
UPDATE outreach.segments AS s
SET last_count = %(count)s, last_counted_at = %(counted_at)s, last_used_at = %(counted_at)s
WHERE s.workspace_id = %(workspace_id)s AND s.name = %(name)s AND s.definition = %(definition)s;

-- name: note_use
-- Whoever changes the segment meanwhile uses it as well: nobody waits for that.
UPDATE outreach.segments AS s
SET last_used_at = %(now)s
WHERE s.workspace_id = %(workspace_id)s AND s.id = (
    SELECT u.id FROM outreach.segments AS u
    WHERE u.workspace_id = %(workspace_id)s AND u.name = %(name)s
      AND (u.last_used_at IS NULL OR u.last_used_at < %(noted_before)s)
    FOR NO KEY UPDATE SKIP LOCKED);

-- name: preview_leads
SELECT l.id, l.email, l.first_name, l.last_name, l.phone, l.phone_e164, l.title, l.company_id, l.company_name, l.company_website,
       l.linkedin_url, l.industry, l.country, l.city, l.timezone, l.source, l.source_key, l.status, l.tags,
       l.custom_fields, l.notes, l.qualification_score, l.qualification_latency_ms, l.qualified_at, l.email_status,
       l.email_checked_at, l.email_flags, l.profile_checked_at, l.created_at, l.updated_at
FROM outreach.preview_segment(%(definition)s, %(rows)s, nullif(%(after)s::bigint, 0)) AS l
ORDER BY l.created_at DESC, l.id DESC;

-- name: breakdown
SELECT b.kind, b.value, b.leads FROM outreach.segment_breakdown(%(definition)s, %(top)s) AS b;

-- name: explain_segment
SELECT outreach.explain_segment(%(definition)s, %(measured)s, %(least)s);

-- name: probe_speed
-- What filters are made of; how long it takes says how fast the server is.
SELECT count(*) FROM generate_series(1, %(rows)s::integer) AS n
WHERE lower('City ' || n || ' of many') LIKE '%%ity 19_9%%' AND hashint4(n) %% 3 < 2;

-- name: index_for
SELECT outreach.segment_index(%(condition)s);

-- name: segment_condition
SELECT outreach.segment_condition(%(definition)s);
