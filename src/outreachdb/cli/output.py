"""What commands print: one JSON document on stdout, or calm text for people; progress and errors go to stderr."""

from __future__ import annotations

import dataclasses
import json
import sys
from collections.abc import Mapping, Sequence
from datetime import date, datetime, timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any

from rich import box
from rich.console import Console, RenderableType
from rich.table import Table
from rich.text import Text

from outreachdb.cli.context import options
from outreachdb.errors import CatalogueDrift, OutreachDBError

UNBOUNDED = 100_000  # columns where no terminal tells its width: a table is as wide as it is


def emit(document: Mapping[str, Any], text: str | RenderableType) -> None:
    """Print the document where ``--json`` was given, else the text."""
    if options.json:
        sys.stdout.write(json.dumps(document, default=plain_value, ensure_ascii=False) + "\n")
        return
    console = stdout()
    if isinstance(text, str):
        console.print(text, markup=False, highlight=False, soft_wrap=True)
    elif sys.stdout.isatty():
        console.print(text)
    else:  # a table fills its lines with spaces, which nobody wants in a file
        with console.capture() as drawn:
            console.print(text)
        sys.stdout.write("".join(f"{line.rstrip()}\n" for line in drawn.get().splitlines()))


def table(title: str, columns: Sequence[str], rows: Sequence[Sequence[Any]]) -> Table:
    """A table with numbers aligned to the right; counts get thousands separators, ids and row numbers none.

    Cells are data, often somebody else's: nothing in them is read as markup.
    """
    drawn = Table(title=Text(title) if title else None, title_justify="left", box=box.SIMPLE_HEAD, title_style="bold")
    names: list[bool] = []
    for index, column in enumerate(columns):
        names.append(column == "id" or column.endswith(("_id", "_number", " id", "port")))
        numeric = any(isinstance(row[index], int | float | Decimal) for row in rows)
        drawn.add_column(column, justify="right" if numeric else "left", overflow="fold")
    for row in rows:
        drawn.add_row(
            *(
                Text(str(value) if named and value is not None else cell(value))
                for value, named in zip(row, names, strict=True)
            )
        )
    return drawn


def cell(value: Any) -> str:
    """A value as people read it."""
    if value is None or isinstance(value, bool):
        return {None: "", True: "yes", False: "no"}[value]
    if isinstance(value, int | float | Decimal):
        return f"{value:,}" if isinstance(value, int) else f"{value:,.2f}"
    if isinstance(value, datetime):
        return value.astimezone().strftime("%Y-%m-%d %H:%M:%S")
    if isinstance(value, list) and all(isinstance(each, str) for each in value):
        return ", ".join(value)
    return json.dumps(value, default=plain_value, ensure_ascii=False) if isinstance(value, dict | list) else str(value)


def stdout() -> Console:
    """The console for results; where no terminal says otherwise no line is folded, whatever COLUMNS says."""
    return Console(width=None if sys.stdout.isatty() else UNBOUNDED)


def fail(error: OutreachDBError) -> int:
    """One line on stderr, and in detail what a list of differences holds; returns the exit status."""
    sys.stderr.write(f"outreachdb: {' '.join(str(error).split())}\n")
    if isinstance(error, CatalogueDrift):
        sys.stderr.writelines(f"  {difference}\n" for difference in error.differences)
    return error.exit_status


def plain_value(value: Any) -> Any:
    """The JSON form of a value that JSON does not know."""
    if isinstance(value, datetime | date):
        return value.isoformat()
    if isinstance(value, timedelta):
        return value.total_seconds()
    if isinstance(value, Decimal):
        return float(value)
    if isinstance(value, Path):
        return str(value)
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        return dataclasses.asdict(value)
    raise TypeError(f"no JSON form for {type(value).__name__}")
