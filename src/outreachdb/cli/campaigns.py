"""Commands of the room ``campaigns``."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.console import Group

from outreachdb.campaigns import campaigns, file
from outreachdb.cli import context
from outreachdb.cli.output import emit, table
from outreachdb.secrets import Keyring
from outreachdb.sending import schedule

commands = typer.Typer(help="Campaigns: a segment, a sequence of messages, mailboxes.", no_args_is_help=True)
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
def launch(campaign: Named) -> None:
    """Schedule a campaign's sends and let it run."""
    made = context.tenant_call(lambda tenant: schedule.launch(tenant, campaign))
    left_out = ", ".join(f"{count:,} {reason}" for reason, count in sorted(made.excluded.items())) or "nobody"
    emit(dataclasses.asdict(made), f"{made.scheduled:,} sends scheduled in {made.seconds:.2f} s; left out: {left_out}")


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
    document = _document(one) | {key: getattr(found, key) for key in ("steps", "mailboxes", "sends", "excluded")}
    parts = [
        table("", _COLUMNS, [(one.id, one.name, one.status, one.segment, one.launched_at)]),
        table("steps", ("step", "subject", "delay (s)", "if"), [_step(row) for row in found.steps]),
        table("mailboxes", ("address", "server", "cap"), [_mailbox(row) for row in found.mailboxes]),
        table("sends", ("status", "sends"), sorted(found.sends.items())),
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


def _changed(campaign: campaigns.Campaign) -> None:
    emit(_document(campaign), f"campaign {campaign.name} is {campaign.status}")


def _document(campaign: campaigns.Campaign) -> dict[str, Any]:
    document = dataclasses.asdict(campaign)
    return {"campaign_id": document.pop("id")} | document


def _step(row: dict[str, Any]) -> tuple[Any, ...]:
    return (row["step"], row["subject"], row["delay_seconds"], row["condition"])


def _mailbox(row: dict[str, Any]) -> tuple[Any, ...]:
    return (row["address"], f"{row['smtp_host']}:{row['smtp_port']} ({row['security']})", row["daily_cap"])
