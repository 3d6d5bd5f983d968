"""What every command shares: the global options, and a way to run async work against the database."""

from __future__ import annotations

import asyncio
import getpass
import signal
from collections.abc import Awaitable, Callable, Coroutine
from dataclasses import dataclass
from typing import Any, TypeVar

import psycopg

from outreachdb.app import OutreachDB
from outreachdb.config import Settings
from outreachdb.db.pools import Pools
from outreachdb.db.tenant import Tenant
from outreachdb.errors import Cancelled, UsageError, from_database

T = TypeVar("T")


@dataclass(slots=True)
class Options:
    """Global options; filled by :mod:`outreachdb.cli.main` before the command runs."""

    database_url: str | None = None
    workspace: str | None = None
    json: bool = False


options = Options()


def settings() -> Settings:
    """The settings with the global options applied."""
    return Settings.load(database_url=options.database_url, workspace=options.workspace)


def who() -> str:
    """Who sits at the keyboard, for histories."""
    try:
        return getpass.getuser()
    except (KeyError, OSError):
        return ""


def tenant_call(work: Callable[[Tenant], Awaitable[T]]) -> T:
    """Run work on the workspace that ``-w`` or OUTREACHDB_WORKSPACE names."""
    name = settings().workspace
    if not name:
        raise UsageError("which workspace?", hint="give -w NAME or set OUTREACHDB_WORKSPACE")

    async def with_tenant(db: OutreachDB) -> T:
        return await work(await db.tenant(name))

    return app_call(with_tenant)


def database_call(work: Callable[[Pools], Awaitable[T]]) -> T:
    """Run work on the pools alone."""

    async def with_pools(db: OutreachDB) -> T:
        return await work(db.pools)

    return app_call(with_pools)


def app_call(work: Callable[[OutreachDB], Awaitable[T]]) -> T:
    """Run work on an open :class:`OutreachDB`; Ctrl-C cancels it, and so its running statement."""

    async def opened() -> T:
        async with OutreachDB.open(settings=settings()) as db:
            return await work(db)

    return run(opened())


def run(work: Coroutine[Any, Any, T]) -> T:
    """``asyncio.run`` with our errors."""
    try:
        return asyncio.run(_until_terminated(work))
    except (KeyboardInterrupt, asyncio.CancelledError) as stopped:
        raise Cancelled(_last_words(stopped) or "stopped; what was committed stays") from None
    except psycopg.Error as error:
        raise from_database(error, doing="talking to the database") from error


def _last_words(stopped: BaseException) -> str | None:
    """What the work said of its end as the CancelledError's argument; a KeyboardInterrupt stands before that."""
    cancelled = stopped if isinstance(stopped, asyncio.CancelledError) else stopped.__context__
    words = cancelled.args[0] if isinstance(cancelled, asyncio.CancelledError) and cancelled.args else None
    return words if isinstance(words, str) else None


async def _until_terminated(work: Coroutine[Any, Any, T]) -> T:
    """SIGTERM ends work as Ctrl-C does."""
    task = asyncio.ensure_future(work)
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, task.cancel)
    return await task
