"""SQL expressions that turn the staged cells of a row into the fields of a lead, and judge them."""

from __future__ import annotations

from collections.abc import Iterable

from psycopg import sql

from outreachdb.leads.importing.fields import FULL_NAME, ColumnMap
from outreachdb.leads.models import LEAD_STATUSES

# Fields that a cell fills as it is.
PLAIN = ("first_name", "last_name", "phone", "title", "company_name", "industry", "country", "city", "timezone",
         "source", "notes")  # fmt: skip
URLS = ("company_website", "linkedin_url")
INDEXED = ("company_name", "industry", "source_key")
INDEXED_LENGTH = 500  # characters; a B-tree entry has room for about 2,700 bytes
TAG_LENGTH = 200
NULL = sql.SQL("NULL::text")


class Cells:
    """The expressions for one file's columns; staged cells are ``r.c1, r.c2, ...``, fields have their own names."""

    def __init__(self, columns: ColumnMap, delimiter: str) -> None:
        self._columns = columns
        self._delimiter = delimiter
        self._all = [self.cell(place) for place in range(len(columns.columns))]

    @staticmethod
    def cell(place: int) -> sql.Composable:
        """The staged column at a place, from 0."""
        return sql.SQL("r.{}").format(sql.Identifier(f"c{place + 1}"))

    def fields(self) -> sql.Composed:
        """Select list that gives every field of a lead, with the types of the table."""
        found: dict[str, sql.Composable] = {field: self._of(field) for field in ("email", *PLAIN)}
        found |= self._names()
        found |= {field: _call("outreach.normal_url", self._of(field)) for field in URLS}
        found |= {f"given_{field}": self._of(field) for field in (*URLS, "qualification_score", "tags")}
        found["qualification_score"] = _call("outreach.score_of", self._of("qualification_score"))
        found["status"] = _call("lower", self._of("status"))
        found["tags"] = sql.SQL("coalesce(tagged.tags, '{}'::text[])" if self._has("tags") else "'{}'::text[]")
        found["custom_fields"] = self._custom()
        found["source_key"] = self._source_key()
        return _listed(sql.SQL("{} AS {}").format(value, sql.Identifier(name)) for name, value in found.items())

    def joins(self, raw: sql.Identifier) -> sql.Composed:
        """Joins that the fields need: a file has few different tag cells, so each is split once."""
        if not self._has("tags"):
            return sql.Composed([])
        return sql.SQL(
            "LEFT JOIN (SELECT cell, outreach.split_tags(cell) AS tags"
            " FROM (SELECT DISTINCT {cell} AS cell FROM {raw} AS r) AS once OFFSET 0) AS tagged"
            " ON tagged.cell = {cell}"
        ).format(cell=self._of("tags"), raw=raw)

    def problem(self) -> sql.Composed:
        """What is wrong with a row, or NULL."""
        cases = [reason for _, reason in self._checks()]
        return sql.SQL("coalesce({})").format(_listed([*cases, NULL]))

    def problem_column(self) -> sql.Composed:
        """The column that the problem is in."""
        whens = [
            sql.SQL("WHEN {} IS NOT NULL THEN {}").format(reason, _literal(self._columns.columns[place]))
            for field, reason in self._checks()
            if (place := self._columns.position(field)) is not None
        ]
        return sql.SQL("CASE {} END").format(sql.SQL(" ").join(whens)) if whens else sql.Composed([NULL])

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

    def _has(self, field: str) -> bool:
        return self._columns.position(field) is not None

    def _of(self, field: str) -> sql.Composable:
        place = self._columns.position(field)
        return NULL if place is None else self.cell(place)

    def _names(self) -> dict[str, sql.Composable]:
        if not self._has(FULL_NAME):
            return {}
        full = self._of(FULL_NAME)
        return {f"{part}_name": _call(f"outreach.{part}_of_name", full) for part in ("first", "last")}

    def _custom(self) -> sql.Composable:
        custom = self._columns.custom()
        if not custom:
            return sql.SQL("'{}'::jsonb")
        return sql.SQL("jsonb_strip_nulls(jsonb_object(ARRAY[{}], ARRAY[{}]))").format(
            _listed(_literal(name) for _, name in custom), _listed(self.cell(place) for place, _ in custom)
        )

    def _source_key(self) -> sql.Composed:
        """The external id, else for a row without address a hash of its cells; their order does not matter."""
        mapped = [self.cell(place) for place, target in enumerate(self._columns.targets) if target is not None]
        named = sorted(zip(self._columns.columns, self._all, strict=True), key=lambda pair: pair[0])
        text = _listed(sql.SQL("{} || {}").format(_literal(f"{name}\x1f"), cell) for name, cell in named)
        return sql.SQL(
            "coalesce({external}, CASE WHEN {email} IS NULL AND coalesce({mapped}) IS NOT NULL THEN"
            " 'sha256:' || encode(sha256(convert_to(array_to_string(ARRAY[{text}], chr(30)), 'UTF8')), 'hex') END)"
        ).format(external=self._of("source_key"), email=self._of("email"), mapped=_listed([*mapped, NULL]), text=text)

    def _checks(self) -> list[tuple[str, sql.Composable]]:
        """Field and reason (NULL where all is well) of each check that the file's columns need."""
        checks: list[tuple[str, sql.Composable]] = [("email", sql.SQL("outreach.email_problem(email)"))]
        checks += [(field, _refused(f"given_{field}", field, "not a web address")) for field in URLS]
        score = "qualification_score"
        checks.append((score, _refused(f"given_{score}", score, "not a score between 0 and 100")))
        checks += [
            (field, _when(f"length({field}) > {INDEXED_LENGTH}", f"longer than {INDEXED_LENGTH} characters"))
            for field in INDEXED
        ]
        long = f"EXISTS (SELECT FROM unnest(tags) AS tag WHERE length(tag) > {TAG_LENGTH})"
        reason = f"a tag is longer than {TAG_LENGTH} characters"
        checks.append(("tags", _when(f"length(given_tags) > {TAG_LENGTH} AND {long}", reason)))
        known = ", ".join(f"'{status}'" for status in LEAD_STATUSES)
        checks.append(("status", _when(f"status NOT IN ({known})", "not a status")))
        return [check for check in checks if self._has(check[0])]


def _refused(given: str, field: str, reason: str) -> sql.Composable:
    return _when(f"{given} IS NOT NULL AND {field} IS NULL", reason)


def _when(condition: str, reason: str) -> sql.Composable:
    return sql.SQL("CASE WHEN {} THEN {} END").format(sql.SQL(condition), sql.Literal(reason))


def _literal(text: str) -> sql.SQL:
    """A name from the file as a literal; its percent signs must not be taken for parameters."""
    return sql.SQL(sql.Literal(text).as_string().replace("%", "%%"))


def _call(function: str, value: sql.Composable) -> sql.Composed:
    return sql.SQL("{}({})").format(sql.SQL(function), value)


def _listed(parts: Iterable[sql.Composable]) -> sql.Composed:
    return sql.SQL(", ").join(parts)
