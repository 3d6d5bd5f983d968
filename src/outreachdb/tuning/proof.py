"""Tries proposed settings before they are offered: on a server of their own where that can be, else against ranges."""

from __future__ import annotations

import asyncio
import time
from dataclasses import asdict, dataclass
from typing import Any, Literal

import psycopg
from psycopg.rows import dict_row

from outreachdb.db.embedded import find_binaries, throwaway
from outreachdb.db.machine import Machine
from outreachdb.db.pools import connect
from outreachdb.db.queries import Queries
from outreachdb.errors import ServerError
from outreachdb.tuning.propose import PRELOAD, Proposal
from outreachdb.tuning.units import in_unit

Q = Queries("outreachdb.tuning")
# Settings of another build are refused by a build that lacks the method, and libraries may not be here.
OF_THE_BUILD = ("wal_compression", PRELOAD)


@dataclass(frozen=True, slots=True)
class Proof:
    """How the settings were tried: a scratch server ``started`` with them, or they are in the server's ``ranges``."""

    how: Literal["started", "ranges"]
    version: str
    seconds: float
    why_not_started: str | None = None

    def document(self) -> dict[str, Any]:
        """For JSON."""
        return asdict(self)


async def prove(proposal: Proposal) -> Proof:
    """Raise ServerError when a value is refused; nothing of the real server is changed."""
    began = time.monotonic()
    await _in_ranges(proposal)
    major = proposal.version // 10000
    reason = None
    if proposal.situation.machine.memory_bytes > Machine.here().memory_bytes:
        reason = "the server's machine has more memory than this one"
    else:
        try:
            binaries = await asyncio.to_thread(find_binaries, major)
        except ServerError:
            reason = f"no PostgreSQL {major} on this machine"
    if reason is None:
        version = await asyncio.to_thread(_start, proposal, binaries.path)
        return Proof("started", version, round(time.monotonic() - began, 2))
    return Proof("ranges", str(major), round(time.monotonic() - began, 2), reason)


async def _in_ranges(proposal: Proposal) -> None:
    """The server itself tells what it takes: least, most, words."""
    connection = await connect(proposal.url, autocommit=True)
    async with connection:
        found = await (await connection.execute(Q.settings_now, {"names": list(proposal.values())})).fetchall()
    for row in found:
        value = in_unit(proposal.values()[row["name"]], row["unit"])
        numeric = row["vartype"] in {"integer", "real"}
        inside = float(row["min_val"]) <= float(value) <= float(row["max_val"]) if numeric else True
        known = value in row["enumvals"] if row["enumvals"] else True
        if not (inside and known):
            raise ServerError(
                f"{row['name']} = {proposal.values()[row['name']]} is outside of what the server takes",
                hint="say what the server runs on by --memory and --cores",
            )


def _start(proposal: Proposal, binaries: Any) -> str:
    """Start a scratch server with the settings and ask it for each of them."""
    given = {name: value for name, value in proposal.values().items() if name not in OF_THE_BUILD}
    try:
        with (
            throwaway(binaries, fitted=given) as server,
            psycopg.connect(server.url("postgres"), row_factory=dict_row) as connection,
        ):
            rows = connection.execute(Q.settings_now, {"names": list(given)}).fetchall()
            version = str(server.status().version)
    except ServerError as error:
        raise ServerError(f"the settings are not offered: {error.detail}", hint=error.hint) from error
    taken = {row["name"]: in_unit(row["setting"], None) == in_unit(given[row["name"]], row["unit"]) for row in rows}
    wrong = [name for name in given if not taken.get(name)]
    if wrong:
        raise ServerError(f"the settings are not offered: a scratch server did not take {', '.join(wrong)}")
    return version
