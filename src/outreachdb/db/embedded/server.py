"""Starts, stops and finds one embedded server."""

from __future__ import annotations

import contextlib
import os
import shutil
import signal
import subprocess
import tempfile
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from urllib.parse import quote

import psutil
import psycopg
from psycopg import sql

from outreachdb.db.embedded import cluster, processes
from outreachdb.db.embedded.account import Account
from outreachdb.db.embedded.binaries import Binaries, binaries_for
from outreachdb.db.embedded.home import Home, port_is_free
from outreachdb.db.embedded.settings import render, settings_for
from outreachdb.db.fitting import GB
from outreachdb.db.machine import Machine
from outreachdb.errors import ServerError

DATABASE = "outreachdb"
LIBRARIES = ("pg_stat_statements", "auto_explain")
EXTENSIONS = "extensions"  # not public: what stands there is found by whatever anybody calls
START_SECONDS = 300.0  # only recovery after a crash takes long; a start takes one
STOP_SECONDS = 120.0
HOLD_SECONDS = 10.0  # a server that another starter left behind has shown its pid file long before
PORTS = 3  # tries, when others take the chosen one in the instant before the server does
LOG_BYTES = 16 * 1024**2
MEMORY = "/dev/shm"  # noqa: S108 - Linux's file system in memory; only folders of a random name are made in it
ROOM_IN_MEMORY = 8 * GB  # a test run of two workers took 3 GB


@dataclass(frozen=True, slots=True)
class Status:
    """What can be said of the server; ``url`` is None unless it runs, ``version`` None before the first start."""

    url: str | None
    version: str | None
    running: bool
    home: Path

    def document(self) -> dict[str, Any]:
        """The status for JSON: ``url, version, running, home``."""
        return {"url": self.url, "version": self.version, "running": self.running, "home": str(self.home)}


class EmbeddedServer:
    """A PostgreSQL server of our own in a home folder.

    Calls block (under two seconds, but for recovery after a crash): from async code use :func:`asyncio.to_thread`.
    Any number of processes may use one home at once. The server outlives the process that started it. All errors are
    ServerError. ``durable=False`` makes it faster and its data worthless after a crash: for tests. ``fitted`` are
    settings to start with instead of those that fit the machine.
    """

    def __init__(
        self,
        home: Path,
        binaries: Path | None = None,
        *,
        durable: bool = True,
        fitted: Mapping[str, str] | None = None,
    ) -> None:
        self._home = Home(home, durable=durable)
        self._binaries = binaries
        self._durable = durable
        self._fitted = fitted

    @property
    def home(self) -> Path:
        """The home folder."""
        return self._home.path

    def start(self) -> Status:
        """Start the server unless it runs already, making the home at first; returns when it takes queries."""
        return self._start(asked=True)

    def ensure(self) -> Status:
        """Start the server for somebody who needs it, unless a person took it down: then ServerError says so."""
        return self._start(asked=False)

    def stop(self, *, immediate: bool = False, until_asked: bool = False) -> Status:
        """Stop the server if it runs: open connections are closed; ``immediate`` leaves recovery to the next start.

        With ``until_asked`` it stays down until :meth:`start`; :meth:`ensure` refuses meanwhile.
        """
        with _os_errors(f"cannot stop the server in {self.home}"):
            self._home.check()
            if self.home.exists() and self._home.data.exists():
                with self._home.lock(STOP_SECONDS):
                    if until_asked:  # first, so that no starter comes between
                        self._home.remember(down_since=datetime.now(UTC).isoformat(timespec="seconds"))
                    self._stop_locked(signal.SIGQUIT if immediate else signal.SIGINT)
            return self.status()

    def _start(self, *, asked: bool) -> Status:
        with _os_errors(f"cannot start the server in {self.home}"):
            self._home.check()
            # One that is being taken down still answers: who asks for it waits for the lock instead.
            if not (asked and self._down_since()) and (version := self._ask(DATABASE)) is not None:
                return self._running(version)
            self._home.make()
            with self._home.lock(START_SECONDS):
                if not asked and (since := self._down_since()):
                    when = datetime.fromisoformat(since).astimezone().strftime("%Y-%m-%d %H:%M")
                    raise ServerError(
                        f"the PostgreSQL server in {self.home} was taken down at {when}", hint="start it: outreachdb up"
                    )
                return self._start_locked()

    def _down_since(self) -> str | None:
        return self._home.state().get("down_since")

    def status(self) -> Status:
        """Whether the server answers a query, and where; changes nothing."""
        with _os_errors(f"cannot look at the server in {self.home}"):
            self._home.check()
            version = self._ask("postgres")
            if version is not None:
                return self._running(version)
            major = self._home.major()
            return Status(None, str(major) if major else None, running=False, home=self.home)

    def url(self, database: str = DATABASE) -> str:
        """URL without a secret: by the socket, which only the server's account, or root, can reach; else by TCP."""
        state, folder = self._state(), self._home.socket_folder()
        if folder is None:
            return self.tcp_url(database)
        return (
            f"postgresql://{cluster.SUPERUSER}@/{quote(database, safe='')}"
            f"?host={quote(str(folder), safe='')}&port={state['port']}"
        )

    def tcp_url(self, database: str = DATABASE) -> str:
        """URL by TCP on 127.0.0.1, with the password in it, for tools that know no sockets or run as other users."""
        port, password = self._state()["port"], self._home.password() or ""
        return (
            f"postgresql://{cluster.SUPERUSER}:{quote(password, safe='')}@127.0.0.1:{port}/{quote(database, safe='')}"
        )

    def destroy(self) -> None:
        """Stop the server at once and delete its home with all data."""
        self.stop(immediate=True)
        folder = self._home.socket_folder()
        for path in (folder, self.home) if folder else (self.home,):
            shutil.rmtree(path, ignore_errors=True)

    def _state(self) -> dict[str, Any]:
        state = self._home.state()
        if "port" not in state:
            raise ServerError(f"no server has been started in {self.home}", hint="run `outreachdb up`")
        return state

    def _running(self, version: str) -> Status:
        return Status(self.url(), version, running=True, home=self.home)

    def _ask(self, database: str) -> str | None:
        """The version of *our* running server, or None when it does not answer or another one does."""
        if "port" not in self._home.state():
            return None
        try:
            with self._connect(database) as connection:
                row = connection.execute("SELECT current_setting('server_version'), current_setting('data_directory')")
                version, data = row.fetchone() or ("", "")
        except psycopg.OperationalError as error:
            # A server whose connections are all taken runs nevertheless.
            busy = any(reason in str(error) for reason in ("too many clients", "connection slots"))
            return str(self._home.major()) if busy and processes.postmaster(self._home.data) else None
        same = Path(data).resolve() == self._home.data.resolve()
        return str(version).split()[0] if same else None

    def _connect(self, database: str) -> psycopg.Connection[tuple[Any, ...]]:
        return psycopg.connect(self.url(database), connect_timeout=5, autocommit=True, application_name="outreachdb up")

    def _start_locked(self) -> Status:
        home = self._home
        home.check()
        home.remember(down_since=None)  # the folder is ours from here on
        server = self._find_process()
        if server is None or not self._becomes_ready(server):  # one that was just stopping ends meanwhile
            account = Account.for_data(home.data)
            binaries = self._usable_binaries(account)
            home.sweep()
            if home.major() is None:
                cluster.create(home, binaries, account, durable=self._durable)
            self._launch(binaries, account)
        return self._running(self._prepare_database())

    def _find_process(self) -> psutil.Process | None:
        """The server's process; one that a killed starter left a moment ago may still have to write its pid file."""
        data = self._home.data
        if not (data / "postmaster.pid").exists():
            processes.wait_until(lambda: self._home.is_free() or processes.postmaster(data) is not None, HOLD_SECONDS)
        return processes.postmaster(data)

    def _usable_binaries(self, account: Account) -> Binaries:
        found = binaries_for(self.home, self._home.major(), self._binaries)
        return cluster.readable_binaries(self._home, found, account)

    def _launch(self, binaries: Binaries, account: Account) -> None:
        """Start a server process, on another port when somebody takes ours in between."""
        home = self._home
        if (home.data / "postmaster.pid").exists():
            self._clear_after_kill()
        for _ in range(PORTS):
            port, folder = home.choose_address(account)
            home.write(home.settings.name, self._settings(binaries), 0o644)
            with home.hold(HOLD_SECONDS) as held:
                pid = self._spawn(binaries, account, folder, port, held)
            processes.wait_until(lambda pid=pid: self._is_ready() or not processes.lives(pid), START_SECONDS)  # type: ignore[misc]
            server = processes.postmaster(home.data)
            if server is not None and self._becomes_ready(server):
                return
            if port_is_free(port):
                break
        raise ServerError(f"PostgreSQL did not start: {self._complaint()}", hint=f"see {home.log}")

    def _clear_after_kill(self) -> None:
        """Remove what a killed server left and what would keep the next one from starting."""
        processes.end_orphans(self._home.data)
        processes.drop_stale_pid_file(self._home.data)
        folder = self._home.socket_folder()
        for left in folder.glob(".s.PGSQL.*") if folder else []:
            left.unlink()  # its lock file names a pid too, and blocks a start like a stale postmaster.pid

    def _settings(self, binaries: Binaries) -> str:
        machine = Machine.here(self.home)
        if not self._durable:  # servers for tests come in numbers: none takes more than a small machine's share
            machine = replace(machine, memory_bytes=min(machine.memory_bytes, GB))
        libraries = [name for name in LIBRARIES if binaries.has_library(name)]
        return render(
            settings_for(machine, major=binaries.major, libraries=libraries, durable=self._durable, fitted=self._fitted)
        )

    def _spawn(self, binaries: Binaries, account: Account, folder: Path | None, port: int, held: int) -> int:
        # The shell ends at once, so that the server is nobody's child: no zombie stays with a long-lived starter. A
        # session of its own keeps it alive when the starter's process group is killed.
        sockets = '"{}"'.format(str(folder).replace('"', '""')) if folder else ""
        command = ["/bin/sh", "-c", '"$@" >&2 & echo $!', "sh"]
        command += [str(binaries.path / "postgres"), "-D", str(self._home.data)]
        command += ["-c", "listen_addresses=127.0.0.1", "-c", f"port={port}", "-c", "unix_socket_permissions=0700"]
        command += ["-c", f"unix_socket_directories={sockets}"]
        if self._home.log.exists() and self._home.log.stat().st_size > LOG_BYTES:
            self._home.log.replace(self._home.log.with_suffix(".log.1"))
        with os.fdopen(os.open(self._home.log, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600), "a") as log:
            done = subprocess.run(  # noqa: S603 - the server's program, every argument quoted by the shell itself
                command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=log, text=True, check=True,
                start_new_session=True, pass_fds=[held], **account.options(),
            )  # fmt: skip
        return int(done.stdout)

    def _is_ready(self) -> bool:
        claimed = processes.PidFile.read(self._home.data)
        return claimed is not None and claimed.ready and processes.postmaster(self._home.data) is not None

    def _becomes_ready(self, server: psutil.Process) -> bool:
        """Wait for a server to take queries; False when it ended instead."""
        processes.wait_until(lambda: self._is_ready() or not processes.alive(server), START_SECONDS)
        if not processes.alive(server):
            return False
        if not self._is_ready():
            raise ServerError(
                f"PostgreSQL is not ready after {START_SECONDS:.0f} s; it goes on (recovery after a crash takes long)",
                hint=f"see {self._home.log}, and ask `outreachdb status` later",
            )
        claimed, port = processes.PidFile.read(self._home.data), self._state()["port"]
        if claimed is not None and claimed.port != port:
            raise ServerError(
                f"a server that outreachdb did not start runs on {self._home.data}, on port {claimed.port}",
                hint=f"stop it first: pg_ctl stop -D {self._home.data}",
            )
        return True

    def _prepare_database(self) -> str:
        """Make what a killed starter may have left undone: the database, the password; returns the version."""
        with self._connect("postgres") as connection:
            if connection.execute("SELECT 1 FROM pg_database WHERE datname = %s", [DATABASE]).fetchone() is None:
                connection.execute(sql.SQL("CREATE DATABASE {}").format(sql.Identifier(DATABASE)))
            if self._home.password() is None:
                words = sql.SQL("ALTER ROLE {} PASSWORD {}")
                password = sql.Literal(self._home.new_password())
                connection.execute(words.format(sql.Identifier(cluster.SUPERUSER), password))
            row = connection.execute("SELECT current_setting('server_version')").fetchone()
        with self._connect(DATABASE) as connection:  # health looks at what queries cost
            loaded = connection.execute("SELECT current_setting('shared_preload_libraries')").fetchone()
            there = connection.execute("SELECT 1 FROM pg_extension WHERE extname = 'pg_stat_statements'").fetchone()
            if loaded and "pg_stat_statements" in str(loaded[0]) and there is None:
                connection.execute(f"CREATE SCHEMA IF NOT EXISTS {EXTENSIONS}")
                connection.execute(f"GRANT USAGE ON SCHEMA {EXTENSIONS} TO PUBLIC")
                connection.execute(f"CREATE EXTENSION IF NOT EXISTS pg_stat_statements SCHEMA {EXTENSIONS}")
        return str(row[0]).split()[0] if row else ""

    def _stop_locked(self, number: signal.Signals) -> None:
        server = processes.postmaster(self._home.data)
        if server is None:
            return
        with contextlib.suppress(psutil.NoSuchProcess):
            server.send_signal(number)
        if not processes.wait_until(lambda: not processes.alive(server), STOP_SECONDS):
            raise ServerError(
                f"the server has not stopped after {STOP_SECONDS:.0f} s; it goes on stopping",
                hint=f"it is writing its last changes: see {self._home.log}",
            )

    def _complaint(self) -> str:
        """The server's last words."""
        try:
            lines = self._home.log.read_text(errors="replace").splitlines()[-20:]
        except FileNotFoundError:
            return "it said nothing"
        fatal = [line for line in lines if "FATAL:" in line or "PANIC:" in line]
        return (fatal or lines or ["it said nothing"])[-1].strip()


@contextlib.contextmanager
def throwaway(
    binaries: Path | None = None, *, fitted: Mapping[str, str] | None = None, room: int = 0
) -> Iterator[EmbeddedServer]:
    """A running server whose home and data go away at the end; it never waits for a disk.

    ``binaries`` names the folder of another version, such as ``/usr/lib/postgresql/15/bin``; ``room`` is how many bytes
    of data will come, when that is known and much.
    """
    # Not below a test's own folder: where root runs the tests, that one is closed to the server's account.
    home = Path(tempfile.mkdtemp(prefix="odb-", dir=fast_folder(room)))
    server = EmbeddedServer(home, binaries, durable=False, fitted=fitted)
    if os.geteuid() == 0:
        server.home.chmod(0o711)
    try:
        server.start()
        yield server
    finally:
        server.destroy()


def fast_folder(room: int = 0) -> str:
    """Memory where there is plenty of it, else a disk: clones of a database took 0.06 s there beside 0.5 s."""
    with contextlib.suppress(OSError):
        free = shutil.disk_usage(MEMORY)
        if os.access(MEMORY, os.W_OK | os.X_OK) and free.free >= ROOM_IN_MEMORY + room:
            return MEMORY
    return "/tmp"  # noqa: S108 - a folder of a random name is made in it, and the path of a socket must be short


@contextlib.contextmanager
def _os_errors(doing: str) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        reason = f"{error.filename}: {error.strerror}" if error.filename else str(error)
        raise ServerError(f"{doing}: {reason}") from error
    except psycopg.Error as error:
        raise ServerError(f"{doing}: {str(error).splitlines()[0] if str(error) else error!r}") from error
