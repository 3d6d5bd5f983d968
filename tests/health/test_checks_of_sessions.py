"""Connections, transactions and locks: each check green, then yellow and red because of what really happens."""

from __future__ import annotations

import asyncio
from contextlib import ExitStack

import psycopg
import pytest
from conftest import Ground

from outreachdb.health.report import Result


def statuses(*results: Result) -> list[str]:
    return [each.status for each in results]


async def test_connections(ground: Ground) -> None:
    before, earlier = (await ground.look("connections")).value, None
    while before != earlier:  # sessions of the tests before may be about to end
        await asyncio.sleep(0.1)
        before, earlier = (await ground.look("connections")).value, before
    assert before is not None
    numbers = {"yellow": before + 2, "red": before + 5}
    assert (await ground.look("connections", **numbers)).status == "green"
    with ExitStack() as open_sessions:
        for _ in range(3):
            open_sessions.enter_context(ground.session())
        assert (await ground.look("connections", **numbers)).status == "yellow"
        for _ in range(3):
            open_sessions.enter_context(ground.session())
        found = await ground.look("connections", **numbers)
    assert found.status == "red"
    assert found.evidence["most_of"][0]["application"] == "trouble"


async def test_idle_in_transaction(ground: Ground) -> None:
    assert (await ground.look("idle_in_transaction", yellow=0.1)).status == "green"
    with ground.session() as idle:
        idle.execute("BEGIN")
        await asyncio.sleep(0.2)
        yellow = await ground.look("idle_in_transaction", yellow=0.1)
        red = await ground.look("idle_in_transaction", yellow=0.1, red=0.2)
        default = await ground.look("idle_in_transaction")
        old = [await ground.look("old_transactions", **each) for each in ({"yellow": 0.1}, {"yellow": 0.1, "red": 0.2})]
        pid = idle.info.backend_pid
    assert statuses(yellow, red, default) == ["yellow", "red", "green"]
    assert [each["pid"] for each in red.evidence["sessions"]] == [pid]
    assert statuses(*old) == ["yellow", "red"]


async def test_old_transactions(ground: Ground) -> None:
    with ground.running("BEGIN", "SELECT pg_sleep(60)") as pid:
        assert (await ground.look("old_transactions")).status == "green"
        await asyncio.sleep(0.2)
        assert (await ground.look("old_transactions", yellow=0.1)).status == "yellow"
        red = await ground.look("old_transactions", yellow=0.1, red=0.2)
    assert (red.status, red.evidence["transactions"][0]["who"]) == ("red", f"session {pid}")


async def test_long_queries(ground: Ground) -> None:
    assert (await ground.look("long_queries", yellow=0.1)).status == "green"
    with ground.running("SELECT pg_sleep(60)") as pid:
        await asyncio.sleep(0.2)
        yellow = await ground.look("long_queries", yellow=0.1)
        red = await ground.look("long_queries", yellow=0.1, red=0.2)
    assert statuses(yellow, red) == ["yellow", "red"]
    assert [each["pid"] for each in red.evidence["sessions"]] == [pid]


async def test_lock_waits(ground: Ground) -> None:
    ground.do("CREATE TABLE trouble.locked (id int)")
    assert (await ground.look("lock_waits", yellow=0.1)).status == "green"
    with ground.session() as head:
        head.execute("BEGIN")
        head.execute("LOCK TABLE trouble.locked IN ACCESS SHARE MODE")
        pid = head.info.backend_pid
        with ground.running("BEGIN", "LOCK TABLE trouble.locked"), ground.running("SELECT FROM trouble.locked"):
            await asyncio.sleep(0.2)
            yellow = await ground.look("lock_waits", yellow=0.1)
            red = await ground.look("lock_waits", yellow=0.1, red=0.2)
    assert statuses(yellow, red) == ["yellow", "red"]
    # The reader does not wait for the head, but for who waits for it.
    (chain,) = red.evidence["chains"]
    assert (chain["pid"], chain["sessions_behind"], chain["depth"]) == (pid, 2, 2)
    assert str(pid) in red.summary


async def test_lock_table(ground: Ground) -> None:
    numbers = {"yellow": 1, "red": 3}
    assert (await ground.look("lock_table", **numbers)).status == "green"
    with ground.session() as greedy:
        greedy.execute("SELECT pg_advisory_lock(n) FROM generate_series(1, 120) AS n")
        assert (await ground.look("lock_table", **numbers)).status == "yellow"
        greedy.execute("SELECT pg_advisory_lock(n) FROM generate_series(121, 300) AS n")
        assert (await ground.look("lock_table", **numbers)).status == "red"


def deadlock(ground: Ground) -> None:
    with ground.session() as first, ground.session() as second:
        for each, key in ((first, 1), (second, 2)):
            each.execute("BEGIN")
            each.execute("SET LOCAL deadlock_timeout = '10ms'")
            each.execute("SELECT pg_advisory_xact_lock(%s)", [key])
        with pytest.raises(psycopg.errors.DeadlockDetected):
            _meet(first, second)
        first.rollback()
        second.rollback()
        for each in (first, second):
            each.execute("SELECT pg_stat_force_next_flush()")


def _meet(first: psycopg.Connection[tuple[object]], second: psycopg.Connection[tuple[object]]) -> None:
    first.pgconn.send_query(b"SELECT pg_advisory_xact_lock(2)")
    try:
        second.execute("SELECT pg_advisory_xact_lock(1)")
    finally:
        second.rollback()
        answer = first.pgconn.get_result()
        while first.pgconn.get_result() is not None:
            pass
    if answer is not None and answer.error_message:
        raise psycopg.errors.DeadlockDetected


async def test_deadlocks(ground: Ground) -> None:
    ground.do("SELECT pg_stat_reset()")
    numbers = {"yellow": 1, "red": 2}
    assert (await ground.look("deadlocks", **numbers)).status == "green"
    deadlock(ground)
    assert (await ground.look("deadlocks", **numbers)).status == "yellow"
    deadlock(ground)
    assert (await ground.look("deadlocks", **numbers)).status == "red"


async def test_rollbacks(ground: Ground) -> None:
    ground.do("SELECT pg_stat_reset()")
    few = await ground.look("rollbacks")
    assert few.status == "not applicable"
    assert "transactions since" in few.summary
    numbers = {"yellow": 30, "red": 60, "min_transactions": 20}
    ground.do(*["SELECT 1"] * 60)
    assert (await ground.look("rollbacks", **numbers)).status == "green"
    ground.do(*["BEGIN; ROLLBACK"] * 60)
    assert (await ground.look("rollbacks", **numbers)).status == "yellow"
    ground.do(*["BEGIN; ROLLBACK"] * 150)
    assert (await ground.look("rollbacks", **numbers)).status == "red"
