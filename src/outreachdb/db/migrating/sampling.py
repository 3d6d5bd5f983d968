"""Watch a migrating backend from a second connection: how long would a writer have been blocked?"""

from __future__ import annotations

import threading
import time
from dataclasses import dataclass, field
from types import TracebackType
from typing import Any, Self

import psycopg

from outreachdb.config import Settings
from outreachdb.db.migrating.session import connect

SAMPLING_MS = 10
SCHEMAS = ["outreach", "parts", "analytics", "ops", "staging"]

# The modes that conflict with ROW EXCLUSIVE, the lock of INSERT, UPDATE and DELETE. A lock that is only queued for
# counts as well: later writers line up behind it.
_HELD = """
SELECT DISTINCT relation::bigint
FROM pg_catalog.pg_locks
WHERE pid = %s AND locktype = 'relation'
  AND mode IN ('ShareLock', 'ShareRowExclusiveLock', 'ExclusiveLock', 'AccessExclusiveLock')
"""
_TABLES = """
SELECT c.oid::bigint, n.nspname || '.' || c.relname
FROM pg_catalog.pg_class c JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace
WHERE n.nspname = ANY (%s) AND c.relkind IN ('r', 'p')
"""


@dataclass
class Blocked:
    """The longest continuous time that one table refused writers: milliseconds, and the table."""

    milliseconds: float = 0.0
    table: str | None = None

    def note(self, milliseconds: float, table: str) -> None:
        """Keep it if it is the longest."""
        if milliseconds > self.milliseconds:
            self.milliseconds, self.table = milliseconds, table


@dataclass
class LockSampler:
    """Samples every ``SAMPLING_MS`` inside ``with``; a lock shorter than that can go unseen.

    Only tables that were there before count: nobody can wait for a table that the step itself makes. A lock is counted
    from the last sample without it to the first sample without it, so the result errs on the long side.
    """

    url: str
    settings: Settings
    pid: int
    longest: Blocked = field(default_factory=Blocked)

    def __post_init__(self) -> None:
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, name="outreachdb-lock-sampler", daemon=True)
        self._connection: psycopg.Connection[Any] | None = None
        self._tables: dict[int, str] = {}

    def __enter__(self) -> Self:
        self._connection = connect(self.url, self.settings)
        self._tables = dict(self._connection.execute(_TABLES, (SCHEMAS,)).fetchall())
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._stop.set()
        self._thread.join()
        if self._connection is not None:
            self._connection.close()

    def _run(self) -> None:
        since: dict[int, float] = {}
        previous = time.monotonic()
        try:
            while not self._stop.is_set():
                held, now = self._held(), time.monotonic()
                for relation in since.keys() - held:
                    self.longest.note((now - since.pop(relation)) * 1000, self._tables[relation])
                for relation in held - since.keys():
                    since[relation] = previous
                previous = now
                self._stop.wait(SAMPLING_MS / 1000)
        except psycopg.Error:
            # The watch is not worth failing a migration for: what was seen so far is reported.
            pass
        for relation, start in since.items():
            self.longest.note((time.monotonic() - start) * 1000, self._tables[relation])

    def _held(self) -> set[int]:
        assert self._connection is not None  # noqa: S101 - opened in __enter__
        rows = self._connection.execute(_HELD, (self.pid,)).fetchall()
        return {row[0] for row in rows if row[0] in self._tables}
