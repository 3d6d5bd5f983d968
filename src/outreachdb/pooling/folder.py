"""The folder of the pooler: what is in it, whose it is, which process runs from it."""

from __future__ import annotations

import contextlib
import fcntl
import json
import os
import secrets
import stat
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import quote

import psutil

from outreachdb.db.embedded.account import Account
from outreachdb.db.embedded.processes import alive, wait_until
from outreachdb.errors import ServerError

PROGRAM = "pgbouncer"
CONSOLE_LOGIN = "outreachdb_pool"
CONSOLE = "pgbouncer"  # the name of the console's database
FORMAT = 1


@dataclass(frozen=True, slots=True)
class PoolFolder:
    """Names of files, and the account that the pooler runs as (PgBouncer refuses root)."""

    path: Path
    account: Account

    @classmethod
    def of_home(cls, home: Path, folder: Path | None = None) -> PoolFolder:
        """The pooler's folder in a home, or another; its account is the embedded server's, whose socket it enters."""
        place = (folder or home / "pooling").expanduser().absolute()
        return cls(place, Account.for_data(home.expanduser().absolute() / "data"))

    @property
    def ini(self) -> Path:
        """The configuration."""
        return self.path / "pgbouncer.ini"

    @property
    def userlist(self) -> Path:
        """Who may log in."""
        return self.path / "userlist.txt"

    @property
    def environment(self) -> Path:
        """URLs for the engine, by environment variable."""
        return self.path / "pool.env"

    @property
    def run(self) -> Path:
        """The only folder that the pooler itself may write to."""
        return self.path / "run"

    @property
    def pid_file(self) -> Path:
        """Where PgBouncer keeps its process id."""
        return self.run / "pgbouncer.pid"

    @property
    def log(self) -> Path:
        """What PgBouncer says."""
        return self.run / "pgbouncer.log"

    def make(self) -> None:
        """Create the folders; refuses one that somebody else could change."""
        self.path.parent.mkdir(parents=True, exist_ok=True)
        for folder, mode in ((self.path, 0o750 if self.account.lent else 0o700), (self.run, 0o700)):
            with contextlib.suppress(FileExistsError):
                folder.mkdir(mode=0o700)
                folder.chmod(mode)
            status = folder.lstat()
            owner = self.account.uid if folder == self.run and self.account.lent else os.geteuid()
            if not stat.S_ISDIR(status.st_mode) or status.st_uid not in (owner, os.geteuid()) or status.st_mode & 0o022:
                raise ServerError(
                    f"{folder} belongs to somebody else or others may write to it",
                    hint="remove it, or choose another folder",
                )
        if self.account.lent:
            os.chown(self.path, 0, self.account.gid)
            self.account.give(self.run)

    def write(self, path: Path, text: str, *, for_pooler: bool) -> None:
        """Replace a file in one step: nobody but us may read it, and the pooler where it must."""
        handle, temporary = tempfile.mkstemp(dir=self.path, prefix=".new-")
        with os.fdopen(handle, "w", encoding="utf-8") as file:
            file.write(text)
            file.flush()
            os.fsync(file.fileno())
        if for_pooler and self.account.lent:
            os.chown(temporary, 0, self.account.gid)
            Path(temporary).chmod(0o640)
        Path(temporary).replace(path)

    @contextlib.contextmanager
    def lock(self, seconds: float = 60.0) -> Iterator[None]:
        """Hold the folder while the pooler is configured, started or stopped."""
        handle = os.open(self.path / "lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600)
        try:
            if not wait_until(lambda: _try_lock(handle), seconds):
                raise ServerError(f"another process has been starting or stopping the pooler for {seconds:.0f} s")
            yield
        finally:
            os.close(handle)

    def state(self) -> dict[str, Any]:
        """Where the pooler listens and the console's password; empty before the first configuration."""
        try:
            found: dict[str, Any] = json.loads((self.path / "pool.json").read_text(encoding="utf-8"))
        except FileNotFoundError:
            return {}
        except ValueError:
            raise ServerError(
                f"{self.path / 'pool.json'} is damaged", hint="remove it and run `outreachdb pool config`"
            ) from None
        if found.get("format") != FORMAT:
            raise ServerError(f"{self.path} was made by another version of outreachdb", hint="update outreachdb")
        return found

    def remember(self, listen: str, port: int) -> dict[str, Any]:
        """Keep where the pooler listens; the console's password is made once."""
        before = self.state()
        password = before.get("console_password") or secrets.token_urlsafe(24)
        state = before | {"format": FORMAT, "listen": listen, "port": port, "console_password": password}
        self.write(self.path / "pool.json", json.dumps(state) + "\n", for_pooler=False)
        return state

    def want(self, *, running: bool) -> None:
        """Keep whether somebody started the pooler and has not stopped it since; the caller holds the lock."""
        state = self.state()
        if state and state.get("started", False) is not running:
            self.write(self.path / "pool.json", json.dumps(state | {"started": running}) + "\n", for_pooler=False)

    def wanted(self) -> bool:
        """Whether the pooler should run: it was started and nobody stopped it."""
        return bool(self.state().get("started"))

    def console_url(self) -> str | None:
        """URL of the console of this folder's pooler; None before the first configuration."""
        state = self.state()
        if not state:
            return None
        host = state["listen"] if state["listen"] not in {"0.0.0.0", "*"} else "127.0.0.1"  # noqa: S104 - compared only
        return (
            f"postgresql://{CONSOLE_LOGIN}:{quote(state['console_password'], safe='')}@{host}:{state['port']}/{CONSOLE}"
        )

    def process(self) -> psutil.Process | None:
        """The pooler that runs from this folder; a pid file alone proves nothing, so the process itself is asked."""
        claimed = self._claimed()
        if claimed is not None and self._is_ours(claimed):
            return claimed
        return next((each for each in psutil.process_iter() if self._is_ours(each)), None)

    def _claimed(self) -> psutil.Process | None:
        try:
            return psutil.Process(int(self.pid_file.read_text()))
        except (OSError, ValueError, OverflowError, psutil.Error):
            return None

    def _is_ours(self, process: psutil.Process) -> bool:
        """A program of that name, of the pooler's account, that was given our configuration."""
        try:
            return (
                process.name() == PROGRAM
                and process.uids().real == self.account.uid
                and str(self.ini) in process.cmdline()
                and alive(process)
            )
        except psutil.Error:
            return False


def _try_lock(handle: int) -> bool:
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True
