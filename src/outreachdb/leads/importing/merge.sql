-- The steps of an import between COPY and commit. Names in braces are filled in by merging.py.
-- Joins say "workspace_id = (SELECT ...)": the planner then takes a workspace of ordinary size. Of a constant that its
-- statistics don't know (a workspace filled a minute ago) it expects one row, and loops over a million.

-- name: create_raw
-- No temporary table, so that parallel workers can judge its rows (see clean; the same holds for what is joined there); no unlogged
-- one, as PostgreSQL did not start again after a kill while one was being made. It never outlives the transaction.
CREATE TABLE {raw} ({cells}, row_number bigint, problem text)

-- name: sample_lightly
SET LOCAL default_statistics_target = {target}

-- name: leave_entries_pending
-- New entries of GIN indexes wait in lists that settling.py works off meanwhile on another core. PostgreSQL's 4 MB would make this
-- connection do it itself, in small portions: 300,000 leads took 12.7 s to insert, 14.2 s without the second connection,
-- 16.1 s without this setting.
SET LOCAL gin_pending_list_limit = '256MB'

-- name: take_memory
-- The judged rows are sorted whole; a server with memory to spare does that without going to disk: with an
-- eighth of its shared buffers (blocks of 8 kB).
SELECT set_config('work_mem', greatest(131072, least(524288, setting::bigint))::text || 'kB', true)
FROM pg_settings WHERE name = 'shared_buffers'

-- name: notice_dead_client
-- A server that works on a statement for minutes should notice that its client was killed; only Linux can.
SELECT set_config('client_connection_check_interval', '2s', true) WHERE version() ~ 'linux'

-- name: copy_raw
COPY {raw} FROM STDIN (FORMAT text, NULL '', ENCODING 'UTF8')

-- name: lock_workspace
-- Imports of one workspace merge one after the other: they can't deadlock, and none counts another's rows.
SELECT pg_advisory_xact_lock(hashtextextended('outreachdb.import', %(workspace_id)s))

-- name: create_tagged
-- Each different cell of tags, split. As a subquery of clean its own plan may be parallel, and then that of clean is not; nor is
-- it where a row's tags are looked at in a subquery of their own.
CREATE TABLE {tagged} AS
SELECT split.cell, split.tags, (SELECT max(length(each.tag)) FROM unnest(split.tags) AS each (tag)) AS longest
FROM (
    SELECT once.cell, outreach.split_tags(once.cell) AS tags
    FROM (SELECT DISTINCT {cell} AS cell FROM {raw} AS r) AS once
    OFFSET 0
) AS split

-- name: create_dialled
-- How each country dials.
CREATE TABLE {dialled} AS
SELECT once.cell, outreach.phone_rule(once.cell) AS rule FROM (SELECT DISTINCT {cell} AS cell FROM {raw} AS r) AS once

-- name: clean
-- One row per row of the file, typed and judged. "key" is what makes rows of one file the same lead, NULL in rows that
-- are rejected or empty; "nth" is 1 in the row that speaks for its key. The sort leaves the table in the order of
-- addresses, which keeps the unique index's inserts local. An offset of nothing keeps expressions from being computed twice; '0' is
-- a constant from the start, as 0 is not yet when PostgreSQL asks whether parallel workers may do this (100,000 rows: 0.76 s, with
-- them 0.46).
CREATE TEMPORARY TABLE {clean} AS
SELECT *, CASE WHEN key IS NOT NULL THEN row_number() OVER (PARTITION BY key ORDER BY row_number {direction}) END AS nth
FROM (
    SELECT *,
           nullif(concat(company_website, chr(31), company_name), chr(31)) COLLATE "C" AS firm,
           CASE WHEN problem IS NOT NULL AND unreadable IS NULL THEN {problem_column} END AS problem_column,
           CASE WHEN problem IS NULL THEN coalesce(email_key, chr(31) || source_key) END COLLATE "C" AS key
    FROM (
        SELECT *, lower(email) AS email_key, coalesce(unreadable, {problem}) AS problem,
               coalesce(outreach.status_of_mark(mark), status) AS status_now, outreach.phone_e164(phone_digits, phone_rule) AS phone_e164
        FROM (
            SELECT r.row_number, r.problem AS unreadable, {fields}
            FROM {raw} AS r {joins}
            OFFSET '0'
        ) AS typed
        OFFSET '0'
    ) AS judged
) AS keyed

-- name: count_clean
SELECT count(*) AS rows_read,
       count(*) FILTER (WHERE problem IS NOT NULL) AS rejected,
       count(*) FILTER (WHERE nth = 1) AS keys,
       count(*) FILTER (WHERE nth = 2) AS repeated,
       count(*) FILTER (WHERE problem IS NULL AND (key IS NULL OR nth > 1)) AS unspoken
FROM {clean}

-- name: settle_rows
-- Which rows are one lead, and what they say together; returns how many were refused because they contradict each other.
SELECT outreach.settle_rows({rows}::regclass, {policy}, {id_column})

-- name: refuse_kept_addresses
-- An external id leads to a lead of another address: skip and fill leave that one its own, so the row's would vanish.
UPDATE {clean} AS c
SET problem = outreach.kept_address_reason({policy}), problem_column = {id_column}, key = NULL, nth = NULL
FROM (
    SELECT u.key
    FROM {match} AS m
    JOIN {clean} AS u ON u.row_number = m.row_number
    JOIN outreach.leads AS l ON l.workspace_id = (SELECT %(workspace_id)s::bigint) AND l.id = m.lead_id
    WHERE u.email_key IS NOT NULL AND (u.email_key <> l.email_key OR ({policy} = 'skip' AND l.email_key IS NULL))
) AS kept
WHERE c.key = kept.key

-- name: forget_refused
DELETE FROM {match} AS m
USING {clean} AS c
WHERE c.row_number = m.row_number AND c.nth IS NULL

-- name: refuse_unplaced
-- Rows whose lead could neither be inserted nor matched: their external id is that of a lead that another row names.
UPDATE {clean} AS c
SET problem = outreach.unplaced_reason(c.source_key), problem_column = {id_column}, key = NULL, nth = NULL
FROM (
    SELECT u.key
    FROM {clean} AS u
    WHERE u.nth = 1
      AND NOT EXISTS (SELECT FROM {match} AS m WHERE m.row_number = u.row_number)
      AND NOT EXISTS (
          SELECT FROM outreach.leads AS l
          WHERE l.workspace_id = (SELECT %(workspace_id)s::bigint) AND l.id >= %(first_lead_id)s
            AND (l.email_key = u.email_key OR (u.email_key IS NULL AND l.source_key = u.source_key)))
) AS lost
WHERE c.key = lost.key

-- name: store_rejects
INSERT INTO outreach.import_rejects (workspace_id, import_id, row_number, reason, column_name, raw)
SELECT %(workspace_id)s, %(import_id)s, r.row_number, c.problem, c.problem_column,
       CASE WHEN r.problem IS NULL THEN {row_text} ELSE coalesce({first_cell}, '') END
FROM {clean} AS c
JOIN {raw} AS r ON r.row_number = c.row_number
WHERE c.problem IS NOT NULL
ON CONFLICT (workspace_id, import_id, row_number) DO NOTHING

-- name: create_match
CREATE TEMPORARY TABLE {match} (row_number bigint, lead_id bigint)

-- name: match_email
-- Leads that this import itself made in an earlier round are no match: first_lead_id is the first of them.
INSERT INTO {match}
SELECT c.row_number, l.id
FROM {clean} AS c
JOIN outreach.leads AS l ON l.workspace_id = (SELECT %(workspace_id)s::bigint) AND l.email_key = c.email_key
WHERE c.nth = 1
  AND NOT (l.id >= coalesce(%(first_lead_id)s::bigint, l.id + 1) AND l.created_at = %(now)s)

-- name: match_source_key
INSERT INTO {match}
SELECT c.row_number, l.id
FROM {clean} AS c
JOIN outreach.leads AS l ON l.workspace_id = (SELECT %(workspace_id)s::bigint) AND l.source_key = c.source_key
WHERE c.nth = 1
  AND NOT EXISTS (SELECT FROM {match} AS m WHERE m.row_number = c.row_number)
  AND NOT EXISTS (SELECT FROM {match} AS m WHERE m.lead_id = l.id)
  AND NOT (l.id >= coalesce(%(first_lead_id)s::bigint, l.id + 1) AND l.created_at = %(now)s)

-- name: count_matched
SELECT count(*) FROM {match}

-- name: forget_match
TRUNCATE {match}

-- name: create_firms
-- The companies that the rows name, once each; {chosen} are the rows that may set a company.
CREATE TEMPORARY TABLE {firms} AS
SELECT firm, website, name, outreach.web_domain(website) AS domain, lower(name) AS name_key, NULL::bigint AS company_id
FROM (
    SELECT c.firm, c.company_website AS website, c.company_name AS name
    FROM {clean} AS c
    WHERE c.nth = 1 AND c.firm IS NOT NULL AND {chosen}
    GROUP BY 1, 2, 3
) AS named

-- name: create_companies_by_domain
INSERT INTO outreach.companies (workspace_id, name, domain, website_url, created_at, updated_at)
SELECT %(workspace_id)s, coalesce(min(f.name), f.domain), f.domain, min(f.website), %(now)s, %(now)s
FROM {firms} AS f
WHERE f.domain IS NOT NULL
  AND NOT EXISTS (
      SELECT FROM outreach.companies AS c WHERE c.workspace_id = (SELECT %(workspace_id)s::bigint) AND c.domain = f.domain)
GROUP BY f.domain
ORDER BY f.domain
ON CONFLICT (workspace_id, domain) WHERE domain IS NOT NULL DO NOTHING

-- name: create_companies_by_name
INSERT INTO outreach.companies (workspace_id, name, created_at, updated_at)
SELECT %(workspace_id)s, min(f.name), %(now)s, %(now)s
FROM {firms} AS f
WHERE f.domain IS NULL AND f.name IS NOT NULL
  AND NOT EXISTS (
      SELECT FROM outreach.companies AS c WHERE c.workspace_id = (SELECT %(workspace_id)s::bigint) AND c.name_key = f.name_key)
GROUP BY f.name_key
ORDER BY f.name_key
ON CONFLICT (workspace_id, name_key) WHERE domain IS NULL DO NOTHING

-- name: find_companies_by_domain
UPDATE {firms} AS f
SET company_id = c.id
FROM outreach.companies AS c
WHERE c.workspace_id = (SELECT %(workspace_id)s::bigint) AND c.domain = f.domain

-- name: find_companies_by_name
-- Of several companies of one name: the one without a domain, else the oldest.
UPDATE {firms} AS f
SET company_id = c.id
FROM (
    SELECT DISTINCT ON (name_key) name_key, id
    FROM outreach.companies
    WHERE workspace_id = (SELECT %(workspace_id)s::bigint)
      AND name_key IN (SELECT wanted.name_key FROM {firms} AS wanted WHERE wanted.domain IS NULL)
    ORDER BY name_key, domain IS NOT NULL, id
) AS c
WHERE f.domain IS NULL AND f.name IS NOT NULL AND c.name_key = f.name_key

-- name: hold_leads
-- No foreign key of leads and no trigger can appear while we hold this; see nothing_else_is_asked.
LOCK TABLE outreach.leads IN ROW EXCLUSIVE MODE

-- name: nothing_else_is_asked
-- Whether an insert asks for nothing but a workspace and a company, fires no trigger of somebody's own, and the login may
-- say that they need not be asked for.
SELECT has_parameter_privilege(session_user, 'session_replication_role', 'SET')
    AND NOT EXISTS (SELECT FROM pg_catalog.pg_trigger AS t
                    WHERE t.tgrelid = 'outreach.leads'::regclass AND NOT t.tgisinternal)
    AND ARRAY(SELECT k.conname::text FROM pg_catalog.pg_constraint AS k
              WHERE k.contype = 'f' AND k.conrelid = 'outreach.leads'::regclass ORDER BY k.conname)
        = ARRAY['fk_leads_company', 'fk_leads_workspace']

-- name: hold_references
-- Lock the workspace and all companies of the rows as their foreign keys would; whether all are there.
SELECT EXISTS (SELECT FROM outreach.workspaces AS w WHERE w.id = %(workspace_id)s FOR KEY SHARE)
    AND (SELECT count(*)
         FROM (SELECT FROM outreach.companies AS c
               WHERE c.workspace_id = (SELECT %(workspace_id)s::bigint)
                 AND c.id IN (SELECT f.company_id FROM {firms} AS f)
               ORDER BY c.id
               FOR KEY SHARE) AS held)
        = (SELECT count(DISTINCT f.company_id) FROM {firms} AS f)

-- name: insert_leads
-- A suppressed address arrives with the status that its suppression asks for.
WITH made AS (
    INSERT INTO outreach.leads (
        workspace_id, email, first_name, last_name, phone, phone_e164, title, company_id, company_name, company_website,
        linkedin_url, industry, country, city, timezone, source, source_key, status, tags, custom_fields, notes,
        qualification_score, email_flags, created_at, updated_at)
    SELECT %(workspace_id)s, c.email, c.first_name, c.last_name, c.phone, c.phone_e164, c.title, f.company_id, c.company_name,
           c.company_website, c.linkedin_url, c.industry, c.country, c.city, c.timezone, c.source, c.source_key,
           coalesce(outreach.suppressed_status(address.reason), outreach.suppressed_status(domain.reason), c.status_now,
                    'new'),
           c.tags, c.custom_fields, c.notes, c.qualification_score, outreach.email_flags(c.email_key), %(now)s, %(now)s
    FROM {clean} AS c
    LEFT JOIN {firms} AS f ON f.firm = c.firm
    LEFT JOIN outreach.suppressions AS address
        ON address.workspace_id = %(workspace_id)s AND address.target = c.email_key
        AND (address.expires_at IS NULL OR address.expires_at > %(now)s)
    LEFT JOIN outreach.suppressions AS domain
        ON domain.workspace_id = %(workspace_id)s AND domain.target = split_part(c.email_key, '@', 2)
        AND (domain.expires_at IS NULL OR domain.expires_at > %(now)s)
    WHERE c.nth = 1 AND NOT EXISTS (SELECT FROM {match} AS m WHERE m.row_number = c.row_number)
      AND c.ctid >= %(first_page)s::tid AND c.ctid < %(next_page)s::tid
    {on_conflict}
    RETURNING id, email_key IS NULL AS without_address, email_flags, phone_e164 IS NOT NULL AS phone, status
)
SELECT count(*) AS leads, min(id) AS first_id, max(id) AS last_id,
       count(*) FILTER (WHERE without_address) AS without_address,
       count(*) FILTER (WHERE 'role' = ANY (email_flags)) AS role,
       count(*) FILTER (WHERE 'disposable' = ANY (email_flags)) AS disposable,
       count(*) FILTER (WHERE phone) AS phones_normalised,
       count(*) FILTER (WHERE status IN ('unsubscribed', 'bounced')) AS arrived_suppressed
FROM made

-- name: plan_updates
-- What the matched leads become; locks those that change, in the order of ids, so that their before-images are exact.
CREATE TEMPORARY TABLE {changed} AS
SELECT l.id AS lead_id, new.*
FROM {match} AS m
JOIN {clean} AS c ON c.row_number = m.row_number
JOIN outreach.leads AS l ON l.workspace_id = (SELECT {workspace_id}::bigint) AND l.id = m.lead_id
LEFT JOIN {firms} AS f ON f.firm = c.firm
CROSS JOIN LATERAL outreach.merged_lead({merged}) AS new
WHERE {differs}
ORDER BY l.id
FOR NO KEY UPDATE OF l

-- name: pages
SELECT pg_relation_size({table}) / current_setting('block_size')::bigint AS pages

-- name: changed_part
-- Leads of a part of {changed}, which is in the order of ids: a range of ids is faster to find than a set.
SELECT count(*) AS leads, min(lead_id) AS first_id, max(lead_id) AS last_id
FROM {changed} AS n
WHERE n.ctid >= %(first_page)s::tid AND n.ctid < %(next_page)s::tid

-- name: store_before_images
INSERT INTO outreach.import_changes (workspace_id, import_id, lead_id, before)
SELECT %(workspace_id)s, %(import_id)s, l.id, to_jsonb(l)
FROM outreach.leads AS l
JOIN {changed} AS n ON n.lead_id = l.id
WHERE l.workspace_id = (SELECT %(workspace_id)s::bigint) AND l.id BETWEEN %(first_id)s AND %(last_id)s
  AND n.ctid >= %(first_page)s::tid AND n.ctid < %(next_page)s::tid

-- name: update_leads
UPDATE outreach.leads AS l
SET {assignments}, updated_at = %(now)s
FROM {changed} AS n
WHERE l.workspace_id = (SELECT %(workspace_id)s::bigint) AND l.id = n.lead_id
  AND l.id BETWEEN %(first_id)s AND %(last_id)s AND n.ctid >= %(first_page)s::tid AND n.ctid < %(next_page)s::tid

-- name: store_marked
-- What the file itself marks as unsubscribed, bounced or blocked, in whichever row: whoever opted out has opted out, also where
-- their row is rejected for something else. Of a row that can't be read or whose address is none there is no address to take.
-- Whoever suppresses locks suppressions first and leads after them.
SELECT outreach.store_suppressions(array_agg(c.email_key), array_agg(c.mark), {origin})
FROM {clean} AS c
WHERE c.unreadable IS NULL AND c.email_key IS NOT NULL AND c.mark IS NOT NULL
HAVING count(*) > 0

-- name: lock_marked
-- All leads that the merge may change or a mark may hit, in one order: it is also that of outreach.suppress.
SELECT count(*)
FROM (SELECT FROM outreach.leads AS l
      WHERE l.workspace_id = (SELECT %(workspace_id)s::bigint)
        AND l.id IN (SELECT m.lead_id FROM {match} AS m
                     UNION ALL
                     SELECT k.id
                     FROM {clean} AS c
                     JOIN outreach.leads AS k
                         ON k.workspace_id = (SELECT %(workspace_id)s::bigint) AND k.email_key = c.email_key
                     WHERE c.unreadable IS NULL AND c.mark IS NOT NULL
                       AND k.created_at <> %(now)s)
      ORDER BY l.id
      FOR NO KEY UPDATE OF l) AS locked

-- name: suppress_marked
-- Sets the status of the leads that a mark hits and the merge has left alone; of several marks the gravest, which is the
-- last in the alphabet.
SELECT count(*)
FROM (SELECT mark, array_agg(email_key) AS targets
      FROM (SELECT DISTINCT ON (email_key) email_key, mark
            FROM {clean}
            WHERE unreadable IS NULL AND email_key IS NOT NULL AND mark IS NOT NULL
            ORDER BY email_key, mark DESC) AS strongest
      GROUP BY mark) AS marked,
     LATERAL outreach.suppress(marked.targets, marked.mark, {origin}) AS done

-- name: count_suppressed
-- Leads of the file that may not be mailed, by address or by domain, whoever said so.
SELECT count(*)
FROM {clean} AS c
WHERE c.nth = 1
  AND EXISTS (SELECT FROM outreach.suppressions AS s
              WHERE s.workspace_id = (SELECT %(workspace_id)s::bigint)
                AND s.target IN (c.email_key, split_part(c.email_key, '@', 2))
                AND (s.expires_at IS NULL OR s.expires_at > %(now)s))

-- name: sample_changes
-- What would change in the first of the leads that are there already, field by field.
SELECT l.id AS lead_id, l.email, new.key AS field, c.before -> new.key AS before, new.value AS after
FROM (SELECT lead_id, before FROM outreach.import_changes
      WHERE workspace_id = %(workspace_id)s AND import_id = %(import_id)s
      ORDER BY lead_id LIMIT %(leads)s) AS c
JOIN outreach.leads AS l ON l.workspace_id = %(workspace_id)s AND l.id = c.lead_id
CROSS JOIN LATERAL jsonb_each(to_jsonb(l)) AS new
WHERE new.value IS DISTINCT FROM c.before -> new.key AND new.key NOT IN ('updated_at', 'email_key', 'company_id')
ORDER BY l.id, new.key
