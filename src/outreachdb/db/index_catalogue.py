"""The catalogue of indexes: for each one whom it serves, and why those that were asked for and left out are not needed.

Each room tells of its own in ``indexes.sql``, in blocks of these forms::

    -- name: ix_leads_created_at
    -- The newest leads of a workspace, page by page (R1, R2).
    SELECT ... WHERE l.workspace_id = %(workspace_id)s ORDER BY l.created_at DESC LIMIT %(limit)s;

    -- name: uq_workspaces_name
    -- as: trusted
    -- query: find_workspace
    -- A workspace by its name.

    -- also: ix_leads_created_at, in a range
    -- Leads created in a range (R1).
    SELECT ...;

    -- left out: ix_leads_email_hash (leads, hash (email)) served by uq_leads_email_key
    -- The unique key answers the same look-up (R2).
    SELECT ...;

``as`` is the role that runs the owner query (default ``tenant``), ``query`` the name of a statement in the room's
``queries.sql`` where the owner query stands there already; ``stays`` says why the index is kept where the benchmark
found the query no faster with it. ``also`` is another query of an index that has its owner. R0 to R4 are the
requirements that asked for the index; ``claim: R1 what: before -> after`` is what one of them promises of it. What was
left out is built by the benchmark as its columns say, or as ``tried`` says (``none``: it can't be built), and asked
with the query, or with ``asked``.
Tests hold the catalogue against the live indexes, and against the plans of all owner queries; ``outreachdb bench
indexes`` measures all of it, and what it found stands on the page that is generated from this catalogue.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from importlib import resources
from typing import Any, Literal, cast, get_args

from sqlalchemy import PrimaryKeyConstraint, UniqueConstraint
from sqlalchemy.dialects import postgresql
from sqlalchemy.schema import CreateIndex

from outreachdb.db.models import Base
from outreachdb.db.queries import load
from outreachdb.db.rooms import ROOMS, import_models

Role = Literal["tenant", "trusted", "reader", "owner"]

# The ground floor comes last: it holds the migrations' own book-keeping.
PLACES = (*ROOMS, "db")
_BLOCK = re.compile(r"^-- (name|also|left out): (.+)$", re.MULTILINE)
_LEFT_OUT = re.compile(r"(\w+) \((\w+), (.+)\) served by (\w+)")
_SETTING = re.compile(r"^(as|query|tried|asked|claim|stays): (.+)$")
_CLAIM = re.compile(r"(R[0-4]) (.+): (.+) -> (.+)")
_SOURCE = re.compile(r"\bR[0-4]\b")


@dataclass(frozen=True, slots=True)
class Claim:
    """What a requirement says of an index: times of some query before and after."""

    source: str
    what: str
    before: str
    after: str


@dataclass(frozen=True, slots=True)
class OwnedIndex:
    """An index and the query that needs it, or (``index, what``) another query that does."""

    name: str
    room: str
    role: Role
    purpose: str
    query: str
    claims: tuple[Claim, ...] = ()
    # Why it is kept although the query was measured to be no faster with it.
    stays: str | None = None

    @property
    def index(self) -> str:
        """The index itself; several entries may have the same."""
        return self.name.partition(",")[0]

    @property
    def sources(self) -> list[str]:
        """The requirements that asked for it."""
        return sorted(set(_SOURCE.findall(self.purpose)))


@dataclass(frozen=True, slots=True)
class LeftOut:
    """An index that was asked for and not built; its query is served by another one."""

    name: str
    room: str
    role: Role
    table: str
    columns: str
    served_by: str
    reason: str
    query: str
    # How the benchmark builds it (None: it can't be built), and what it asks of it where that is another query.
    tried: str | None = None
    asked: str | None = None

    @property
    def sources(self) -> list[str]:
        """The requirements that asked for it."""
        return sorted(set(_SOURCE.findall(self.reason)))


Entry = OwnedIndex | LeftOut


def entries() -> list[Entry]:
    """All rooms' entries in file order; raises ValueError, naming file and block, for what can't be read."""
    found = [entry for room in PLACES for entry in _room(room)]
    names = [entry.name for entry in found]
    repeated = sorted({name for name in names if names.count(name) > 1})
    if repeated:
        raise ValueError(f"indexes.sql: more than one entry for {', '.join(repeated)}")
    return found


def owned() -> list[OwnedIndex]:
    """The indexes that exist."""
    return [entry for entry in entries() if isinstance(entry, OwnedIndex)]


def left_out() -> list[LeftOut]:
    """The indexes that were asked for and don't exist."""
    return [entry for entry in entries() if isinstance(entry, LeftOut)]


def _room(room: str) -> Iterator[Entry]:
    file = resources.files("outreachdb").joinpath(room, "indexes.sql")
    if not file.is_file():
        return
    parts = _BLOCK.split(file.read_text(encoding="utf-8"))[1:]
    for kind, title, body in zip(parts[0::3], parts[1::3], parts[2::3], strict=True):
        yield _entry(room, kind, title.strip(), body.strip().splitlines())


def _entry(room: str, kind: str, title: str, lines: list[str]) -> Entry:
    comments = [line.removeprefix("--").strip() for line in lines if line.startswith("--")]
    given = [(str(match[1]), str(match[2])) for line in comments if (match := _SETTING.match(line))]
    settings = dict(given)
    told = " ".join(line for line in comments if not _SETTING.match(line))
    query = "\n".join(line for line in lines if not line.startswith("--")).strip().rstrip(";")
    if "query" in settings:
        query = "\n".join(
            line
            for line in load(f"outreachdb.{room}")[settings["query"]].splitlines()
            if not line.lstrip().startswith("--")
        )
    role = settings.get("as", "tenant")
    if not told or not query or role not in get_args(Role):
        raise ValueError(f"{room}/indexes.sql: {title} needs a purpose, a query and one of the known roles")
    known = cast("Role", role)
    if kind != "left out":
        claims = tuple(_claim(room, title, text) for key, text in given if key == "claim")
        return OwnedIndex(title, room, known, told, query, claims, settings.get("stays"))
    match = _LEFT_OUT.fullmatch(title)
    if match is None:
        raise ValueError(f"{room}/indexes.sql: can't read `left out: {title}`")
    name, table, columns, served_by = match.groups()
    built = columns if columns.startswith("(") else f"USING {columns}"
    tried = None if settings.get("tried") == "none" else settings.get("tried", built)
    return LeftOut(name, room, known, table, columns, served_by, told, query, tried, settings.get("asked"))


def _claim(room: str, title: str, text: str) -> Claim:
    match = _CLAIM.fullmatch(text)
    if match is None:
        raise ValueError(f"{room}/indexes.sql: {title}: can't read `claim: {text}`")
    return Claim(*match.groups())


def definitions() -> dict[str, str]:
    """Name of each index of the models -> how it is made, in one line."""
    import_models()
    dialect = postgresql.dialect()  # type: ignore[no-untyped-call]
    made: dict[str, str] = {}
    for table in Base.metadata.tables.values():
        for index in table.indexes:
            made[str(index.name)] = " ".join(str(CreateIndex(index).compile(dialect=dialect)).split())
        for rule in table.constraints:
            if isinstance(rule, PrimaryKeyConstraint | UniqueConstraint) and rule.name is not None:
                word = "PRIMARY KEY" if isinstance(rule, PrimaryKeyConstraint) else "UNIQUE"
                columns = ", ".join(column.name for column in rule.columns)
                made[str(rule.name)] = f"ALTER TABLE {table.fullname} ADD CONSTRAINT {rule.name} {word} ({columns})"
    return made


def page(measured: Mapping[str, Any] | None = None) -> str:
    """The reference page; ``measured`` is the document of ``outreachdb bench indexes``."""
    lines = ["# Indexes", "", _INTRODUCTION, "", *_measured_on(measured)]
    figures = _figures(measured)
    made = definitions()
    lines += _claims_part(figures)
    for room in PLACES:
        here = [entry for entry in entries() if entry.room == room]
        if here:
            lines += [f"## {room}", ""]
        for entry in here:
            lines += _owned_part(entry, made) if isinstance(entry, OwnedIndex) else _left_out_part(entry)
            lines += _measured_part(figures.get(entry.name, {}))
            lines += _stays_part(entry, figures.get(entry.name, {}), made)
    return "\n".join(lines).rstrip() + "\n"


_INTRODUCTION = """Every index has an owner: a query that needs it, planned by a test on a filled database as the role
that runs it. `tenant` sessions are under row-level security, where only leakproof operators use an index; `trusted`
runs cross-workspace jobs and the few definer functions; `owner` runs migrations; `reader` is monitoring. R0 to R4 are
the requirements that asked for an index."""
NOISE_MS, NOISE_SHARE = 0.1, 0.2
_HOW = """The figures are those of `outreachdb bench indexes` on a filled database (200,000 leads, sends, events each):
the median time of the owner query with the index and with it dropped, its size, and what it adds to each row of a
batch of 1,000 that is written, foreign keys aside (GIN indexes: their pending list included). Figures below a tenth of
a millisecond or a microsecond are noise."""


def _measured_on(measured: Mapping[str, Any] | None) -> list[str]:
    if measured is None:
        return []
    machine = ", ".join(f"{name} {value}" for name, value in measured["machine"].items())
    return [f"{_HOW} Measured on: {machine}.", ""]


def _figures(measured: Mapping[str, Any] | None) -> dict[str, dict[str, str]]:
    """Index -> what was measured -> the figure with its unit."""
    found: dict[str, dict[str, str]] = {}
    for result in (measured or {}).get("results", ()):
        name, _, what = str(result["name"]).partition(": ")
        found.setdefault(name, {})[what] = f"{result['value']:g} {result['unit']}"
    return found


def _claims_part(figures: Mapping[str, Mapping[str, str]]) -> list[str]:
    """What the requirements promise, beside ours."""
    head = [
        "## Claims of the requirements beside ours",
        "",
        "Theirs were expected or measured on other machines, at 8 to",
    ]
    head += ["100,000 rows; ours are measured at 20,000 to 200,000.", ""]
    head += ["| requirement | query | theirs, before | theirs, after | index | ours, without | ours, with |"]
    rows = [
        f"| {claim.source} | {claim.what} | {claim.before} | {claim.after} | `{entry.index}` | "
        f"{_figure(figures, entry, 'query without it')} | {_figure(figures, entry, 'query with it')} |"
        for entry in owned()
        for claim in entry.claims
    ]
    return [*head, "|---|---|---|---|---|---|---|", *sorted(rows), ""]


def _figure(figures: Mapping[str, Mapping[str, str]], entry: Entry, what: str) -> str:
    return figures.get(entry.name, {}).get(what, "")


def _measured_part(figures: Mapping[str, str]) -> list[str]:
    told = "; ".join(f"{what} {figure}" for what, figure in figures.items())
    return [f"Measured: {told}.", ""] if told else []


_RULE = "It stays for the rule that it holds, whatever the query takes: no two rows have these values."
_NOISE = "The difference is noise."


def slower_with(figures: Mapping[str, str]) -> float | None:
    """By how many milliseconds the query took longer with the index than without, where it did."""
    having, missing = (figures.get(f"query {word} it", "").split(" ")[0] for word in ("with", "without"))
    return float(having) - float(missing) if having and missing and float(having) >= float(missing) else None


def _stays_part(entry: Entry, figures: Mapping[str, str], made: Mapping[str, str]) -> list[str]:
    """Why an index is there that the measurement speaks against."""
    if isinstance(entry, LeftOut) or (slower := slower_with(figures)) is None:
        return []
    rule = re.search("UNIQUE|PRIMARY KEY", made.get(entry.index, ""))
    noise = max(NOISE_MS, NOISE_SHARE * float(figures["query with it"].split(" ")[0]))
    why = entry.stays or (_RULE if rule else _NOISE if slower < noise else None)
    return [f"No faster with it at this size. {why}", ""] if why else []


def _owned_part(entry: OwnedIndex, made: dict[str, str]) -> list[str]:
    definition = made.get(entry.name)
    shown = [f"```sql\n{definition};\n```", ""] if definition else []
    return [
        f"### {entry.name}",
        "",
        entry.purpose,
        "",
        *shown,
        f"Owner query, as {entry.role}:",
        "",
        *_code(entry.query),
    ]


def _left_out_part(entry: LeftOut) -> list[str]:
    title = f"### Left out: {entry.name} on {entry.table} {entry.columns}"
    return [
        title,
        "",
        f"Served by `{entry.served_by}`. {entry.reason}",
        "",
        f"As {entry.role}:",
        "",
        *_code(entry.query),
    ]


def _code(query: str) -> list[str]:
    return [f"```sql\n{query};\n```", ""]
