"""Bulk import: read, map, stage, merge, report, undo."""

from outreachdb.leads.importing.fields import MappingTarget
from outreachdb.leads.importing.report import ImportReport
from outreachdb.leads.importing.run import import_file, import_rows, resume
from outreachdb.leads.importing.runs import (
    check_history,
    find,
    learn_all_words,
    learn_words,
    listed,
    rejects,
    write_rejects,
)
from outreachdb.leads.importing.undoing import Kept, UndoReport, undo

__all__ = [
    "ImportReport",
    "Kept",
    "MappingTarget",
    "UndoReport",
    "check_history",
    "find",
    "import_file",
    "import_rows",
    "learn_all_words",
    "learn_words",
    "listed",
    "rejects",
    "resume",
    "undo",
    "write_rejects",
]
