"""Which column of a file goes into which field of a lead."""

from __future__ import annotations

import re
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from outreachdb.errors import UsageError
from outreachdb.leads.importing.synonyms import (
    AMBIGUOUS,
    FIRST_NAMES_BESIDE_NAME,
    FULL_NAME,
    LINK_WORDS,
    MARK_HEADERS,
    MARK_PREFIXES,
    MARKS,
    NAME_WORDS,
    PLACES,
    SALUTATIONS,
    STATUS_HEADERS,
    SYNONYMS,
    normalised,
    place_of,
)
from outreachdb.leads.vocabulary import LEAD_COLUMNS
from outreachdb.words import ALMOST, did_you_mean, nearest

__all__ = [
    "CUSTOM", "FIELDS", "FULL_NAME", "REJECT_COLUMNS", "ColumnMap", "MappingTarget", "map_columns", "normalised",
    "unique_names",
]  # fmt: skip

CUSTOM = "custom."
CUSTOM_TOO = "custom:"  # the same in other words
# "status" is never taken by itself: at every tool it means something else. --map STATUS=status takes it.
# What `imports rejects --csv` adds to a row; left out when the corrected file is imported.
REJECT_COLUMNS = ("reject_row", "reject_column", "reject_reason")
FIELDS = (*SYNONYMS, "status", *MARKS)
STATUS_WORDS = "words"
# What our own exports tell of a lead besides its fields: numbers, instants and findings that belong to the workspace.
OWN_COLUMNS = frozenset(LEAD_COLUMNS) - {*FIELDS}
# Names that are nobody else's; where some of them stand together the file is one of ours.
OWN_SIGNS = frozenset(("email_checked_at", "email_flags", "email_status", "phone_e164", "profile_checked_at",
                       "qualification_latency_ms"))  # fmt: skip
SIGNS_ENOUGH = 3
GIVEN, KNOWN, LIKELY = (
    1.0,
    0.9,
    0.7,
)  # confidence: said by the user; a name that means one thing; one that means several
EXAMPLES = 3
HALF, MOST = 0.5, 0.9
# As outreach.given has them.
EMPTY_WORDS = frozenset((
    "-", "--", "---", "–", "—", ".", "?", "n/a", "n.a.", "#n/a", "null", "(null)", "<null>", "[null]", "none", "(none)",
    "nan", "nat", "<na>", "nil", "\\n", "undefined", "#null!", "#ref!", "#value!", "#div/0!", "#name?", "#num!",
    "(empty)", "(blank)",
))  # fmt: skip
_LINKEDIN = re.compile(r"(?:https?://)?(?:[a-z]{2,3}\.)?linkedin\.com/(?:in|pub|sales)/", re.IGNORECASE)

# What outreach.score_of and outreach.normal_url take.
_SCORE = re.compile(r"\+?0*(?:\d{1,2}(?:[.,]\d{1,20})?|100(?:[.,]0{1,20})?)(?: ?%)?|\d(?:\.\d{1,20})?e-\d\d", re.ASCII)
_WEB_ADDRESS = re.compile(
    r"https?://[^\s/]+\S*|(?://)?[^\s/@:?#,]+\.[^\s/@:?#.,0-9][^\s/@:?#.,]+(?::[0-9]+)?(?:[/?#]\S*)?", re.IGNORECASE
)
_NUMBER = re.compile(r"[+-]?\d+(?:[.,]\d+)?(?: ?%)?", re.ASCII)
_DIALLING_CODE = re.compile(r"(?:\+|00)? ?\d[\d ()-]{0,6}", re.ASCII)

MappingTarget = str | None
Rows = Sequence[Sequence[str]]


@dataclass(frozen=True, slots=True)
class ColumnMap:
    """For each column of the file, in order: its (unique) name and its field, ``custom.<name>`` or ``None``.

    ``confidence`` says from 0 to 1 how sure the mapping is; a column that becomes a custom field has 0.
    """

    columns: tuple[str, ...]
    targets: tuple[MappingTarget, ...]
    confidence: tuple[float, ...] = field(default=(), compare=False)

    def position(self, field: str) -> int | None:
        """Where the field's column stands, from 0."""
        return self.targets.index(field) if field in self.targets else None

    def custom(self) -> list[tuple[int, str]]:
        """Position and name of each column that becomes a custom field."""
        found = enumerate(self.targets)
        return [(place, target.removeprefix(CUSTOM)) for place, target in found if target and target.startswith(CUSTOM)]

    def marks(self) -> list[tuple[int, str]]:
        """Position and meaning of each column that may say that somebody must not be mailed.

        The meaning is a reason of a suppression, for columns that hold a yes, a date or a cause; or ``words`` for
        columns whose words tell. Such a column stays a custom field, unless it is mapped to the mark itself.
        """
        found = []
        for place, target in enumerate(self.targets):
            plain = normalised(self.columns[place])
            if target in MARKS:
                found.append((place, target))
            elif target is None or not target.startswith(CUSTOM):
                continue
            elif plain in MARK_HEADERS:
                found.append((place, MARK_HEADERS[plain]))
            elif plain.startswith(MARK_PREFIXES):
                found.append((place, "unsubscribed"))
            elif plain in STATUS_HEADERS:
                found.append((place, STATUS_WORDS))
        return found

    def pairs(self) -> list[tuple[str, MappingTarget]]:
        """Column and target, in the order of the file."""
        return list(zip(self.columns, self.targets, strict=True))

    def document(self) -> dict[str, MappingTarget]:
        """Column -> target, as it is printed."""
        return dict(self.pairs())

    def preview(self, sample: Rows) -> list[dict[str, Any]]:
        """For each column: ``column``, ``target``, ``confidence`` and the first ``examples`` of its values."""
        sure = self.confidence or (0.0,) * len(self.columns)
        marks = dict(self.marks())
        return [
            {
                "column": column,
                "target": self.targets[place],
                "confidence": sure[place],
                "examples": _values(sample, place)[:EXAMPLES],
            }
            | ({"marks": marks[place]} if place in marks else {})
            for place, column in enumerate(self.columns)
        ]


def unique_names(header: Sequence[str]) -> tuple[str, ...]:
    """Names for the columns: a repeated one gets " (2)", an empty one "column 3"."""
    names: list[str] = []
    for place, cell in enumerate(header, start=1):
        base = name = cell or f"column {place}"
        copy = 1
        while name in names:
            copy += 1
            name = f"{base} ({copy})"
        names.append(name)
    return tuple(names)


def map_columns(
    header: Sequence[str],
    *,
    given: Mapping[str, str] | None = None,
    ignore: Collection[str] = (),
    sample: Rows = (),
) -> ColumnMap:
    """Map the columns: as given, else by their header and values, else to a custom field of their name.

    ``given`` maps a column to a field of :data:`FIELDS`, or to ``custom.<name>``; ``ignore`` names columns to leave
    out; ``sample`` holds the first rows. Raises UsageError for a column or field that does not exist, or a field that
    is given twice.
    """
    names = unique_names(header)
    targets: dict[str, MappingTarget] = {_column(names, name): None for name in ignore}
    targets |= dict.fromkeys(set(REJECT_COLUMNS) & set(names))
    own = len(OWN_SIGNS.intersection(names)) >= SIGNS_ENOUGH
    for name, wanted in (given or {}).items():
        column, target = _column(names, name), _target(wanted)
        if target in targets.values():
            raise UsageError(f"two columns are mapped to {target}")
        if column in targets:
            raise UsageError(f"column {column!r} is both mapped and ignored")
        targets[column] = target
    sure = dict.fromkeys(targets, GIVEN)
    ours = {
        name: target for name, target in _own(names, own=own).items()
        if name not in targets and (target is None or target not in targets.values())
    }  # fmt: skip
    targets |= ours
    sure |= dict.fromkeys(ours, KNOWN)
    for name, (target, confidence) in _Guess(names, targets, sample).all().items():
        targets[name], sure[name] = target, confidence
    # "Plan" beside our "custom.Plan" is another column.
    whole = tuple(
        targets.get(name, CUSTOM + name + (" (2)" if CUSTOM + name in ours.values() else "")) for name in names
    )
    twice = [target for target in whole if target is not None and whole.count(target) > 1]
    if twice:
        raise UsageError(f"two columns are mapped to {twice[0]}")
    return ColumnMap(names, whole, tuple(sure.get(name, 0.0) for name in names))


def _own(names: Sequence[str], *, own: bool) -> dict[str, MappingTarget]:
    """Columns as our exports name them: "custom.Plan" is the custom field Plan."""
    found: dict[str, MappingTarget] = {
        name: name for name in names if name.startswith(CUSTOM) and name.removeprefix(CUSTOM)
    }
    if own:
        found |= dict.fromkeys(OWN_COLUMNS.intersection(names)) | ({"status": "status"} if "status" in names else {})
    return found


class _Guess:
    """Gives the fields that are still free the free columns that mean them."""

    def __init__(self, names: Sequence[str], targets: Mapping[str, MappingTarget], sample: Rows) -> None:
        self._free = [(name, normalised(name), place) for place, name in enumerate(names) if name not in targets]
        self._sample = sample
        self._taken = {target for target in targets.values() if target}
        self._found: dict[str, tuple[str, float]] = {}

    def all(self) -> dict[str, tuple[str, float]]:
        """Column -> field and confidence."""
        self._by_header()
        self._links()
        self._name_words()
        # A full name is split only where no column gives its parts; else it stays as it is.
        if {"first_name", "last_name"} & self._taken:
            self._found = {name: found for name, found in self._found.items() if found[0] != FULL_NAME}
        return self._found

    def _take(self, name: str, target: str, confidence: float) -> None:
        if name not in self._found and target not in self._taken:
            self._found[name] = (target, confidence)
            self._taken.add(target)

    def _by_header(self) -> None:
        """Each field gets the column whose header means it best, the first one if several mean it as well."""
        known = [
            (found[1], place, found[0], name, plain)
            for name, plain, place in self._free
            if (found := place_of(plain)) is not None and not self._refused(found[0], place)
        ]
        for _, _, target, name, plain in sorted(known):
            self._take(name, target, LIKELY if plain in AMBIGUOUS or plain not in PLACES else KNOWN)

    def _refused(self, target: str, place: int) -> bool:
        """Whether the values of the column speak against the field."""
        values = [value for value in _values(self._sample, place) if value.strip().casefold() not in EMPTY_WORDS]
        if not values:
            return False
        if target == "title":
            return _share(values, _is_salutation) >= HALF
        if target == "country":
            return _share(values, _matches(_DIALLING_CODE)) >= HALF
        # What these do not take rejects its row, and a column of little weight must not cost people.
        if target == "qualification_score":
            return any(map(_is_off_scale, values)) or _share(values, _matches(_SCORE)) < MOST
        if target in {"company_website", "linkedin_url"}:
            elsewhere = target == "company_website" and _share(values, _is_linkedin) >= HALF
            return elsewhere or _share(values, _matches(_WEB_ADDRESS)) < MOST
        return False

    def _links(self) -> None:
        """A column of links, or a website that isn't one, is the person's profile if its values say so."""
        for name, plain, place in self._free:
            known = place_of(plain)
            if plain in LINK_WORDS or (known and known[0] == "company_website"):
                values = _values(self._sample, place)
                if values and _share(values, _is_linkedin) >= HALF:
                    self._take(name, "linkedin_url", LIKELY)

    def _name_words(self) -> None:
        """Beside "Prénom", "Nom" is the family name; beside "Cognome", "Nome" is the given one; alone each is both."""
        beside = {plain for _, plain, _ in self._free}
        for name, plain, _ in self._free:
            part = NAME_WORDS.get(plain)
            if part is None:
                continue
            other = "first_name" if part == "last_name" else "last_name"
            fits = plain != "name" or not beside.isdisjoint(FIRST_NAMES_BESIDE_NAME)
            if other in self._taken and fits:
                self._take(name, part, KNOWN)
            elif not {"first_name", "last_name", FULL_NAME} & self._taken:
                self._take(name, FULL_NAME, LIKELY)


def _values(sample: Rows, place: int) -> list[str]:
    return [row[place] for row in sample if place < len(row) and row[place]]


def _share(values: Sequence[str], test: Callable[[str], bool]) -> float:
    return sum(map(test, values)) / len(values)


def _is_linkedin(value: str) -> bool:
    return _LINKEDIN.match(value) is not None


def _matches(pattern: re.Pattern[str]) -> Callable[[str], bool]:
    return lambda value: pattern.fullmatch(value.strip()) is not None


def _is_off_scale(value: str) -> bool:
    return _matches(_NUMBER)(value) and not _matches(_SCORE)(value)


def _is_salutation(value: str) -> bool:
    words = normalised(value).split()
    return bool(words) and SALUTATIONS.issuperset(words)


def _column(names: Sequence[str], wanted: str) -> str:
    if wanted in names:
        return wanted
    alike = [name for name in names if normalised(name) == normalised(wanted)]
    if len(alike) == 1:
        return alike[0]
    it_has = f"it has: {', '.join(names[:40])}"
    raise UsageError(f"the file has no column {wanted!r}", hint=did_you_mean(wanted, names, it_has))


def _target(field: str) -> str:
    if field.startswith(CUSTOM_TOO):
        field = CUSTOM + field.removeprefix(CUSTOM_TOO)
    if field in FIELDS or (field.startswith(CUSTOM) and len(field) > len(CUSTOM)):
        return field
    near = _meant(field)
    hint = f'did you mean "{near}"?' if near else f"there are {', '.join(FIELDS)};"
    raise UsageError(f"there is no field {field!r}", hint=f"{hint} {CUSTOM}NAME is a field of your own")


def _meant(field: str) -> str | None:
    """The field that is called so in lists, or whose own name is nearest, or what lists call it."""
    name = normalised(field)
    if name in NAME_WORDS:
        return FULL_NAME
    called = place_of(name)
    if called is not None or name in MARK_HEADERS:
        return called[0] if called is not None else MARK_HEADERS[name]
    if (near := nearest(field, FIELDS)) is not None:
        return near
    header = nearest(name, PLACES, alike=ALMOST)
    return PLACES[header][0] if header is not None else None
