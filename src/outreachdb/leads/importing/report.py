"""What an import says of itself."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from outreachdb.leads.importing.fields import MappingTarget


@dataclass(frozen=True, slots=True)
class ImportReport:
    """Counts balance: ``rows_read = inserted + updated + skipped + rejected``; ``import_id`` is None in a dry run.

    ``preview`` has ``column``, ``target``, ``confidence`` (0 to 1) and ``examples`` of each column.
    """

    import_id: int | None
    rows_read: int
    inserted: int
    updated: int
    skipped: int
    rejected: int
    seconds: float
    format: str
    encoding: str
    delimiter: str
    header_line: int
    mapping: dict[str, MappingTarget]
    dry_run: bool = False
    preview: Sequence[Mapping[str, Any]] = ()

    @property
    def rows_per_second(self) -> int:
        """Rows read per second of the whole run."""
        return round(self.rows_read / self.seconds) if self.seconds else 0

    def document(self) -> dict[str, Any]:
        """The report for JSON; a dry run also tells how the file was understood."""
        counts = {name: getattr(self, name) for name in ("inserted", "updated", "skipped", "rejected")}
        found: dict[str, Any] = {"import_id": self.import_id, "rows_read": self.rows_read, **counts}
        found |= {"seconds": round(self.seconds, 3), "rows_per_second": self.rows_per_second}
        if self.dry_run:
            names = ("format", "encoding", "delimiter", "header_line", "mapping", "preview")
            found |= {name: getattr(self, name) for name in names}
        return found
