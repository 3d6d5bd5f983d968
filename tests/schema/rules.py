"""For every table a row that all rules accept, and for every rule what it accepts and what it refuses."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta
from typing import Any
from uuid import uuid4

import psycopg
from psycopg import sql

Row = dict[str, Any]
Connection = psycopg.Connection[Any]
LAUNCH = datetime.now(UTC).replace(microsecond=0) - timedelta(hours=1)


@dataclass(frozen=True, slots=True)
class Parents:
    """The ids of a workspace and of one row of each table that others refer to."""

    workspace_id: int
    company_id: int
    lead_id: int
    import_id: int
    segment_id: int
    campaign_id: int
    mailbox_id: int
    credential_id: int


def insert(connection: Connection, table: str, row: Row) -> Any:
    """Insert a row; its id, if the table has one."""
    schema, name = table.split(".") if "." in table else ("outreach", table)
    statement = sql.SQL("INSERT INTO {} ({}) VALUES ({}) RETURNING to_jsonb({}) -> 'id'").format(
        sql.Identifier(schema, name),
        sql.SQL(", ").join(map(sql.Identifier, row)),
        sql.SQL(", ").join([sql.Placeholder()] * len(row)),
        sql.Identifier(name),
    )
    made = connection.execute(statement, list(row.values())).fetchone()
    return made[0] if made else None


def make_parents(connection: Connection) -> Parents:
    """A new workspace with a row of each parent; the campaign was launched at LAUNCH."""
    tag = uuid4().hex
    workspace = insert(connection, "workspaces", {"name": tag})

    def make(table: str, **row: Any) -> int:
        return int(insert(connection, table, {"workspace_id": workspace} | row))

    return Parents(
        workspace_id=workspace,
        company_id=make("companies", name="Parent"),
        lead_id=make("leads", email=f"parent@{tag}.example"),
        import_id=make("imports", file_name="parent.csv"),
        segment_id=make("segments", name="parent", definition="{}"),
        campaign_id=make("campaigns", name="parent", status="running", launched_at=LAUNCH),
        mailbox_id=make("mailboxes", address="parent@mail.example", smtp_host="127.0.0.1"),
        credential_id=make("crm_credentials", provider="hubspot", account="parent", secret_encrypted=b""),
    )


def base(table: str, parents: Parents) -> Row:
    """A row that all rules accept; parents that may be missing are missing."""
    lead, campaign = {"lead_id": parents.lead_id}, {"campaign_id": parents.campaign_id}
    credential = {"credential_id": parents.credential_id}
    rows: dict[str, Row] = {
        "api_keys": {"name": "key", "prefix": "odb_", "key_hash": uuid4().bytes},
        "companies": {"name": "Acme"},
        "leads": {"email": "ada@acme.example"},
        "lead_engagement": lead,
        "imports": {"file_name": "list.csv"},
        "import_mappings": {"name": "crm", "header": ["Email"], "mapping": '{"Email": "email"}'},
        "import_rejects": {"import_id": parents.import_id, "row_number": 1, "reason": "no address", "raw": ""},
        "import_changes": {"import_id": parents.import_id, "before": "{}"} | lead,
        "search_words": {"word": "acme"},
        "suppressions": {"target": "ada@acme.example"},
        "segments": {"name": "all", "definition": "{}"},
        "segment_versions": {"segment_id": parents.segment_id, "version": 1, "definition": "{}", "changed_by": "ann"},
        "campaigns": {"name": "spring"},
        "campaign_steps": campaign | {"step": 1, "subject": "Hello", "body_text": "Hello"},
        "mailboxes": {"address": "sales@acme.example", "smtp_host": "127.0.0.1"},
        "campaign_mailboxes": campaign | {"mailbox_id": parents.mailbox_id},
        "email_sends": campaign
        | lead
        | {
            "created_at": LAUNCH,
            "mailbox_id": parents.mailbox_id,
            "step": 1,
            "recipient": "ada@acme.example",
            "scheduled_at": LAUNCH,
        },
        "send_exclusions": campaign | lead | {"reason": "suppressed"},
        "sending_limits": {"frequency_sends": 3, "frequency_days": 7},
        "campaign_leads": lead | {"name": "spring"},
        "message_log": {},
        "email_events": {"event_key": "e1", "created_at": LAUNCH, "event": "opened", "provider": "sendgrid"},
        "webhook_endpoints": {"provider": "sendgrid", "token_hash": b"hash"},
        "inboxes": {
            "address": "sales@sender.example",
            "imap_host": "imap.sender.example",
            "username": "sales",
            "password_encrypted": b"sealed",
        },
        "contact_social_profiles": lead | {"platform": "linkedin"},
        "social_media_activity": lead | {"platform": "x"},
        "organization_charts": {},
        "crm_credentials": {"provider": "hubspot", "account": "sales", "secret_encrypted": b""},
        "crm_contacts": credential | {"external_id": "c1"},
        "crm_sync_logs": credential | {"direction": "pull", "status": "running"},
        "crm_webhooks": credential | {"delivery_id": "d1", "event_type": "changed"},
        "llm_api_calls": {
            "provider": "cerebras",
            "endpoint": "/test",
            "model": "llama3.1-8b",
            "prompt_tokens": 100,
            "completion_tokens": 50,
            "total_tokens": 150,
            "latency_ms": 945,
            "cost_usd": "0.000016",
        },
        "agent_executions": {"agent": "qualifier", "status": "running"},
        "voice_session_logs": {"status": "running"},
        "reports": {"kind": "weekly", "title": "A week"},
        "background_jobs": {"kind": "import", "title": "import list.csv"},
        "queue_leases": {"queue": "url", "item_id": 1, "worker": "w", "lease_until": LAUNCH},
        "analytics.rollups": {"grain": "campaign", "key": "1", "kind": "sent", "day": date(2026, 3, 1)},
        "analytics.rollup_deltas": {"grain": "campaign", "key": "1", "kind": "sent", "day": date(2026, 3, 1)},
        "analytics.totals": {"grain": "campaign", "key": "1", "kind": "sent"},
        "analytics.people_first": lead | {"grain": "campaign", "key": "1"},
        "analytics.engagement_levels": {"level": "hot"},
        "analytics.rollup_drifts": {"grain": "campaign", "key": "1", "kind": "sent"},
    }
    others: dict[str, Row] = {
        "workspaces": {"name": "of the rules"},
        "ops.alerts": {"check_name": "disk", "level": "red"},
        "ops.alert_messages": {"channel": "hook", "check_name": "disk", "event": "firing"},
        "ops.daily_figures": {"kind": "table", "name": "t", "day": date(2026, 3, 1), "value": 1},
        "ops.health_snapshots": {"status": "green"},
        "ops.maintenance_runs": {"job": "fold", "status": "running"},
        "ops.partition_adoptions": {"table_name": "new_table", "state": "copying"},
        "ops.partitioned_tables": {"table_name": "new_table"},
        "ops.scheduled_jobs": {
            "name": "new job",
            "description": "",
            "schedule": "0 2 * * *",
            "minutes": [0],
            "hours": [2],
            "days": [1],
            "months": [1],
            "weekdays": [0],
            "lock": "new job",
            "limit_seconds": 60,
        },
        "ops.archive_erasures": {
            "workspace_id": 1,
            "lead_ids": [7],
            "addresses": ["ada@acme.example"],
            "requested_by": "officer",
        },
        "ops.partition_drops": {
            "relation": 1,
            "table_name": "email_events",
            "partition_name": "parts.email_events_2020_01",
            "range_start": LAUNCH,
            "range_end": LAUNCH,
            "only_if_empty": True,
        },
        "ops.partition_archives": {
            "table_name": "email_events",
            "partition_name": "email_events_2020_01",
            "range_start": LAUNCH,
            "range_end": LAUNCH,
            "file": "f",
            "row_count": 1,
            "content_sha256": b"",
            "revision": "0010",
        },
        "ops.retention_holds": {"reason": "a case", "created_by": "counsel"},
        "ops.workspace_retention": {"workspace_id": parents.workspace_id, "table_name": "email_events"},
    }
    return others[table] if table in others else {"workspace_id": parents.workspace_id} | rows[table]


URLS = (
    [None, "http://acme.example", "https://acme.example/a?b=c"],
    [
        "ftp://acme.example",
        "www.acme.example",
        "javascript:alert(1)",
        "",
        " https://acme.example",
        "x\nhttps://a.example",
    ],
)
SCORES = ([0, 100, 50.5], [-0.1, 100.1, "NaN", "Infinity", "-Infinity"])


def words(*known: str) -> tuple[list[Any], list[Any]]:
    """A vocabulary: each word, and some that are none of it."""
    return list(known), ["", known[0].upper(), f"{known[0]} ", "other words"]


RUNS = words("queued", "running", "succeeded", "failed", "cancelled")
GRAINS = words("workspace", "campaign", "step", "variant", "mailbox", "domain")
LONG = "a" * 64 + "@" + "b" * 180 + ".example"

# Rule -> table, column, accepted values, refused values.
COLUMN_RULES: dict[str, tuple[str, str, list[Any], list[Any]]] = {
    "ck_leads_email_flags_known": (
        "leads",
        "email_flags",
        [[], ["role"], ["role", "disposable"]],
        [["free"], ["Role"], ["role", "x"]],
    ),
    "ck_leads_phone_e164_format": (
        "leads",
        "phone_e164",
        [None, "+493012345678", "+1234567", "+123456789012345"],
        [
            "",
            "493012345678",
            "+0123456789",
            "+123456",
            "+1234567890123456",
            "+49 30 123456",
            "+4930x23456",
            "+1234567\n",
        ],
    ),
    "ck_import_mappings_mapping_object": (
        "import_mappings",
        "mapping",
        ["{}", '{"Email": null}'],
        ["[]", "1", '"text"', "null"],
    ),
    "ck_leads_email_format": (
        "leads",
        "email",
        [None, "ada@acme.example", "Ada.B+list@Mail.Acme.Example", "ünï@exämple.de", "a@b.c"],
        [
            "ada",
            "ada@acme",
            "@acme.example",
            "ada@",
            "ada@.example",
            "ada@acme.",
            "ada@home@acme.example",
            "ada lovelace@acme.example",
            "ada@acme corp.example",
            " ada@acme.example",
            "ada@acme.example ",
            "ada@acme.example\n",
            "ada\t@acme.example",
            "ada\x01@acme.example",
            "ada@acme\x7f.example",
            "",
        ],
    ),
    "ck_leads_email_length": ("leads", "email", [LONG[-254:]], [LONG.rjust(255, "a"), "a" * 300 + "@acme.example"]),
    "ck_leads_company_website_format": ("leads", "company_website", *URLS),
    "ck_leads_linkedin_url_format": ("leads", "linkedin_url", *URLS),
    "ck_leads_qualification_score_range": ("leads", "qualification_score", [None, *SCORES[0]], SCORES[1]),
    "ck_leads_qualification_latency_positive": ("leads", "qualification_latency_ms", [None, 0, 633], [-1]),
    "ck_leads_status_known": (
        "leads",
        "status",
        *words(
            *("new", "verified", "contacted", "replied", "qualified", "converted"),
            *("unsubscribed", "bounced", "archived"),
        ),
    ),
    "ck_leads_email_status_known": (
        "leads",
        "email_status",
        *words("unchecked", "valid", "risky", "invalid", "unknown"),
    ),
    "ck_companies_renewal_month_range": ("companies", "renewal_month", [None, 1, 12], [0, 13, -1]),
    "ck_companies_domain_lower_case": ("companies", "domain", [None, "acme.example"], ["Acme.example"]),
    "ck_companies_website_url_format": ("companies", "website_url", *URLS),
    "ck_companies_linkedin_url_format": ("companies", "linkedin_url", *URLS),
    "ck_companies_news_url_format": ("companies", "news_url", *URLS),
    "ck_lead_engagement_score_range": ("lead_engagement", "score", *SCORES),
    "ck_lead_engagement_level_known": ("lead_engagement", "level", *words("cold", "warm", "engaged", "hot")),
    "ck_workspaces_read_limit_range": ("workspaces", "read_limit_ms", [0, 1, 2147483647], [-1, 2147483648]),
    "ck_imports_status_known": (
        "imports",
        "status",
        *words("running", "done", "applied", "failed", "cancelled", "undone"),
    ),
    "ck_imports_on_conflict_known": ("imports", "on_conflict", *words("update", "fill", "skip")),
    "ck_suppressions_reason_known": (
        "suppressions",
        "reason",
        *words("unsubscribed", "bounced", "complained", "blocked", "erased", "imported", "manual"),
    ),
    "ck_suppressions_target_format": (
        "suppressions",
        "target",
        ["ada@acme.example", "acme.example"],
        ["Ada@acme.example", "ada @acme.example", "acme.example\n", ""],
    ),
    "ck_segment_versions_definition_object": (
        "segment_versions",
        "definition",
        ["{}", '{"all": []}'],
        ["[]", "1", '"text"', "null"],
    ),
    "ck_segments_definition_object": ("segments", "definition", ["{}", '{"all": []}'], ["[]", "1", '"text"', "null"]),
    "ck_campaigns_run_positive": ("campaigns", "run", [1, 2], [0, -1]),
    "ck_campaign_steps_condition_known": (
        "campaign_steps",
        "condition",
        *words("always", "no_reply", "no_click", "no_open"),
    ),
    "ck_campaign_steps_step_positive": ("campaign_steps", "step", [1, 30], [0, -1]),
    "ck_campaign_steps_delay_positive": ("campaign_steps", "delay_seconds", [0, 86400], [-1]),
    "ck_campaigns_window_days_known": (
        "campaigns",
        "window_days",
        [None, [1, 7], [3]],
        [[], [0], [8], [1, 9]],
    ),
    "ck_sending_limits_frequency_sends_positive": ("sending_limits", "frequency_sends", [1, 20], [0, -1]),
    "ck_sending_limits_frequency_days_range": ("sending_limits", "frequency_days", [1, 366], [0, 367]),
    "ck_mailboxes_status_known": ("mailboxes", "status", *words("active", "paused")),
    "ck_inboxes_security_known": ("inboxes", "security", *words("plain", "starttls", "tls")),
    "ck_mailboxes_security_known": ("mailboxes", "security", *words("plain", "starttls", "tls")),
    "ck_mailboxes_daily_cap_positive": ("mailboxes", "daily_cap", [None, 1], [0, -1]),
    "ck_mailboxes_min_spacing_positive": ("mailboxes", "min_spacing_ms", [0, 1000], [-1]),
    "ck_inboxes_imap_port_range": ("inboxes", "imap_port", [1, 993, 65535], [0, 65536]),
    "ck_mailboxes_smtp_port_range": ("mailboxes", "smtp_port", [1, 25, 65535], [0, 65536]),
    "ck_send_exclusions_reason_known": (
        "send_exclusions",
        "reason",
        *words(
            *("no_address", "suppressed", "unsubscribed", "invalid", "bounced", "archived"),
            *("frequency_cap", "already_in_campaign"),
        ),
    ),
    "ck_message_log_direction_known": ("message_log", "direction", *words("outbound", "inbound")),
    "ck_email_events_event_known": (
        "email_events",
        "event",
        *words(
            *("queued", "sent", "delivered", "deferred", "opened", "clicked", "replied", "bounced", "complained"),
            *("unsubscribed", "subscribed", "rejected", "failed", "autoresponded", "unknown"),
        ),
    ),
    "ck_email_events_severity_known": ("email_events", "severity", [None, "hard", "soft"], ["", "Hard", "medium"]),
    "ck_contact_social_profiles_decision_maker_score_range": (
        "contact_social_profiles",
        "decision_maker_score",
        [None, *SCORES[0]],
        SCORES[1],
    ),
    "ck_contact_social_profiles_profile_url_format": ("contact_social_profiles", "profile_url", *URLS),
    "ck_contact_social_profiles_contact_priority_known": (
        "contact_social_profiles",
        "contact_priority",
        *words("low", "medium", "high"),
    ),
    "ck_social_media_activity_sentiment_known": (
        "social_media_activity",
        "sentiment",
        *words("positive", "neutral", "negative"),
    ),
    "ck_social_media_activity_url_format": ("social_media_activity", "url", *URLS),
    "ck_crm_sync_logs_status_known": ("crm_sync_logs", "status", *RUNS),
    "ck_crm_sync_logs_direction_known": ("crm_sync_logs", "direction", *words("pull", "push")),
    "ck_llm_api_calls_latency_positive": ("llm_api_calls", "latency_ms", [1, 945], [0, -1]),
    "ck_llm_api_calls_cost_positive": ("llm_api_calls", "cost_usd", [0, "0.000016", 12], ["-0.000001", -1, "NaN"]),
    "ck_llm_api_calls_total_tokens": ("llm_api_calls", "total_tokens", [150], [149, 151, 200]),
    "ck_agent_executions_status_known": ("agent_executions", "status", *RUNS),
    "ck_voice_session_logs_status_known": ("voice_session_logs", "status", *RUNS),
    "ck_voice_session_logs_duration_positive": ("voice_session_logs", "duration_seconds", [None, 0, 60], [-1]),
    "ck_rollups_grain_known": ("analytics.rollups", "grain", *GRAINS),
    "ck_rollup_deltas_grain_known": ("analytics.rollup_deltas", "grain", *GRAINS),
    "ck_people_first_grain_known": ("analytics.people_first", "grain", *GRAINS),
    "ck_totals_grain_known": ("analytics.totals", "grain", *GRAINS),
    "ck_rollup_drifts_grain_known": ("analytics.rollup_drifts", "grain", *GRAINS),
    "ck_engagement_levels_level_known": ("analytics.engagement_levels", "level", *words("warm", "engaged", "hot")),
    "ck_alerts_level_known": ("ops.alerts", "level", *words("yellow", "red")),
    "ck_alerts_state_known": ("ops.alerts", "state", *words("ok", "firing")),
    "ck_alert_messages_event_known": ("ops.alert_messages", "event", *words("firing", "worse", "repeat", "resolved")),
    "ck_daily_figures_kind_known": ("ops.daily_figures", "kind", *words("database", "disk", "sequence", "table")),
    "ck_health_snapshots_status_known": ("ops.health_snapshots", "status", *words("green", "yellow", "red")),
    "ck_background_jobs_kind_known": ("background_jobs", "kind", *words("action", "export", "import", "launch")),
    "ck_background_jobs_status_known": ("background_jobs", "status", *RUNS),
    "ck_queue_leases_queue_known": ("queue_leases", "queue", *words("email", "profile", "url")),
    "ck_scheduled_jobs_limit_positive": ("ops.scheduled_jobs", "limit_seconds", [1, 86400], [0, -1]),
    "ck_maintenance_runs_driver_known": (
        "ops.maintenance_runs",
        "driver",
        *words("command", "pg_cron", "worker"),
    ),
    "ck_maintenance_runs_status_known": (
        "ops.maintenance_runs",
        "status",
        *words("running", "succeeded", "failed", "cancelled"),
    ),
    "ck_partition_adoptions_state_known": (
        "ops.partition_adoptions",
        "state",
        *words("preparing", "copying", "copied"),
    ),
    "ck_partitioned_tables_backend_known": ("ops.partitioned_tables", "backend", *words("native", "partman")),
    "ck_partitioned_tables_interval_known": (
        "ops.partitioned_tables",
        "interval",
        *words("day", "week", "month", "quarter"),
    ),
    "ck_retention_holds_reason_given": ("ops.retention_holds", "reason", ["a case"], ["", "  "]),
    "ck_workspace_retention_retention_months_positive": (
        "ops.workspace_retention",
        "retention_months",
        [None, 1, 36],
        [0, -1],
    ),
    "ck_partitioned_tables_ahead_at_least_three": ("ops.partitioned_tables", "ahead", [3, 12], [2, 0, -1]),
    "ck_partition_archives_state_known": (
        "ops.partition_archives",
        "state",
        *words("writing", "verified", "dropped", "restored"),
    ),
}


def _tokens(prompt: int, completion: int) -> Row:
    return {"prompt_tokens": prompt, "completion_tokens": completion, "total_tokens": prompt + completion}


BALANCED: Row = {"rows_read": 10, "inserted": 4, "updated": 3, "skipped": 2, "rejected": 1}
# Rules that read several columns: rule -> table, accepted changes of the row, refused changes.
ROW_RULES: dict[str, tuple[str, list[Row], list[Row]]] = {
    "ck_llm_api_calls_tokens_positive": (
        "llm_api_calls",
        [_tokens(1, 1), _tokens(100, 50)],
        [_tokens(0, 50), _tokens(100, 0), _tokens(0, 0), _tokens(-1, 2), _tokens(2, -1)],
    ),
    "ck_imports_balance": (
        "imports",
        [BALANCED | {"status": status} for status in ("done", "undone", "running", "failed")]
        + [BALANCED | {"inserted": 0, "status": status} for status in ("running", "failed", "cancelled")],
        [BALANCED | {"inserted": 0, "status": "done"}, BALANCED | {"rejected": 2, "status": "undone"}],
    ),
    "ck_campaigns_status_known": (
        "campaigns",
        [
            {"status": status, "launched_at": LAUNCH}
            for status in ("draft", "scheduled", "running", "paused", "completed", "cancelled")
        ],
        [{"status": status, "launched_at": LAUNCH} for status in ("", "Draft", "active")],
    ),
    "ck_alerts_firing_has_level": (
        "ops.alerts",
        [{"state": "ok", "level": None}, {"state": "firing", "level": "yellow"}],
        [{"state": "firing", "level": None}],
    ),
    "ck_campaigns_launched": (
        "campaigns",
        [{"status": status} for status in ("draft", "scheduled", "cancelled")],
        [{"status": status} for status in ("running", "paused", "completed")],
    ),
    "ck_campaigns_window_in_order": (
        "campaigns",
        [{}, {"window_from": time(9), "window_to": time(17)}],
        [
            {"window_from": time(9)},
            {"window_to": time(9)},
            {"window_from": time(17), "window_to": time(9)},
            {"window_from": time(9), "window_to": time(9)},
        ],
    ),
    "ck_mailboxes_ramp_positive": (
        "mailboxes",
        [{}, {"ramp_first": 1, "ramp_increase": 0}],
        [{"ramp_first": 0, "ramp_increase": 0}, {"ramp_first": 1, "ramp_increase": -1}],
    ),
    "ck_mailboxes_ramp_whole": (
        "mailboxes",
        [{}, {"ramp_first": 5, "ramp_increase": 5}],
        [{"ramp_first": 5}, {"ramp_increase": 5}],
    ),
    "ck_email_sends_status_known": (
        "email_sends",
        [
            {"status": status, "sent_at": LAUNCH, "lease_expires_at": LAUNCH}
            for status in ("scheduled", "claimed", "sent", "failed", "cancelled", "unknown")
        ],
        [{"status": status} for status in ("", "Sent", "delivered")],
    ),
    "ck_email_sends_sent_has_instant": (
        "email_sends",
        [{"status": "sent", "sent_at": LAUNCH}, {"status": "scheduled"}],
        [{"status": "sent"}],
    ),
    "ck_email_sends_claim_has_lease": (
        "email_sends",
        [{"status": "claimed", "lease_expires_at": LAUNCH}, {"status": "failed"}],
        [{"status": "claimed"}],
    ),
    "ck_reports_period_order": (
        "reports",
        [
            {},
            {"period_start": date(2026, 3, 1)},
            {"period_start": date(2026, 3, 1), "period_end": date(2026, 3, 1)},
        ],
        [{"period_start": date(2026, 3, 2), "period_end": date(2026, 3, 1)}],
    ),
    "ck_partition_archives_content_known": (
        "ops.partition_archives",
        [{"state": "writing", "row_count": None, "content_sha256": None}, {"state": "verified"}],
        [{"state": "verified", "row_count": None}, {"state": "dropped", "content_sha256": None}],
    ),
    "ck_archive_erasures_addresses_forgotten": (
        "ops.archive_erasures",
        [{}, {"done_at": LAUNCH, "addresses": []}],
        [{"done_at": LAUNCH}],
    ),
    "ck_archive_erasures_somebody_named": (
        "ops.archive_erasures",
        [{"addresses": []}, {"lead_ids": []}],
        [{"addresses": [], "lead_ids": []}],
    ),
    "ck_partition_drops_detached_whole": (
        "ops.partition_drops",
        [{}, {"detached_at": LAUNCH, "detached_as": 7}],
        [{"detached_at": LAUNCH}, {"detached_as": 7}],
    ),
    "ck_retention_holds_range_in_order": (
        "ops.retention_holds",
        [{}, {"range_start": LAUNCH}, {"range_start": LAUNCH, "range_end": LAUNCH + timedelta(days=1)}],
        [{"range_start": LAUNCH, "range_end": LAUNCH}],
    ),
    "ck_retention_holds_release_whole": (
        "ops.retention_holds",
        [{}, {"released_at": LAUNCH, "released_by": "counsel"}],
        [{"released_at": LAUNCH}, {"released_by": "counsel"}],
    ),
    "ck_rollups_people_within_total": (
        "analytics.rollups",
        [{"total": 5, "people": 5}, {"total": 5, "people": 0}],
        [{"total": 5, "people": 6}],
    ),
    "ck_rollups_mails_within_total": (
        "analytics.rollups",
        [{"total": 5, "mails": 5}, {"total": 5, "mails": 0}],
        [{"total": 5, "mails": 6}],
    ),
}

# Key -> table and the row that can't be there twice; the second differs in all that the key doesn't name.
UNIQUE: dict[str, tuple[str, Row, Row]] = {
    "uq_workspaces_name": ("workspaces", {"name": "taken"}, {"name": "taken"}),
    "uq_api_keys_key_hash": ("api_keys", {"key_hash": b"h"}, {"key_hash": b"h", "name": "other"}),
    "uq_companies_domain": ("companies", {"domain": "acme.example"}, {"domain": "acme.example", "name": "Other"}),
    "uq_companies_name": ("companies", {"name": "Acme GmbH"}, {"name": "ACME gmbh"}),
    "uq_leads_email_key": ("leads", {"email": "john@acme.example"}, {"email": "JOHN@Acme.Example"}),
    "uq_leads_source_key": ("leads", {"email": None, "source_key": "1"}, {"email": None, "source_key": "1"}),
    "uq_suppressions_target": ("suppressions", {"target": "x.example"}, {"target": "x.example", "reason": "bounced"}),
    "uq_segments_name": ("segments", {"name": "s"}, {"name": "s", "definition": '{"all": []}'}),
    "uq_campaigns_name": ("campaigns", {"name": "c"}, {"name": "c", "status": "scheduled"}),
    "uq_mailboxes_address": ("mailboxes", {"address": "a@b.example"}, {"address": "A@b.example"}),
    "uq_inboxes_folder": ("inboxes", {}, {"address": "other@sender.example"}),
    "uq_webhook_endpoints_token": ("webhook_endpoints", {}, {"provider": "ses"}),
    "uq_contact_social_profiles_lead_platform": ("contact_social_profiles", {}, {"company_name": "Acme"}),
    "uq_crm_credentials_account": ("crm_credentials", {}, {"active": False}),
    "uq_crm_contacts_external_id": ("crm_contacts", {}, {"payload": '{"a": 1}'}),
    "uq_partition_archives_under_way": ("ops.partition_archives", {}, {"file": "other"}),
    "uq_crm_webhooks_delivery_id": ("crm_webhooks", {}, {"event_type": "other"}),
}
