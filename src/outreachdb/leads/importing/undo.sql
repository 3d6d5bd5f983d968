-- The steps of an undo, in one transaction; {undo} is its unlogged table of the leads that the import wrote.

-- name: lock_import
SELECT status, started_at, inserted, first_lead_id, last_lead_id
FROM outreach.imports
WHERE workspace_id = %(workspace_id)s AND id = %(import_id)s
FOR NO KEY UPDATE

-- name: create_undo
-- "created" leads go, the others get their before-image back; a reason says why one stays as it is.
CREATE UNLOGGED TABLE {undo} (lead_id bigint, created boolean, before jsonb, reason text)

-- name: list_created
INSERT INTO {undo} (lead_id, created)
SELECT l.id, true
FROM outreach.leads AS l
WHERE l.workspace_id = %(workspace_id)s AND l.id BETWEEN %(first_lead_id)s AND %(last_lead_id)s
  AND l.created_at = %(started_at)s

-- name: list_updated
INSERT INTO {undo} (lead_id, created, before)
SELECT c.lead_id, false, c.before
FROM outreach.import_changes AS c
WHERE c.workspace_id = %(workspace_id)s AND c.import_id = %(import_id)s

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

-- name: remove_created
DELETE FROM outreach.leads AS l
USING {undo} AS u
WHERE l.workspace_id = (SELECT %(workspace_id)s::bigint) AND l.id = u.lead_id AND u.created AND u.reason IS NULL

-- name: keep_where_taken
-- A key that the import took from a lead may belong to another lead by now.
UPDATE {undo} AS u
SET reason = 'address or source key taken since'
WHERE NOT u.created AND u.reason IS NULL
  AND (EXISTS (SELECT FROM outreach.leads AS l
               WHERE l.workspace_id = %(workspace_id)s AND l.email_key = u.before ->> 'email_key' AND l.id <> u.lead_id)
       OR EXISTS (SELECT FROM outreach.leads AS l
                  WHERE l.workspace_id = %(workspace_id)s AND l.source_key = u.before ->> 'source_key'
                    AND l.id <> u.lead_id))

-- name: restore_updated
-- An opt-out stays, whoever brought it. Undone is no write of its own: updated_at is restored as well, so that an
-- earlier import can be undone after this one.
UPDATE outreach.leads AS l
SET {assignments},
    company_id = (SELECT c.id FROM outreach.companies AS c WHERE c.workspace_id = %(workspace_id)s AND c.id = b.company_id),
    status = CASE WHEN l.status IN ('unsubscribed', 'bounced') THEN l.status ELSE b.status END,
    updated_at = b.updated_at
FROM {undo} AS u
CROSS JOIN LATERAL jsonb_populate_record(NULL::outreach.leads, u.before) AS b
WHERE l.workspace_id = (SELECT %(workspace_id)s::bigint) AND l.id = u.lead_id AND NOT u.created AND u.reason IS NULL

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
