"""Leads and companies: importing, searching, suppressing."""

from outreachdb.leads.importing import ImportReport, import_file
from outreachdb.leads.search import Page, search
from outreachdb.leads.suppression import add as suppress
from outreachdb.leads.suppression import remove as unsuppress

__all__ = ["ImportReport", "Page", "import_file", "search", "suppress", "unsuppress"]
