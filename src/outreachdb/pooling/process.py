"""Runs PgBouncer from its folder: as an unprivileged account, on this machine's own address, never two at once."""

from __future__ import annotations

import contextlib
import os
import re
import shutil
import signal
import subprocess
from pathlib import Path
from typing import Any, NoReturn

import psutil
import psycopg

from outreachdb.db.embedded.home import port_is_free
from outreachdb.db.embedded.processes import alive, wait_until
from outreachdb.errors import ServerError, UsageError
from outreachdb.pooling.configuration import LOCAL
from outreachdb.pooling.folder import PROGRAM, PoolFolder

START_SECONDS = 10.0
KEPT_LINES = 10
# Kind first: SIGINT waits for transactions, or for clients of a session pool, to end. What the others mean differs by
# version: 1.23 made SIGTERM wait for clients and SIGQUIT end at once; before, SIGTERM ended at once.
ENDING = (signal.SIGINT, signal.SIGTERM, signal.SIGQUIT, signal.SIGKILL)


def program() -> Path:
    """PgBouncer's program; ServerError where there is none."""
    found = shutil.which(PROGRAM, path=f"{os.environ.get('PATH', '')}:/usr/sbin:/usr/local/sbin:/sbin")
    if found is None:
        raise ServerError(
            "PgBouncer is not installed on this machine", hint="Debian and Ubuntu: apt-get install pgbouncer"
        )
    return Path(found)


def version() -> str:
    """Such as ``1.18.0``."""
    done = subprocess.run(  # noqa: S603 - the program found above
        [program(), "--version"], capture_output=True, text=True, check=False, timeout=30
    )
    match = re.search(r"PgBouncer (\S+)", done.stdout)
    if match is None:
        raise ServerError(
            f"{program()} does not say that it is PgBouncer", hint="is another program of that name first in PATH?"
        )
    return match[1]


def start(folder: PoolFolder) -> None:
    """Start the pooler unless it runs; one that runs loads its configuration anew. Returns when it takes logins."""
    state = _configured(folder)
    if not LOCAL.fullmatch(state["listen"]):
        raise UsageError(
            f"the configuration listens on {state['listen']}, and `pool start` serves this machine only",
            hint="let a supervisor run `outreachdb pool start --foreground`, behind a firewall",
        )
    with folder.lock():
        folder.want(running=True)
        running = folder.process()
        if running is not None and answers(folder):
            running.send_signal(signal.SIGHUP)
            return
        if running is None:
            _launch(folder, state["port"])
        _wait_until_ready(folder)


def run_in_foreground(folder: PoolFolder) -> NoReturn:
    """Become the pooler: for systemd and containers, which look after the process themselves."""
    _configured(folder)
    if folder.process() is not None:
        raise ServerError(f"a pooler runs from {folder.path} already", hint="outreachdb pool stop")
    with contextlib.suppress(OSError), folder.lock():  # a supervisor's account need not be able to write here
        folder.want(running=True)
    folder.pid_file.unlink(missing_ok=True)
    command = [str(program()), "-q", str(folder.ini)]
    environment = folder.account.options()["env"]
    if folder.account.lent:
        os.setgroups([])
        os.setgid(folder.account.gid)
        os.setuid(folder.account.uid)
    os.chdir("/")
    os.execve(command[0], command, environment)  # noqa: S606 - no shell wanted


def stop(folder: PoolFolder, wait_seconds: float = 10.0) -> bool:
    """Stop the pooler if it runs: clients may end what they do for ``wait_seconds``. Whether there was one."""
    if not folder.path.exists():
        return False
    with folder.lock():
        folder.want(running=False)
        running = folder.process()
        if running is None:
            return False
        for number in ENDING:
            with contextlib.suppress(psutil.NoSuchProcess):
                running.send_signal(number)  # psutil refuses when the number has gone to another process since
            if wait_until(lambda: not alive(running), wait_seconds if number == signal.SIGINT else 3.0):
                folder.pid_file.unlink(missing_ok=True)
                return True
    raise ServerError(f"the pooler (process {running.pid}) has not ended", hint=f"see {folder.log}")


def answers(folder: PoolFolder) -> bool:
    """Whether the console lets us in."""
    url = folder.console_url()
    with contextlib.suppress(psycopg.Error):
        # The console knows the simple protocol only, and no transactions.
        with psycopg.connect(str(url), autocommit=True, connect_timeout=3) as connection:
            connection.execute("SHOW VERSION")
        return True
    return False


def _configured(folder: PoolFolder) -> dict[str, Any]:
    state = folder.state()
    if not state or not folder.ini.exists():
        raise UsageError(f"there is no configuration in {folder.path}", hint="outreachdb pool config")
    return state


def _launch(folder: PoolFolder, port: int) -> None:
    if not port_is_free(port):
        raise ServerError(
            f"somebody else listens on port {port}",
            hint="outreachdb pool config --port another; Debian's package starts a pgbouncer of its own on 6432",
        )
    folder.pid_file.unlink(missing_ok=True)  # left by one that was killed: PgBouncer would believe it
    account = folder.account
    done = subprocess.run(  # noqa: S603 - PgBouncer with our own file
        [program(), "-d", "-q", folder.ini], stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE, text=True, check=False, timeout=30, **account.options(),
    )  # fmt: skip
    if done.returncode:
        raise ServerError(f"PgBouncer did not start: {_last_words(folder, done.stderr)}", hint=f"see {folder.log}")


def _wait_until_ready(folder: PoolFolder) -> None:
    if wait_until(lambda: answers(folder), START_SECONDS):
        return
    state = "does not answer" if folder.process() else "ended at once"
    raise ServerError(f"PgBouncer {state}: {_last_words(folder, '')}", hint=f"see {folder.log}")


def _last_words(folder: PoolFolder, said: str) -> str:
    with contextlib.suppress(OSError):
        said = said or folder.log.read_text(errors="replace")
    # The first complaint names the cause, later ones what came of it; older runs stand above in the log.
    lines = said.splitlines()[-KEPT_LINES:]
    wrong = [line for line in lines if re.search("ERROR|FATAL", line)] or lines or ["it said nothing"]
    return re.sub(r"^.*?\[\d+\] (ERROR|FATAL|WARNING) ", "", wrong[0]).strip()
