"""Which column of a file goes into which field of a lead."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass

from outreachdb.errors import UsageError

CUSTOM = "custom."
FULL_NAME = "full_name"

# Field -> headers that mean it, best first, already in the form that `normalised` gives.
SYNONYMS: dict[str, tuple[str, ...]] = {
    "email": (
        "email", "email address", "e mail", "e mail address", "mail", "work email", "business email", "primary email",
        "contact email", "email 1", "e mail 1 value", "correo electronico", "adresse e mail", "e mail adresse",
    ),
    "first_name": (
        "first name", "firstname", "given name", "givenname", "forename", "fname", "contact first name", "vorname",
        "prenom", "nombre",
    ),
    "last_name": (
        "last name", "lastname", "surname", "family name", "familyname", "lname", "contact last name", "nachname",
        "nom de famille", "apellido", "apellidos",
    ),
    FULL_NAME: ("full name", "fullname", "name", "contact name", "contact", "person", "lead name"),
    "phone": (
        "phone", "phone number", "telephone", "tel", "mobile", "mobile phone", "cell", "cell phone", "work phone",
        "business phone", "direct phone", "phone 1 value", "telefon", "telefono",
    ),
    "title": ("title", "job title", "jobtitle", "position", "role", "job", "job position", "designation"),
    "company_name": (
        "company", "company name", "organization", "organisation", "organization name", "organisation name",
        "account name", "account", "employer", "business name", "firma", "unternehmen", "entreprise", "empresa",
    ),
    "company_website": (
        "website", "company website", "web site", "company url", "company domain", "domain", "homepage",
        "company website url", "website url",
    ),
    "linkedin_url": (
        "linkedin", "linkedin url", "linkedin profile", "linkedin profile url", "person linkedin url",
        "contact linkedin url", "profile url",
    ),
    "industry": ("industry", "company industry", "sector", "branche"),
    "country": ("country", "country region", "contact country", "country name", "land", "pays", "pais"),
    "city": ("city", "town", "contact city", "stadt", "ville", "ciudad"),
    "timezone": ("timezone", "time zone", "tz"),
    "source": ("source", "lead source", "contact source"),
    "source_key": ("source key", "external id", "contact id", "record id", "lead id", "person id", "contact record id"),
    "tags": ("tags", "tag", "labels", "label"),
    "notes": ("notes", "note", "comments", "comment", "remarks", "description"),
    "qualification_score": ("qualification score", "score", "lead score"),
}  # fmt: skip
# "status" is never taken by itself: at every tool it means something else. --map STATUS=status takes it.
# What `imports rejects --csv` adds to a row; left out when the corrected file is imported.
REJECT_COLUMNS = ("reject_row", "reject_column", "reject_reason")
FIELDS = (*SYNONYMS, "status")

MappingTarget = str | None
_PLACES = {header: (field, place) for field, headers in SYNONYMS.items() for place, header in enumerate(headers)}


@dataclass(frozen=True, slots=True)
class ColumnMap:
    """For each column of the file, in order: its (unique) name and its field, ``custom.<name>`` or ``None``."""

    columns: tuple[str, ...]
    targets: tuple[MappingTarget, ...]

    def position(self, field: str) -> int | None:
        """Where the field's column stands, from 0."""
        return self.targets.index(field) if field in self.targets else None

    def custom(self) -> list[tuple[int, str]]:
        """Position and name of each column that becomes a custom field."""
        found = enumerate(self.targets)
        return [(place, target.removeprefix(CUSTOM)) for place, target in found if target and target.startswith(CUSTOM)]

    def pairs(self) -> list[tuple[str, MappingTarget]]:
        """Column and target, in the order of the file."""
        return list(zip(self.columns, self.targets, strict=True))

    def document(self) -> dict[str, MappingTarget]:
        """Column -> target, as it is printed."""
        return dict(self.pairs())


def normalised(header: str) -> str:
    """A header without case, accents, punctuation: ``E-Mail_Adresse`` and ``e mail adresse`` are the same."""
    spaced = re.sub(r"(?<=[a-z])(?=[A-Z])", " ", header)
    plain = "".join(c for c in unicodedata.normalize("NFKD", spaced) if not unicodedata.combining(c))
    return " ".join(re.findall(r"[^\W_]+", plain.casefold()))


def is_known(header: str) -> bool:
    """Whether the automatic mapping knows this name."""
    return normalised(header) in _PLACES


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
    header: Sequence[str], *, given: Mapping[str, str] | None = None, ignore: Collection[str] = ()
) -> ColumnMap:
    """Map the columns: as given, else by their header, else to a custom field of their name.

    ``given`` maps a column to a field of :data:`FIELDS`, or to ``custom.<name>``; ``ignore`` names columns to leave
    out. Raises UsageError for a column or field that does not exist, or a field that is given twice.
    """
    names = unique_names(header)
    targets: dict[str, MappingTarget] = {_column(names, name): None for name in ignore}
    targets |= dict.fromkeys(set(REJECT_COLUMNS) & set(names))
    for name, field in (given or {}).items():
        column, target = _column(names, name), _target(field)
        if target in targets.values():
            raise UsageError(f"two columns are mapped to {target}")
        if column in targets:
            raise UsageError(f"column {column!r} is both mapped and ignored")
        targets[column] = target
    _guess(names, targets)
    whole = tuple(targets.get(name, CUSTOM + name) for name in names)
    twice = [target for target in whole if target is not None and whole.count(target) > 1]
    if twice:
        raise UsageError(f"two columns are mapped to {twice[0]}")
    return ColumnMap(names, whole)


def _guess(names: Sequence[str], targets: dict[str, MappingTarget]) -> None:
    """Give each free field the free column whose header means it best."""
    wanted = sorted(
        (place, order, field, name)
        for order, name in enumerate(names)
        if name not in targets and (known := _PLACES.get(normalised(name)))
        for field, place in [known]
    )
    for _, _, field, name in wanted:
        if field not in targets.values():
            targets[name] = field
    # A full name is split only where no column gives its parts; then it stays as it is.
    if {"first_name", "last_name"} & set(targets.values()):
        for _, _, field, name in wanted:
            if field == FULL_NAME and targets.get(name) == FULL_NAME:
                targets[name] = CUSTOM + name


def _column(names: Sequence[str], wanted: str) -> str:
    if wanted in names:
        return wanted
    alike = [name for name in names if normalised(name) == normalised(wanted)]
    if len(alike) == 1:
        return alike[0]
    raise UsageError(f"the file has no column {wanted!r}", hint=f"it has: {', '.join(names[:40])}")


def _target(field: str) -> str:
    if field in FIELDS or (field.startswith(CUSTOM) and len(field) > len(CUSTOM)):
        return field
    raise UsageError(f"there is no field {field!r}", hint=f"one of {', '.join(FIELDS)}, or custom.NAME")
