"""Commands about leads: search, one lead, and why it got a mail or none."""

from __future__ import annotations

import dataclasses
from typing import Annotated

import typer

from outreachdb.cli.context import tenant_call
from outreachdb.cli.output import cell, emit, table
from outreachdb.leads.search import MAX_LIMIT, SORTS, find
from outreachdb.leads.search import search as search_leads

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
    emit(
        {"leads": page.rows, "next_cursor": page.next_cursor, "match": page.match},
        table(title, COLUMNS, [(str(row["id"]), *(row[column] for column in COLUMNS[1:])) for row in page.rows]),
    )


@commands.command()
def show(lead: Annotated[str, typer.Argument(help="An id or an e-mail address.")]) -> None:
    """Show one lead."""
    found = tenant_call(lambda tenant: find(tenant, lead))
    rows = [(name, str(value) if name == "id" else cell(value)) for name, value in found.items() if value is not None]
    emit({"lead": found}, table("", ("field", "value"), rows))


@commands.command()
def why(
    lead: Annotated[str, typer.Argument(help="An id or an e-mail address.")],
    campaign: Annotated[str, typer.Option("--campaign", "-c", help="Its name or id.")],
) -> None:
    """Tell in one timeline what became of a lead in a campaign, and why."""
    from outreachdb.sending import timeline

    told = tenant_call(lambda tenant: timeline.why(tenant, lead, campaign))
    rows = [(each.at, each.kind, each.what) for each in told]
    emit({"timeline": [dataclasses.asdict(each) for each in told]}, table("", ("at", "about", "what"), rows))
