"""The account that the server runs as: PostgreSQL refuses root, so root lends it an unprivileged one."""

from __future__ import annotations

import os
import pwd
import shutil
import subprocess
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from outreachdb.errors import ServerError

NAME = "outreachdb"
# Nothing else of the environment reaches the server: PG* would redirect it, secrets are none of its business.
PASSED_ON = ("PATH", "LD_LIBRARY_PATH", "DYLD_LIBRARY_PATH", "TMPDIR")


@dataclass(frozen=True, slots=True)
class Account:
    """A user and group id; ``lent`` when root runs programs as somebody else."""

    uid: int
    gid: int
    lent: bool

    @classmethod
    def for_data(cls, data: Path) -> Account:
        """The account that a cluster runs as: whoever owns it, for a new one made by root a system user."""
        if os.geteuid() != 0:
            return cls(os.geteuid(), os.getegid(), lent=False)
        # The home belongs to root (checked before), so only root can have put a data folder there and chosen its owner.
        if data.exists():
            owner = data.stat()
            if owner.st_uid == 0:
                raise ServerError(f"{data} belongs to root, and PostgreSQL refuses to run as root")
            return cls(owner.st_uid, owner.st_gid, lent=True)
        entry = _system_user()
        return cls(entry.pw_uid, entry.pw_gid, lent=True)

    def give(self, path: Path) -> None:
        """Make the account the owner of a file or folder that this process made."""
        if self.lent:
            os.chown(path, self.uid, self.gid, follow_symlinks=False)

    def options(self) -> dict[str, Any]:
        """Arguments of :mod:`subprocess` that run a program as the account, in a folder that it can enter."""
        environment = {name: os.environ[name] for name in PASSED_ON if name in os.environ}
        options: dict[str, Any] = {"cwd": "/", "env": environment | {"LC_ALL": "C"}, "umask": 0o077}
        if self.lent:
            options |= {"user": self.uid, "group": self.gid, "extra_groups": []}
        return options

    def run(self, *command: str | Path) -> subprocess.CompletedProcess[str]:
        """Run a program to its end as the account; its output is captured."""
        try:
            return subprocess.run(  # noqa: S603 - the caller's programs, no shell
                command, capture_output=True, text=True, check=False, stdin=subprocess.DEVNULL, **self.options()
            )
        except PermissionError:
            return subprocess.CompletedProcess(command, 126, "", f"{command[0]}: permission denied")

    def can_read(self, paths: Sequence[Path]) -> bool:
        """Whether the account can read these files and enter these folders; asked of the kernel."""
        if not self.lent:
            return True
        script = 'for path do test -f "$path" -a -r "$path" || test -d "$path" -a -x "$path" || exit 1; done'
        return self.run("/bin/sh", "-c", script, "sh", *paths).returncode == 0


def _system_user() -> pwd.struct_passwd:
    found = _look_up()
    program = shutil.which("useradd", path=f"{os.environ.get('PATH', '')}:/usr/sbin:/sbin")
    hint = f"create a system user {NAME}, or start the server as an ordinary user"
    if found is None and program is None:
        raise ServerError("PostgreSQL refuses to run as root and there is no useradd", hint=hint)
    complaint = ""
    for _ in range(20):  # another process may hold the lock of /etc/passwd, or make the same user
        if found is not None:
            return found
        command = [str(program), "--system", "--user-group", "--no-create-home", "--home-dir", "/nonexistent"]
        command += ["--shell", "/usr/sbin/nologin", NAME]
        done = subprocess.run(command, capture_output=True, text=True, check=False)  # noqa: S603 - the system's own
        complaint = done.stderr.strip()
        found = _look_up()
        if found is None:
            time.sleep(0.1)
    raise ServerError(f"could not create the system user {NAME}: {complaint}", hint=hint)


def _look_up() -> pwd.struct_passwd | None:
    try:
        return pwd.getpwnam(NAME)
    except KeyError:
        return None
