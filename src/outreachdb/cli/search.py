"""Commands about leads: search, one lead, and why it got a mail or none."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.console import Group
from rich.table import Table
from rich.text import Text

from outreachdb.cli.context import tenant_call
from outreachdb.cli.output import cell, emit, table
from outreachdb.leads.search import MAX_LIMIT, SORTS, find
from outreachdb.leads.search import search as search_leads

if TYPE_CHECKING:
    from outreachdb.sending.timeline import Happening

commands = typer.Typer(help="Leads: search, show, why.", no_args_is_help=True)
COLUMNS = ("id", "email", "first_name", "last_name", "company_name", "country", "status")


def register(app: typer.Typer) -> None:
    """Add the commands to the application."""
    app.add_typer(commands, name="leads")


@commands.command()
def search(
    text: Annotated[str | None, typer.Argument(help="Parts of a name, an address, a company; none means all.")] = None,
    where: Annotated[str | None, typer.Option("--where", help="A segment definition as JSON, or @FILE.")] = None,
    sort: Annotated[str, typer.Option("--sort", help=f"{', '.join(SORTS)}; -NAME turns it.")] = "-created_at",
    limit: Annotated[int, typer.Option("--limit", min=1, max=MAX_LIMIT, help="How many leads.")] = 50,
    cursor: Annotated[str | None, typer.Option("--cursor", help="The next_cursor of the page before.")] = None,
) -> None:
    """Find leads by text, filter and order, page by page."""
    filters = None
    if where is not None:
        from outreachdb.segments import definition

        filters = definition.load(where)
    page = tenant_call(lambda tenant: search_leads(tenant, text, filters, sort, limit, cursor))
    title = "nothing contains that; spelt alike:" if page.match == "similar" else ""
    shown = table(title, COLUMNS, [(str(row["id"]), *(row[column] for column in COLUMNS[1:])) for row in page.rows])
    emit(
        {"leads": page.rows, "next_cursor": page.next_cursor, "match": page.match},
        shown if page.rows else _none(text, where, cursor),
    )


def _none(text: str | None, where: str | None, cursor: str | None) -> str:
    """What is said instead of an empty table, with the next thing to try."""
    if cursor is not None:
        return "no more leads"
    if text is None and where is None:
        return "no leads here yet; outreachdb import FILE brings some"
    if text is None:
        return "no leads match; outreachdb segment explain --where ... says whom it means"
    parts = "words are parts of a name, an address or a company, and each must be there"
    return f"no leads match; {parts}" + (", beside --where" if where is not None else "")


@commands.command()
def show(lead: Annotated[str, typer.Argument(help="An id or an e-mail address.")]) -> None:
    """Show one lead."""
    found = tenant_call(lambda tenant: find(tenant, lead))
    rows = [(name, str(value) if name == "id" else cell(value)) for name, value in found.items() if value is not None]
    emit({"lead": found}, table("", ("field", "value"), rows))


@commands.command()
def why(
    lead: Annotated[str, typer.Argument(help="An id or an e-mail address.")],
    campaign: Annotated[
        str | None, typer.Option("--campaign", "-c", help="Its name or id; without one, all that concern the lead.")
    ] = None,
) -> None:
    """Tell in one timeline what became of a lead in a campaign, and why; or in each of its campaigns."""
    from outreachdb.sending import timeline

    if campaign is not None:
        told = tenant_call(lambda tenant: timeline.why(tenant, lead, campaign))
        emit({"timeline": [dataclasses.asdict(each) for each in told]}, _timeline("", told))
        return
    stories, there = tenant_call(lambda tenant: timeline.stories(tenant, lead))
    parts: list[Any] = [
        _timeline(f"campaign {each.campaign}, run {each.run}: {each.status}", each.timeline) for each in stories
    ]
    if not stories[0].concerned:
        parts.insert(0, Text("no campaign has scheduled this lead or left it out; the newest one:"))
    if there > len(stories):
        parts.append(Text(f"the newest {len(stories)} of {there:,} campaigns; --campaign NAME tells of another one"))
    emit({"campaigns": [dataclasses.asdict(each) for each in stories], "of": there}, Group(*parts))


def _timeline(title: str, told: Sequence[Happening]) -> Table:
    return table(title, ("at", "about", "what"), [(each.at, each.kind, each.what) for each in told])
