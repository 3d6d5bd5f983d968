"""A clone of a database's schema, without its rows, on a server of its own."""

from __future__ import annotations

import re
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import psycopg
from psycopg import conninfo, sql

from outreachdb.db.embedded import find_binaries
from outreachdb.db.embedded.server import throwaway
from outreachdb.errors import MigrationError, ServerError

DATABASE = "clone"
# What pg_dump adds of itself, and what names the moment.
_NOISE = re.compile(r"^(--.*|\\(un)?restrict .*|SET .*|SELECT pg_catalog\.set_config.*)?\n", re.MULTILINE)


@contextmanager
def cloned(url: str) -> Iterator[str]:
    """URL of a throw-away clone, of the same major version where its server is installed, else of the newest."""
    with psycopg.connect(url) as connection:
        major = connection.info.server_version // 10000
        roles = [row[0] for row in connection.execute("SELECT rolname FROM pg_roles WHERE rolname !~ '^pg_'")]
    try:
        binaries = find_binaries(major)
    except ServerError:
        binaries = find_binaries()
        if binaries.major < major:
            raise
    schema = dump(url)
    with throwaway(binaries.path) as server:
        with psycopg.connect(server.url("postgres"), autocommit=True) as connection:
            there = {row[0] for row in connection.execute("SELECT rolname FROM pg_roles")}
            for role in roles:
                if role not in there:
                    connection.execute(sql.SQL("CREATE ROLE {}").format(sql.Identifier(role)))
            connection.execute(sql.SQL("CREATE DATABASE {} TEMPLATE template0").format(sql.Identifier(DATABASE)))
        clone = server.url(DATABASE)
        try:
            with psycopg.connect(clone, autocommit=True) as connection:
                # As pg_dump's own header has it: functions may come before the tables that they read.
                connection.execute(f"SET check_function_bodies = false;\n{schema}".encode())
        except psycopg.Error as error:
            raise MigrationError(
                f"the schema can't be cloned: {str(error).splitlines()[0]}",
                hint="a migration is handed out only after it ran on a clone; install what the schema needs",
            ) from error
        yield clone


def dump(url: str) -> str:
    """The whole schema as SQL, the same text for the same catalogue."""
    given = conninfo.conninfo_to_dict(url)
    # The password goes by the environment: arguments can be read by other users of the machine.
    target = {name: str(value) for name, value in given.items() if name != "password"}
    password = given.get("password")
    program = _pg_dump()
    done = subprocess.run(  # noqa: S603  (pg_dump of the installation, the URL as one argument)
        [program, "--schema-only", "--no-owner", "--dbname", conninfo.make_conninfo("", **target)],
        capture_output=True,
        text=True,
        check=False,
        env={"PGPASSWORD": str(password)} if password else None,
    )
    if done.returncode:
        raise MigrationError(f"pg_dump can't read the schema: {(done.stderr.strip().splitlines() or ['no reason'])[0]}")
    return _NOISE.sub("", done.stdout).replace("CREATE SCHEMA public;", "")


def _pg_dump() -> Path:
    """The newest pg_dump there is: it reads every older server."""
    return find_binaries().path / "pg_dump"
