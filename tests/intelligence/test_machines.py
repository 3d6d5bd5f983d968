"""Model calls, agent runs, voice sessions and CRM systems."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from decimal import Decimal

import pytest

from outreachdb.db.tenant import Tenant
from outreachdb.errors import Conflict, ConstraintViolated
from outreachdb.intelligence import agents, crm, model_calls
from outreachdb.intelligence.model_calls import Call

NOW = datetime.now(UTC)
CALL = Call(
    provider="cerebras",
    model="llama3.1-8b",
    endpoint="/v1/chat/completions",
    prompt_tokens=100,
    completion_tokens=50,
    latency_ms=945,
    cost_usd=Decimal("0.000016"),
)


async def test_calls_add_up_per_day_and_model(tenant: Tenant, other_tenant: Tenant) -> None:
    for call in (CALL, replace(CALL, latency_ms=55, success=False), replace(CALL, model="other")):
        await model_calls.log(tenant, call)
    since, until = NOW - timedelta(days=1), NOW + timedelta(days=1)
    first, second = await model_calls.cost_per_day(tenant, since, until)
    assert (first.model, first.calls, first.failed, first.tokens) == ("llama3.1-8b", 2, 1, 300)
    assert (first.cost_usd, first.mean_latency_ms) == (Decimal("0.000032"), 500)
    assert (second.model, second.calls, second.failed) == ("other", 1, 0)
    assert await model_calls.cost_per_day(tenant, until, until + timedelta(days=1)) == []
    assert await model_calls.cost_per_day(other_tenant, since, until) == []
    latest = await model_calls.recent(tenant, "cerebras", "llama3.1-8b")
    assert [each.success for each in latest] == [False, True]


@pytest.mark.parametrize(
    ("change", "rule"),
    [
        ({"prompt_tokens": 0}, "tokens_positive"),
        ({"latency_ms": 0}, "latency_positive"),
        ({"cost_usd": Decimal("-0.01")}, "cost_positive"),
    ],
)
async def test_a_call_that_can_not_be_is_refused(tenant: Tenant, change: dict[str, object], rule: str) -> None:
    with pytest.raises(ConstraintViolated, match=rule):
        await model_calls.log(tenant, replace(CALL, **change))  # type: ignore[arg-type]
    assert await model_calls.recent(tenant, CALL.provider, CALL.model) == []


async def test_a_run_is_finished_once(tenant: Tenant, other_tenant: Tenant) -> None:
    run = await agents.start(tenant, "qualifier", NOW)
    waiting = await agents.start(tenant, "qualifier", NOW + timedelta(minutes=1))
    with pytest.raises(Conflict, match="is under way"):
        await agents.finish(other_tenant, run, "failed", NOW)
    await agents.finish(tenant, run, "succeeded", NOW + timedelta(minutes=2), result={"score": 80})
    with pytest.raises(Conflict, match="is under way"):
        await agents.finish(tenant, run, "failed", NOW)
    assert [each.id for each in await agents.of_status(tenant, "succeeded")] == [run]
    assert [each.id for each in await agents.of_status(tenant, "running")] == [waiting]
    assert [each.id for each in await agents.started_since(tenant, NOW)] == [waiting, run]
    assert [each.id for each in await agents.completed_since(tenant, NOW)] == [run]


async def test_runs_and_voice_sessions_of_a_lead(tenant: Tenant) -> None:
    async with tenant.session() as session:
        lead = await session.value(
            "INSERT INTO outreach.leads (workspace_id) VALUES (%s) RETURNING id", [tenant.workspace_id]
        )
        await session.execute(
            "INSERT INTO outreach.voice_session_logs (workspace_id, lead_id, status, duration_seconds, completed_at)"
            " VALUES (%(w)s, %(lead)s, 'succeeded', 60, %(now)s), (%(w)s, NULL, 'running', NULL, NULL)",
            {"w": tenant.workspace_id, "lead": lead, "now": NOW},
        )
    run = await agents.start(tenant, "qualifier", NOW, lead_id=lead)
    assert [each.id for each in await agents.of_lead(tenant, lead)] == [run]
    assert [each.duration_seconds for each in await agents.voice_of_lead(tenant, lead)] == [60]
    assert [each.lead_id for each in await agents.voice_of_status(tenant, "running")] == [None]
    assert [each.lead_id for each in await agents.voice_completed_since(tenant, NOW)] == [lead]


@pytest.fixture
async def credential(tenant: Tenant) -> int:
    async with tenant.session() as session:
        return int(
            await session.value(
                "INSERT INTO outreach.crm_credentials (workspace_id, provider, account, secret_encrypted)"
                " VALUES (%s, 'hubspot', 'sales', '') RETURNING id",
                [tenant.workspace_id],
            )
        )


async def test_a_webhook_is_taken_once_and_processed_once(
    tenant: Tenant, other_tenant: Tenant, credential: int
) -> None:
    assert await crm.take_webhook(tenant, credential, "d1", "contact.changed", {"id": 1})
    assert not await crm.take_webhook(tenant, credential, "d1", "contact.changed", {"id": 1})
    assert await crm.take_webhook(tenant, credential, "d2", "contact.changed", {"id": 2})
    with pytest.raises(ConstraintViolated, match="fk_crm_webhooks_credential"):
        await crm.take_webhook(other_tenant, credential, "d1", "contact.changed", {})
    first, second = await crm.pending_webhooks(tenant)
    assert (first.delivery_id, first.payload) == ("d1", {"id": 1})
    await crm.webhook_processed(tenant, first.id, NOW)
    with pytest.raises(Conflict, match="is pending"):
        await crm.webhook_processed(tenant, first.id, NOW)
    assert await crm.pending_webhooks(tenant) == [second]


async def test_contacts_never_synced_come_first(tenant: Tenant, credential: int) -> None:
    async with tenant.session() as session:
        await session.execute(
            "INSERT INTO outreach.crm_contacts (workspace_id, credential_id, external_id, synced_at) VALUES"
            " (%(w)s, %(c)s, 'new', NULL), (%(w)s, %(c)s, 'fresh', %(now)s),"
            " (%(w)s, %(c)s, 'old', %(now)s - interval '1 day')",
            {"w": tenant.workspace_id, "c": credential, "now": NOW},
        )
    assert [each.external_id for each in await crm.contacts_due(tenant)] == ["new", "old", "fresh"]
    found = await crm.find_contact(tenant, credential, "old")
    assert found is not None
    assert found.synced_at == NOW - timedelta(days=1)
    assert await crm.find_contact(tenant, credential, "nobody") is None
    assert await crm.contacts_of_lead(tenant, 1) == []


async def test_syncs_of_an_account_latest_first(tenant: Tenant, credential: int) -> None:
    async with tenant.session() as session:
        await session.execute(
            "INSERT INTO outreach.crm_sync_logs (workspace_id, credential_id, direction, status, started_at) VALUES"
            " (%(w)s, %(c)s, 'pull', 'failed', %(now)s - interval '1 hour'),"
            " (%(w)s, %(c)s, 'pull', 'succeeded', %(now)s)",
            {"w": tenant.workspace_id, "c": credential, "now": NOW},
        )
    assert [each.status for each in await crm.sync_history(tenant, credential)] == ["succeeded", "failed"]
    assert [each.started_at for each in await crm.syncs_of_status(tenant, "failed")] == [NOW - timedelta(hours=1)]
