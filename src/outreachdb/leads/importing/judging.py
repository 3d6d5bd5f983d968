"""What must be known of all rows before one is typed: odd addresses, and columns of numbers, dates, truth values."""

from __future__ import annotations

import asyncio
import re
from collections.abc import Mapping, Sequence
from typing import Any

from psycopg import sql
from psycopg.rows import tuple_row

from outreachdb.db.queries import Queries
from outreachdb.db.tenant import Session
from outreachdb.leads.importing.cells import NO_VERDICTS, PATTERNS, Cells, Verdicts
from outreachdb.leads.importing.fields import ColumnMap
from outreachdb.leads.importing.synonyms import normalised

J = Queries("outreachdb.leads.importing", "judging.sql")
ADDRESSES = 10_000  # judged at a time
SAMPLE = 500
# Digits that are no quantity: nobody adds them up, and leading zeros count.
LABELS = frozenset((
    "zip", "zipcode", "postal", "postcode", "postalcode", "plz", "postleitzahl", "cap", "cp", "phone", "telephone",
    "tel", "telefon", "telefono", "mobile", "mobil", "cell", "fax", "handy", "sms", "id", "ids", "uid", "guid", "uuid",
    "code", "codes", "key", "ref", "reference", "sku", "ean", "isbn", "vat", "ust", "tva", "nif", "cif", "siret",
    "siren", "duns", "iban", "pin", "naics", "sic", "version", "extension", "ext",
))  # fmt: skip
# "Customer number" is a label, "Number of employees" is not.
LABELS_AT_END = frozenset(("number", "no", "nr", "num", "nummer", "numero", "numer"))


async def judge(session: Session, names: Mapping[str, sql.Identifier], cells: Cells, columns: ColumnMap) -> Verdicts:
    """Look at the staged cells; raises nothing of its own."""
    place = columns.position("email")
    odd = place is not None and await _judge_addresses(session, names, cells.cell(place))
    kinds = await _kinds(session, names, cells, columns)
    return Verdicts(odd, kinds) if odd or kinds else NO_VERDICTS


async def _judge_addresses(session: Session, names: Mapping[str, sql.Identifier], cell: sql.Composable) -> bool:
    """Whether there were odd addresses; their verdicts are staged then."""
    from outreachdb.leads.importing import addresses  # noqa: PLC0415  (tables of its library that only this needs)

    connection = await session.connection()
    found = False
    async with connection.cursor(name="odd_addresses", row_factory=tuple_row) as reading:
        await reading.execute(sql.SQL(J.odd_addresses).format(cell=cell, **names))
        while block := await reading.fetchmany(ADDRESSES):
            if not found:
                await session.execute(sql.SQL(J.create_addresses).format(**names))
                found = True
            judged = await asyncio.to_thread(addresses.verdicts, block)
            async with connection.cursor() as writing, writing.copy(sql.SQL(J.copy_addresses).format(**names)) as copy:
                for row in judged:
                    await copy.write_row(row)
    if found:
        await session.execute(sql.SQL("ANALYZE {}").format(names["addresses"]))
    return found


async def _kinds(
    session: Session, names: Mapping[str, sql.Identifier], cells: Cells, columns: ColumnMap
) -> dict[int, str]:
    """Custom column -> kind, where every cell of the file is of that kind. A column is of one kind or it is text."""
    custom = columns.custom()
    if not custom:
        return {}
    listed = sql.SQL(", ").join(sql.SQL("outreach.given({})").format(cells.cell(place)) for place, _ in custom)
    rows = await _rows(session, sql.SQL(J.first_cells).format(cells=listed, rows=sql.Literal(SAMPLE), **names))
    wanted = [
        (place, kind)
        for (place, name), values in zip(custom, zip(*rows, strict=True), strict=True) if rows
        for kind in _likely(name, [value for value in values if value is not None])
    ] if rows else []  # fmt: skip
    if not wanted:
        return {}
    tests = sql.SQL(", ").join(cells.is_kind(place, kind) for place, kind in wanted)
    (held,) = await _rows(session, sql.SQL(J.test_columns).format(tests=tests, **names))
    return _chosen([pair for pair, fits in zip(wanted, held, strict=True) if fits])


def _likely(name: str, values: Sequence[str]) -> list[str]:
    """The kinds that the first values of a column allow."""
    words = normalised(name).split()
    label = not LABELS.isdisjoint(words) or bool(words and words[-1] in LABELS_AT_END)
    return [
        kind
        for kind, pattern in PATTERNS.items()
        if values and not (label and kind == "number") and all(re.fullmatch(pattern, value) for value in values)
    ]


def _chosen(fitting: Sequence[tuple[int, str]]) -> dict[int, str]:
    """One kind per column; "03/04/2024" that may be March or April stays text."""
    places = [place for place, _ in fitting]
    return {place: kind for place, kind in fitting if places.count(place) == 1}


async def _rows(session: Session, query: sql.Composed) -> list[tuple[Any, ...]]:
    connection = await session.connection()
    async with connection.cursor(row_factory=tuple_row) as cursor:
        await cursor.execute(query)
        return await cursor.fetchall()
