"""Segments: a definition in JSON, compiled to SQL in the database."""

from outreachdb.segments.segments import Segment, SegmentCount, count, create, find, listed, preview

__all__ = ["Segment", "SegmentCount", "count", "create", "find", "listed", "preview"]
