"""Commands of the room ``events``."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from outreachdb.cli.context import settings, tenant_call
from outreachdb.cli.output import emit, table
from outreachdb.errors import InvalidInput
from outreachdb.events import endpoints, ingest, webhooks
from outreachdb.events.normal import Parsed
from outreachdb.secrets import Keyring

commands = typer.Typer(help="Delivery events from providers.", no_args_is_help=True)
hooks = typer.Typer(help="Addresses to which providers report.", no_args_is_help=True)

File = Annotated[Path, typer.Argument(help="A body as the provider posts it.")]
Provider = Annotated[str, typer.Option("--provider", help="Whose format it is, e.g. sendgrid.")]
ContentType = Annotated[str | None, typer.Option("--content-type", help="Content type of the body.")]


def register(app: typer.Typer) -> None:
    """Add the commands to the application."""
    app.add_typer(commands, name="events")
    app.add_typer(hooks, name="webhook")


@commands.command("parse")
def parse(file: File, provider: Provider, content_type: ContentType = None) -> None:
    """Show a provider's events in the normal form, without storing anything."""
    parsed = _parse(file, provider, content_type)
    rows = [(e.event, e.severity, e.recipient, e.timestamp, e.message_id, e.reason) for e in parsed.events]
    columns = ("event", "severity", "recipient", "at", "message id", "reason")
    document = {"events": [event.document() for event in parsed.events], "malformed": parsed.malformed}
    emit(document, table("\n".join(parsed.malformed), columns, rows))


@commands.command("ingest")
def ingest_(file: File, provider: Provider, content_type: ContentType = None) -> None:
    """Store a provider's events from a file, each once."""
    parsed = _parse(file, provider, content_type)
    keyring = Keyring.load(settings())
    report = tenant_call(lambda tenant: ingest.ingest_parsed(tenant, keyring, parsed)).document()
    reasons = ", ".join(f"{reason} {count:,}" for reason, count in report["reasons"].items())
    counts = ", ".join(f"{count:,} {name}" for name, count in report.items() if name != "reasons")
    emit(report, f"{counts}{f' ({reasons})' if reasons else ''}")


@hooks.command("create")
def create(
    provider: Provider,
    key: Annotated[str, typer.Option("--key", help="The provider's verification key; @FILE reads it from a file.")],
) -> None:
    """Make an address for a provider; it is shown once."""
    text = _read(Path(key[1:])).decode("utf-8", "replace").strip() if key.startswith("@") else key
    keyring = Keyring.load(settings())
    made = tenant_call(lambda tenant: endpoints.create(tenant, keyring, provider, text))
    emit(made.document(), f"webhook {made.id} for {made.provider}; shown only now:\n{made.path}")


@hooks.command("list")
def list_() -> None:
    """List the workspace's webhooks."""
    found = tenant_call(endpoints.listing)
    rows = [(each.id, each.provider, each.created_at) for each in found]
    emit({"webhooks": [each.document() for each in found]}, table("", ("id", "provider", "created"), rows))


@hooks.command("revoke")
def revoke(webhook_id: Annotated[int, typer.Argument(help="See `webhook list`.")]) -> None:
    """Take an address away; it answers 404 from then on."""
    tenant_call(lambda tenant: endpoints.revoke(tenant, webhook_id))
    emit({"id": webhook_id, "revoked": True}, f"webhook {webhook_id} revoked")


def _parse(file: Path, provider: str, content_type: str | None) -> Parsed:
    adapter = webhooks.adapter(provider)
    try:
        return adapter.parse(_read(file), content_type)
    except InvalidInput as error:
        raise InvalidInput(f"{file}: {error.detail}", hint=error.hint) from None


def _read(file: Path) -> bytes:
    try:
        return file.read_bytes()
    except OSError as error:
        raise InvalidInput(f"{file} can't be read: {(error.strerror or 'unknown error').lower()}") from None
