"""Delivery events: provider webhooks, their normal form, and the ingest."""

from outreachdb.events.ingest import IngestReport
from outreachdb.events.ingest import ingest as ingest_events
from outreachdb.events.normal import NormalEvent

__all__ = ["IngestReport", "NormalEvent", "ingest_events"]
