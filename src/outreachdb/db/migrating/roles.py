"""Roles, memberships and extensions that the schema needs, made before its first step.

Roles belong to the whole cluster while the migration lock belongs to one database: two databases may be migrated at
the same moment, so each statement is tried again when another session was quicker. Works for a superuser and for a
login with CREATEROLE that owns the database, which is what managed services give.
"""

from __future__ import annotations

import random
import time
from collections.abc import Callable
from typing import Any

import psycopg
from psycopg import errors as pg
from psycopg import sql

from outreachdb.errors import DatabaseUnsupported

OWNER = "outreachdb_owner"
APP = "outreachdb_app"
TRUSTED = "outreachdb_trusted"
READER = "outreachdb_reader"
ROLES = (OWNER, APP, TRUSTED, READER)
# The login acts as the first, and the engine's sessions SET ROLE to the other two.
GRANTED_TO_LOGIN = (OWNER, APP, TRUSTED)
EXTENSIONS = ("pg_trgm", "btree_gin")

Connection = psycopg.Connection[Any]
_RACE = (pg.DuplicateObject, pg.UniqueViolation, pg.InternalError_, pg.DeadlockDetected)


def ensure(connection: Connection) -> list[str]:
    """Make what is missing on an autocommit connection; returns notices about optional things left out."""
    for role in ROLES:
        _again(lambda role=role: _ensure_role(connection, role))  # type: ignore[misc]
    for role in GRANTED_TO_LOGIN:
        _again(lambda role=role: _ensure_membership(connection, role))  # type: ignore[misc]
    _ensure_create_on_database(connection)
    for extension in EXTENSIONS:
        _ensure_extension(connection, extension)
    notices: list[str] = _again(lambda: _offer_monitoring(connection))
    return notices


def _again(work: Callable[[], Any], attempts: int = 30) -> Any:
    """Repeat when another session changed the same shared row; "tuple concurrently updated" has no code of its own."""
    for attempt in range(attempts):
        try:
            return work()
        except _RACE as error:
            lost_race = not isinstance(error, pg.InternalError_) or "concurrently" in str(error)
            if not lost_race or attempt == attempts - 1:
                raise
            time.sleep(random.uniform(0.01, 0.05) * (attempt + 1))  # noqa: S311 - jitter, not a secret
    return None


def _ensure_role(connection: Connection, role: str) -> None:
    if _value(connection, "SELECT 1 FROM pg_catalog.pg_roles WHERE rolname = %s", role):
        return
    try:
        connection.execute(sql.SQL("CREATE ROLE {} NOLOGIN").format(sql.Identifier(role)))
    except pg.InsufficientPrivilege as error:
        login = _login(connection)
        raise DatabaseUnsupported(
            f"the login {login} may not create the role {role}: it lacks CREATEROLE",
            hint=f"as an administrator: ALTER ROLE {login} CREATEROLE",
        ) from error


def _ensure_membership(connection: Connection, role: str) -> None:
    """Membership with both SET and INHERIT; PostgreSQL 16 split the two and gives a role's creator neither."""
    if _is_member(connection, role):
        return
    options = " WITH SET TRUE, INHERIT TRUE" if connection.info.server_version >= 160000 else ""
    try:
        connection.execute(sql.SQL("GRANT {} TO CURRENT_USER" + options).format(sql.Identifier(role)))
    except pg.InsufficientPrivilege as error:
        login = _login(connection)
        raise DatabaseUnsupported(
            f"the login {login} is not a member of {role} and may not make itself one",
            hint=f"as an administrator: GRANT {role} TO {login}{options}",
        ) from error


def _is_member(connection: Connection, role: str) -> bool:
    kinds = ("SET", "USAGE") if connection.info.server_version >= 160000 else ("MEMBER", "USAGE")
    return all(_value(connection, "SELECT pg_catalog.pg_has_role(current_user, %s, %s)", role, kind) for kind in kinds)


def _ensure_create_on_database(connection: Connection) -> None:
    may = "SELECT pg_catalog.has_database_privilege(%s, pg_catalog.current_database(), 'CREATE')"
    if _value(connection, may, OWNER):
        return
    database = _value(connection, "SELECT pg_catalog.current_database()")
    grant = sql.SQL("GRANT CREATE ON DATABASE {} TO {}").format(sql.Identifier(database), sql.Identifier(OWNER))
    refused: psycopg.Error | None = None
    try:
        _again(lambda: connection.execute(grant))
    except pg.InsufficientPrivilege as error:
        refused = error
    # Without the grant option GRANT only warns, so look again.
    if refused or not _value(connection, may, OWNER):
        raise DatabaseUnsupported(
            f"the login {_login(connection)} may not create schemas in the database {database}",
            hint=f"as its owner: {grant.as_string(connection)}",
        ) from refused


def _ensure_extension(connection: Connection, extension: str) -> None:
    if _value(connection, "SELECT 1 FROM pg_catalog.pg_extension WHERE extname = %s", extension):
        return
    try:
        connection.execute(
            sql.SQL("CREATE EXTENSION IF NOT EXISTS {} WITH SCHEMA public").format(sql.Identifier(extension))
        )
    except pg.InsufficientPrivilege as error:
        raise DatabaseUnsupported(
            f"the login {_login(connection)} may not create the extension {extension}",
            hint=f"as the database's owner: CREATE EXTENSION {extension} WITH SCHEMA public",
        ) from error
    except (pg.UndefinedFile, pg.FeatureNotSupported) as error:
        raise DatabaseUnsupported(
            f"the server lacks the extension {extension}", hint="install PostgreSQL's contrib package"
        ) from error


def _offer_monitoring(connection: Connection) -> list[str]:
    """Since PostgreSQL 16 only an administrator of pg_monitor can hand it on; health works with less without it."""
    if _value(connection, "SELECT pg_catalog.pg_has_role(%s, 'pg_monitor', 'MEMBER')", READER):
        return []
    try:
        connection.execute(sql.SQL("GRANT pg_monitor TO {}").format(sql.Identifier(READER)))
    except pg.InsufficientPrivilege:
        return [f"{READER} sees less without pg_monitor; as an administrator: GRANT pg_monitor TO {READER}"]
    return []


def _login(connection: Connection) -> str:
    return str(_value(connection, "SELECT pg_catalog.quote_ident(current_user)"))


def _value(connection: Connection, query: str, *parameters: Any) -> Any:
    row = connection.execute(query, parameters).fetchone()
    return row[0] if row else None
