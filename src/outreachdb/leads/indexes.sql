-- Whom each index of this room serves; the form is told in outreachdb/db/index_catalogue.py.

-- name: pk_companies
-- One company by its id, and the parent side of the foreign keys of leads and organization charts.
SELECT c.name, c.domain FROM outreach.companies AS c WHERE c.workspace_id = %(workspace_id)s AND c.id = %(id)s;

-- name: uq_companies_domain
-- One company per domain: the import finds or makes it.
SELECT c.id FROM outreach.companies AS c WHERE c.workspace_id = %(workspace_id)s AND c.domain = %(domain)s;

-- name: uq_companies_name
-- A company known by its name only is one row however many imports run at once.
SELECT c.id
FROM outreach.companies AS c
WHERE c.workspace_id = %(workspace_id)s AND c.name_key = %(nameless_key)s AND c.domain IS NULL;

-- name: ix_companies_name_key
-- The import looks for a company by its name, with a domain or without.
SELECT c.id, c.domain FROM outreach.companies AS c WHERE c.workspace_id = %(workspace_id)s AND c.name_key = %(name_key)s;

-- name: ix_companies_renewal_month
-- claim: R0 companies by renewal month: unknown -> 31 ms
-- Companies whose contract is renewed soon (R0: idx_company_renewal_month).
SELECT c.id, c.name
FROM outreach.companies AS c
WHERE c.workspace_id = %(workspace_id)s AND c.renewal_month = ANY (%(months)s::smallint[]);

-- name: ix_companies_last_crawled_at
-- Which companies to look at again, those never looked at first; the staleness report (R0).
SELECT c.id, c.website_url, c.last_crawled_at
FROM outreach.companies AS c
WHERE c.workspace_id = %(workspace_id)s
ORDER BY c.last_crawled_at NULLS FIRST
LIMIT %(limit)s;

-- name: pk_leads
-- One lead by its id, lists in the order of ids, and the parent side of foreign keys.
SELECT l.email, l.status FROM outreach.leads AS l WHERE l.workspace_id = %(workspace_id)s AND l.id = %(lead_id)s;

-- name: uq_leads_email_key
-- One lead per address whatever its case (R0: uq_contact_email_ci); every look-up by address.
SELECT l.id, l.status FROM outreach.leads AS l WHERE l.workspace_id = %(workspace_id)s AND l.email_key = %(email_key)s;

-- name: uq_leads_source_key
-- A lead without an address that is imported again is the same lead.
SELECT l.id FROM outreach.leads AS l WHERE l.workspace_id = %(workspace_id)s AND l.source_key = %(source_key)s;

-- name: ix_leads_company_id
-- The people of a company; covers the foreign key to companies.
SELECT l.id, l.email, l.title
FROM outreach.leads AS l
WHERE l.workspace_id = %(workspace_id)s AND l.company_id = %(company_id)s;

-- name: ix_leads_created_at
-- claim: R1 newest leads, 100,000 leads: 1000-2000 ms -> 15-30 ms
-- The newest leads, page by page (R1, R2).
SELECT l.id, l.email, l.created_at
FROM outreach.leads AS l
WHERE l.workspace_id = %(workspace_id)s
ORDER BY l.created_at DESC, l.id DESC
LIMIT %(limit)s;

-- also: ix_leads_created_at, in a range
-- claim: R1 leads created in a range, 100,000 leads: 800-1500 ms -> 10-20 ms
-- All leads created within a day (R1). PostgreSQL 18 finds them nearly as fast by skipping through ix_leads_industry_created from
-- industry to industry; 15 to 17 can't.
SELECT l.id, l.email, l.created_at
FROM outreach.leads AS l
WHERE l.workspace_id = %(workspace_id)s AND l.created_at >= %(day)s AND l.created_at < %(next_day)s;

-- name: ix_leads_updated_at
-- claim: R4 range of instants: 200 ms -> 10 ms
-- What changed last, for whoever follows the list (R4).
SELECT l.id, l.email, l.updated_at
FROM outreach.leads AS l
WHERE l.workspace_id = %(workspace_id)s AND l.updated_at >= %(since)s
ORDER BY l.updated_at DESC, l.id DESC
LIMIT %(limit)s;

-- name: ix_leads_status_created
-- Leads of a status, newest first (R3: WHERE workspace_id AND status ORDER BY created_at DESC).
SELECT l.id, l.email, l.created_at
FROM outreach.leads AS l
WHERE l.workspace_id = %(workspace_id)s AND l.status = %(lead_status)s
ORDER BY l.created_at DESC
LIMIT %(limit)s;

-- name: ix_leads_industry_created
-- claim: R1 leads of an industry, 100,000 leads: 500-1000 ms -> 5-15 ms
-- Leads of an industry, newest first (R1: the composite that it recommends): of a rare one, as a common one is met soon enough among
-- the newest leads.
SELECT l.id, l.email, l.created_at
FROM outreach.leads AS l
WHERE l.workspace_id = %(workspace_id)s AND l.industry = %(rare_industry)s
ORDER BY l.created_at DESC
LIMIT %(limit)s;

-- name: ix_leads_company_name
-- Leads by the company's name as written in the list (R1), and lists in its order, page by page.
SELECT l.id, l.email
FROM outreach.leads AS l
WHERE l.workspace_id = %(workspace_id)s AND l.company_name = %(company_name)s
ORDER BY l.id;

-- name: ix_leads_verification
-- claim: R0 addresses to check: unknown -> 31 ms
-- Which addresses to check next, those never checked first (R0: idx_verif_status_checked).
SELECT l.id, l.email
FROM outreach.leads AS l
WHERE l.workspace_id = %(workspace_id)s AND l.email_status = %(email_status)s
ORDER BY l.email_checked_at NULLS FIRST
LIMIT %(limit)s;

-- name: ix_leads_profile_checked_at
-- Which profiles to look at again, those never looked at first; the staleness report (R0).
SELECT l.id, l.linkedin_url
FROM outreach.leads AS l
WHERE l.workspace_id = %(workspace_id)s
ORDER BY l.profile_checked_at NULLS FIRST
LIMIT %(limit)s;

-- name: ix_leads_score_created
-- claim: R4 filter and sort by two columns: 1000 ms -> 50 ms
-- The best leads first (R4: with its WHERE clause); any threshold (R1).
SELECT l.id, l.email, l.qualification_score
FROM outreach.leads AS l
WHERE l.workspace_id = %(workspace_id)s AND l.qualification_score >= %(score)s::real
ORDER BY l.qualification_score DESC, l.created_at DESC, l.id DESC
LIMIT %(limit)s;

-- name: ix_leads_qualified_at
-- Leads qualified lately (R4).
SELECT l.id, l.email, l.qualified_at
FROM outreach.leads AS l
WHERE l.workspace_id = %(workspace_id)s AND l.qualified_at >= %(since)s
ORDER BY l.qualified_at DESC, l.id DESC
LIMIT %(limit)s;

-- name: gin_leads_tags
-- as: trusted
-- Segments by tags (R2); array operators are not leakproof, so the segment functions run as the trusted role.
SELECT count(*) FROM outreach.leads AS l WHERE l.workspace_id = %(workspace_id)s AND l.tags @> %(tags)s::text[];

-- name: gin_leads_custom_fields
-- as: trusted
-- Segments by a custom field's value (R1: additional_data, R2, R4: ix_leads_additional_data_gin); by containment.
SELECT count(*)
FROM outreach.leads AS l
WHERE l.workspace_id = %(workspace_id)s AND l.custom_fields @> %(custom_fields)s::jsonb;

-- name: gin_leads_search
-- as: trusted
-- Search for a part of a name, an address or a company.
SELECT l.id, l.email
FROM outreach.leads AS l
WHERE l.workspace_id = %(workspace_id)s
  AND lower(coalesce(l.first_name, '') || ' ' || coalesce(l.last_name, '') || ' ' || coalesce(l.email, '') || ' '
      || coalesce(l.company_name, '')) LIKE %(pattern)s
LIMIT %(limit)s;

-- left out: ix_leads_id (leads, (id)) served by pk_leads
-- R1's ids are unique in the whole table; ours are looked up within their workspace.
SELECT l.email FROM outreach.leads AS l WHERE l.workspace_id = %(workspace_id)s AND l.id = %(id)s;

-- left out: ix_leads_industry (leads, (industry)) served by ix_leads_industry_created
-- R1's single column, needed within a workspace only; the index with the creation time answers it too.
SELECT count(*) FROM outreach.leads AS l WHERE l.workspace_id = %(workspace_id)s AND l.industry = %(rare_industry)s;

-- left out: ix_leads_created_at_alone (leads, (created_at DESC)) served by ix_leads_created_at
-- R1's and R2's single column; no query reads leads of all workspaces by time, and a workspace's need its column first.
SELECT l.id FROM outreach.leads AS l WHERE l.workspace_id = %(workspace_id)s AND l.created_at >= %(since)s;

-- left out: brin_leads_created_at (leads, brin (created_at)) served by ix_leads_created_at
-- R1 proposes it for millions of rows; a block range holds rows of every workspace, so a workspace's newest leads would
-- be read among all others'.
SELECT l.id
FROM outreach.leads AS l
WHERE l.workspace_id = %(workspace_id)s AND l.created_at >= %(day)s AND l.created_at < %(next_day)s;

-- left out: ix_leads_industry_created_at (leads, (industry, created_at)) served by ix_leads_industry_created
-- R1's future composite, in its own order; ours leads with the workspace and is read newest first.
SELECT l.id
FROM outreach.leads AS l
WHERE l.workspace_id = %(workspace_id)s AND l.industry = %(industry)s AND l.created_at >= %(since)s
ORDER BY l.created_at DESC
LIMIT %(limit)s;

-- left out: gin_leads_tags_alone (leads, gin (tags)) served by gin_leads_tags
-- as: trusted
-- R2's index on tags alone: without the workspace in front, a common tag of a big workspace is read for each small one.
SELECT count(*) FROM outreach.leads AS l WHERE l.workspace_id = %(small_workspace)s AND l.tags @> %(common_tags)s::text[];

-- left out: gin_leads_custom_fields_alone (leads, gin (custom_fields)) served by gin_leads_custom_fields
-- as: trusted
-- R1's, R2's and R4's index on the documents alone, of the class that also answers which keys are there; segments ask for values, for
-- which paths are smaller and faster.
SELECT count(*)
FROM outreach.leads AS l
WHERE l.workspace_id = %(workspace_id)s AND l.custom_fields @> %(custom_fields)s::jsonb;

-- left out: ix_leads_contact_email (leads, (contact_email)) served by uq_leads_email_key
-- tried: (email)
-- asked: SELECT l.id FROM outreach.leads AS l WHERE l.workspace_id = %(workspace_id)s AND l.email = %(email)s
-- R1's look-up by address; the unique key answers it in any case of letters.
SELECT l.id FROM outreach.leads AS l WHERE l.workspace_id = %(workspace_id)s AND l.email_key = %(email_key)s;

-- left out: idx_leads_workspace_email (leads, (workspace_id, email)) served by uq_leads_email_key
-- asked: SELECT l.id, l.email FROM outreach.leads AS l WHERE l.workspace_id = %(workspace_id)s AND l.email = %(email)s
-- R3's look-up by address within the workspace.
SELECT l.id, l.email FROM outreach.leads AS l WHERE l.workspace_id = %(workspace_id)s AND l.email_key = %(email_key)s;

-- left out: ix_leads_email_hash (leads, hash (email)) served by uq_leads_email_key
-- asked: SELECT l.id FROM outreach.leads AS l WHERE l.workspace_id = %(workspace_id)s AND l.email = %(email)s
-- R2's exact look-up; a hash index can't be unique nor lead with the workspace, and the unique key is there anyway.
SELECT l.id FROM outreach.leads AS l WHERE l.workspace_id = %(workspace_id)s AND l.email_key = %(email_key)s;

-- left out: ix_leads_workspace_status_email (leads, (workspace_id, status, email)) served by uq_leads_email_key
-- asked: SELECT l.id FROM outreach.leads AS l WHERE l.workspace_id = %(workspace_id)s AND l.status = %(lead_status)s AND l.email = %(email)s
-- R2's first composite; who knows the address needs no status to find the one lead, and lists of a status are read
-- newest first (ix_leads_status_created).
SELECT l.id
FROM outreach.leads AS l
WHERE l.workspace_id = %(workspace_id)s AND l.status = %(lead_status)s AND l.email_key = %(email_key)s;

-- left out: ix_leads_qualification_score (leads, (qualification_score)) served by ix_leads_score_created
-- R1's filter by score; the index for the best leads answers it.
SELECT l.id
FROM outreach.leads AS l
WHERE l.workspace_id = %(workspace_id)s AND l.qualification_score >= %(high_score)s::real;

-- left out: ix_leads_high_score (leads, (qualification_score) WHERE qualification_score >= 70) served by ix_leads_score_created
-- R1's partial index; the score stands second in the other index, so rows from 70 on are one range of it.
SELECT l.id, l.email
FROM outreach.leads AS l
WHERE l.workspace_id = %(workspace_id)s AND l.qualification_score >= 70::real
ORDER BY l.qualification_score DESC
LIMIT %(limit)s;

-- left out: ix_leads_active (leads, (created_at) WHERE status = 'active') served by ix_leads_status_created
-- tried: (created_at) WHERE status = 'verified'
-- R2's and R4's partial index; our vocabulary has no such word, its nearest is "verified", and each status is one range of
-- the other index.
SELECT l.id
FROM outreach.leads AS l
WHERE l.workspace_id = %(workspace_id)s AND l.status = 'verified'
ORDER BY l.created_at DESC
LIMIT %(limit)s;

-- left out: ix_leads_unsubscribed (leads, (email) WHERE status = 'unsubscribed') served by ix_leads_status_created
-- R2's partial index; whether an address may be mailed is asked of suppressions, and a list of the unsubscribed is one
-- range of the other index.
SELECT l.id, l.email FROM outreach.leads AS l WHERE l.workspace_id = %(workspace_id)s AND l.status = 'unsubscribed';

-- left out: idx_leads_hot (leads, (workspace_id, updated_at DESC) WHERE status = 'verified' AND last_contacted_at > ...) served by ix_lead_engagement_last_contacted
-- tried: none
-- R3's predicate depends on today's date, which an index can't hold; the time of the last contact lives in
-- lead_engagement, where a send does not rewrite the lead's many index entries.
SELECT e.lead_id, e.last_contacted_at, l.email
FROM outreach.lead_engagement AS e
JOIN outreach.leads AS l ON l.workspace_id = e.workspace_id AND l.id = e.lead_id
WHERE e.workspace_id = %(workspace_id)s AND e.last_contacted_at >= %(week_ago)s AND l.workspace_id = %(workspace_id)s
  AND l.status = 'verified'
ORDER BY e.last_contacted_at DESC
LIMIT %(limit)s;

-- left out: ix_leads_search (leads, gin (to_tsvector('english', company_name || ' ' || notes))) served by gin_leads_search
-- as: trusted
-- asked: SELECT l.id FROM outreach.leads AS l WHERE l.workspace_id = %(workspace_id)s AND to_tsvector('english', company_name || ' ' || notes) @@ plainto_tsquery('english', 'company 7777')
-- R4's full text: people look for parts of names and addresses, which whole English words don't match. Companies are found by
-- the trigram index; notes are in no index, a condition on them reads the workspace's leads.
SELECT l.id
FROM outreach.leads AS l
WHERE l.workspace_id = %(workspace_id)s
  AND lower(coalesce(l.first_name, '') || ' ' || coalesce(l.last_name, '') || ' ' || coalesce(l.email, '') || ' '
      || coalesce(l.company_name, '')) LIKE %(company_pattern)s
  AND lower(l.company_name) LIKE %(company_pattern)s;

-- name: pk_lead_engagement
-- What a lead did so far; every send and event adds to this row.
SELECT e.score, e.level
FROM outreach.lead_engagement AS e
WHERE e.workspace_id = %(workspace_id)s AND e.lead_id = %(lead_id)s;

-- name: ix_lead_engagement_last_contacted
-- Leads contacted within some days: hot leads (R3: idx_leads_hot) and the frequency cap.
SELECT e.lead_id, e.last_contacted_at
FROM outreach.lead_engagement AS e
WHERE e.workspace_id = %(workspace_id)s AND e.last_contacted_at >= %(week_ago)s
ORDER BY e.last_contacted_at DESC
LIMIT %(limit)s;

-- name: ix_lead_engagement_score
-- The leads that show the most interest, best first.
SELECT e.lead_id, e.score, e.level
FROM outreach.lead_engagement AS e
WHERE e.workspace_id = %(workspace_id)s AND e.score > 0
ORDER BY e.score DESC, e.lead_id
LIMIT %(limit)s;

-- name: ix_lead_engagement_score_due
-- as: trusted
-- Whose score falls by itself, because what they did has grown old.
SELECT e.lead_id
FROM outreach.lead_engagement AS e
WHERE e.workspace_id = %(workspace_id)s AND e.score_due_at <= %(now)s
ORDER BY e.score_due_at
LIMIT %(limit)s;

-- name: pk_imports
-- query: find_import
-- One import by its id.

-- name: ix_imports_started_at
-- The imports of a workspace, latest first.
SELECT i.id, i.file_name, i.status, i.started_at
FROM outreach.imports AS i
WHERE i.workspace_id = %(workspace_id)s
ORDER BY i.started_at DESC
LIMIT %(limit)s;

-- name: ix_imports_file_sha256
-- Whether a file was imported before.
SELECT i.id, i.started_at, i.status
FROM outreach.imports AS i
WHERE i.workspace_id = %(workspace_id)s AND i.file_sha256 = %(hash)s;

-- name: ix_imports_words_pending
-- as: trusted
-- Imports whose words are not learned yet: their process was killed in between.
SELECT i.id FROM outreach.imports AS i WHERE i.workspace_id = %(workspace_id)s AND i.words_pending;

-- name: pk_import_mappings
-- A saved mapping by its name.
SELECT m.header, m.mapping FROM outreach.import_mappings AS m WHERE m.workspace_id = %(workspace_id)s AND m.name = %(mapping_name)s;

-- name: pk_import_rejects
-- query: list_rejects
-- The rejected rows of an import in the file's order; covers the foreign key to imports.

-- name: pk_import_changes
-- What the leads that an import changed were before, for undoing it; covers the foreign key to imports.
SELECT c.lead_id, c.before
FROM outreach.import_changes AS c
WHERE c.workspace_id = %(workspace_id)s AND c.import_id = %(import_id)s;

-- name: ix_import_changes_lead_id
-- Which imports changed a lead; erasing a person takes the before-images along.
SELECT c.import_id FROM outreach.import_changes AS c WHERE c.workspace_id = %(workspace_id)s AND c.lead_id = %(lead_id)s;

-- name: pk_search_words
-- A word that is known already is not learned again.
SELECT w.word FROM outreach.search_words AS w WHERE w.workspace_id = %(workspace_id)s AND w.word = %(word)s;

-- name: gin_search_words
-- as: trusted
-- The words that are spelt like one that no lead contains.
SELECT w.word
FROM outreach.search_words AS w
WHERE w.workspace_id = %(workspace_id)s AND w.word OPERATOR(public.%%) %(misspelt)s;

-- name: pk_suppressions
-- One suppression by its id.
SELECT s.target FROM outreach.suppressions AS s WHERE s.workspace_id = %(workspace_id)s AND s.id = %(id)s;

-- name: uq_suppressions_target
-- Whether an address or its domain may be mailed: asked for every send.
SELECT s.target, s.reason
FROM outreach.suppressions AS s
WHERE s.workspace_id = %(workspace_id)s AND s.target = ANY (%(targets)s::text[]);

-- name: ix_suppressions_created_at
-- query: list_suppressions
-- The latest suppressions of a workspace.

-- name: ix_suppressions_expires_at
-- as: trusted
-- The job that clears away what expired, over all workspaces.
SELECT s.workspace_id, s.id FROM outreach.suppressions AS s WHERE s.expires_at IS NOT NULL AND s.expires_at <= %(until)s;
