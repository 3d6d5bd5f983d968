"""The folder of an embedded server: what is in it, whose it is, who may change it just now."""

from __future__ import annotations

import contextlib
import fcntl
import json
import os
import pwd
import secrets
import shutil
import socket
import stat
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from outreachdb.db.embedded.account import Account
from outreachdb.db.embedded.processes import wait_until
from outreachdb.errors import ServerError

FORMAT = 1
MARKER = "outreachdb.json"
# What the engine keeps here even where the database is another: its lock, its key (and an unfinished one), demo files,
# the pooler, backups, settings as they were before `tune`.
OURS = ("archives", "lock", "secret.key", ".secret.key", "demo", "pooling", "backups", "tuning")
SUN_PATH = 107  # bytes of a socket's path that Linux takes (sockaddr_un), its closing zero not counted


class Home:
    """Names, state file, password and lock of one home folder."""

    def __init__(self, path: Path, *, durable: bool = True) -> None:
        self._durable = durable
        self.path = path.expanduser().absolute()
        self.data = self.path / "data"
        self.log = self.path / "server.log"
        self.settings = self.path / "outreachdb.conf"

    def check(self) -> None:
        """Refuse a folder that is not ours, before anything in it is touched."""
        if not self.path.exists():
            return
        if not self.path.is_dir():
            raise ServerError(f"{self.path} is not a folder", hint="set OUTREACHDB_HOME to a folder")
        status = self.path.stat()
        if status.st_uid != os.geteuid():
            raise ServerError(
                f"{self.path} belongs to {_user_name(status.st_uid)}",
                hint="run as that user, or set OUTREACHDB_HOME to a folder of your own",
            )
        if status.st_mode & stat.S_IWOTH:
            raise ServerError(f"everybody may write to {self.path}", hint=f"chmod o-w {self.path}")
        # A process killed right after making the folder leaves the lock, perhaps an unfinished marker, and no more.
        others = [child for child in self.path.iterdir() if not child.name.startswith((MARKER, *OURS))]
        if others and not (self.path / MARKER).exists():
            raise ServerError(
                f"{self.path} is not empty and was not made by outreachdb",
                hint="set OUTREACHDB_HOME to a new or empty folder",
            )
        if self.data.exists() and self.major() is None:
            raise ServerError(
                f"{self.data} is damaged: it has no PG_VERSION",
                hint="restore it from a backup, or move the home folder away to begin anew",
            )

    def make(self) -> None:
        """Create the folder: private, but for root's, where the server's account must pass through."""
        mode = 0o711 if os.geteuid() == 0 else 0o700
        self.path.parent.mkdir(parents=True, exist_ok=True)
        with contextlib.suppress(FileExistsError):
            self.path.mkdir(mode=mode)
            self.path.chmod(mode)  # a strict umask must not lock the account out of the folder we just made

    @contextlib.contextmanager
    def lock(self, seconds: float) -> Iterator[None]:
        """Hold the home; the kernel lets go when this process dies, however it dies."""
        handle = os.open(self.path / "lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            if not wait_until(lambda: _try_lock(handle), seconds):
                raise ServerError(f"another process has been starting or stopping {self.path} for {seconds:.0f} s")
            yield
        finally:
            os.close(handle)

    @contextlib.contextmanager
    def hold(self, seconds: float) -> Iterator[int]:
        """A locked file for the server to inherit: while any process of it lives, nobody starts a second one.

        This holds also where pids tell nothing: between two containers that share the folder, and in the instant
        before a new server has written its pid file. Two servers on one cluster would destroy it.
        """
        handle = os.open(self.path / "running", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            if not wait_until(lambda: _try_lock(handle), seconds):
                raise ServerError(
                    f"a server that can't be seen from here, perhaps in another container, uses {self.path}",
                    hint="stop it there, or set OUTREACHDB_HOME to another folder",
                )
            yield handle
        finally:
            os.close(handle)

    def is_free(self) -> bool:
        """Whether no process of a server of this home lives."""
        with contextlib.suppress(ServerError), self.hold(0):
            return True
        return False

    def state(self) -> dict[str, Any]:
        """The state file's content; empty before the first start."""
        try:
            found: dict[str, Any] = json.loads((self.path / MARKER).read_text())
        except FileNotFoundError:
            return {}
        except ValueError:
            raise ServerError(
                f"{self.path / MARKER} is damaged", hint=f'write {{"format": {FORMAT}}} into it and start again'
            ) from None
        if found.get("format") != FORMAT:
            raise ServerError(f"{self.path} was made by another version of outreachdb", hint="update outreachdb")
        return found

    def remember(self, **changes: Any) -> dict[str, Any]:
        """Change the state file, all at once or not at all; what becomes None is forgotten."""
        before = self.state()
        state = {name: value for name, value in ({"format": FORMAT} | before | changes).items() if value is not None}
        if state != before:
            self.write(MARKER, json.dumps(state) + "\n", 0o600)
        return state

    def write(self, name: str, text: str, mode: int) -> None:
        """Replace a file of the home in one step."""
        handle, temporary = tempfile.mkstemp(dir=self.path, prefix=f"{MARKER}.")
        with os.fdopen(handle, "w") as file:
            file.write(text)
            file.flush()
            if self._durable:
                os.fsync(file.fileno())
        Path(temporary).chmod(mode)
        Path(temporary).replace(self.path / name)

    def socket_folder(self) -> Path | None:
        """The folder of the server's socket; None where it has none."""
        state = self.state()
        kept = state.get("socket_folder")
        # A copied or moved home must not lay hands on the folder of the one that it came from.
        return Path(kept) if kept and state.get("home") == str(self.path.resolve()) else None

    def password(self) -> str | None:
        """The TCP password, or None when there is none yet."""
        try:
            return (self.path / "password").read_text().strip() or None
        except FileNotFoundError:
            return None

    def new_password(self) -> str:
        """Make and keep a new TCP password."""
        password = secrets.token_urlsafe(24)
        self.write("password", password + "\n", 0o600)
        return password

    def major(self) -> int | None:
        """Major version of PostgreSQL that made the cluster, or None where there is none."""
        try:
            return int((self.data / "PG_VERSION").read_text().split()[0])
        except (FileNotFoundError, NotADirectoryError, ValueError, IndexError):
            return None

    def sweep(self) -> None:
        """Remove what killed processes left half-made; the caller holds the lock and no server runs."""
        for pattern in ("new-*", f"{MARKER}.*"):
            for left in self.path.glob(pattern):
                if left.is_dir():
                    shutil.rmtree(left, ignore_errors=True)  # a killed starter's initdb may still be writing
                else:
                    left.unlink(missing_ok=True)

    def choose_address(self, account: Account) -> tuple[int, Path | None]:
        """Port and socket folder for the next server, kept in the state file."""
        port, folder = self._choose_port(), self._choose_socket_folder(account)
        self.remember(port=port, socket_folder=str(folder) if folder else None, home=str(self.path.resolve()))
        return port, folder

    def _choose_port(self) -> int:
        """The port kept from the last start, or another while somebody else has that one."""
        port = self.state().get("port")
        while not isinstance(port, int) or not port_is_free(port):
            port = 20000 + secrets.randbelow(10000)  # below the range that systems give to outgoing connections
        return port

    def _choose_socket_folder(self, account: Account) -> Path | None:
        """A folder that only the account (and root) can enter, with a path that sockets can take; None: no socket.

        In the home if its path serves, else in the system's folder for temporary files.
        """
        run = self.path / "run"
        if _fits(run):
            run.mkdir(mode=0o700, exist_ok=True)
            account.give(run)
            return run
        kept = self.socket_folder()
        # Others can write where temporary files are: never trust a name there without looking whose it is.
        if kept and _fits(kept) and _is_private(kept, account.uid):
            return kept
        if not _fits(Path(tempfile.gettempdir()) / "outreachdb-12345678"):
            return None
        folder = Path(tempfile.mkdtemp(prefix="outreachdb-"))
        account.give(folder)
        return folder


def port_is_free(port: int) -> bool:
    """Whether a server could listen on the port of 127.0.0.1."""
    with socket.socket(socket.AF_INET, socket.SOCK_STREAM) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)  # as PostgreSQL does
        try:
            probe.bind(("127.0.0.1", port))
        except OSError:
            return False
        return True


def _fits(folder: Path) -> bool:
    if "," in str(folder):
        return False  # in a URL it separates several hosts, and nothing escapes it
    return len(os.fsencode(folder / ".s.PGSQL.65535")) <= SUN_PATH


def _is_private(folder: Path, uid: int) -> bool:
    try:
        status = folder.lstat()
    except OSError:
        return False
    return stat.S_ISDIR(status.st_mode) and status.st_uid == uid and not status.st_mode & 0o077


def _try_lock(handle: int) -> bool:
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


def _user_name(uid: int) -> str:
    try:
        return pwd.getpwuid(uid).pw_name
    except KeyError:
        return f"user {uid}"
