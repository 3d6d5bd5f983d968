"""Everything periodic in one registry, the worker that runs it, and what people ask to be done in the background."""

from outreachdb.jobs.background import Background, cancel, find, listed, retry, submit
from outreachdb.jobs.registry import JOBS, PeriodicJob
from outreachdb.jobs.runs import Run, history, perform, publish, scheduled
from outreachdb.jobs.worker import WorkerOptions, work

__all__ = [
    "JOBS",
    "Background",
    "PeriodicJob",
    "Run",
    "WorkerOptions",
    "cancel",
    "find",
    "history",
    "listed",
    "perform",
    "publish",
    "retry",
    "scheduled",
    "submit",
    "work",
]
