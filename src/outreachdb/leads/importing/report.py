"""What an import says of itself."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from outreachdb.leads.importing.fields import CUSTOM, MappingTarget


@dataclass(frozen=True, slots=True)
class ImportReport:
    """Counts balance: ``rows_read = inserted + updated + skipped + rejected``; ``import_id`` is None in a dry run.

    ``preview`` has ``column``, ``target``, ``confidence`` (0 to 1) and ``examples`` of each column, and ``marks`` where
    it may suppress. ``details`` has ``new_leads`` (``without_address``, ``role``, ``disposable``,
    ``phones_normalised``, ``arrived_suppressed``) and ``typed_columns``; of a dry run also ``suppressed``, how many
    leads of the file may not be mailed; ``changes``, field by field, of the first leads that would change; and
    ``rejects``, the first rejected rows with ``row_number``, ``column_name``, ``reason``, the ``value`` in that column
    and the ``raw`` row. ``encoding``, ``delimiter`` and ``header_line`` are None where the format has no such thing.
    ``saved_mapping`` names the one used, ``sheets_left_out`` the filled sheets of a workbook that were not read. The
    document also lists ``custom_fields``: columns kept under their own name.
    """

    import_id: int | None
    rows_read: int
    inserted: int
    updated: int
    skipped: int
    rejected: int
    seconds: float
    format: str
    encoding: str | None
    delimiter: str | None
    header_line: int | None
    mapping: dict[str, MappingTarget]
    dry_run: bool = False
    preview: Sequence[Mapping[str, Any]] = ()
    details: Mapping[str, Any] = field(default_factory=dict)
    saved_mapping: str | None = None
    sheets_left_out: Sequence[str] = ()

    @property
    def rows_per_second(self) -> int:
        """Rows read per second of the whole run."""
        return round(self.rows_read / self.seconds) if self.seconds else 0

    def document(self) -> dict[str, Any]:
        """The report for JSON; a dry run also tells how the file was understood."""
        counts = {name: getattr(self, name) for name in ("inserted", "updated", "skipped", "rejected")}
        found: dict[str, Any] = {"import_id": self.import_id, "rows_read": self.rows_read, **counts}
        found |= {"seconds": round(self.seconds, 3), "rows_per_second": self.rows_per_second}
        found["custom_fields"] = [
            target.removeprefix(CUSTOM) for target in self.mapping.values() if target and target.startswith(CUSTOM)
        ]
        if self.sheets_left_out:
            found["sheets_left_out"] = list(self.sheets_left_out)
        if self.dry_run:
            names = ("format", "encoding", "delimiter", "header_line", "mapping", "saved_mapping", "preview")
            found |= {name: getattr(self, name) for name in names}
        found |= self.details
        return found
