"""The ledger of sends: scheduling them, handing them out and delivering them by SMTP."""

from outreachdb.sending.dispatch import SendReport, run
from outreachdb.sending.schedule import Launch, launch

__all__ = ["Launch", "SendReport", "launch", "run"]
