-- name: begin_import
INSERT INTO outreach.imports
    (workspace_id, file_name, source_path, file_sha256, format, encoding, delimiter, header_line, mapping, on_conflict,
     started_at)
VALUES (%(workspace_id)s, %(file_name)s, %(source_path)s, %(file_sha256)s, %(format)s, %(encoding)s, %(delimiter)s,
        %(header_line)s, %(mapping)s, %(on_conflict)s, %(now)s)
RETURNING id, attempts

-- name: take_up_import
-- The same file with the same options, stopped before it was done: it goes on under its number. One that says "running"
-- may have begun a moment ago and hold its row in the next, see hold_import.
UPDATE outreach.imports
SET status = 'running', attempts = attempts + 1, error = NULL, file_name = %(file_name)s,
    source_path = %(source_path)s, started_at = %(now)s, finished_at = NULL
WHERE workspace_id = %(workspace_id)s
  AND id = (
      SELECT id FROM outreach.imports
      WHERE workspace_id = %(workspace_id)s AND file_sha256 = %(file_sha256)s AND mapping = %(mapping)s
        AND on_conflict = %(on_conflict)s AND encoding IS NOT DISTINCT FROM %(encoding)s
        AND delimiter IS NOT DISTINCT FROM %(delimiter)s AND header_line IS NOT DISTINCT FROM %(header_line)s
        AND (status IN ('failed', 'cancelled')
             OR (status = 'running' AND started_at < %(now)s::timestamptz - interval '2 seconds'))
      ORDER BY id DESC LIMIT 1 FOR NO KEY UPDATE SKIP LOCKED)
RETURNING id, attempts

-- name: resume_import
UPDATE outreach.imports
SET status = 'running', attempts = attempts + 1, error = NULL, file_name = %(file_name)s,
    source_path = coalesce(%(source_path)s, source_path), started_at = %(now)s, finished_at = NULL
WHERE workspace_id = %(workspace_id)s AND id = %(import_id)s AND status IN ('running', 'failed', 'cancelled')
RETURNING id, attempts

-- name: hold_import
-- The lock on this row is the sign of life of whoever works on the import: see end_dead_imports. "failed" may it have
-- become in the instant before; with another number of attempts it belongs to somebody else by now.
UPDATE outreach.imports
SET status = 'running', error = NULL, finished_at = NULL
WHERE workspace_id = %(workspace_id)s AND id = %(import_id)s AND attempts = %(attempts)s
  AND status IN ('running', 'failed')
RETURNING id

-- name: finish_import
UPDATE outreach.imports
SET status = 'done', rows_read = %(rows_read)s, inserted = %(inserted)s, updated = %(updated)s,
    skipped = %(skipped)s, rejected = %(rejected)s, first_lead_id = %(first_lead_id)s, last_lead_id = %(last_lead_id)s,
    words_pending = %(inserted)s + %(updated)s::bigint > 0, finished_at = %(finished_at)s
WHERE workspace_id = %(workspace_id)s AND id = %(import_id)s

-- name: fail_import
-- "failed" may it have become before it was held, as in hold_import: who worked on it knows better how it ended.
UPDATE outreach.imports
SET status = %(status)s, error = %(error)s, finished_at = %(finished_at)s
WHERE workspace_id = %(workspace_id)s AND id = %(import_id)s AND attempts = %(attempts)s
  AND status IN ('running', 'failed')

-- name: status_of_import
SELECT status FROM outreach.imports WHERE workspace_id = %(workspace_id)s AND id = %(import_id)s

-- name: end_dead_imports
-- An import that runs and whose row nobody holds lost its client or its server; its transaction left nothing behind.
-- One that began a moment ago takes hold of its row in the next.
UPDATE outreach.imports
SET status = 'failed', error = 'the importing process ended before it was done; nothing was stored',
    finished_at = %(now)s
WHERE workspace_id = %(workspace_id)s
  AND id IN (
      SELECT id FROM outreach.imports
      WHERE workspace_id = %(workspace_id)s AND status = 'running'
        AND started_at < %(now)s::timestamptz - interval '2 seconds'
      ORDER BY id FOR NO KEY UPDATE SKIP LOCKED)

-- name: refresh_statistics
SELECT outreach.refresh_statistics(t) FROM unnest(ARRAY['leads', 'companies']) AS t

-- name: learn_pending_words
SELECT outreach.learn_pending_words()

-- name: workspaces_with_pending_words
SELECT w.id, w.name
FROM outreach.workspaces AS w
WHERE EXISTS (SELECT FROM outreach.imports AS i WHERE i.workspace_id = w.id AND i.words_pending)
ORDER BY w.id

-- name: settle_search_index
SELECT outreach.settle_search_index()

-- name: list_imports
SELECT id, file_name, status, attempts, on_conflict, rows_read, inserted, updated, skipped, rejected, error, started_at, finished_at,
       history_pruned_at
FROM outreach.imports
WHERE workspace_id = %(workspace_id)s
ORDER BY started_at DESC, id DESC
LIMIT %(limit)s

-- name: find_import
SELECT id, file_name, source_path, encode(file_sha256, 'hex') AS file_sha256, format, encoding, delimiter, header_line, mapping,
       on_conflict, status, attempts, rows_read, inserted, updated, skipped, rejected, first_lead_id, last_lead_id, error,
       started_at, finished_at, history_pruned_at
FROM outreach.imports
WHERE workspace_id = %(workspace_id)s AND id = %(import_id)s

-- name: list_rejects
SELECT row_number, column_name, reason, raw
FROM outreach.import_rejects
WHERE workspace_id = %(workspace_id)s AND import_id = %(import_id)s AND row_number > %(after)s
ORDER BY row_number
LIMIT %(limit)s

-- name: suppress
SELECT added, leads FROM outreach.suppress(%(targets)s, %(reason)s, %(source)s)

-- name: list_suppressions
SELECT target, reason, source, outreach.shown_end(expires_at) AS expires_at, created_at
FROM outreach.suppressions
WHERE workspace_id = %(workspace_id)s
ORDER BY created_at DESC, id DESC
LIMIT %(limit)s

-- name: remove_suppressions
-- All spellings of a target go: those in Punycode are few, but only a look at every row finds them.
WITH wanted AS MATERIALIZED (
    SELECT outreach.suppression_target(given) AS target FROM unnest(%(targets)s::text[]) AS given
)
DELETE FROM outreach.suppressions
WHERE workspace_id = %(workspace_id)s
  AND id IN (SELECT s.id FROM outreach.suppressions AS s
             WHERE s.workspace_id = %(workspace_id)s AND s.target IN (SELECT w.target FROM wanted AS w)
             UNION ALL
             SELECT s.id FROM outreach.suppressions AS s
             WHERE s.workspace_id = %(workspace_id)s AND strpos(s.target, 'xn--') > 0
               AND outreach.suppression_target(s.target) IN (SELECT w.target FROM wanted AS w))
RETURNING target

-- name: find_suppressions
-- Who of some addresses may not be mailed, by address or by domain.
SELECT DISTINCT ON (given) given AS address, s.target, s.reason
FROM (SELECT given, lower(given) AS written, lower(outreach.normal_address(given)) AS normal
      FROM unnest(%(addresses)s::text[]) AS given) AS g
JOIN outreach.suppressions AS s
    ON s.workspace_id = %(workspace_id)s
    AND s.target IN (normal, split_part(normal, '@', 2), written, split_part(written, '@', 2))
WHERE s.expires_at IS NULL OR s.expires_at > %(now)s
ORDER BY given, s.target NOT LIKE '%%@%%'

-- name: search_leads
SELECT s.id, s.email, s.first_name, s.last_name, s.title, s.company_name, s.industry, s.country, s.status, s.tags,
       s.qualification_score, s.created_at, s.updated_at, s.match, s.next_cursor
FROM outreach.search_leads_optimized(
    %(query)s::text, %(filters)s::jsonb, %(sort)s::text, %(rows)s::integer, %(cursor)s::text) AS s

-- name: find_lead
SELECT l.id, l.email, l.first_name, l.last_name, l.phone, l.phone_e164, l.title, l.company_id, l.company_name, l.company_website,
       l.linkedin_url, l.industry, l.country, l.city, l.timezone, l.source, l.source_key, l.status, l.tags,
       l.custom_fields, l.notes, l.qualification_score, l.qualified_at, l.email_status, l.email_flags, l.email_checked_at,
       l.profile_checked_at, l.created_at, l.updated_at, e.level AS engagement, e.last_contacted_at, e.last_opened_at,
       e.last_clicked_at, e.last_replied_at, e.sent_count, e.open_count, e.click_count, e.reply_count, e.bounce_count
FROM outreach.leads AS l
LEFT JOIN outreach.lead_engagement AS e ON e.workspace_id = l.workspace_id AND e.lead_id = l.id
WHERE l.workspace_id = %(workspace_id)s
  AND l.id = coalesce(%(id)s::bigint, (
      SELECT k.id FROM outreach.leads AS k
      WHERE k.workspace_id = %(workspace_id)s
        AND k.email_key IN (%(email_key)s::text, lower(outreach.normal_address(%(email_key)s::text)))
      ORDER BY k.email_key = %(email_key)s::text DESC
      LIMIT 1))

-- name: save_mapping
INSERT INTO outreach.import_mappings AS m (workspace_id, name, header, mapping)
VALUES (%(workspace_id)s, %(name)s, %(header)s, %(mapping)s)
ON CONFLICT (workspace_id, name) DO UPDATE
    SET header = excluded.header, mapping = excluded.mapping, updated_at = excluded.updated_at

-- name: find_mapping
SELECT name, header, mapping FROM outreach.import_mappings
WHERE workspace_id = %(workspace_id)s AND name = %(name)s

-- name: find_mapping_of_header
-- The newest of the mappings that were saved for exactly these columns.
SELECT name, header, mapping FROM outreach.import_mappings
WHERE workspace_id = %(workspace_id)s AND header = %(header)s::text[]
ORDER BY updated_at DESC, name
LIMIT 1

-- name: list_mappings
SELECT name, header, mapping, created_at, updated_at FROM outreach.import_mappings
WHERE workspace_id = %(workspace_id)s
ORDER BY name

-- name: delete_mapping
DELETE FROM outreach.import_mappings
WHERE workspace_id = %(workspace_id)s AND name = %(name)s
RETURNING name
