"""Commands of the room ``events``."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Annotated

import typer

from outreachdb.cli.context import settings, tenant_call
from outreachdb.cli.output import emit, table
from outreachdb.errors import InvalidInput, UsageError
from outreachdb.events import endpoints, inboxes, ingest, webhooks
from outreachdb.events.normal import Parsed
from outreachdb.secrets import Keyring
from outreachdb.words import counted

commands = typer.Typer(help="Delivery events from providers.", no_args_is_help=True)
hooks = typer.Typer(help="Addresses to which providers report.", no_args_is_help=True)
mailboxes = typer.Typer(help="Mailboxes of your own, read for replies and reports.", no_args_is_help=True)

# What ingest counts, in words for one and for more.
COUNTS = {
    "received": ("received", "received"),
    "stored": ("stored", "stored"),
    "duplicates": ("duplicate",),
    "rejected": ("rejected", "rejected"),
    "unknown": ("unknown", "unknown"),
}
File = Annotated[Path, typer.Argument(help="A body as the provider posts it.")]
Provider = Annotated[str, typer.Option("--provider", help="Whose format it is, e.g. sendgrid.")]
ContentType = Annotated[str | None, typer.Option("--content-type", help="Content type of the body.")]


def register(app: typer.Typer) -> None:
    """Add the commands to the application."""
    app.add_typer(commands, name="events")
    app.add_typer(hooks, name="webhook")
    app.add_typer(mailboxes, name="inbox")


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
    counts = ", ".join(counted(report[name], *words) for name, words in COUNTS.items())
    emit(report, f"{counts}{f' ({reasons})' if reasons else ''}")


@commands.command("poll")
def poll(
    every: Annotated[
        float | None, typer.Option(min=1, help="Seconds between polls, until stopped; without it, poll once.")
    ] = None,
) -> None:
    """Read the workspace's inboxes for replies, delivery reports and complaints."""
    keyring = Keyring.load(settings())
    if every is not None:
        tenant_call(lambda tenant: inboxes.watch(tenant, keyring, every))
        return
    report = tenant_call(lambda tenant: inboxes.poll(tenant, keyring))
    emit(
        report.document(),
        f"{counted(report.mails, 'mail')}, {counted(report.events.stored, 'event')}, "
        f"{report.events.duplicates:,} known",
    )
    for address, problem in report.problems.items():
        typer.echo(f"outreachdb: inbox {address} could not be read: {problem}", err=True)
    if report.problems:
        raise typer.Exit(1)


@mailboxes.command("add")
def add_inbox(
    address: Annotated[str, typer.Argument(help="The mailbox's address.")],
    host: Annotated[str, typer.Option("--host", help="Its IMAP server.")],
    password_env: Annotated[str, typer.Option("--password-env", help="Environment variable that holds the password.")],
    username: Annotated[str | None, typer.Option("--username", help="Login; default is the address.")] = None,
    port: Annotated[int | None, typer.Option("--port", min=1, max=65535, help="993, or 143 without TLS.")] = None,
    security: Annotated[str, typer.Option("--security", help="tls, starttls or plain.")] = "tls",
    folder: Annotated[str, typer.Option("--folder", help="Folder to read.")] = "INBOX",
) -> None:
    """Note a mailbox to read; its password is stored encrypted."""
    password = os.environ.get(password_env)
    if not password:
        raise UsageError(f"the environment variable {password_env} is not set", hint="it holds the mailbox's password")
    keyring = Keyring.load(settings())
    account = inboxes.Account(address, host, username, port, security, folder)
    made = tenant_call(lambda tenant: inboxes.add(tenant, keyring, account, password))
    emit(made.document(), f"inbox {made.id} {made.address}")


@mailboxes.command("list")
def list_inboxes() -> None:
    """List the workspace's inboxes."""
    found = tenant_call(inboxes.listing)
    rows = [(each.id, each.address, each.imap_host, each.folder, each.last_uid, each.problem) for each in found]
    columns = ("id", "address", "server", "folder", "read to", "problem")
    emit({"inboxes": [each.document() for each in found]}, table("", columns, rows))


@mailboxes.command("remove")
def remove_inbox(inbox_id: Annotated[int, typer.Argument(help="See `inbox list`.")]) -> None:
    """Read an inbox no more; its events stay."""
    tenant_call(lambda tenant: inboxes.remove(tenant, inbox_id))
    emit({"id": inbox_id, "removed": True}, f"inbox {inbox_id} removed")


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
    adapter = webhooks.named(provider)
    try:
        return adapter.parse(_read(file), content_type)
    except InvalidInput as error:
        raise InvalidInput(f"{file}: {error.detail}", hint=error.hint) from None


def _read(file: Path) -> bytes:
    try:
        return file.read_bytes()
    except OSError as error:
        raise InvalidInput(f"{file} can't be read: {(error.strerror or 'unknown error').lower()}") from None
