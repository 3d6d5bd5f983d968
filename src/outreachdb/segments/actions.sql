-- The steps of an action on a segment's leads, in one transaction, and of taking it back. An action is an import without a
-- file: its row in imports, its before-images in import_changes; what those of the two kinds "done" hold, the undo of
-- imports takes back.

-- name: lock_workspace
-- The lock of imports: actions and imports of one workspace wait for each other.
SELECT pg_advisory_xact_lock(hashtextextended('outreachdb.import', %(workspace_id)s))

-- name: judge_value
-- A field's value as an import would read it, or why it would reject it.
SELECT to_jsonb(j.given) -> %(field)s::text AS value, j.reason FROM outreach.judged_leads(%(rows)s) AS j

-- name: ensure_company
SELECT outreach.ensure_companies(
    %(workspace_id)s, ARRAY[jsonb_populate_record(NULL::outreach.leads, %(row)s)], NULL, 'update', %(now)s)

-- name: company_of
SELECT (outreach.companies_of(%(workspace_id)s, ARRAY[jsonb_populate_record(NULL::outreach.leads, %(row)s)]))[1]

-- name: create_members
CREATE TEMPORARY TABLE segment_members (lead_id bigint PRIMARY KEY, reason text) ON COMMIT DROP

-- name: list_members
INSERT INTO pg_temp.segment_members (lead_id)
SELECT id FROM outreach.segment_lead_ids(%(definition)s) AS id

-- name: analyze_members
ANALYZE pg_temp.segment_members

-- name: lock_members
-- In the order of ids, as imports and suppressions do; FOR UPDATE keeps new sends away from leads about to go.
SELECT count(*)
FROM (SELECT FROM outreach.leads AS l
      JOIN pg_temp.segment_members AS m ON m.lead_id = l.id
      WHERE l.workspace_id = (SELECT %(workspace_id)s::bigint)
      ORDER BY l.id
      FOR UPDATE OF l) AS locked

-- name: begin_action
INSERT INTO outreach.imports (workspace_id, file_name, format, mapping, status, started_at)
VALUES (%(workspace_id)s, %(title)s, 'segment', %(action)s, 'running', %(now)s)
RETURNING id

-- name: finish_action
-- Rows are leads here: those of the segment, those that changed, and the others.
UPDATE outreach.imports AS i
SET status = %(status)s, rows_read = %(matched)s, updated = %(changed)s, skipped = %(matched)s - %(changed)s::bigint,
    words_pending = %(words_pending)s, finished_at = %(finished_at)s
WHERE i.workspace_id = %(workspace_id)s AND i.id = %(action_id)s

-- name: store_before_images
INSERT INTO outreach.import_changes (workspace_id, import_id, lead_id, before)
SELECT %(workspace_id)s, %(action_id)s, l.id, to_jsonb(l)
FROM outreach.leads AS l
JOIN pg_temp.segment_members AS m ON m.lead_id = l.id
WHERE l.workspace_id = (SELECT %(workspace_id)s::bigint) AND m.reason IS NULL AND ({changes})

-- name: change_leads
UPDATE outreach.leads AS l
SET {assignment}, updated_at = %(now)s
FROM outreach.import_changes AS c
WHERE c.workspace_id = (SELECT %(workspace_id)s::bigint) AND c.import_id = %(action_id)s
  AND l.workspace_id = (SELECT %(workspace_id)s::bigint) AND l.id = c.lead_id

-- name: keep_opted_out
-- A status that says "never again" is not written over.
UPDATE pg_temp.segment_members AS m SET reason = 'unsubscribed or bounced'
FROM outreach.leads AS l
WHERE l.workspace_id = (SELECT %(workspace_id)s::bigint) AND l.id = m.lead_id AND l.status IN ('unsubscribed', 'bounced')

-- name: store_suppressions
-- Each lead's address as it is about to be suppressed, with the row that stands there already.
INSERT INTO outreach.import_changes (workspace_id, import_id, lead_id, before)
SELECT %(workspace_id)s, %(action_id)s, l.id,
       jsonb_build_object('target', l.email_key, 'row', (
           SELECT to_jsonb(s) FROM outreach.suppressions AS s
           WHERE s.workspace_id = %(workspace_id)s AND s.target = l.email_key))
FROM outreach.leads AS l
JOIN pg_temp.segment_members AS m ON m.lead_id = l.id
WHERE l.workspace_id = (SELECT %(workspace_id)s::bigint) AND l.email_key IS NOT NULL

-- name: suppress_members
-- The far end says "for good, unless nobody else asks": outreach.suppress takes a row with an end over as its own, and
-- then no undo lifts it.
INSERT INTO outreach.suppressions AS s (workspace_id, target, reason, source, expires_at, created_at)
SELECT %(workspace_id)s, c.before ->> 'target', %(reason)s, %(source)s, %(far_end)s, %(now)s
FROM outreach.import_changes AS c
WHERE c.workspace_id = %(workspace_id)s AND c.import_id = %(action_id)s
ORDER BY c.before ->> 'target'
ON CONFLICT (workspace_id, target) DO UPDATE
    SET reason = excluded.reason, source = excluded.source, expires_at = excluded.expires_at
    WHERE s.expires_at < excluded.expires_at

-- name: keep_used
UPDATE pg_temp.segment_members AS m
SET reason = {reason}
WHERE m.reason IS NULL
  AND EXISTS (SELECT FROM {table} AS used WHERE used.workspace_id = (SELECT %(workspace_id)s::bigint)
                                            AND used.lead_id = m.lead_id)

-- name: keep_opt_out_only
-- An opt-out that no suppression remembers would go with its lead.
UPDATE pg_temp.segment_members AS m SET reason = 'unsubscribed or bounced, and no suppression remembers it'
FROM outreach.leads AS l
WHERE m.reason IS NULL AND l.workspace_id = (SELECT %(workspace_id)s::bigint) AND l.id = m.lead_id
  AND l.status IN ('unsubscribed', 'bounced') AND NOT EXISTS (
      SELECT FROM outreach.suppressions AS s
      WHERE s.workspace_id = %(workspace_id)s AND s.expires_at IS NULL
        AND s.target IN (l.email_key, split_part(l.email_key, '@', 2)))

-- name: delete_leads
DELETE FROM outreach.leads AS l
USING pg_temp.segment_members AS m
WHERE l.workspace_id = (SELECT %(workspace_id)s::bigint) AND l.id = m.lead_id AND m.reason IS NULL

-- name: count_kept
SELECT reason, count(*) AS leads, (array_agg(lead_id ORDER BY lead_id))[1:%(samples)s] AS sample
FROM pg_temp.segment_members
WHERE reason IS NOT NULL
GROUP BY reason
ORDER BY reason

-- name: count_members
SELECT count(*) FROM pg_temp.segment_members

-- name: tables_of_leads
-- Every table that knows leads, those of later rooms too; partitions are reached through their parents.
SELECT n.nspname AS schema, c.relname AS name
FROM pg_catalog.pg_attribute AS lead
JOIN pg_catalog.pg_attribute AS workspace ON workspace.attrelid = lead.attrelid AND workspace.attname = 'workspace_id'
JOIN pg_catalog.pg_class AS c ON c.oid = lead.attrelid
JOIN pg_catalog.pg_namespace AS n ON n.oid = c.relnamespace
WHERE lead.attname = 'lead_id' AND NOT lead.attisdropped AND c.relkind IN ('r', 'p') AND NOT c.relispartition
  AND n.nspname IN ('outreach', 'analytics') AND c.relname <> 'import_changes'
ORDER BY c.relname

-- name: find_done
-- What somebody (a job, by its number) has done; asked only where a job begins again, so it needs no index of its own.
SELECT i.id, i.rows_read AS matched, i.updated AS changed
FROM outreach.imports AS i
WHERE i.workspace_id = %(workspace_id)s AND i.format = 'segment' AND i.mapping ->> 'by' = %(by)s
  AND i.status <> 'running'
ORDER BY i.id
LIMIT 1

-- name: list_actions
SELECT i.id, i.file_name AS title, i.mapping AS action, i.status, i.rows_read AS matched, i.updated AS changed, i.started_at
FROM outreach.imports AS i
WHERE i.workspace_id = %(workspace_id)s AND i.format = 'segment'
ORDER BY i.started_at DESC, i.id DESC
LIMIT %(limit)s

-- name: lock_action
SELECT i.status, i.mapping ->> 'action' AS action, i.updated, i.history_pruned_at
FROM outreach.imports AS i
WHERE i.workspace_id = %(workspace_id)s AND i.id = %(action_id)s AND i.format = 'segment'
FOR NO KEY UPDATE

-- name: hand_over
-- Another action that stands asked for the same address: the suppression is that one's from now on.
UPDATE outreach.suppressions AS s
SET source = 'segment action ' || other.import_id
FROM (SELECT c.before ->> 'target' AS target, max(c.import_id) AS import_id
      FROM outreach.import_changes AS mine
      JOIN outreach.import_changes AS c ON c.workspace_id = mine.workspace_id AND c.lead_id = mine.lead_id
          AND c.before ->> 'target' = mine.before ->> 'target' AND c.import_id <> mine.import_id
      JOIN outreach.imports AS i ON i.workspace_id = c.workspace_id AND i.id = c.import_id
          AND i.format = 'segment' AND i.status = 'applied'
      WHERE mine.workspace_id = %(workspace_id)s AND mine.import_id = %(action_id)s
      GROUP BY c.before ->> 'target') AS other
WHERE s.workspace_id = %(workspace_id)s AND s.target = other.target AND s.source = %(source)s

-- name: hand_on
-- Who found this action's suppression there has found what this one had found: its own record of that is pruned one day.
UPDATE outreach.import_changes AS c
SET before = jsonb_set(c.before, '{row}', mine.before -> 'row')
FROM outreach.import_changes AS mine
WHERE mine.workspace_id = %(workspace_id)s AND mine.import_id = %(action_id)s
  AND c.workspace_id = mine.workspace_id AND c.lead_id = mine.lead_id AND c.import_id > mine.import_id
  AND c.before ->> 'target' = mine.before ->> 'target' AND c.before #>> '{row,source}' = %(source)s

-- name: give_back
-- What stood there with an end of its own, before the first of the actions came, stands there again.
UPDATE outreach.suppressions AS s
SET reason = b.reason, source = b.source, expires_at = b.expires_at
FROM (SELECT DISTINCT ON (c.before ->> 'target') c.before -> 'row' AS was
      FROM outreach.import_changes AS mine
      JOIN outreach.import_changes AS c ON c.workspace_id = mine.workspace_id AND c.lead_id = mine.lead_id
          AND c.before ->> 'target' = mine.before ->> 'target'
      JOIN outreach.imports AS i ON i.workspace_id = c.workspace_id AND i.id = c.import_id AND i.format = 'segment'
      WHERE mine.workspace_id = %(workspace_id)s AND mine.import_id = %(action_id)s AND c.before -> 'row' <> 'null'
        AND coalesce(c.before #>> '{row,source}', '') !~ '^segment action [0-9]+$'
      ORDER BY c.before ->> 'target', c.import_id DESC) AS earlier
CROSS JOIN LATERAL jsonb_populate_record(NULL::outreach.suppressions, earlier.was) AS b
WHERE s.workspace_id = %(workspace_id)s AND s.target = b.target AND s.source = %(source)s

-- name: lift
-- Only what this action alone asked for, and never of somebody who has opted out since.
DELETE FROM outreach.suppressions AS s
WHERE s.workspace_id = %(workspace_id)s AND s.source = %(source)s
  AND NOT EXISTS (SELECT FROM outreach.leads AS l
                  WHERE l.workspace_id = %(workspace_id)s AND l.email_key = s.target
                    AND l.status IN ('unsubscribed', 'bounced'))

-- name: count_deleted
SELECT count(*) FROM outreach.import_changes AS c WHERE c.workspace_id = %(workspace_id)s AND c.import_id = %(action_id)s

-- name: bring_back
-- Under their old ids; not where the address or the source key belongs to another lead by now.
INSERT INTO outreach.leads ({columns})
SELECT {values}
FROM outreach.import_changes AS c
CROSS JOIN LATERAL jsonb_populate_record(NULL::outreach.leads, c.before) AS b
WHERE c.workspace_id = %(workspace_id)s AND c.import_id = %(action_id)s
  AND NOT EXISTS (SELECT FROM outreach.leads AS l WHERE l.workspace_id = %(workspace_id)s AND l.source_key = b.source_key)
ORDER BY c.lead_id
ON CONFLICT DO NOTHING

-- name: finish_undo
UPDATE outreach.imports AS i SET status = 'undone' WHERE i.workspace_id = %(workspace_id)s AND i.id = %(action_id)s
