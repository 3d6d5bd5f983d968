"""Logs: structured, on stderr, as lines for people or as JSON; stdout belongs to results."""

from __future__ import annotations

import logging
import sys

import structlog

from outreachdb.config import Settings
from outreachdb.errors import UsageError

LEVELS = {"debug": logging.DEBUG, "info": logging.INFO, "warning": logging.WARNING, "error": logging.ERROR}
# What these say of a lost connection reaches the caller as an error anyway.
NOISY = ("psycopg", "psycopg.pool")


class _Stderr(logging.Handler):
    """Writes to what stderr is at the moment."""

    def emit(self, record: logging.LogRecord) -> None:
        """Write one line."""
        sys.stderr.write(self.format(record) + "\n")


def configure(settings: Settings) -> None:
    """Set the level and the format for our own logs and for those of libraries."""
    level = LEVELS.get(settings.log_level.lower())
    if level is None or settings.log_format not in {"text", "json"}:
        raise UsageError(
            f"no log level {settings.log_level!r} or format {settings.log_format!r}",
            hint=f"OUTREACHDB_LOG_LEVEL is one of {', '.join(LEVELS)}; OUTREACHDB_LOG_FORMAT is text or json",
        )
    renderer: structlog.typing.Processor = (
        structlog.processors.JSONRenderer()
        if settings.log_format == "json"
        else structlog.dev.ConsoleRenderer(colors=sys.stderr.isatty())
    )
    shared: list[structlog.typing.Processor] = [
        structlog.contextvars.merge_contextvars,
        structlog.processors.add_log_level,
        structlog.processors.TimeStamper(fmt="iso", utc=True),
        structlog.processors.format_exc_info,
    ]
    structlog.configure(
        processors=[*shared, renderer],
        wrapper_class=structlog.make_filtering_bound_logger(level),
        # Asked anew each time: whoever redirects stderr means the logs as well.
        logger_factory=lambda *_: structlog.PrintLogger(sys.stderr),
        cache_logger_on_first_use=False,
    )
    handler = _Stderr()
    handler.setFormatter(structlog.stdlib.ProcessorFormatter(processor=renderer, foreign_pre_chain=shared))
    logging.basicConfig(level=level, handlers=[handler], force=True)
    for name in NOISY:
        logging.getLogger(name).setLevel(max(level, logging.ERROR) if level > logging.DEBUG else level)
