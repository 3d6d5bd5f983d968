"""SQL expressions that turn the staged cells of a row into the fields of a lead, and judge them."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

from psycopg import sql

from outreachdb.leads.importing.fields import FULL_NAME, REJECT_COLUMNS, STATUS_WORDS, ColumnMap
from outreachdb.leads.vocabulary import LEAD_STATUSES

# Fields that a cell fills with its text.
PLAIN = ("first_name", "last_name", "phone", "title", "company_name", "industry", "country", "city", "timezone",
         "source", "notes")  # fmt: skip
URLS = ("company_website", "linkedin_url")
NAMES = ("first_name", "last_name", FULL_NAME)
# What a row without an address and an external id may tell of somebody; one that tells nothing of it is no lead.
WHO = (*NAMES, *URLS, "phone", "title", "company_name", "industry", "country", "city", "timezone", "notes")
NOBODY = "names nobody: it holds only custom fields, tags, a source, a status or a score"
# Characters. A B-tree entry has room for about 2,700 bytes; what is longer elsewhere is a cell that slipped.
LIMITS = {
    "first_name": 200, "last_name": 200, FULL_NAME: 400, "phone": 100, "title": 500, "company_name": 500,
    "company_website": 2000, "linkedin_url": 2000, "industry": 500, "country": 200, "city": 200, "timezone": 100,
    "source": 500, "source_key": 500, "notes": 100_000,
}  # fmt: skip
TAG_LENGTH = 200
CUSTOM_LENGTH = 100_000
OVERLONG = f"outreach.overlong_key(custom_fields, {CUSTOM_LENGTH})"
# Whether a row that names nobody says anything else; one that does not is skipped.
SAYS = (
    "coalesce(source, status, mark) IS NOT NULL OR qualification_score IS NOT NULL OR tags <> '{}'"
    " OR custom_fields <> '{}'"
)
NULL = sql.SQL("NULL::text")
_DAY, _MONTH, _YEAR = "(?:0?[1-9]|[12][0-9]|3[01])", "(?:0?[1-9]|1[0-2])", "(?:19|20)[0-9][0-9]"
# Kinds of custom columns that are no text, and what every cell of such a column looks like. Numbers have at most 15
# digits, which every reader of JSON keeps, and no leading zero. Dates in ISO form are ISO text already.
PATTERNS = {
    "number": r"(?:0|-?[1-9][0-9]{0,14}|-?(?:0|[1-9][0-9]{0,8})\.[0-9]{1,6})",
    "boolean": "(?:[Tt][Rr][Uu][Ee]|[Ff][Aa][Ll][Ss][Ee])",
    "day.month.year": rf"{_DAY}\.{_MONTH}\.{_YEAR}",
    "day/month/year": f"{_DAY}/{_MONTH}/{_YEAR}",
    "month/day/year": f"{_MONTH}/{_DAY}/{_YEAR}",
    "year/month/day": f"{_YEAR}/{_MONTH}/{_DAY}",
}
PAIRS = 40  # a function takes 100 arguments


@dataclass(frozen=True, slots=True)
class Verdicts:
    """What looking at all rows has shown: whether odd addresses are staged, and the kinds of custom columns."""

    addresses: bool = False
    kinds: Mapping[int, str] = field(default_factory=dict)


NO_VERDICTS = Verdicts()


class Cells:
    """The expressions for one file's columns; staged cells are ``r.c1, r.c2, ...``, fields have their own names."""

    def __init__(self, columns: ColumnMap, delimiter: str, verdicts: Verdicts = NO_VERDICTS) -> None:
        self._columns = columns
        self._verdicts = verdicts
        self._delimiter = delimiter
        self._all = [self.cell(place) for place in range(len(columns.columns))]

    @staticmethod
    def cell(place: int) -> sql.Composable:
        """The staged column at a place, from 0."""
        return sql.SQL("r.{}").format(sql.Identifier(f"c{place + 1}"))

    def fields(self) -> sql.Composed:
        """Select list that gives every field of a lead, with the types of the table."""
        found: dict[str, sql.Composable] = {"email": self._of("email"), "address_problem": NULL}
        if self._verdicts.addresses:
            found["email"] = sql.SQL("CASE WHEN addresses.cell IS NULL THEN {} ELSE addresses.email END").format(
                found["email"]
            )
            found["address_problem"] = sql.SQL("addresses.problem")
        found |= {field: self._given(field) for field in PLAIN}
        found |= self._names()
        found["phone_digits"] = _call("outreach.phone_digits", self._of("phone"))
        found["phone_rule"] = sql.SQL("dialled.rule") if self._dials() else NULL
        # A word for nothing is no web address and no score: it is looked for only where the check fails.
        found |= {field: _call("outreach.normal_url", self._of(field)) for field in URLS}
        found |= {f"given_{field}": self._of(field) for field in (*URLS, "qualification_score")}
        found["qualification_score"] = _call("outreach.score_of", self._of("qualification_score"))
        found["status"] = _call("lower", self._given("status"))
        found["mark"] = self._mark()
        found["tags"] = sql.SQL("coalesce(tagged.tags, '{}'::text[])" if self._has("tags") else "'{}'::text[]")
        found["longest_tag"] = sql.SQL("tagged.longest" if self._has("tags") else "NULL::integer")
        found["custom_fields"] = self._custom()
        found["source_key"] = self._source_key()
        return _listed(sql.SQL("{} AS {}").format(value, sql.Identifier(name)) for name, value in found.items())

    def looked_up(self) -> dict[str, sql.Composable]:
        """Cells that are looked at once each, as a file has few different ones; by the table of what is found."""
        tables = {"tagged": ("tags", self._has("tags")), "dialled": ("country", self._dials())}
        return {kind: self._of(field) for kind, (field, needed) in tables.items() if needed}

    def joins(self, names: Mapping[str, sql.Identifier]) -> sql.Composed:
        """Joins that the fields need."""
        joined = {"tagged": ("tags", self._has("tags")), "dialled": ("country", self._dials()),
                  "addresses": ("email", self._verdicts.addresses)}  # fmt: skip
        join = sql.SQL(" LEFT JOIN {table} AS {alias} ON {alias}.cell = {cell}")
        needed = [(kind, field) for kind, (field, used) in joined.items() if used]
        return sql.SQL("").join(
            join.format(table=names[kind], alias=sql.SQL(kind), cell=self._of(field)) for kind, field in needed
        )

    def typed(self) -> dict[str, str]:
        """Custom column -> kind, for those that are no text."""
        return {self._columns.columns[place]: kind for place, kind in self._verdicts.kinds.items()}

    def marks(self) -> bool:
        """Whether a column may say that somebody must not be mailed."""
        return bool(self._columns.marks()) or self._has("status")

    def is_kind(self, place: int, kind: str) -> sql.Composed:
        """Aggregate that tells whether all cells of a column are of a kind of :data:`PATTERNS`."""
        return sql.SQL(
            "coalesce(bool_and({cell} ~ {pattern}) FILTER (WHERE outreach.given({cell}) IS NOT NULL), false)"
        ).format(cell=self.cell(place), pattern=sql.Literal(f"^{PATTERNS[kind]}$"))

    def problem(self) -> sql.Composed:
        """What is wrong with a row, or NULL."""
        cases = [reason for _, reason in self._checks()]
        return sql.SQL("coalesce({})").format(_listed([*cases, NULL]))

    def problem_column(self) -> sql.Composed:
        """The column that the problem is in."""
        whens = [
            sql.SQL("WHEN {} IS NOT NULL THEN {}").format(reason, self._blamed(field))
            for field, reason in self._checks()
        ]
        return sql.SQL("CASE {} END").format(sql.SQL(" ").join(whens))

    def row_text(self) -> sql.Composed:
        """The row as a line of CSV."""
        special = sql.Literal(f'["\n\r{self._delimiter}]')
        quoted = [
            sql.SQL("CASE WHEN {c} ~ {s} THEN '\"' || replace({c}, '\"', '\"\"') || '\"' ELSE coalesce({c}, '') END")
            .format(c=cell, s=special)
            for cell in self._all
        ]  # fmt: skip
        return sql.SQL("array_to_string(ARRAY[{}], {})").format(_listed(quoted), sql.Literal(self._delimiter))

    def column_of(self, field: str) -> sql.Composable:
        """The name of the column that a field comes from, as a literal."""
        place = self._columns.position(field)
        return NULL if place is None else _literal(self._columns.columns[place])

    def _blamed(self, field: str) -> sql.Composable:
        """The name of the column that a check of the field finds fault with."""
        if field != "custom_fields":
            return self.column_of(field)
        names = {name: self._columns.columns[place] for place, name in self._columns.custom()}
        return sql.SQL("{}::jsonb ->> {}").format(_literal(json.dumps(names)), sql.SQL(OVERLONG))

    def _has(self, field: str) -> bool:
        return self._columns.position(field) is not None

    def _of(self, field: str) -> sql.Composable:
        place = self._columns.position(field)
        return NULL if place is None else self.cell(place)

    def _given(self, field: str) -> sql.Composable:
        """The field's cell, NULL where it only says that there is nothing."""
        if not self._has(field) or field in {"notes", "tags"}:
            return self._of(field)
        return _call("outreach.given_name" if field in NAMES else "outreach.given", self._of(field))

    def _dials(self) -> bool:
        return self._has("phone") and self._has("country")

    def _mark(self) -> sql.Composable:
        """Why the row must not be mailed, if its file says so."""
        marks: list[sql.Composable] = [
            _call("outreach.mark_of_word", self.cell(place)) if kind == STATUS_WORDS
            else sql.SQL("outreach.mark_of_flag({}, {})").format(self.cell(place), sql.Literal(kind))
            for place, kind in self._columns.marks()
        ]  # fmt: skip
        if self._has("status"):
            marks.append(_call("outreach.mark_of_word", self._of("status")))
        return sql.SQL("coalesce({})").format(_listed([*marks, NULL]))

    def _names(self) -> dict[str, sql.Composable]:
        if not self._has(FULL_NAME):
            return {}
        full = self._given(FULL_NAME)
        return {f"{part}_name": _call(f"outreach.{part}_of_name", full) for part in ("first", "last")}

    def _custom(self) -> sql.Composable:
        kinds = self._verdicts.kinds
        plain = [(place, name) for place, name in self._columns.custom() if place not in kinds]
        typed = [(place, name) for place, name in self._columns.custom() if place in kinds]
        parts: list[sql.Composable] = []
        if plain:
            names, cells = _listed(_literal(name) for _, name in plain), _listed(self.cell(place) for place, _ in plain)
            parts.append(sql.SQL("jsonb_object(ARRAY[{}], ARRAY[{}])").format(names, cells))
        for first in range(0, len(typed), PAIRS):
            pairs = (
                sql.SQL("{}, {}").format(_literal(name), _typed(self.cell(place), kinds[place]))
                for place, name in typed[first : first + PAIRS]
            )
            parts.append(sql.SQL("jsonb_build_object({})").format(_listed(pairs)))
        return sql.SQL("jsonb_strip_nulls({})").format(sql.SQL(" || ").join(parts)) if parts else sql.SQL("'{}'::jsonb")

    def _source_key(self) -> sql.Composed:
        """The external id, else for a row without address a hash of its cells; their order does not matter.

        What a file of rejects says of a row is none of them: corrected there or in the original, it is the same lead.
        """
        who = [self._given(field) for field in WHO if self._has(field)]
        cells = zip(self._columns.columns, self._all, strict=True)
        named = sorted((pair for pair in cells if pair[0] not in REJECT_COLUMNS), key=lambda pair: pair[0])
        text = _listed(sql.SQL("{} || {}").format(_literal(f"{name}\x1f"), cell) for name, cell in named)
        return sql.SQL(
            "coalesce({external}, CASE WHEN {email} IS NULL AND coalesce({who}) IS NOT NULL THEN"
            " 'sha256:' || encode(sha256(convert_to(array_to_string(ARRAY[{text}], chr(30)), 'UTF8')), 'hex') END)"
        ).format(external=self._given("source_key"), email=self._of("email"), who=_listed([*who, NULL]), text=text)

    def _checks(self) -> list[tuple[str, sql.Composable]]:
        """Field and reason (NULL where all is well) of each check that the file's columns need."""
        checks: list[tuple[str, sql.Composable]] = [("email", sql.SQL("address_problem"))]
        checks += [(field, _refused(f"given_{field}", field, "not a web address")) for field in URLS]
        score = "qualification_score"
        checks.append((score, _refused(f"given_{score}", score, "not a score between 0 and 100")))
        checks += [(field, _too_long(field, limit)) for field, limit in LIMITS.items() if field != FULL_NAME]
        checks.append((FULL_NAME, _too_long("concat(first_name, last_name)", LIMITS[FULL_NAME])))
        reason = f"a tag is longer than {TAG_LENGTH} characters"
        checks.append(("tags", _when(f"longest_tag > {TAG_LENGTH}", reason)))
        known = ", ".join(f"'{status}'" for status in LEAD_STATUSES)
        checks.append(("status", _when(f"mark IS NULL AND status NOT IN ({known})", "not a status")))
        checks = [check for check in checks if self._has(check[0])]
        if self._columns.custom():
            # The size of all of them is there without looking at each.
            reason = f"longer than {CUSTOM_LENGTH:,} characters"
            long = f"pg_column_size(custom_fields) > {CUSTOM_LENGTH} AND {OVERLONG} IS NOT NULL"
            checks.append(("custom_fields", _when(long, reason)))
        return [*checks, ("nobody", _when(f"email IS NULL AND source_key IS NULL AND ({SAYS})", NOBODY))]


def _refused(given: str, field: str, reason: str) -> sql.Composable:
    return _when(f"{given} IS NOT NULL AND {field} IS NULL AND outreach.given({given}) IS NOT NULL", reason)


def _too_long(value: str, limit: int) -> sql.Composable:
    # Octets are there without counting; characters are counted only where there may be too many.
    return _when(f"octet_length({value}) > {limit} AND length({value}) > {limit}", f"longer than {limit:,} characters")


def _typed(cell: sql.Composable, kind: str) -> sql.Composable:
    """A cell of a kind of :data:`PATTERNS` as JSON; dates become ISO text."""
    value = _call("outreach.given", cell)
    if kind in {"number", "boolean"}:
        return sql.SQL("to_jsonb({}::{})").format(value, sql.SQL("numeric" if kind == "number" else "boolean"))
    mark = next(character for character in kind if not character.isalpha())
    parts = {part: place for place, part in enumerate(kind.split(mark), start=1)}
    template = sql.SQL(
        "to_jsonb(split_part({v}, {m}, {y}) || '-' || lpad(split_part({v}, {m}, {o}), 2, '0')"
        " || '-' || lpad(split_part({v}, {m}, {d}), 2, '0'))"
    )
    places = (sql.Literal(parts[part]) for part in ("year", "month", "day"))
    year, month, day = places
    return template.format(v=value, m=sql.Literal(mark), y=year, o=month, d=day)


def _when(condition: str, reason: str) -> sql.Composable:
    return sql.SQL("CASE WHEN {} THEN {} END").format(sql.SQL(condition), sql.Literal(reason))


def _literal(text: str) -> sql.SQL:
    """A name from the file as a literal; its percent signs must not be taken for parameters."""
    return sql.SQL(sql.Literal(text).as_string().replace("%", "%%"))


def _call(function: str, value: sql.Composable) -> sql.Composed:
    return sql.SQL("{}({})").format(sql.SQL(function), value)


def _listed(parts: Iterable[sql.Composable]) -> sql.Composed:
    return sql.SQL(", ").join(parts)
