-- Whom each index of this room serves; the form is told in outreachdb/db/index_catalogue.py.

-- name: pk_contact_social_profiles
-- One profile by its id.
SELECT p.profile_url FROM outreach.contact_social_profiles AS p WHERE p.workspace_id = %(workspace_id)s AND p.id = %(id)s;

-- name: uq_contact_social_profiles_lead_platform
-- query: profiles_of_lead
-- One profile per lead and platform; the profiles of a lead; covers the foreign key to leads.

-- name: ix_contact_social_profiles_company_score
-- claim: R4 top contacts of a company: 600 ms -> 30 ms
-- query: top_contacts
-- The top contacts of a company (R4: ix_contact_profiles_company_score).

-- name: ix_contact_social_profiles_score
-- query: decision_makers
-- The decision makers of a workspace (R4: ix_contact_social_profiles_decision_maker_score).

-- name: ix_contact_social_profiles_priority
-- query: contacts_of_priority
-- Contacts of a priority (R4: ix_contact_social_profiles_contact_priority).

-- left out: ix_contact_social_profiles_lead_id (contact_social_profiles, (lead_id)) served by uq_contact_social_profiles_lead_platform
-- R4's foreign key index is how the unique key begins.
SELECT p.platform
FROM outreach.contact_social_profiles AS p
WHERE p.workspace_id = %(workspace_id)s AND p.lead_id = %(lead_id)s;

-- name: pk_social_media_activity
-- One activity by its id.
SELECT a.content FROM outreach.social_media_activity AS a WHERE a.workspace_id = %(workspace_id)s AND a.id = %(id)s;

-- name: ix_social_media_activity_lead_id
-- claim: R4 join over a foreign key, 10,000 rows: 500 ms -> 5 ms
-- query: lead_activity
-- What a lead posted, latest first (R4); covers the foreign key to leads.

-- name: ix_social_media_activity_platform_posted
-- claim: R4 timeline of a platform: 800 ms -> 40 ms
-- query: platform_timeline
-- The timeline of a platform (R4).

-- name: ix_social_media_activity_posted_at
-- query: newest_activity
-- The timeline of all platforms (R4).

-- name: ix_social_media_activity_scraped_at
-- query: last_scraped
-- When anything was gathered last (R4).

-- name: ix_social_media_activity_sentiment
-- claim: R4 one simple condition: 100 ms -> 5 ms
-- query: activity_of_sentiment
-- What was posted in a certain mood, latest first (R4).

-- name: pk_organization_charts
-- One chart by its id.
SELECT o.chart FROM outreach.organization_charts AS o WHERE o.workspace_id = %(workspace_id)s AND o.id = %(id)s;

-- name: ix_organization_charts_lead_id
-- query: charts_of_lead
-- The charts that came with a lead (R4); covers the foreign key to leads.

-- name: ix_organization_charts_company_id
-- query: chart_of_company
-- The latest chart of a company; covers the foreign key to companies.

-- name: pk_crm_credentials
-- One credential by its id, and the parent side of the CRM tables' foreign keys.
SELECT c.provider, c.active FROM outreach.crm_credentials AS c WHERE c.workspace_id = %(workspace_id)s AND c.id = %(id)s;

-- name: uq_crm_credentials_account
-- The credential of an account.
SELECT c.id
FROM outreach.crm_credentials AS c
WHERE c.workspace_id = %(workspace_id)s AND c.provider = %(crm)s AND c.account = %(account)s;

-- name: ix_crm_credentials_expires_at
-- as: trusted
-- The job that refreshes credentials before they expire, over all workspaces.
SELECT c.workspace_id, c.id FROM outreach.crm_credentials AS c WHERE c.active AND c.expires_at < %(until)s;

-- name: pk_crm_contacts
-- One contact by its id.
SELECT c.payload FROM outreach.crm_contacts AS c WHERE c.workspace_id = %(workspace_id)s AND c.id = %(id)s;

-- name: uq_crm_contacts_external_id
-- query: find_contact
-- A contact by the CRM's own id; covers the foreign key to credentials.

-- name: ix_crm_contacts_lead_id
-- query: contacts_of_lead
-- A lead in all connected CRMs; covers the foreign key to leads.

-- name: ix_crm_contacts_synced_at
-- query: contacts_due
-- Which contacts to sync next, those never synced first.

-- name: pk_crm_sync_logs
-- A sync that ends writes its row.
SELECT s.status FROM outreach.crm_sync_logs AS s WHERE s.workspace_id = %(workspace_id)s AND s.id = %(id)s;

-- name: ix_crm_sync_logs_credential_id
-- query: sync_history
-- The history of an account; covers the foreign key to credentials.

-- name: ix_crm_sync_logs_status
-- query: syncs_by_status
-- The latest syncs that failed.

-- name: pk_crm_webhooks
-- A webhook that was processed is marked.
SELECT w.processed_at FROM outreach.crm_webhooks AS w WHERE w.workspace_id = %(workspace_id)s AND w.id = %(id)s;

-- name: uq_crm_webhooks_delivery_id
-- A delivery that comes again meets itself; covers the foreign key to credentials.
SELECT w.id
FROM outreach.crm_webhooks AS w
WHERE w.workspace_id = %(workspace_id)s AND w.credential_id = %(credential_id)s AND w.delivery_id = %(delivery_id)s;

-- name: ix_crm_webhooks_pending
-- query: pending_webhooks
-- What is still to be processed, oldest first.

-- name: pk_llm_api_calls
-- One call by its id.
SELECT c.model FROM outreach.llm_api_calls AS c WHERE c.workspace_id = %(workspace_id)s AND c.id = %(id)s;

-- name: ix_llm_api_calls_model_created
-- query: recent_calls
-- stays: Calls of a common model are soon met among the newest of all; those of a rare one would be looked for through the whole history.
-- The latest calls of a model.

-- name: ix_llm_api_calls_created_at
-- query: cost_per_day
-- What the models cost per day.

-- name: brin_llm_api_calls_created_at
-- as: trusted
-- stays: PostgreSQL 18 skips through the other index from workspace to workspace, 15 to 17 can't; and skipping costs more with each workspace.
-- What a day cost over all workspaces (R4: ix_api_calls_created_brin); rows arrive in the order of time. Among few workspaces
-- PostgreSQL 18 may skip through ix_llm_api_calls_created_at instead.
SELECT c.workspace_id, sum(c.cost_usd)
FROM outreach.llm_api_calls AS c
WHERE c.created_at >= %(day)s AND c.created_at < %(next_day)s
GROUP BY c.workspace_id;

-- name: pk_agent_executions
-- A run that ends writes its row.
SELECT e.status FROM outreach.agent_executions AS e WHERE e.workspace_id = %(workspace_id)s AND e.id = %(id)s;

-- name: ix_agent_executions_status_created
-- query: runs_by_status
-- Agent runs of a status, newest first (R4).

-- name: ix_agent_executions_lead_status
-- query: runs_of_lead
-- The agent runs for a lead (R4); covers the foreign key to leads.

-- name: ix_agent_executions_started_at
-- query: runs_started_since
-- Agent runs started lately (R4).

-- name: ix_agent_executions_completed_at
-- query: runs_completed_since
-- Agent runs completed lately (R4).

-- name: pk_voice_session_logs
-- A session that ends writes its row.
SELECT v.status FROM outreach.voice_session_logs AS v WHERE v.workspace_id = %(workspace_id)s AND v.id = %(id)s;

-- name: ix_voice_session_logs_status_created
-- query: voice_by_status
-- Voice sessions of a status, newest first (R4: ix_voice_sessions_status_created).

-- name: ix_voice_session_logs_completed_at
-- query: voice_completed_since
-- Voice sessions completed lately (R4).

-- name: ix_voice_session_logs_lead_id
-- query: voice_of_lead
-- The voice sessions with a lead; covers the foreign key to leads.

-- name: pk_reports
-- One report by its id.
SELECT r.title, r.body FROM outreach.reports AS r WHERE r.workspace_id = %(workspace_id)s AND r.id = %(id)s;

-- name: ix_reports_kind_created
-- query: latest_reports
-- The latest reports of a kind.

-- name: ix_reports_lead_id
-- query: reports_of_lead
-- The reports about a lead; covers the foreign key to leads.
