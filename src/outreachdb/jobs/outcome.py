"""What a job written in Python says it did."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any


@dataclass(frozen=True, slots=True)
class Done:
    """A number of rows (or objects), and what the history should tell beside it."""

    rows: int = 0
    details: dict[str, Any] = field(default_factory=dict)
