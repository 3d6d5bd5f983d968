"""Findings that somebody accepted: a file that says which, why, and until when.

.. code-block:: yaml

    - rule: unused_index
      object: ix_orders_archived     # optional: schema, table, object; * and ? stand for any text
      reason: the yearly report reads it
      until: 2027-01-31
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date
from fnmatch import fnmatchcase
from functools import cache
from importlib import resources
from pathlib import Path
from typing import Annotated, Any

import yaml
from pydantic import BaseModel, ConfigDict, Field, TypeAdapter, ValidationError

from outreachdb.advisor.findings import Finding
from outreachdb.advisor.rulebook import rules
from outreachdb.errors import InvalidInput, plain_message
from outreachdb.words import did_you_mean


class Suppression(BaseModel):
    """One accepted finding, or all that fit its pattern."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    rule: str
    reason: Annotated[str, Field(min_length=3)]
    until: date
    schema_: Annotated[str, Field(alias="schema")] = "*"
    table: str = "*"
    object: str = "*"

    def fits(self, finding: Finding) -> bool:
        """Whether the finding is meant."""
        return self.rule == finding.rule and all(
            fnmatchcase(value or "", pattern)
            for value, pattern in (
                (finding.schema, self.schema_),
                (finding.table, self.table),
                (finding.object, self.object),
            )
        )


@dataclass(frozen=True, slots=True)
class Suppressions:
    """All of a file."""

    items: Sequence[Suppression] = ()

    def apply(
        self, findings: Sequence[Finding], *, today: date, notes: list[str]
    ) -> tuple[list[Finding], list[tuple[Finding, str]]]:
        """The findings that stay, and those accepted with reasons; ``notes`` gets what expired or fits nothing."""
        live = [item for item in self.items if item.until >= today]
        notes += [
            f"the suppression of {item.rule} ({item.reason}) ended on {item.until}"
            for item in self.items
            if item.until < today
        ]
        kept: list[Finding] = []
        accepted: list[tuple[Finding, str]] = []
        used: set[int] = set()
        for finding in findings:
            place = next((place for place, item in enumerate(live) if item.fits(finding)), None)
            if place is None:
                kept.append(finding)
            else:
                used.add(place)
                accepted.append((finding, live[place].reason))
        notes += [
            f"the suppression of {item.rule} ({item.reason}) fits nothing any more"
            for place, item in enumerate(live)
            if place not in used
        ]
        return kept, accepted


@cache
def own() -> Suppressions:
    """What was accepted in OutreachDB's own schema."""
    with resources.as_file(resources.files("outreachdb.advisor").joinpath("own_schema.yaml")) as path:
        return load(path)


def load(path: Path) -> Suppressions:
    """Read a file; InvalidInput says which entry is wrong and how."""
    try:
        content: Any = yaml.safe_load(path.read_text(encoding="utf-8"))
        items = TypeAdapter(list[Suppression]).validate_python(content or [])
    except OSError as error:
        raise InvalidInput(f"{path} can't be read: {(error.strerror or str(error)).lower()}") from error
    except (UnicodeDecodeError, yaml.YAMLError) as error:
        raise InvalidInput(f"{path} is not YAML: {' '.join(str(error).split())}") from error
    except ValidationError as error:
        first = error.errors()[0]
        place = ".".join(str(part) for part in first["loc"])
        raise InvalidInput(
            f"{path}: entry {place}: {plain_message(first['msg'])}", hint="rule, reason and until are needed"
        ) from error
    for number, item in enumerate(items):
        if item.rule not in rules():
            hint = did_you_mean(item.rule, rules(), f"there are: {', '.join(rules())}")
            raise InvalidInput(f"{path}: entry {number}: there is no rule {item.rule!r}", hint=hint)
    return Suppressions(items)
