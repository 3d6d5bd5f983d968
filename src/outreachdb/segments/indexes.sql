-- Whom each index of this room serves; the form is told in outreachdb/db/index_catalogue.py.

-- name: pk_segments
-- The segment that a campaign names; the parent side of campaigns' foreign key.
SELECT s.name, s.definition FROM outreach.segments AS s WHERE s.workspace_id = %(workspace_id)s AND s.id = %(id)s;

-- name: pk_segment_versions
-- The versions of a segment, the newest first.
SELECT v.version, v.definition, v.changed_by, v.note, v.changed_at FROM outreach.segment_versions AS v
WHERE v.workspace_id = %(workspace_id)s AND v.segment_id = %(segment_id)s ORDER BY v.version DESC LIMIT %(limit)s;

-- name: uq_segments_name
-- A segment by its name.
SELECT s.id, s.definition FROM outreach.segments AS s WHERE s.workspace_id = %(workspace_id)s AND s.name = %(name)s;
