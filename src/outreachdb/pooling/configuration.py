"""Writes PgBouncer's configuration for a server: pools, logins, and the URLs that lead through them."""

from __future__ import annotations

import asyncio
import re
import secrets
from collections.abc import Collection, Iterable, Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, Literal

import psycopg
from psycopg import conninfo

from outreachdb.config import WORKLOADS, Settings, Workload
from outreachdb.db.embedded import EmbeddedServer
from outreachdb.db.embedded.cluster import SUPERUSER
from outreachdb.db.embedded.home import Home, port_is_free
from outreachdb.db.pools import connect, describe
from outreachdb.db.queries import Queries
from outreachdb.errors import InvalidInput, UsageError
from outreachdb.pooling.folder import CONSOLE_LOGIN, PoolFolder
from outreachdb.pooling.sizes import POOLS, Limits, Pool, Sizing, sized

Q = Queries("outreachdb.pooling")
Auth = Literal["list", "query"]
POOLER_LOGIN = "outreachdb_pooler"
# Clients that may wait at once: each costs a few kB and a file, and 1024 files are what a process gets by default.
MAX_CLIENTS = 500
WAIT_SECONDS = 30  # as long as the engine itself waits for a free connection
# TLS of the way to the server: the names that libpq and PgBouncer share.
TLS = {"sslmode": "server_tls_sslmode", "sslrootcert": "server_tls_ca_file", "sslcert": "server_tls_cert_file",
       "sslkey": "server_tls_key_file"}  # fmt: skip
UNDERSTOOD = {"host", "hostaddr", "port", "dbname", "user", "password", "application_name", "connect_timeout", *TLS}
LOCAL = re.compile(r"(127\.\d+\.\d+\.\d+|::1|localhost|/.*)")

INI = """\
; Made by `outreachdb pool config`. A change by hand holds until that command runs again;
; `outreachdb pool start` loads it.

[databases]
{databases}

[pgbouncer]
listen_addr = {listen}
listen_port = {port}
unix_socket_dir =
auth_type = scram-sha-256
auth_file = {folder}/userlist.txt
{auth}stats_users = {console_login}
logfile = {folder}/run/pgbouncer.log
pidfile = {folder}/run/pgbouncer.pid

; A pool says itself how it works and how large it is; this is for databases that a person adds.
pool_mode = session
default_pool_size = 5
max_client_conn = {max_clients}
; A client that waits longer for a connection gets an error instead of waiting for ever.
query_wait_timeout = {wait_seconds}
server_idle_timeout = 600
server_lifetime = 3600
; After a restart of the server clients are let through again at once, not after the default of 15 seconds.
server_login_retry = 1
; Drivers of other languages send it; nothing of ours depends on it.
ignore_startup_parameters = extra_float_digits
log_connections = 0
log_disconnections = 0
log_stats = 0
{tls}"""

LOOKUP = """\
-- For an administrator, once in the database {database}: lets PgBouncer look up logins by itself (`--auth query`), so
-- that no secret but its own stands in userlist.txt. Administrators can't be looked up: they connect directly.
DO $$ BEGIN
    IF NOT EXISTS (SELECT FROM pg_catalog.pg_roles WHERE rolname = '{login}') THEN CREATE ROLE {login} LOGIN; END IF;
END $$;
ALTER ROLE {login} PASSWORD '{password}';
CREATE SCHEMA IF NOT EXISTS pooler;
REVOKE ALL ON SCHEMA pooler FROM PUBLIC;
GRANT USAGE ON SCHEMA pooler TO {login};
CREATE OR REPLACE FUNCTION pooler.login(p_login text, OUT login text, OUT secret text)
LANGUAGE sql SECURITY DEFINER SET search_path = pg_catalog, pg_temp
AS $$
    SELECT a.rolname::text, CASE WHEN a.rolvaliduntil < now() THEN NULL ELSE a.rolpassword END
    FROM pg_authid AS a WHERE a.rolname = p_login AND a.rolcanlogin AND NOT a.rolsuper AND NOT a.rolreplication
$$;
REVOKE ALL ON FUNCTION pooler.login(text) FROM PUBLIC;
GRANT EXECUTE ON FUNCTION pooler.login(text) TO {login};
"""


@dataclass(frozen=True, slots=True)
class Upstream:
    """The server behind one pool: how to reach it, who logs in, what PgBouncer knows of the password."""

    url: str = field(repr=False)
    given: Mapping[str, Any] = field(repr=False)
    login: str
    password: str | None = field(repr=False)
    secret: str | None = field(repr=False)
    limits: Limits

    @property
    def known(self) -> str | None:
        """What stands in userlist.txt: the server's own SCRAM secret if it may be read, else the password."""
        return self.secret if self.secret and self.secret.startswith("SCRAM-SHA-256$") else self.password


@dataclass(frozen=True, slots=True)
class Written:
    """What was written; the URLs stand in ``environment``, where others can't read them."""

    folder: Path
    listen: str
    port: int
    sizing: Sizing
    pools: tuple[dict[str, Any], ...]
    environment: Path
    warnings: tuple[str, ...]

    def document(self) -> dict[str, Any]:
        """For JSON: no secrets."""
        return {
            "folder": str(self.folder),
            "listen": self.listen,
            "port": self.port,
            "environment": str(self.environment),
            "available_connections": self.sizing.available,
            "pools": list(self.pools),
            "warnings": list(self.warnings),
        }


async def configure(
    settings: Settings, folder: PoolFolder, *, port: int = 6432, listen: str = "127.0.0.1", auth: Auth = "list"
) -> Written:
    """Write the configuration in front of the settings' servers, the embedded one where they name none.

    A workload's URL that leads through this pooler already is passed over. Port 0 takes a free one.
    """
    base, passwords = settings.database_url, {}
    if base is None:
        base = (await asyncio.to_thread(EmbeddedServer(settings.home).ensure)).url
        passwords = {SUPERUSER: Home(settings.home).password() or ""}
    before = folder.state().get("port") if folder.path.exists() else None
    port = port or free_port()
    urls: dict[Workload, str] = {}
    for workload in WORKLOADS:
        own = settings.values[f"{workload}_url"]
        urls[workload] = own if own and not _leads_to(own, {port, before}) else str(base)
    return await write(
        folder, urls, port=port, listen=listen, auth=auth, passwords=passwords, timeout=settings.connect_timeout
    )


def free_port() -> int:
    """A port of this machine that nobody listens on."""
    while not port_is_free(port := 20000 + secrets.randbelow(10000)):
        pass
    return port


async def write(
    folder: PoolFolder,
    urls: Mapping[Workload, str],
    *,
    port: int,
    listen: str = "127.0.0.1",
    auth: Auth = "list",
    passwords: Mapping[str, str] | None = None,
    timeout: int = 5,
) -> Written:
    """Write the configuration of four pools in front of ``urls``.

    ``passwords`` are those of logins whose URL has none (the embedded server's, reached by its socket). Raises
    Conflict when the server has too few connections, InvalidInput when PgBouncer can't log in by SCRAM.
    """
    servers = {url: await _look_at(url, dict(passwords or {}), timeout) for url in dict.fromkeys(urls.values())}
    behind = {workload: servers[url] for workload, url in urls.items()}
    _check(behind.values(), port, auth)
    limits = Limits(
        min(each.limits.max_connections for each in servers.values()),
        max(each.limits.reserved for each in servers.values()),
        min((each.limits.login for each in servers.values() if each.limits.login is not None), default=None),
        min((each.limits.database for each in servers.values() if each.limits.database is not None), default=None),
    )
    sizing = sized(limits)
    folder.make()
    with folder.lock():
        state = folder.remember(listen, port)
        names = {workload: f"{each.given.get('dbname') or each.login}_{workload}" for workload, each in behind.items()}
        logins = _logins(behind.values(), auth, folder, state["console_password"])
        folder.write(folder.ini, _ini(folder, behind, names, sizing, state, auth), for_pooler=True)
        folder.write(folder.userlist, logins, for_pooler=True)
        folder.write(folder.environment, _environment(behind, names, folder), for_pooler=False)
    return Written(
        folder.path,
        listen,
        port,
        sizing,
        tuple(_described(pool, sizing, names, behind) for pool in POOLS),
        folder.environment,
        (*sizing.warnings, *_warnings(behind.values(), listen, auth)),
    )


def _described(
    pool: Pool, sizing: Sizing, names: Mapping[Workload, str], behind: Mapping[Workload, Upstream]
) -> dict[str, Any]:
    size, server = sizing.sizes[pool.workload], describe(behind[pool.workload].url)
    return asdict(pool) | {"size": size, "wanted": pool.size, "database": names[pool.workload], "server": server}


async def _look_at(url: str, passwords: Mapping[str, str], timeout: int) -> Upstream:
    given = conninfo.conninfo_to_dict(url)
    connection = await connect(url, autocommit=True, timeout=timeout)
    async with connection:
        row = await (await connection.execute(Q.server_limits)).fetchone()
        assert row is not None  # noqa: S101  (a login and its database are always there)
        try:
            found = await (await connection.execute(Q.secret_of_login)).fetchone()
        except psycopg.errors.InsufficientPrivilege:
            found = None
    limits = Limits(row["max_connections"], row["reserved"], row["login_limit"], row["database_limit"])
    password = given.get("password") or passwords.get(row["login"])
    return Upstream(url, given, row["login"], str(password) if password else None, (found or {}).get("secret"), limits)


def _check(servers: Iterable[Upstream], port: int, auth: Auth) -> None:
    for each in servers:
        unknown = sorted(set(each.given) - UNDERSTOOD)
        if unknown:
            raise UsageError(
                f"PgBouncer can't take {', '.join(unknown)} from the URL of {describe(each.url)}",
                hint="set it for the login instead: ALTER ROLE ... SET ...",
            )
        if "," in str(each.given.get("host", "")):
            raise UsageError("a pool leads to one server", hint="give the URL of the primary")
        if _leads_to(each.url, {port}) and not str(each.given.get("host", "/")).startswith("/"):
            raise UsageError(
                f"{describe(each.url)} is the pooler itself, or its port is taken",
                hint="give the server's own URL by -d, or another --port",
            )
        if auth == "list" and each.known is None:
            raise InvalidInput(
                f"PgBouncer can't log in as {each.login}: its password is not in the URL, and the server keeps no SCRAM"
                " secret of it that this login may read",
                hint="put the password into the URL, or use --auth query",
            )


def _leads_to(url: str, ports: Collection[int | None]) -> bool:
    """Whether a URL leads to one of these ports of this machine."""
    given = conninfo.conninfo_to_dict(url)
    local = LOCAL.fullmatch(str(given.get("host") or "localhost"))
    return local is not None and int(str(given.get("port") or 5432)) in ports


def _ini(
    folder: PoolFolder,
    behind: Mapping[Workload, Upstream],
    names: Mapping[Workload, str],
    sizing: Sizing,
    state: Mapping[str, Any],
    auth: Auth,
) -> str:
    lines = []
    for pool in POOLS:
        server, most = behind[pool.workload], sizing.sizes[pool.workload]
        words = {
            "host": server.given.get("hostaddr") or server.given.get("host") or "/var/run/postgresql",
            "port": server.given.get("port") or 5432,
            "dbname": server.given.get("dbname") or server.login,
            "pool_mode": pool.mode,
            "pool_size": most,
            # pool_size counts for each login by itself; this is the limit for all of them together.
            "max_db_connections": most,
        }
        lines.append(f"; {pool.purpose}")
        lines.append(
            f"{_name(names[pool.workload])} = " + " ".join(f"{key}={_word(each)}" for key, each in words.items())
        )
    looked_up = f"auth_user = {POOLER_LOGIN}\nauth_query = SELECT login, secret FROM pooler.login($1)\n"  # noqa: S608  (fixed names)
    return INI.format(
        databases="\n".join(lines),
        folder=folder.path,
        listen=state["listen"],
        port=state["port"],
        auth=looked_up if auth == "query" else "",
        console_login=CONSOLE_LOGIN,
        max_clients=MAX_CLIENTS,
        wait_seconds=WAIT_SECONDS,
        tls=_tls(behind),
    )


def _tls(behind: Mapping[Workload, Upstream]) -> str:
    """PgBouncer has one way of TLS to all its servers: that of the web pool's URL."""
    given = behind["web"].given
    wanted = {TLS[name]: str(value) for name, value in given.items() if name in TLS}
    if "sslmode" not in given and not LOCAL.fullmatch(str(given.get("host", "/"))):
        wanted["server_tls_sslmode"] = "prefer"
    return "".join(f"{name} = {value}\n" for name, value in wanted.items())


def _logins(servers: Iterable[Upstream], auth: Auth, folder: PoolFolder, console_password: str) -> str:
    known: dict[str, str] = {CONSOLE_LOGIN: console_password}
    if auth == "query":
        known[POOLER_LOGIN] = password = secrets.token_urlsafe(24)
        database = next(iter(servers)).given.get("dbname")
        text = LOOKUP.format(database=database, login=POOLER_LOGIN, password=password)
        folder.write(folder.path / "pooler.sql", text, for_pooler=False)
    for each in servers if auth == "list" else ():
        known[each.login] = str(each.known)
    return "".join(f"{_quoted(login)} {_quoted(secret)}\n" for login, secret in known.items())


def _environment(behind: Mapping[Workload, Upstream], names: Mapping[Workload, str], folder: PoolFolder) -> str:
    state, console = folder.state(), str(folder.console_url())
    lines = ["# One URL for each workload, through the pooler. It holds passwords: keep it as private as they are."]
    for workload, server in behind.items():
        password = {"password": server.password} if server.password else {}
        host = conninfo.conninfo_to_dict(console)["host"]
        url = conninfo.make_conninfo(
            "", host=host, port=state["port"], dbname=names[workload], user=server.login, **password
        )
        lines.append(f"OUTREACHDB_{workload.upper()}_URL={_shell(url)}")
    return "\n".join([*lines, f"OUTREACHDB_POOL_CONSOLE_URL={_shell(console)}"]) + "\n"


def _warnings(servers: Iterable[Upstream], listen: str, auth: Auth) -> list[str]:
    found = []
    for each in {server.url: server for server in servers}.values():
        if each.password is None:
            found.append(f"the password of {each.login} is not known: add it to the URLs in pool.env")
        elif auth == "list" and each.known == each.password:
            found.append(
                f"userlist.txt holds the password of {each.login} itself: this login may not read SCRAM secrets"
            )
    if not LOCAL.fullmatch(listen):
        found.append(f"{listen} can be reached from other machines, and clients' connections are not encrypted")
    if auth == "query":
        found.append("an administrator runs pooler.sql, in the same folder, before the pooler lets anybody in")
    return found


def _name(text: str) -> str:
    return text if re.fullmatch(r"[0-9A-Za-z_.-]+", text) else _quoted(text)


def _quoted(text: str) -> str:
    if "\n" in text:
        raise InvalidInput("a name or a password with a line break can't stand in PgBouncer's files")
    return '"{}"'.format(text.replace('"', '""'))


def _word(value: object) -> str:
    text = str(value)
    return text if re.fullmatch(r"[0-9A-Za-z_./:-]+", text) else "'{}'".format(text.replace("'", "''"))


def _shell(text: str) -> str:
    return "'{}'".format(text.replace("'", "'\\''"))
