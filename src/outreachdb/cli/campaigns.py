"""Commands of the room ``campaigns``."""

from __future__ import annotations

import dataclasses
import json
from datetime import datetime
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.console import Group

from outreachdb.campaigns import campaigns, file
from outreachdb.cli import context
from outreachdb.cli.background import Background, queued
from outreachdb.cli.output import cell, emit, table
from outreachdb.errors import UsageError
from outreachdb.secrets import Keyring
from outreachdb.sending import checking, forecasting, schedule
from outreachdb.words import counted

commands = typer.Typer(help="Campaigns: a segment, a sequence of messages, mailboxes.", no_args_is_help=True)
GAPS_SHOWN = 100
Named = Annotated[str, typer.Argument(metavar="CAMPAIGN", help="Its name or id.")]


def register(app: typer.Typer) -> None:
    """Add the commands to the application."""
    app.add_typer(commands, name="campaign")


@commands.command()
def create(path: Annotated[Path, typer.Argument(metavar="FILE", help="YAML or JSON.")]) -> None:
    """Store a campaign as a draft."""
    given = file.load(path)
    keyring = Keyring.load(context.settings())
    made = context.tenant_call(lambda tenant: campaigns.create(tenant, keyring, given))
    emit(_document(made), f"campaign {made.name} created; launch it: outreachdb campaign launch {made.id}")


@commands.command()
def launch(
    campaign: Named,
    at: Annotated[
        str | None, typer.Option("--at", help="Launch it then (ISO 8601 with a zone): a worker does.")
    ] = None,
    force: Annotated[bool, typer.Option("--force", help="Also where templates fail for some leads.")] = False,
    background: Background = False,
) -> None:
    """Try the templates on the leads, schedule a campaign's sends and let it run."""
    if background:
        if at is not None:
            raise UsageError("--at is done by a worker anyway; leave out --background")
        from outreachdb.jobs import requests  # others start without it

        queued(context.tenant_call(lambda tenant: requests.launch(tenant, campaign, check=not force)))
        return
    if at is not None:
        instant = _instant(at)
        _changed(context.tenant_call(lambda tenant: schedule.plan(tenant, campaign, instant)))
        return
    _launched(context.tenant_call(lambda tenant: schedule.launch(tenant, campaign, check=not force)))


@commands.command()
def add(
    campaign: Named,
    force: Annotated[bool, typer.Option("--force", help="Also where templates fail for some leads.")] = False,
) -> None:
    """Schedule the leads that entered the segment since the launch; nobody who is in the campaign is touched."""
    _launched(context.tenant_call(lambda tenant: schedule.add(tenant, campaign, check=not force)))


@commands.command("next-run")
def next_run(campaign: Named) -> None:
    """Make a draft of a closed campaign; whom it has mailed is left out of the new run."""
    made = context.tenant_call(lambda tenant: schedule.next_run(tenant, campaign))
    emit(_document(made), f"run {made.run} of {made.name} created; launch it: outreachdb campaign launch {made.id}")


@commands.command()
def check(campaign: Named) -> None:
    """Try the templates on the leads of the segment; nothing is scheduled."""
    found = context.tenant_call(lambda tenant: checking.check(tenant, campaign))
    text = f"the templates suit all of {counted(found.leads, 'lead')} tried"
    if found.gaps:
        text += f"\nwithout a value where a field is printed: {len(found.gaps):,} of them, {found.gaps[0]} first"
    emit({"leads_tried": found.leads, "leads_with_gaps": len(found.gaps), "gaps": found.gaps[:GAPS_SHOWN]}, text)


@commands.command("test")
def send_test(
    campaign: Named,
    to: Annotated[str, typer.Option("--to", help="Who gets the message.")],
    lead: Annotated[str | None, typer.Option("--lead", help="Whose data to use, id or address.")] = None,
    step: Annotated[int, typer.Option("--step", min=1, help="Which step.")] = 1,
    variant: Annotated[str | None, typer.Option("--variant", help="Which variant; default the first.")] = None,
) -> None:
    """Send one rendered message to an address of your own; no lead is touched."""
    keyring = Keyring.load(context.settings())
    sent = context.tenant_call(
        lambda tenant: checking.send_test(tenant, keyring, campaign, to, lead=lead, step=step, variant=variant)
    )
    emit(sent, f"sent to {to} from {sent['sender']}: {sent['subject']}")


@commands.command("forecast")
def forecast_(campaign: Named) -> None:
    """Tell when a campaign will end, and which limit holds it up."""
    told = context.tenant_call(lambda tenant: forecasting.forecast(tenant, campaign))
    rows = [(limit, f"{gain / 3600:,.1f}") for limit, gain in sorted(told.gains.items(), key=lambda item: -item[1])]
    end = cell(told.ends_at) if told.ends_at else "not within three years"
    if not told.sends:
        end = "nothing is left to send"
    elif told.rounded_to_seconds:
        end += f" (up to {told.rounded_to_seconds // 60} min earlier: so many sends are counted together)"
    emit(
        told.document(),
        table(f"{counted(told.sends, 'send')}, ends: {end}", ("limit", "hours earlier without it"), rows),
    )


@commands.command()
def schema() -> None:
    """Print the JSON Schema of campaign files."""
    document = file.schema()
    emit(document, json.dumps(document, indent=2))


@commands.command("list")
def list_() -> None:
    """List the newest campaigns."""
    found = context.tenant_call(campaigns.listed)
    rows = [(each.id, each.name, each.status, each.segment, each.launched_at) for each in found]
    emit({"campaigns": [_document(each) for each in found]}, table("", _COLUMNS, rows))


@commands.command()
def show(campaign: Named) -> None:
    """Show a campaign and what became of its leads."""
    found = context.tenant_call(lambda tenant: campaigns.show(tenant, campaign))
    one = found.campaign
    document = _document(one) | {
        key: getattr(found, key) for key in ("steps", "mailboxes", "sends", "excluded", "variants")
    }
    parts = [
        table("", _COLUMNS, [(one.id, one.name, one.status, one.segment, one.launched_at)]),
        table("steps", ("step", "subject", "delay (s)", "if"), [_step(row) for row in found.steps]),
        table("mailboxes", ("address", "server", "cap"), [_mailbox(row) for row in found.mailboxes]),
        table("sends", ("status", "sends"), sorted(found.sends.items())),
        table("variants", _VARIANT, [tuple(row[name] for name in _VARIANT) for row in found.variants]),
        table("left out", ("reason", "leads"), sorted(found.excluded.items())),
    ]
    emit(document, Group(*parts))


@commands.command()
def pause(campaign: Named) -> None:
    """Stop handing out sends."""
    _changed(context.tenant_call(lambda tenant: campaigns.pause(tenant, campaign)))


@commands.command()
def resume(campaign: Named) -> None:
    """Go on after a pause."""
    _changed(context.tenant_call(lambda tenant: campaigns.resume(tenant, campaign)))


@commands.command()
def cancel(campaign: Named) -> None:
    """End a campaign for good; sends to come are cancelled."""
    _changed(context.tenant_call(lambda tenant: campaigns.cancel(tenant, campaign)))


_COLUMNS = ("id", "name", "status", "segment", "launched")
_VARIANT = ("step", "variant", "sends", "sent", "opened", "clicked", "replied")


def _instant(text: str) -> datetime:
    try:
        instant = datetime.fromisoformat(text)
    except ValueError:
        raise UsageError(f"--at {text} is no instant", hint="such as 2027-01-31T08:00:00+01:00") from None
    if instant.tzinfo is None:
        raise UsageError(f"--at {text} has no time zone", hint="such as 2027-01-31T08:00:00+01:00")
    return instant


def _launched(made: schedule.Launch) -> None:
    left_out = ", ".join(f"{count:,} {reason}" for reason, count in sorted(made.excluded.items())) or "nobody"
    emit(
        dataclasses.asdict(made),
        f"{counted(made.scheduled, 'send')} scheduled in {made.seconds:.2f} s; left out: {left_out}",
    )


def _changed(campaign: campaigns.Campaign) -> None:
    emit(_document(campaign), f"campaign {campaign.name} is {campaign.status}")


def _document(campaign: campaigns.Campaign) -> dict[str, Any]:
    document = dataclasses.asdict(campaign)
    return {"campaign_id": document.pop("id")} | document


def _step(row: dict[str, Any]) -> tuple[Any, ...]:
    return (row["step"], row["subject"], row["delay_seconds"], row["condition"])


def _mailbox(row: dict[str, Any]) -> tuple[Any, ...]:
    return (row["address"], f"{row['smtp_host']}:{row['smtp_port']} ({row['security']})", row["daily_cap"])
