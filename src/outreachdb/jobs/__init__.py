"""Everything periodic in one registry, the worker that runs it, and what people ask to be done in the background.

The worker is in :mod:`outreachdb.jobs.worker`: it loads the queue and what every job needs, and so stands by itself.
"""

from outreachdb.jobs.background import Background, cancel, find, listed, retry, submit
from outreachdb.jobs.registry import JOBS, PeriodicJob
from outreachdb.jobs.runs import Run, history, perform, publish, scheduled

__all__ = [
    "JOBS",
    "Background",
    "PeriodicJob",
    "Run",
    "cancel",
    "find",
    "history",
    "listed",
    "perform",
    "publish",
    "retry",
    "scheduled",
    "submit",
]
