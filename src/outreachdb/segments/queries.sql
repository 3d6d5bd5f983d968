-- name: create_segment
INSERT INTO outreach.segments (workspace_id, name, definition)
VALUES (%(workspace_id)s, %(name)s, %(definition)s)
RETURNING id, name, definition, version, last_count, last_counted_at, created_at;

-- name: check_definition
SELECT outreach.segment_condition(%(definition)s);

-- name: find_segment
SELECT s.id, s.name, s.definition, s.version, s.last_count, s.last_counted_at, s.created_at
FROM outreach.segments AS s
WHERE s.workspace_id = %(workspace_id)s AND s.name = %(name)s;

-- name: list_segments
SELECT s.id, s.name, s.definition, s.version, s.last_count, s.last_counted_at, s.created_at
FROM outreach.segments AS s
WHERE s.workspace_id = %(workspace_id)s
ORDER BY s.name;

-- name: count_leads
SELECT outreach.count_segmented_leads(%(definition)s);

-- name: note_count
UPDATE outreach.segments AS s
SET last_count = %(count)s, last_counted_at = %(counted_at)s
WHERE s.workspace_id = %(workspace_id)s AND s.name = %(name)s AND s.definition = %(definition)s;

-- name: preview_leads
SELECT l.id, l.email, l.first_name, l.last_name, l.title, l.company_name, l.country, l.status, l.tags
FROM outreach.get_segmented_leads(%(definition)s, %(rows)s, %(after)s) AS l
ORDER BY l.id;
