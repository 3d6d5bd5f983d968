"""Run the migrations: alone, in small transactions, giving way to writers, and saying what each step cost.

Alembic is synchronous; each call below runs it in a thread on a connection of its own.
"""

from __future__ import annotations

import asyncio
import io
import re
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

import psycopg
import sqlalchemy.exc
from alembic import command
from alembic.config import Config
from alembic.script import Script, ScriptDirectory
from alembic.util.exc import CommandError
from psycopg import errors as pg
from psycopg import sql

from outreachdb.config import Settings
from outreachdb.db import routines
from outreachdb.db.migrating.sampling import SAMPLING_MS, LockSampler
from outreachdb.db.migrating.session import MigrationSession, connect
from outreachdb.db.rooms import RoutineFile, routine_files
from outreachdb.errors import MigrationError, OutreachDBError, UsageError, from_database

Direction = Literal["up", "down"]

# A step that meets a busy table gives way after lock_timeout and comes back: 0.25 s later, then 0.5 s, ... at most 8 s.
LOCK_ATTEMPTS = 20
# alembic.op and alembic.context are one per process: two databases' steps must not run in it at the same moment.
_ALEMBIC = threading.Lock()
_GIVES_WAY = (pg.LockNotAvailable, pg.DeadlockDetected)


@dataclass(frozen=True, slots=True)
class Chain:
    """Where revisions and routine files come from; tests bring folders of their own."""

    versions: Path | None = None
    routines: tuple[RoutineFile, ...] | None = None
    promises: Path = Path(__file__).parents[1] / "migrations" / "promises"

    def config(self) -> Config:
        """Alembic's configuration, without a file."""
        config = Config(stdout=io.StringIO())
        config.set_main_option("script_location", "outreachdb:migrations")
        config.set_main_option("path_separator", "os")
        if self.versions is not None:
            config.set_main_option("version_locations", str(self.versions).replace("%", "%%"))
        return config

    def script(self) -> ScriptDirectory:
        """The revisions."""
        return ScriptDirectory.from_config(self.config())

    def routine_files(self) -> tuple[RoutineFile, ...]:
        """The routine files, in replay order."""
        return routine_files() if self.routines is None else self.routines


OURS = Chain()


@dataclass(frozen=True, slots=True)
class StepReport:
    """One revision: how long it took, and the longest time that it blocked writers of an existing table.

    ``writer_blocked_ms`` was sampled every ``sampling_ms``; ``attempts`` counts lock time-outs + 1.
    """

    revision: str
    title: str
    direction: Direction
    seconds: float
    writer_blocked_ms: float
    blocked_table: str | None
    attempts: int
    sampling_ms: int = SAMPLING_MS


@dataclass(slots=True)
class MigrationRun:
    """What a run did; ``before`` and ``after`` are revisions, ``None`` meaning an empty database."""

    before: str | None
    after: str | None
    steps: list[StepReport] = field(default_factory=list)
    routines: list[str] = field(default_factory=list)
    notices: list[str] = field(default_factory=list)


@dataclass(frozen=True, slots=True)
class Revision:
    """One revision of the chain, oldest first in :func:`history`."""

    revision: str
    down_revision: str | None
    title: str


OnStep = Callable[[StepReport], None]


async def upgrade(
    url: str,
    to: str = "head",
    *,
    settings: Settings | None = None,
    on_step: OnStep | None = None,
    chain: Chain = OURS,
) -> MigrationRun:
    """Bring the database up to ``to``, then replay the routine files that changed.

    Raises ``MigrationError`` when a step fails (steps before it stay), ``DatabaseUnsupported`` when a privilege, an
    extension or a newer server is needed, ``UsageError`` for an unknown revision. ``on_step`` is called from the
    worker's thread.
    """
    return await _in_thread(url, settings, lambda session: _Runner(session, chain, on_step).upgrade(to))


async def rollback(
    url: str,
    steps: int = 1,
    *,
    to: str | None = None,
    settings: Settings | None = None,
    on_step: OnStep | None = None,
    chain: Chain = OURS,
) -> MigrationRun:
    """Take back ``steps`` revisions, or all above ``to`` (``"base"``: all); roles stay, they are the cluster's."""
    if steps < 1:
        raise UsageError("steps must be 1 or more")
    return await _in_thread(url, settings, lambda session: _Runner(session, chain, on_step).rollback(steps, to))


async def current(url: str, *, settings: Settings | None = None) -> str | None:
    """The database's revision, ``None`` when it has none."""
    return await asyncio.to_thread(_current, url, settings or Settings.load())


def history(chain: Chain = OURS) -> list[Revision]:
    """All revisions, oldest first."""
    return [
        Revision(script.revision, _down(script), script.doc) for script in _between(chain.script(), "head", None)[::-1]
    ]


def offline(frm: str | None = None, to: str = "head", *, chain: Chain = OURS) -> str:
    """The SQL of the steps from ``frm`` (default: an empty database) to ``to``, for review and for lint."""
    config = chain.config()
    config.output_buffer = buffer = io.StringIO()
    config.attributes["running"] = True
    with _chain_errors(), _ALEMBIC:
        command.upgrade(config, f"{frm}:{to}" if frm else to, sql=True)
    return buffer.getvalue()


async def _in_thread(
    url: str, settings: Settings | None, work: Callable[[MigrationSession], MigrationRun]
) -> MigrationRun:
    session = await asyncio.to_thread(MigrationSession, url, settings or Settings.load())
    task = asyncio.ensure_future(asyncio.to_thread(work, session))
    try:
        return await asyncio.shield(task)
    except asyncio.CancelledError:
        # A thread can't be stopped, its statement can; the step's transaction then rolls back. Asked again until it is
        # heard: between two statements there is nothing to cancel.
        while not task.done():
            session.cancel()
            await asyncio.wait([task], timeout=0.1)
        task.exception()
        raise
    finally:
        await asyncio.to_thread(session.close)


class _Runner:
    """One run on one session."""

    def __init__(self, session: MigrationSession, chain: Chain, on_step: OnStep | None) -> None:
        self.session = session
        self.chain = chain
        self.script = chain.script()
        self.on_step = on_step

    def upgrade(self, to: str) -> MigrationRun:
        with _chain_errors():
            target = self._known(to)
            run = self._begin(going="up")
            missing = _between(self.script, target, run.after)
            if run.after not in (None, target) and not missing:
                raise UsageError(f"the database is at {run.after}, past {target}", hint="use `migrate rollback`")
            for script in reversed(missing):
                self._step(run, script, "up")
            self._replay(run)
        return run

    def rollback(self, steps: int, to: str | None) -> MigrationRun:
        with _chain_errors():
            target = None if to in (None, "base") else self._known(to)
            run = self._begin(going="down")
            going = _between(self.script, run.after, target) if run.after else []
            if target is not None and not going and run.after != target:
                raise UsageError(f"the database is at {run.after}, below {target}", hint="use `migrate`")
            going = going if to else going[:steps]
            if going:
                self._routines(lambda: routines.drop_all(self.session.raw))
            for script in going:
                self._step(run, script, "down")
            self._replay(run)
        return run

    def _begin(self, going: Direction) -> MigrationRun:
        """Lock first, read the revision after: the one that we waited for has changed it."""
        try:
            self.session.prepare()
        except psycopg.Error as error:
            raise from_database(error, doing="preparing the migration") from error
        before = _read_revision(self.session.raw)
        self.session.raw.rollback()
        if before is not None:
            self._known(before)
        run = MigrationRun(before, before, notices=self.session.notices)
        self._finish(run, going)
        return run

    def _finish(self, run: MigrationRun, going: Direction) -> None:
        """End a step that commits on the way and was killed, if this run goes the other way and would not meet it."""
        found = self._unfinished()
        if found is None or found[1] == going:
            return
        script, direction = found
        if run.before == (script.revision if direction == "down" else _down(script)):
            if direction == "down":
                self._routines(lambda: routines.drop_all(self.session.raw))
            self._step(run, script, direction)

    def _unfinished(self) -> tuple[Script, Direction] | None:
        query = "SELECT pg_catalog.obj_description(to_regclass('ops.alembic_version'), 'pg_class')"
        row = self.session.raw.execute(query).fetchone()
        self.session.raw.rollback()
        match = re.fullmatch(r"unfinished: (\w+) (up|down)", (row and row[0]) or "")
        if match is None:
            return None
        script = self.script.get_revision(match[1])
        return (script, "up" if match[2] == "up" else "down") if script else None

    def _mark(self, text: str | None) -> None:
        """Note on the version table, which outlives a kill, that a step is under way; not part of the catalogue."""
        self.session.raw.execute(sql.SQL("COMMENT ON TABLE ops.alembic_version IS {}").format(sql.Literal(text)))
        self.session.raw.commit()

    def _known(self, revision: str | None) -> str:
        found = self.script.get_revision(revision or "head")
        if found is None:
            raise UsageError("there are no revisions")
        return found.revision

    def _step(self, run: MigrationRun, script: Script, direction: Direction) -> None:
        self.session.pause()
        started = time.monotonic()
        commits = not getattr(script.module, "transactional", True)
        if commits:
            self._mark(f"unfinished: {script.revision} {direction}")
        with LockSampler(self.session.url, self.session.settings, self.session.pid) as sampler:
            attempts = self._until_unlocked(script, direction)
        if commits:
            self._mark(None)
        report = StepReport(
            script.revision,
            script.doc,
            direction,
            round(time.monotonic() - started, 3),
            round(sampler.longest.milliseconds, 1),
            sampler.longest.table,
            attempts,
        )
        run.steps.append(report)
        run.after = script.revision if direction == "up" else _down(script)
        if self.on_step is not None:
            self.on_step(report)

    def _until_unlocked(self, script: Script, direction: Direction) -> int:
        """Run one step; its transaction rolled back when a lock timed out, so it can simply be run again."""
        for attempt in range(1, LOCK_ATTEMPTS + 1):
            try:
                self._run_alembic(script, direction)
            except sqlalchemy.exc.DBAPIError as error:
                cause = error.orig
                if not isinstance(cause, _GIVES_WAY) or attempt == LOCK_ATTEMPTS:
                    raise _step_failed(script, direction, cause, attempt) from error
                self.session.pause(min(8.0, 0.25 * 2 ** (attempt - 1)))
            except psycopg.Error as error:
                raise _step_failed(script, direction, error, attempt) from error
            else:
                return attempt
        raise AssertionError("unreachable")

    def _run_alembic(self, script: Script, direction: Direction) -> None:
        connection = self.session.connection
        config = self.chain.config()
        config.attributes["connection"] = connection
        config.attributes["running"] = True
        config.attributes["lock_timeout_ms"] = self.session.settings.lock_timeout_ms
        try:
            with _ALEMBIC:
                if direction == "up":
                    command.upgrade(config, script.revision)
                else:
                    command.downgrade(config, _down(script) or "base")
        finally:
            if not connection.closed and not connection.invalidated:
                connection.rollback()

    def _replay(self, run: MigrationRun) -> None:
        """Replay what the live revision carries; a file that needs a later one waits for it."""
        have = {script.revision for script in _between(self.script, run.after, None)} if run.after else set()
        files = [file for file in self.chain.routine_files() if file.requires in have]
        run.routines = self._routines(lambda: routines.replay(self.session.raw, files)) or []

    def _routines(self, work: Callable[[], Any]) -> Any:
        for attempt in range(1, LOCK_ATTEMPTS + 1):
            try:
                return work()
            except _GIVES_WAY as error:
                if attempt == LOCK_ATTEMPTS:
                    raise from_database(error, doing="replaying routines") from error
                self.session.pause(min(8.0, 0.25 * 2 ** (attempt - 1)))
            except psycopg.Error as error:
                raise MigrationError(f"the routines could not be replayed: {_one_line(error)}") from error
        raise AssertionError("unreachable")


def _between(script: ScriptDirectory, upper: str | None, lower: str | None) -> list[Script]:
    """Revisions above ``lower`` up to and with ``upper``, newest first."""
    ahead = list(script.iterate_revisions(upper, "base"))
    known = {item.revision for item in script.iterate_revisions(lower, "base")} if lower else set()
    return [item for item in ahead if item.revision not in known]


def _down(script: Script) -> str | None:
    return script.down_revision if isinstance(script.down_revision, str) else None


def _current(url: str, settings: Settings) -> str | None:
    with connect(url, settings) as connection:
        try:
            return _read_revision(connection)
        except psycopg.Error as error:
            raise from_database(error, doing="reading the revision") from error


def _read_revision(connection: psycopg.Connection[Any]) -> str | None:
    found = connection.execute("SELECT to_regclass('ops.alembic_version') IS NOT NULL").fetchone()
    if not (found and found[0]):
        return None
    row = connection.execute("SELECT version_num FROM ops.alembic_version").fetchone()
    return str(row[0]) if row else None


def _step_failed(script: Script, direction: Direction, cause: BaseException | None, attempts: int) -> OutreachDBError:
    step = f"revision {script.revision} ({script.doc}) {direction}"
    if isinstance(cause, _GIVES_WAY):
        return MigrationError(
            f"{step}: a lock was not free in {attempts} attempts",
            hint="find the session that holds it (pg_blocking_pids), or raise OUTREACHDB_LOCK_TIMEOUT_MS",
        )
    if isinstance(cause, pg.InsufficientPrivilege):
        return from_database(cause, doing=step)
    return MigrationError(f"{step}: {_one_line(cause)}", hint="the step was rolled back; the steps before it stay")


def _one_line(error: BaseException | None) -> str:
    primary = error.diag.message_primary if isinstance(error, psycopg.Error) else None
    return (primary or str(error) or type(error).__name__).splitlines()[0].strip()


@contextmanager
def _chain_errors() -> Iterator[None]:
    """Alembic's own complaints (an unknown or ambiguous revision) as ours."""
    try:
        yield
    except CommandError as error:
        raise UsageError(
            str(error).splitlines()[0], hint="the database may be newer than this version of OutreachDB"
        ) from error
