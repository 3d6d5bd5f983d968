"""Statements that need not ask foreign keys row by row, because all their rows are asked for at once."""

from __future__ import annotations

import contextlib
from collections.abc import AsyncIterator
from typing import LiteralString

from psycopg import sql

from outreachdb.db.tenant import TRUSTED_ROLE, Session


@contextlib.asynccontextmanager
async def asked_at_once(session: Session, asked: bool, role: str = TRUSTED_ROLE) -> AsyncIterator[None]:
    """Within the block no trigger of a foreign key fires, if ``asked``; the caller holds what they would look for.

    Needs a login that may set session_replication_role, and a session as ``role``, which it is afterwards too. An error
    leaves the setting to the transaction's end.
    """
    if asked:
        await _fire(session, "replica", role)
    yield
    if asked:
        await _fire(session, "origin", role)


async def _fire(session: Session, setting: LiteralString, role: str) -> None:
    await session.execute("SET LOCAL ROLE NONE")
    await session.execute(sql.SQL("SET LOCAL session_replication_role = {}").format(sql.SQL(setting)))
    await session.execute(sql.SQL("SET LOCAL ROLE {}").format(sql.Identifier(role)))
