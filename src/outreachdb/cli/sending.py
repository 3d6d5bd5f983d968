"""Commands of the room ``sending``."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Annotated

import typer

from outreachdb.cli import context
from outreachdb.cli.output import emit, fail, table
from outreachdb.cli.progress import bar
from outreachdb.errors import NotFound, OutreachDBError, UsageError
from outreachdb.secrets import Keyring
from outreachdb.sending import dispatch, timeline
from outreachdb.words import counted

commands = typer.Typer(help="Sending: hand out due sends and deliver them by SMTP.", no_args_is_help=True)

NOTHING_DUE = (
    "nothing is due now; outreachdb campaign forecast CAMPAIGN tells what holds it up, leads why LEAD for one lead"
)


def register(app: typer.Typer) -> None:
    """Add the commands to the application."""
    app.add_typer(commands, name="send")


@commands.command()
def run(
    once: Annotated[bool, typer.Option("--once", help="Stop when nothing is due; else run until stopped.")] = False,
    batch: Annotated[int, typer.Option(min=1, max=10_000, help="Sends to claim at a time.")] = 500,
    connections: Annotated[int, typer.Option(min=1, max=100, help="Connections to each mailbox's server.")] = 4,
    maildir: Annotated[
        Path | None, typer.Option(help="Write messages into this folder instead of sending; they count as sent.")
    ] = None,
) -> None:
    """Deliver what is due; start as many of these as you like."""
    keyring = Keyring.load(context.settings())
    with bar("send") as progress:
        report = context.tenant_call(
            lambda tenant: dispatch.run(
                tenant,
                keyring,
                once=once,
                batch=batch,
                connections=connections,
                maildir=maildir,
                progress=progress,
            )
        )
    done = (report.sent, report.failed, report.suppressed, report.unknown)
    if context.options.json or any(done) or not report.problems:
        names = ("sent", "failed", "deferred", "suppressed", "unknown", "seconds")
        counts = table("", names, [tuple(getattr(report, name) for name in names)])
        idle = not (any(done) or report.deferred)
        emit(dataclasses.asdict(report), NOTHING_DUE if idle else counts)
    if report.problems:
        error = _given_up(report)
        if not report.sent:
            raise error
        fail(error)


def _given_up(report: dispatch.SendReport) -> OutreachDBError:
    """One error for all mailboxes that were given up: campaigns often have many at one server."""
    mailboxes: dict[str, list[str]] = {}
    for address, problem in report.problems.items():
        mailboxes.setdefault(problem, []).append(address)
    reasons = [
        f"{problem} (mailbox {some[0]}{f' and {len(some) - 1:,} more' if len(some) > 1 else ''})"
        for problem, some in mailboxes.items()
    ]
    what = "not everything was sent" if report.sent else "nothing was sent"
    hints = dict.fromkeys(hint for hint in report.hints.values() if hint)
    return OutreachDBError(f"{what}: {'; '.join(reasons)}", hint="; ".join(hints) or None)


@commands.command()
def unknown(
    campaign: Annotated[str | None, typer.Option("--campaign", "-c", help="Only of this campaign, name or id.")] = None,
    sends: Annotated[list[int] | None, typer.Option("--send", help="Only this send; may be repeated.")] = None,
    decide: Annotated[
        timeline.Decision | None, typer.Option(help="What becomes of them: sent, failed or resend.")
    ] = None,
) -> None:
    """List sends of which nobody knows whether they left, or decide about them; none is ever sent again by itself."""
    shown = 1000 if decide is None and not sends else None
    rows = context.tenant_call(lambda tenant: timeline.unknown(tenant, campaign, sends=sends, limit=shown))
    missing = set(sends or ()) - {row["send_id"] for row in rows}
    if missing:
        raise NotFound(f"not unknown: send {', '.join(map(str, sorted(missing)))}", hint="outreachdb send unknown")
    if decide is None:
        columns = ("send_id", "campaign", "step", "recipient", "mailbox", "begun_at", "last_error")
        emit({"unknown": rows}, table("", columns, [tuple(row[name] for name in columns) for row in rows]))
        return
    count = context.tenant_call(lambda tenant: timeline.decide(tenant, rows, decide))
    emit({"decided": count, "decision": decide}, f"{counted(count, 'send')}: {decide}")


@commands.command()
def limit(
    mails: Annotated[int | None, typer.Option(min=1, help="At most so many mails to a lead ...")] = None,
    days: Annotated[int, typer.Option(min=1, max=366, help="... in so many days.")] = 7,
    none: Annotated[bool, typer.Option("--none", help="Lift the limit.")] = False,
) -> None:
    """Show or set the workspace's frequency cap, which holds for all campaigns together."""
    if none and mails is not None:
        raise UsageError("--none and --mails exclude each other")
    if none or mails is not None:
        wanted = None if mails is None else timeline.Limits(mails, days)
        context.tenant_call(lambda tenant: timeline.set_limits(tenant, wanted))
    found = context.tenant_call(timeline.limits)
    text = (
        f"a lead gets at most {counted(found.sends, 'mail')} in {counted(found.days, 'day')}" if found else "no limit"
    )
    emit({"mails": found.sends if found else None, "days": found.days if found else None}, text)
