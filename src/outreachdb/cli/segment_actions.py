"""Commands of the room ``segments`` that change leads: apply an action, list actions, undo one."""

from __future__ import annotations

import dataclasses
import sys
from typing import Annotated, Any

import typer

from outreachdb import segments
from outreachdb.cli.background import Background, queued
from outreachdb.cli.context import options, tenant_call, who
from outreachdb.cli.output import emit, table
from outreachdb.errors import TooCostly, UsageError
from outreachdb.leads.importing import Kept
from outreachdb.segments.effects import Action
from outreachdb.segments.segments import NameOrDefinition
from outreachdb.words import counted


def add_to(commands: typer.Typer) -> None:
    """Add the commands to those of segments."""
    commands.command()(apply)
    commands.command("actions")(list_actions)
    commands.command("undo")(undo)


def apply(  # noqa: PLR0913, PLR0917  (each is an option of the command line)
    name: Annotated[str | None, typer.Argument(help="A saved segment.")] = None,
    where: Annotated[str | None, typer.Option("--where", help="The definition as JSON, or @FILE.")] = None,
    add_tag: Annotated[list[str] | None, typer.Option("--add-tag", help="A tag to add; may be repeated.")] = None,
    remove_tag: Annotated[list[str] | None, typer.Option("--remove-tag", help="A tag to take away.")] = None,
    set_: Annotated[str | None, typer.Option("--set", help="FIELD=VALUE; without a value it is emptied.")] = None,
    suppress: Annotated[bool, typer.Option("--suppress", help="Never mail them again.")] = False,
    delete: Annotated[bool, typer.Option("--delete", help="Delete those that nothing else knows.")] = False,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Say what would happen; change nothing.")] = False,
    yes: Annotated[
        bool, typer.Option("--yes", "-y", help="Don't ask, even if it takes longer than the budget.")
    ] = False,
    background: Background = False,
) -> None:
    """Do something to every lead of a segment; `segment undo` takes it back."""
    from outreachdb.cli.segments import chosen, over_budget_asked  # that file registers this one

    action = _action(add_tag, remove_tag, set_, suppress, delete)
    segment = chosen(name, where)
    later = background and not dry_run
    if not (yes or dry_run):
        _ask(segment, action, later=later)
    if later:
        from outreachdb.jobs import requests  # others start without it

        queued(tenant_call(lambda tenant: requests.action(tenant, segment, action, by=who())))
        return
    done = over_budget_asked(
        yes or not dry_run,
        lambda sure: lambda tenant: segments.apply(tenant, segment, action, by=who(), dry_run=dry_run, confirmed=sure),
    )
    head = f"action {done.action_id}" if done.action_id else "dry run, nothing changed"
    line = f"{head}: {done.changed:,} of {counted(done.matched, 'lead')} changed ({done.seconds:.1f} s)"
    if done.action_id:
        line += f"\nto take it back: outreachdb segment undo {done.action_id}"
    emit(_document(done), "\n".join([line, *_kept(done.kept)]))


def list_actions(
    limit: Annotated[int, typer.Option("--limit", min=1, max=10_000, help="How many to show.")] = 50,
) -> None:
    """List what was done to the leads of segments, the newest first."""
    rows = tenant_call(lambda tenant: segments.actions(tenant, limit))
    columns = ("id", "title", "action", "status", "matched", "changed", "started_at")
    shown = [[row["action"]["action"] if name == "action" else row[name] for name in columns] for row in rows]
    emit({"actions": rows}, table("", columns, shown))


def undo(
    action_id: Annotated[int, typer.Argument(metavar="ID")],
    keep_changed: Annotated[
        bool, typer.Option("--keep-changed", help="Leave leads that later imports or actions changed as they are.")
    ] = False,
) -> None:
    """Take an action back; leads that were written since stay and are named."""
    done = tenant_call(lambda tenant: segments.undo_action(tenant, action_id, keep_changed=keep_changed))
    line = f"action {action_id} undone: {done.restored:,} restored ({done.seconds:.1f} s)"
    emit(_document(done), "\n".join([line, *_kept(done.kept)]))


def _action(
    add_tag: list[str] | None, remove_tag: list[str] | None, set_: str | None, suppress: bool, delete: bool
) -> Action:
    asked = [bool(add_tag), bool(remove_tag), set_ is not None, suppress, delete]
    if sum(asked) != 1:
        raise UsageError("one action at a time", hint="--add-tag, --remove-tag, --set, --suppress or --delete")
    if add_tag:
        return Action("add_tags", tags=add_tag)
    if remove_tag:
        return Action("remove_tags", tags=remove_tag)
    if set_ is None:
        return Action("suppress" if suppress else "delete")
    field, equals, value = set_.partition("=")
    if not equals:
        raise UsageError(f"--set takes FIELD=VALUE, not {set_!r}")
    return Action("set", field=field.strip(), value=value or None)


def _ask(segment: NameOrDefinition, action: Action, *, later: bool) -> None:
    """Ask whether so many leads are to be changed; where nobody can answer, raise.

    What a worker does has no budget: for it, and for whom the budget is told, a sample's count will do.
    """
    person = not options.json and sys.stdin.isatty()
    over = ""
    try:
        found = tenant_call(lambda tenant: segments.count(tenant, segment, estimate=later))
    except TooCostly as error:
        if not person:
            raise
        over = f"{error.detail}; "
        found = tenant_call(lambda tenant: segments.count(tenant, segment, estimate=True))
    leads = ("about " if found.estimated else "") + counted(found.count, "lead")
    if not person:
        raise UsageError(f"{leads} would be changed", hint="confirm it with --yes, or try --dry-run")
    typer.confirm(f"{over}{action.kind.replace('_', ' ')} for {leads}?", abort=True, err=True)


def _document(report: Any) -> dict[str, Any]:
    return dataclasses.asdict(report) | {"seconds": round(report.seconds, 3)}


def _kept(kept: tuple[Kept, ...]) -> list[str]:
    lines = []
    for each in kept:
        some = ", ".join(map(str, each.sample)) + (", ..." if each.leads > len(each.sample) else "")
        lines.append(
            f"  {counted(each.leads, 'lead')} left alone: {each.reason}" + (f" (leads {some})" if each.sample else "")
        )
    return lines
