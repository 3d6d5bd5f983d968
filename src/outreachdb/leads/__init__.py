"""Leads and companies: importing, suppressing."""

from outreachdb.leads.importing import ImportReport, import_file
from outreachdb.leads.suppression import add as suppress
from outreachdb.leads.suppression import remove as unsuppress

__all__ = ["ImportReport", "import_file", "suppress", "unsuppress"]
