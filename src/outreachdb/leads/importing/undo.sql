-- The steps of an undo, in one transaction; {undo} is its temporary table of the leads that the import wrote.

-- name: lock_import
SELECT status, started_at, inserted, updated, first_lead_id, last_lead_id, history_pruned_at
FROM outreach.imports
WHERE workspace_id = %(workspace_id)s AND id = %(import_id)s
FOR NO KEY UPDATE

-- name: create_undo
-- "created" leads go, the others get their before-image back; a reason says why one stays as it is.
CREATE TEMPORARY TABLE {undo} (lead_id bigint, created boolean, reason text)

-- name: list_created
INSERT INTO {undo} (lead_id, created)
SELECT l.id, true
FROM outreach.leads AS l
WHERE l.workspace_id = %(workspace_id)s AND l.id BETWEEN %(first_lead_id)s AND %(last_lead_id)s
  AND l.created_at = %(started_at)s
ORDER BY l.id

-- name: list_updated
INSERT INTO {undo} (lead_id, created)
SELECT c.lead_id, false
FROM outreach.import_changes AS c
WHERE c.workspace_id = %(workspace_id)s AND c.import_id = %(import_id)s
ORDER BY c.lead_id

-- name: lock_leads
-- In the order of ids, as imports and suppressions do. FOR UPDATE keeps new sends away from leads about to go; what is
-- judged by later statements stays true until the end.
SELECT count(*)
FROM (SELECT FROM outreach.leads AS l
      JOIN {undo} AS u ON u.lead_id = l.id
      WHERE l.workspace_id = (SELECT %(workspace_id)s::bigint)
      ORDER BY l.id
      FOR UPDATE OF l) AS locked

-- name: judge_leads
-- Whatever wrote a lead later left another updated_at. An opt-out that no suppression remembers would go with its lead.
UPDATE {undo} AS u
SET reason = judged.reason
FROM (
    SELECT n.lead_id,
           CASE WHEN l.id IS NULL THEN 'deleted since'
                WHEN l.updated_at <> %(started_at)s THEN 'changed since'
                WHEN n.created AND l.status IN ('unsubscribed', 'bounced') AND NOT EXISTS (
                    SELECT FROM outreach.suppressions AS s
                    WHERE s.workspace_id = %(workspace_id)s AND s.expires_at IS NULL
                      AND s.target IN (l.email_key, split_part(l.email_key, '@', 2)))
                    THEN 'unsubscribed or bounced'
           END AS reason
    FROM {undo} AS n
    LEFT JOIN outreach.leads AS l ON l.workspace_id = (SELECT %(workspace_id)s::bigint) AND l.id = n.lead_id
) AS judged
WHERE judged.lead_id = u.lead_id AND judged.reason IS NOT NULL

-- name: written_later_by
-- Imports, and actions on segments, that changed these leads one after the other since: each kept a before-image that holds the
-- instant of the one before it. Undone from the newest back, each gives the leads to the one before it.
WITH RECURSIVE later AS (
    SELECT %(import_id)s::bigint AS id, NULL::text AS format, %(started_at)s::timestamptz AS started_at
    UNION
    SELECT i.id, i.format, i.started_at
    FROM later AS l
    JOIN {undo} AS u ON u.reason = 'changed since'
    JOIN outreach.import_changes AS c ON c.workspace_id = (SELECT %(workspace_id)s::bigint) AND c.lead_id = u.lead_id
    JOIN outreach.imports AS i ON i.workspace_id = (SELECT %(workspace_id)s::bigint) AND i.id = c.import_id
    WHERE i.status = 'done' AND i.id <> l.id AND (c.before ->> 'updated_at')::timestamptz = l.started_at
)
SELECT l.id, l.format FROM later AS l WHERE l.id <> %(import_id)s ORDER BY l.started_at DESC

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

-- name: keep_used
UPDATE {undo} AS u
SET reason = {reason}
WHERE u.created AND u.reason IS NULL
  AND EXISTS (SELECT FROM {table} AS used WHERE used.workspace_id = (SELECT %(workspace_id)s::bigint)
                                            AND used.lead_id = u.lead_id)

-- name: hold_references
-- No foreign key to leads can appear while we hold this; see nothing_else_refers.
LOCK TABLE outreach.leads IN ROW EXCLUSIVE MODE

-- name: nothing_else_refers
-- Whether keep_used has seen all that a delete would ask for: each foreign key to leads belongs to one of its tables and
-- says (workspace_id, lead_id), and no trigger of somebody's own waits for deletes. And whether the login may say so.
SELECT has_parameter_privilege(session_user, 'session_replication_role', 'SET')
    AND NOT EXISTS (SELECT FROM pg_catalog.pg_trigger AS t
                    WHERE t.tgrelid = 'outreach.leads'::regclass AND NOT t.tgisinternal)
    AND NOT EXISTS (
        SELECT FROM pg_catalog.pg_constraint AS k
        JOIN pg_catalog.pg_class AS c ON c.oid = k.conrelid
        JOIN pg_catalog.pg_namespace AS n ON n.oid = c.relnamespace
        WHERE k.contype = 'f' AND k.confrelid = 'outreach.leads'::regclass AND k.conparentid = 0
          AND NOT (n.nspname IN ('outreach', 'analytics') AND NOT c.relispartition
                   AND ARRAY(SELECT a.attname::text FROM pg_catalog.pg_attribute AS a
                             WHERE a.attrelid = k.conrelid AND a.attnum = ANY (k.conkey) ORDER BY a.attname)
                       = ARRAY['lead_id', 'workspace_id']))

-- name: count_unkept
SELECT count(*) FILTER (WHERE created) AS created, count(*) FILTER (WHERE NOT created) AS updated
FROM {undo}
WHERE reason IS NULL

-- name: undo_part
SELECT min(lead_id) FILTER (WHERE created) AS first_created, max(lead_id) FILTER (WHERE created) AS last_created,
       min(lead_id) FILTER (WHERE NOT created) AS first_updated, max(lead_id) FILTER (WHERE NOT created) AS last_updated
FROM {undo} AS u
WHERE u.ctid >= %(first_page)s::tid AND u.ctid < %(next_page)s::tid

-- name: remove_created
DELETE FROM outreach.leads AS l
USING {undo} AS u
WHERE l.workspace_id = (SELECT %(workspace_id)s::bigint) AND l.id = u.lead_id AND u.created AND u.reason IS NULL
  AND l.id BETWEEN %(first_created)s AND %(last_created)s
  AND u.ctid >= %(first_page)s::tid AND u.ctid < %(next_page)s::tid

-- name: keep_where_taken
-- A key that the import took from a lead may belong to another lead by now.
-- Only keys that differ from the lead's own can have gone.
UPDATE {undo} AS u
SET reason = 'address or source key taken since'
FROM outreach.import_changes AS i
JOIN outreach.leads AS own ON own.workspace_id = i.workspace_id AND own.id = i.lead_id
WHERE NOT u.created AND u.reason IS NULL
  AND i.workspace_id = (SELECT %(workspace_id)s::bigint) AND i.import_id = %(import_id)s AND i.lead_id = u.lead_id
  AND (i.before ->> 'email_key' IS DISTINCT FROM own.email_key AND EXISTS (
           SELECT FROM outreach.leads AS l
           WHERE l.workspace_id = (SELECT %(workspace_id)s::bigint) AND l.email_key = i.before ->> 'email_key')
       OR i.before ->> 'source_key' IS DISTINCT FROM own.source_key AND EXISTS (
           SELECT FROM outreach.leads AS l
           WHERE l.workspace_id = (SELECT %(workspace_id)s::bigint) AND l.source_key = i.before ->> 'source_key'))

-- name: restore_updated
-- An opt-out stays, whoever brought it. Undone is no write of its own: updated_at is restored as well, so that an
-- earlier import can be undone after this one.
UPDATE outreach.leads AS l
SET {assignments},
    company_id = (SELECT c.id FROM outreach.companies AS c WHERE c.workspace_id = %(workspace_id)s AND c.id = b.company_id),
    status = CASE WHEN l.status IN ('unsubscribed', 'bounced') THEN l.status ELSE b.status END,
    updated_at = b.updated_at
FROM {undo} AS u
JOIN outreach.import_changes AS i
    ON i.workspace_id = (SELECT %(workspace_id)s::bigint) AND i.import_id = %(import_id)s AND i.lead_id = u.lead_id
CROSS JOIN LATERAL jsonb_populate_record(NULL::outreach.leads, i.before) AS b
WHERE l.workspace_id = (SELECT %(workspace_id)s::bigint) AND l.id = u.lead_id AND NOT u.created AND u.reason IS NULL
  AND l.id BETWEEN %(first_updated)s AND %(last_updated)s AND i.lead_id BETWEEN %(first_updated)s AND %(last_updated)s
  AND u.ctid >= %(first_page)s::tid AND u.ctid < %(next_page)s::tid

-- name: tables_of_companies
SELECT n.nspname AS schema, c.relname AS name
FROM pg_catalog.pg_attribute AS company
JOIN pg_catalog.pg_class AS c ON c.oid = company.attrelid
JOIN pg_catalog.pg_namespace AS n ON n.oid = c.relnamespace
WHERE company.attname = 'company_id' AND NOT company.attisdropped AND c.relkind IN ('r', 'p') AND NOT c.relispartition
  AND n.nspname IN ('outreach', 'analytics')
ORDER BY c.relname

-- name: remove_companies
-- Those that the import created, that nobody has written since and nothing refers to.
DELETE FROM outreach.companies AS c
WHERE c.workspace_id = (SELECT %(workspace_id)s::bigint)
  AND c.created_at = %(started_at)s AND c.updated_at = %(started_at)s AND {unused}

-- name: unused_company
NOT EXISTS (SELECT FROM {table} AS used WHERE used.workspace_id = (SELECT %(workspace_id)s::bigint)
                                          AND used.company_id = c.id)

-- name: finish_undo
UPDATE outreach.imports SET status = 'undone'
WHERE workspace_id = %(workspace_id)s AND id = %(import_id)s

-- name: count_kept
SELECT reason, count(*) AS leads, (array_agg(lead_id ORDER BY lead_id))[1:%(samples)s] AS sample
FROM {undo}
WHERE reason IS NOT NULL
GROUP BY reason
ORDER BY reason
