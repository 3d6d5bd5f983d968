"""Commands of the room ``segments``: define, look, count, explain, export."""

from __future__ import annotations

import dataclasses
import json
import sys
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Annotated, Any, TypeVar

import typer

from outreachdb import segments
from outreachdb.cli import segment_actions
from outreachdb.cli.background import Background, queued
from outreachdb.cli.context import options, tenant_call, who
from outreachdb.cli.output import emit, table
from outreachdb.cli.progress import bar
from outreachdb.db.tenant import Row, Tenant
from outreachdb.errors import TooCostly, UsageError
from outreachdb.segments import definition
from outreachdb.segments.export import Format
from outreachdb.segments.segments import FACETS, NameOrDefinition
from outreachdb.words import counted

T = TypeVar("T")
commands = typer.Typer(help="Segments: leads that meet a definition.", no_args_is_help=True)

WHERE_HELP = "The definition as JSON, or @FILE."
Name = Annotated[str | None, typer.Argument(help="A saved segment.")]
Saved = Annotated[str, typer.Argument(metavar="NAME", help="A saved segment.")]
Where = Annotated[str | None, typer.Option("--where", help=WHERE_HELP)]
Given = Annotated[str, typer.Option("--where", help=WHERE_HELP)]
Yes = Annotated[bool, typer.Option("--yes", "-y", help="Run it even if it takes longer than the budget.")]
Note = Annotated[str | None, typer.Option("--note", help="Why, in your words.")]
PREVIEW = ("id", "email", "first_name", "last_name", "company_name", "country", "status")


def register(app: typer.Typer) -> None:
    """Add the commands to the application."""
    segment_actions.add_to(commands)
    app.add_typer(commands, name="segment")


@commands.command()
def create(name: str, where: Given, note: Note = None, yes: Yes = False) -> None:
    """Save a definition under a name."""
    given = definition.load(where)
    made = over_budget_asked(
        yes, lambda sure: lambda tenant: segments.create(tenant, name, given, by=who(), note=note, confirmed=sure)
    )
    emit(dataclasses.asdict(made) | pointed_out(given), f"segment {made.name} created")


@commands.command()
def update(name: Saved, where: Given, note: Note = None, yes: Yes = False) -> None:
    """Give a segment a new definition; the one before stays in its history."""
    given = definition.load(where)
    made = over_budget_asked(
        yes, lambda sure: lambda tenant: segments.update(tenant, name, given, by=who(), note=note, confirmed=sure)
    )
    emit(dataclasses.asdict(made) | pointed_out(given), f"segment {made.name} is at version {made.version}")


@commands.command("list")
def list_() -> None:
    """List the saved segments."""
    found = tenant_call(segments.listed)
    columns = ("name", "version", "leads", "counted", "last used", "created")
    rows = [
        (each.name, each.version, each.last_count, each.last_counted_at, each.last_used_at, each.created_at)
        for each in found
    ]
    emit({"segments": [dataclasses.asdict(each) for each in found]}, table("", columns, rows))


@commands.command()
def show(name: Saved) -> None:
    """Show a segment, its definition in words, and who uses it."""

    async def work(tenant: Tenant) -> tuple[segments.Segment, segments.Usage]:
        return await segments.find(tenant, name), await segments.usage(tenant, name)

    found, used = tenant_call(work)
    lines = [
        f"segment {found.name}, version {found.version}, changed {found.updated_at:%Y-%m-%d %H:%M} UTC",
        *_meaning(found.definition),
        json.dumps(found.definition, ensure_ascii=False),
        "used by: " + (", ".join(_users(used)) or "nobody"),
        f"last used: {found.last_used_at:%Y-%m-%d %H:%M} UTC" if found.last_used_at else "never used",
    ]
    emit(dataclasses.asdict(found) | {"usage": dataclasses.asdict(used)}, "\n".join(lines))


@commands.command()
def history(name: Saved) -> None:
    """Show who changed a segment, when and how, the newest change first."""
    found = tenant_call(lambda tenant: segments.history(tenant, name))
    lines = []
    for each in found:
        note = f": {each.note}" if each.note else ""
        lines.append(f"version {each.version}, {each.changed_at:%Y-%m-%d %H:%M} UTC, {each.changed_by}{note}")
        lines += [f"  {one.path or '/'}: {_short(one.before)} -> {_short(one.after)}" for one in each.changes]
    emit({"name": name, "versions": [dataclasses.asdict(each) for each in found]}, "\n".join(lines))


@commands.command()
def revert(
    name: Saved,
    version: Annotated[int, typer.Option("--to", min=1, help="The version to go back to.")],
    yes: Yes = False,
) -> None:
    """Give a segment the definition of an earlier version again."""
    made = over_budget_asked(
        yes, lambda sure: lambda tenant: segments.revert(tenant, name, version, by=who(), confirmed=sure)
    )
    emit(
        dataclasses.asdict(made), f"segment {made.name} is at version {made.version}, which is version {version} again"
    )


@commands.command()
def delete(name: Saved) -> None:
    """Delete a segment that no campaign and no other segment uses."""
    gone = tenant_call(lambda tenant: segments.delete(tenant, name))
    emit({"deleted": gone.name, "definition": gone.definition}, f"segment {gone.name} deleted")


@commands.command()
def count(
    name: Name = None,
    where: Where = None,
    estimate: Annotated[bool, typer.Option("--estimate", help="A sample's answer is enough.")] = False,
    yes: Yes = False,
) -> None:
    """Count the leads of a segment."""
    segment = chosen(name, where)
    found = over_budget_asked(
        yes, lambda sure: lambda tenant: segments.count(tenant, segment, estimate=estimate, confirmed=sure)
    )
    about = "about " if found.estimated else ""
    noted = pointed_out(segment)
    emit(dataclasses.asdict(found) | noted, f"{about}{counted(found.count, 'lead')} ({found.seconds * 1000:,.0f} ms)")


@commands.command()
def preview(
    name: Name = None,
    where: Where = None,
    rows: Annotated[int, typer.Option("--rows", min=1, max=1000, help="How many leads.")] = 20,
    after: Annotated[int, typer.Option("--after", min=0, help="Go on after the lead with this id.")] = 0,
    counts: Annotated[bool, typer.Option("--counts/--no-counts", help="Count by status, country, ...")] = True,
    yes: Yes = False,
) -> None:
    """Show the newest leads of a segment, and how many there are by status, country, industry and engagement."""
    segment = chosen(name, where)

    def work(sure: bool) -> Callable[[Tenant], Awaitable[tuple[list[Row], dict[str, Any], Any]]]:
        async def looked(tenant: Tenant) -> tuple[list[Row], dict[str, Any], Any]:
            # What may cost too much comes first: it asks before anything runs.
            told = await segments.breakdown(tenant, segment, confirmed=sure) if counts else {}
            found = await segments.preview(tenant, segment, rows=rows, after=after)
            meant = (await segments.find(tenant, segment)).definition if isinstance(segment, str) else segment
            return found, told, meant

        return looked

    found, told, meant = over_budget_asked(yes, work)
    columns = [*PREVIEW, *(column for column in _asked(meant) if column not in PREVIEW)]
    document: dict[str, Any] = {"leads": found} | ({"counts": told} if counts else {}) | pointed_out(segment)
    if options.json:
        emit(document, "")
        return
    emit(document, table("", columns, [tuple(_field(lead, column) for column in columns) for lead in found]))
    if counts:
        rows_of = [(facet, each["value"] or "(empty)", each["leads"]) for facet in FACETS for each in told[facet]]
        emit(document, table(counted(told["count"], "lead"), ("by", "value", "leads"), rows_of))


@commands.command()
def explain(name: Name = None, where: Where = None) -> None:
    """Say whom a segment means, how they are looked up, how long that takes, and which index would help."""
    segment = chosen(name, where)
    found = tenant_call(lambda tenant: segments.explain(tenant, segment))
    members = f"about {found.estimated_members:,} of {counted(found.leads, 'lead')}"
    lines = [*found.meaning, "", *found.plan, f"{members}; a count takes about {found.milliseconds:,.0f} ms"]
    for each in found.indexes:
        lines += ["", f"an index would bring it to about {each.milliseconds:,.0f} ms:", f"  {each.ddl};"]
    emit(dataclasses.asdict(found) | pointed_out(segment), "\n".join(lines))


@commands.command()
def export(
    given: Annotated[
        list[str],
        typer.Argument(metavar="[NAME] FILE", help="A saved segment, and the file, by its name .csv or .parquet."),
    ],
    name: Annotated[str | None, typer.Option("--segment", help="The saved segment, if not before the file.")] = None,
    where: Where = None,
    file_format: Annotated[Format | None, typer.Option("--format", help="csv or parquet.")] = None,
    spreadsheet_safe: Annotated[
        bool, typer.Option("--spreadsheet-safe", help="CSV: an apostrophe before what looks like a formula.")
    ] = False,
    yes: Yes = False,
    background: Background = False,
) -> None:
    """Write all leads of a segment with all their fields to a file."""
    target = Path(given[-1])
    if len(given) > 2 or (len(given) == 2 and name is not None):
        raise UsageError("give the NAME of one segment, or --where, and one FILE")
    segment = chosen(given[0] if len(given) == 2 else name, where)
    if background:
        from outreachdb.jobs import requests  # others start without it

        queued(
            tenant_call(
                lambda tenant: requests.export(
                    tenant, segment, target, file_format=file_format, spreadsheet_safe=spreadsheet_safe
                )
            )
        )
        return
    with bar("export") as progress:
        done = over_budget_asked(
            yes,
            lambda sure: (
                lambda tenant: segments.export(
                    tenant,
                    segment,
                    target,
                    file_format=file_format,
                    spreadsheet_safe=spreadsheet_safe,
                    confirmed=sure,
                    progress=progress,
                )
            ),
        )
    emit(dataclasses.asdict(done), f"{counted(done.leads, 'lead')} in {done.file}")


@commands.command()
def schema() -> None:
    """Print the JSON Schema of definitions."""
    document = definition.Definition.model_json_schema()
    emit(document, json.dumps(document, indent=2))


def chosen(name: str | None, where: str | None) -> NameOrDefinition:
    """The one of both that was given."""
    if (name is None) == (where is None):
        raise UsageError("give either a segment's NAME or --where", hint="outreachdb segment list")
    return name if name is not None else definition.load(where or "")


def over_budget_asked(yes: bool, work: Callable[[bool], Callable[[Tenant], Awaitable[T]]]) -> T:
    """Run it; over the budget ask a person at a terminal, and fail where there is none."""
    try:
        return tenant_call(work(yes))
    except TooCostly as error:
        if options.json or not sys.stdin.isatty() or not typer.confirm(f"{error.detail}. Run it?", err=True):
            raise
        return tenant_call(work(True))


def pointed_out(segment: NameOrDefinition) -> dict[str, Any]:
    """Say on stderr which custom fields of a segment nobody has; returns the same for the JSON document."""
    unknown = tenant_call(lambda tenant: segments.unknown_fields(tenant, segment))
    for each in unknown:
        meant = f"; did you mean {each.meant}?" if each.meant else ""
        sys.stderr.write(f"outreachdb: note: no lead has the field {each.field}{meant}\n")
    return {"unknown_fields": [dataclasses.asdict(each) for each in unknown]} if unknown else {}


def _asked(meant: Any) -> list[str]:
    """Which columns of a lead the definition asks about."""
    asked = [each["field"] for each in _conditions(meant)]
    names = [each if isinstance(each, str) else ".".join(each) for each in asked]
    return list(dict.fromkeys(name for name in names if name.startswith("custom.") or "." not in name))


def _conditions(node: Any) -> list[Any]:
    parts = [*node.get("all", ()), *node.get("any", ()), *([node["not"]] if "not" in node else ())]
    return [*([node] if "field" in node else ()), *(found for part in parts for found in _conditions(part))]


def _field(lead: Row, column: str) -> Any:
    value: Any = lead.get(column)
    if column.startswith("custom."):
        held, keys = lead["custom_fields"], column.removeprefix("custom.")
        value = held.get(keys)
        if value is None and "." in keys:
            value = held
            for key in keys.split("."):
                value = value.get(key) if isinstance(value, dict) else None
        # As it is stored: a year is no thousands, and a share has more than two digits.
        return value if isinstance(value, str | None) else json.dumps(value, ensure_ascii=False)
    return ", ".join(map(str, value)) if isinstance(value, list) else value


def _meaning(meant: dict[str, Any]) -> list[str]:
    from outreachdb.segments import wording  # only here

    return wording.definition_in_words(meant)


def _users(used: segments.Usage) -> list[str]:
    return [f"campaign {each['name']} ({each['status']})" for each in used.campaigns] + [
        f"segment {each['name']}" for each in used.segments
    ]


def _short(value: Any) -> str:
    text = json.dumps(value, ensure_ascii=False)
    return text if len(text) <= 80 else text[:77] + "..."
