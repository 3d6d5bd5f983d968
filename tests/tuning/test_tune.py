"""Settings: computed for any machine, proven on a scratch start, applied by ALTER SYSTEM and taken back exactly."""

from __future__ import annotations

import asyncio
import json
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import psycopg
import pytest
from hypothesis import given
from hypothesis import strategies as st

from outreachdb import tuning
from outreachdb.cli.main import main
from outreachdb.db import fitting, machine
from outreachdb.db.embedded import EmbeddedServer, throwaway
from outreachdb.db.embedded.processes import wait_until
from outreachdb.db.fitting import GB, MB, Situation, fit
from outreachdb.db.machine import Machine
from outreachdb.errors import Conflict, DatabaseUnsupported, ServerError, UsageError
from outreachdb.tuning import Given
from outreachdb.tuning.units import in_unit, size_of

EIGHT = Given(memory_bytes=8 * GB, cores=4, disk="ssd")


@pytest.fixture(scope="module")
def own() -> Iterator[EmbeddedServer]:
    """A server whose settings may be changed."""
    with throwaway() as running:
        yield running


def _altered(server: EmbeddedServer) -> dict[str, str]:
    """What postgresql.auto.conf says, by the server's own reading."""
    with psycopg.connect(server.url("postgres")) as connection:
        rows = connection.execute(
            "SELECT name, setting FROM pg_file_settings WHERE sourcefile LIKE '%auto.conf' ORDER BY seqno"
        ).fetchall()
    return dict(rows)


def _proposed(url: str, given_values: Given = EIGHT) -> tuning.Proposal:
    return asyncio.run(tuning.propose(url, given_values))


situations = st.builds(
    Situation,
    st.builds(
        Machine,
        st.integers(256 * MB, 4096 * GB),
        st.integers(1, 512),
        st.none(),
        st.sampled_from(["ssd", "hdd", "unknown"]),
        st.none() | st.integers(GB, 4096 * GB),
    ),
    st.integers(15, 18),
    st.sampled_from(fitting.WORKLOADS),
    st.integers(20, 500),
    st.booleans(),
    st.sampled_from(["off", "lz4"]),
)


def _bytes(size: str) -> int:
    return int(size[:-2]) * {"kB": 1024, "MB": MB, "GB": GB}[size[-2:]]


@given(situations)
def test_settings_fit_every_situation(situation: Situation) -> None:
    settings = {each.name: each.value for each in fit(situation)}
    memory = situation.machine.memory_bytes
    shared, work = _bytes(settings["shared_buffers"]), _bytes(settings["work_mem"])
    assert 32 * MB <= shared <= memory // 4 + 1 or shared == 32 * MB
    assert shared + situation.connections * work <= memory or work == MB
    assert _bytes(settings["maintenance_work_mem"]) <= GB
    assert _bytes(settings["min_wal_size"]) <= _bytes(settings["max_wal_size"])
    assert 16 * MB <= _bytes(settings["wal_buffers"]) <= 64 * MB
    if situation.machine.disk_bytes:
        assert _bytes(settings["max_wal_size"]) <= max(situation.machine.disk_bytes // 10, 256 * MB)
    assert int(settings["max_parallel_workers_per_gather"]) <= int(settings["max_parallel_workers"])
    assert settings["random_page_cost"] == ("4" if situation.machine.disk == "hdd" else "1.1")
    assert ("effective_io_concurrency" in settings) == (situation.major < 18)
    assert all(each.why for each in fit(situation))
    paged = ("shared_buffers", "effective_cache_size")
    assert all(_bytes(settings[name]) % 8192 == 0 for name in paged), "the server would round it"


def test_workloads_differ() -> None:
    def of(workload: Any) -> dict[str, str]:
        return {each.name: each.value for each in fit(Situation(Machine(16 * GB, 8), workload=workload))}

    web, mixed, analytics = (_bytes(of(each)["work_mem"]) for each in ("web", "mixed", "analytics"))
    assert web < mixed < analytics
    assert [of(each)["max_parallel_workers_per_gather"] for each in ("web", "mixed", "analytics")] == ["2", "4", "4"]


@pytest.mark.parametrize(
    ("value", "unit", "same"),
    [("6GB", "8kB", "786432"), ("16384kB", "kB", "16384"), ("15min", "s", "900"), ("0.90", None, "0.9"),
     ("128MB", "MB", "128"), ("on", None, "on"), ("lz4", None, "lz4"), ("2min", "ms", "120000"),
     ("12037MB", "8kB", "1540736"), ("7999kB", "8kB", "1000")],
)  # fmt: skip
def test_values_compare_as_the_server_keeps_them(value: str, unit: str | None, same: str) -> None:
    assert in_unit(value, unit) == same


def test_sizes_that_people_type() -> None:
    assert [size_of(each) for each in ("8GB", "8", "512 mb", "1.5GiB")] == [8 * GB, 8 * GB, 512 * MB, 3 * GB // 2]
    for wrong in ("much", "0GB", "-1GB", "8XB"):
        with pytest.raises(UsageError, match="is no size"):
            size_of(wrong)


def test_a_turning_disk_is_believed_only_where_it_is_real(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "rotational").write_text("1\n")
    monkeypatch.setattr(machine, "_queue", lambda _: tmp_path)
    monkeypatch.setattr(machine, "_is_virtual", lambda: False)
    assert machine.disk_kind(tmp_path) == "hdd"
    monkeypatch.setattr(machine, "_is_virtual", lambda: True)
    assert machine.disk_kind(tmp_path) == "unknown"
    (tmp_path / "rotational").write_text("0\n")
    assert machine.disk_kind(tmp_path) == "ssd"
    monkeypatch.setattr(machine, "_queue", lambda _: None)
    assert machine.disk_kind(tmp_path) == "unknown"


def test_what_is_proposed_names_its_reasons_and_the_sources_values(own: EmbeddedServer) -> None:
    proposal = _proposed(own.url("postgres"))
    rows = {row.name: row for row in proposal.rows}
    assert (rows["shared_buffers"].proposed, rows["shared_buffers"].changes, rows["shared_buffers"].restart) == (
        "2GB", True, True,
    )  # fmt: skip
    assert (rows["work_mem"].changes, rows["work_mem"].restart) == (True, False)
    assert rows["jit"].changes is False
    assert rows["wal_compression"].proposed == "off"  # the wheel was built with pglz alone
    assert {row.name: row.sources for row in proposal.rows if row.sources} == {
        "max_connections": "200",
        "shared_buffers": "512MB",
        "effective_cache_size": "2GB",
        "maintenance_work_mem": "128MB",
        "max_parallel_workers": "8",
    }
    assert all(row.why and (row.sources is None or row.sources_why) for row in proposal.rows)
    # pg_stat_statements is loaded already, with auto_explain: both stay.
    assert rows["shared_preload_libraries"].changes is False


def test_proposals_are_proven_before_they_are_offered(own: EmbeddedServer) -> None:
    proof = asyncio.run(tuning.prove(_proposed(own.url("postgres"))))
    assert (proof.how, proof.version.split(".")[0]) == ("started", "18")
    odd = asyncio.run(tuning.prove(_proposed(own.url("postgres"), Given(7 * GB + 12345, 3, "ssd"))))
    assert odd.how == "started"
    larger = _proposed(own.url("postgres"), Given(4096 * GB, 512, "ssd"))
    proof = asyncio.run(tuning.prove(larger))
    assert (proof.how, proof.why_not_started) == ("ranges", "the server's machine has more memory than this one")
    with pytest.raises(ServerError, match="max_connections = 9999999 is outside of what the server takes"):
        asyncio.run(tuning.prove(_proposed(own.url("postgres"), Given(8 * GB, 4, connections=9_999_999))))


def test_the_embedded_server_starts_with_what_is_proposed_for_it() -> None:
    """As people run it, on this very machine: there is nothing to change."""
    with tempfile.TemporaryDirectory(prefix="odb-", dir="/tmp") as folder:
        Path(folder).chmod(0o711)
        server = EmbeddedServer(Path(folder) / "home")
        try:
            proposal = _proposed(str(server.start().url), Given())
            assert (proposal.local, proposal.changing) == (True, ())
        finally:
            server.destroy()


def test_applied_and_reverted_exactly(own: EmbeddedServer, tmp_path: Path) -> None:
    url = own.url("postgres")
    with psycopg.connect(url, autocommit=True) as connection:
        connection.execute("ALTER SYSTEM SET work_mem = '7MB'")
        connection.execute("ALTER SYSTEM SET random_page_cost = 2")
        connection.execute("ALTER SYSTEM SET lock_timeout = '1min'")  # none of ours
        connection.execute("SELECT pg_reload_conf()")
        assert wait_until(lambda: connection.execute("SHOW work_mem").fetchone() == ("7MB",), 60)
    before = _altered(own)
    applied = asyncio.run(tuning.apply(_proposed(url), tmp_path))
    assert {"shared_buffers", "work_mem", "random_page_cost"} <= set(applied.changed)
    assert "shared_buffers" in applied.restart
    assert "work_mem" not in applied.restart
    now = _altered(own)
    assert now["shared_buffers"] == "2GB"
    with psycopg.connect(url) as connection:
        assert connection.execute("SHOW work_mem").fetchone() == (next(
            row.proposed for row in _proposed(url).rows if row.name == "work_mem"),)  # fmt: skip
    # A second application for another machine does not forget what was there before the first; what runs may be right
    # for it already, but another value waits for the restart (wal_buffers).
    asyncio.run(tuning.apply(_proposed(url, Given(4 * GB, 2, "ssd")), tmp_path))
    assert _altered(own)["shared_buffers"] == "1GB"

    own.stop()
    own.start()
    with psycopg.connect(own.url("postgres")) as connection:
        assert connection.execute("SHOW shared_buffers").fetchone() == ("1GB",)
    assert not [row.name for row in _proposed(own.url("postgres"), Given(4 * GB, 2, "ssd")).rows if row.changes]

    done = asyncio.run(tuning.revert(own.url("postgres"), tmp_path))
    assert _altered(own) == before
    assert done.left == ()
    with pytest.raises(Conflict, match="nothing was applied"):
        asyncio.run(tuning.revert(own.url("postgres"), tmp_path))
    with psycopg.connect(own.url("postgres"), autocommit=True) as connection:
        connection.execute("ALTER SYSTEM RESET ALL")


def test_what_waits_for_a_restart_is_seen(own: EmbeddedServer, tmp_path: Path) -> None:
    """Set already is nothing to change, and what the files take away is something, though it runs still."""
    url = own.url("postgres")
    asyncio.run(tuning.apply(_proposed(url), tmp_path))
    rows = {row.name: row for row in _proposed(url).rows}
    assert not _proposed(url).changing
    assert (rows["shared_buffers"].waiting, rows["shared_buffers"].changes) == ("2GB", False)
    assert "shared_buffers" in {row.name for row in _proposed(url).waiting}
    with psycopg.connect(url, autocommit=True) as connection:

        def libraries(value: str) -> tuning.Row:
            connection.execute(f"ALTER SYSTEM SET shared_preload_libraries = {value}".encode())
            connection.execute("SELECT pg_reload_conf()")
            pending = "SELECT pending_restart FROM pg_settings WHERE name = 'shared_preload_libraries'"
            assert wait_until(lambda: connection.execute(pending).fetchone() == (True,), 60)
            return next(row for row in _proposed(url).rows if row.name == "shared_preload_libraries")

        lost = libraries("auto_explain")
        assert (lost.changes, lost.waiting, lost.proposed) == (True, "auto_explain", "auto_explain, pg_stat_statements")
        set_already = libraries("pg_stat_statements")
        assert (set_already.changes, set_already.waiting) == (False, "pg_stat_statements")
        connection.execute("ALTER SYSTEM RESET ALL")
        connection.execute("SELECT pg_reload_conf()")


def test_revert_leaves_what_somebody_changed_since(own: EmbeddedServer, tmp_path: Path) -> None:
    url = own.url("postgres")
    asyncio.run(tuning.apply(_proposed(url), tmp_path))
    with psycopg.connect(url, autocommit=True) as connection:
        connection.execute("ALTER SYSTEM SET maintenance_work_mem = '99MB'")
    done = asyncio.run(tuning.revert(url, tmp_path))
    assert done.left == ("maintenance_work_mem",)
    assert _altered(own) == {"maintenance_work_mem": "99MB"}
    with psycopg.connect(url, autocommit=True) as connection:
        connection.execute("ALTER SYSTEM RESET ALL")


def test_a_failure_in_the_middle_leaves_nothing(
    own: EmbeddedServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    url = own.url("postgres")
    proposal = _proposed(url)
    real = tuning.change._set
    calls = []

    async def failing(connection: Any, name: str, value: str | None) -> None:
        calls.append(name)
        if len(calls) == 4:
            raise psycopg.OperationalError("the disk is full")
        await real(connection, name, value)

    monkeypatch.setattr(tuning.change, "_set", failing)
    with pytest.raises(psycopg.OperationalError):
        asyncio.run(tuning.apply(proposal, tmp_path))
    assert _altered(own) == {}
    assert not list((tmp_path / "tuning").iterdir())


def test_where_alter_system_is_refused_it_is_said_what_to_set(own: EmbeddedServer, tmp_path: Path) -> None:
    with psycopg.connect(own.url("postgres"), autocommit=True) as connection:
        connection.execute("CREATE ROLE plain LOGIN")
    url = psycopg.conninfo.make_conninfo(own.url("postgres"), user="plain")
    # A login that may not see the data folder can't tell whether the server is here.
    with pytest.raises(UsageError, match="--memory 16GB --cores 4"):
        _proposed(url, Given())
    with pytest.raises(DatabaseUnsupported, match=r"refuses ALTER SYSTEM.*shared_buffers = 2GB") as refused:
        asyncio.run(tuning.apply(_proposed(url), tmp_path))
    assert refused.value.context["settings"]["shared_buffers"] == "2GB"
    assert _altered(own) == {}
    assert not (tmp_path / "tuning").exists()


def test_command(
    own: EmbeddedServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("OUTREACHDB_DATABASE_URL", own.url("postgres"))
    monkeypatch.setenv("OUTREACHDB_HOME", str(tmp_path / "home"))

    def run(*words: str) -> tuple[int, str, str]:
        with pytest.raises(SystemExit) as ended:
            main(["tune", *words])
        printed = capsys.readouterr()
        return int(ended.value.code or 0), printed.out, printed.err

    status, out, err = run("--memory", "8GB", "--cores", "4", "--json")
    assert (status, err) == (0, "")
    document = json.loads(out)
    assert document["proof"]["how"] == "started"
    now = next(each["now"] for each in document["settings"] if each["name"] == "shared_buffers")
    assert document["machine"]["memory_bytes"] == 8 * GB
    assert {"name", "now", "proposed", "changes", "restart", "why"} <= set(document["settings"][0])
    assert "applied" not in document
    assert _altered(own) == {}
    status, out, err = run("--memory", "8GB", "--cores", "4")
    assert (status, err) == (0, "")
    assert max(map(len, out.splitlines())) <= 100
    shown = [" ".join(line.split()) for line in out.splitlines()]
    assert shown[0] == "setting now proposed"
    assert f"shared_buffers {now} 2GB (needs a restart)" in shown
    assert "jit off as it is" in shown
    assert "fixed recipe: 512MB, fits a machine of 2 GB" in " ".join(shown)
    assert "R2" not in out
    status, out, _ = run("--memory", "8GB", "--cores", "4", "--apply", "--json")
    assert (status, "shared_buffers" in json.loads(out)["applied"]) == (0, True)
    out = run("--memory", "8GB", "--cores", "4")[1]
    assert "2GB (set; waits for a restart)" in out
    assert "Nothing to change.\nIn force after a restart of the server" in out
    status, out, _ = run("--revert")
    assert (status, out.startswith("As before: ")) == (0, True)
    assert _altered(own) == {}
    assert run("--apply", "--revert")[0] == 2
    assert run("--memory", "lots")[0] == 2
