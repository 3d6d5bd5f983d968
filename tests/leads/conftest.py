"""What the tests of the room ``leads`` share."""

from __future__ import annotations

import csv
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pytest


@pytest.fixture
def csv_file(tmp_path: Path) -> Callable[..., Path]:
    """Writes rows, the header first, as a CSV file."""

    def write(*rows: Sequence[str], name: str = "leads.csv", **dialect: Any) -> Path:
        path = tmp_path / name
        with path.open("w", encoding="utf-8", newline="") as file:
            csv.writer(file, **dialect).writerows(rows)
        return path

    return write
