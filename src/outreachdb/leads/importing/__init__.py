"""Bulk import: read, map, stage, merge, report."""

from outreachdb.leads.importing.fields import MappingTarget
from outreachdb.leads.importing.report import ImportReport
from outreachdb.leads.importing.run import import_file
from outreachdb.leads.importing.runs import find, listed, rejects, write_rejects

__all__ = ["ImportReport", "MappingTarget", "find", "import_file", "listed", "rejects", "write_rejects"]
