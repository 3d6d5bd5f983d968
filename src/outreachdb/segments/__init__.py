"""Segments: a definition in JSON, compiled to SQL in the database."""

from outreachdb.segments.actions import ActionReport, ActionUndo, apply, done_by
from outreachdb.segments.actions import listed as actions
from outreachdb.segments.actions import undo as undo_action
from outreachdb.segments.effects import Action
from outreachdb.segments.explaining import Explanation, Proposal, explain
from outreachdb.segments.export import Exported, export
from outreachdb.segments.history import Change, Version, history, revert
from outreachdb.segments.segments import (
    Segment,
    SegmentCount,
    UnknownField,
    Usage,
    breakdown,
    count,
    create,
    delete,
    find,
    listed,
    preview,
    unknown_fields,
    update,
    usage,
)

__all__ = [
    "Action",
    "ActionReport",
    "ActionUndo",
    "Change",
    "Explanation",
    "Exported",
    "Proposal",
    "Segment",
    "SegmentCount",
    "UnknownField",
    "Usage",
    "Version",
    "actions",
    "apply",
    "breakdown",
    "count",
    "create",
    "delete",
    "done_by",
    "explain",
    "export",
    "find",
    "history",
    "listed",
    "preview",
    "revert",
    "undo_action",
    "unknown_fields",
    "update",
    "usage",
]
