"""A Dovecot of our own on loopback: own configuration, own folder, no root rights."""

from __future__ import annotations

import contextlib
import getpass
import grp
import os
import pwd
import shutil
import socket
import subprocess
import tempfile
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from certificates import make_certificate
from imapclient import IMAPClient

PROGRAM = "/usr/sbin/dovecot"
PASSWORD = "a-secret-of-the-box"
CONFIGURATION = """
base_dir = {folder}/run
state_dir = {folder}/state
log_path = {folder}/log
protocols = imap
listen = 127.0.0.1
ssl = yes
ssl_cert = <{folder}/cert.pem
ssl_key = <{folder}/key.pem
disable_plaintext_auth = no
auth_failure_delay = 0
mail_location = maildir:{folder}/mail/%u
default_internal_user = {user}
default_internal_group = {group}
default_login_user = {user}
first_valid_uid = 1
passdb {{
  driver = static
  args = password={password}
}}
userdb {{
  driver = static
  args = uid={user} gid={group} home={folder}/home/%u
}}
service imap-login {{
  chroot =
  inet_listener imap {{
    port = {port}
  }}
  inet_listener imaps {{
    port = {tls_port}
    ssl = yes
  }}
}}
service anvil {{
  chroot =
}}
service stats {{
  chroot =
}}
"""


@dataclass(frozen=True)
class Dovecot:
    """``port`` takes plain connections and STARTTLS, ``tls_port`` only TLS; ``certificate`` signs itself."""

    port: int
    tls_port: int
    certificate: Path

    @contextlib.contextmanager
    def client(self, user: str) -> Iterator[Any]:
        client: Any = IMAPClient("127.0.0.1", port=self.port, ssl=False)
        client.login(user, PASSWORD)
        try:
            yield client
        finally:
            client.logout()

    def deliver(self, user: str, *mails: bytes, folder: str = "INBOX") -> None:
        with self.client(user) as client:
            if not client.folder_exists(folder):
                client.create_folder(folder)
            for mail in mails:
                client.append(folder, mail)


@contextlib.contextmanager
def running() -> Iterator[Dovecot]:
    """Start it as ourselves, or as `nobody` where we are root; stopped and removed at the end."""
    if not Path(PROGRAM).exists():
        raise RuntimeError(f"{PROGRAM} is missing: apt-get install dovecot-imapd")
    folder = Path(tempfile.mkdtemp(prefix="odb-imap-", dir="/tmp"))
    user = "nobody" if os.geteuid() == 0 else getpass.getuser()
    entry = pwd.getpwnam(user)
    for name in ("run", "state", "mail", "home"):
        (folder / name).mkdir()
    certificate, _ = make_certificate(folder)
    with socket.socket() as one, socket.socket() as other:
        for free in (one, other):
            free.bind(("127.0.0.1", 0))
        port, tls_port = one.getsockname()[1], other.getsockname()[1]
    group = grp.getgrgid(entry.pw_gid).gr_name
    text = CONFIGURATION.format(folder=folder, user=user, group=group, port=port, tls_port=tls_port, password=PASSWORD)
    (folder / "dovecot.conf").write_text(text)
    as_user: dict[str, Any] = {}
    if os.geteuid() == 0:
        for path in (folder, *folder.iterdir()):
            shutil.chown(path, entry.pw_uid, entry.pw_gid)
        as_user = {"user": entry.pw_uid, "group": entry.pw_gid, "extra_groups": []}
    process = subprocess.Popen(
        [PROGRAM, "-F", "-c", str(folder / "dovecot.conf")],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        **as_user,
    )
    try:
        _wait(process, port, folder)
        yield Dovecot(port, tls_port, certificate)
    finally:
        process.terminate()
        process.wait(60)
        if process.stderr is not None:
            process.stderr.close()
        shutil.rmtree(folder, ignore_errors=True)


def _wait(process: subprocess.Popen[bytes], port: int, folder: Path) -> None:
    deadline = time.monotonic() + 90
    while True:
        try:
            socket.create_connection(("127.0.0.1", port), 1).close()
        except OSError:
            if process.poll() is not None or time.monotonic() > deadline:
                log = folder / "log"
                said = log.read_text() if log.exists() else ""
                raise RuntimeError(f"dovecot did not start: {said[-2000:]}") from None
            time.sleep(0.05)
        else:
            return
