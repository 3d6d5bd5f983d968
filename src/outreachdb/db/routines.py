"""Replay the rooms' routine files when they changed, drop what they no longer make.

Everything happens in one transaction: callers see the old routines or the new ones. What a file made is known from the
rows that its savepoint wrote into the catalogue (their ``xmin``), so the SQL is never parsed here.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import psycopg
from psycopg import errors as pg
from psycopg import sql

from outreachdb.db.migrating import roles
from outreachdb.db.queries import Queries
from outreachdb.db.rooms import RoutineFile
from outreachdb.errors import MigrationError

Connection = psycopg.Connection[Any]
Q = Queries("outreachdb.db", "replay.sql")

# CREATE OR REPLACE can't change a result type, a parameter's name or a view's columns: then the old ones go first.
_NEEDS_DROP = (pg.InvalidFunctionDefinition, pg.InvalidTableDefinition, pg.WrongObjectType, pg.AmbiguousFunction)


@dataclass(frozen=True, slots=True)
class Routine:
    """A function, procedure or plain view: its kind as DROP spells it, its quoted name with argument types."""

    kind: str
    identity: str


def replay(connection: Connection, files: Sequence[RoutineFile]) -> list[str]:
    """Replay the files that changed, drop routines whose file is gone; names of the rooms that were replayed."""
    with connection.transaction():
        if not _recorded(connection):
            return []
        known = dict(connection.execute(Q.known_files).fetchall())
        changed = [file for file in files if known.get(file.room) != file.sha256]
        gone = sorted(known.keys() - {file.room for file in files})
        if not changed and not gone:
            return []
        for room in gone:
            _drop(connection, _owned(connection, room))
            connection.execute(Q.forget_file, {"room": room})
        try:
            with connection.transaction():
                for file in changed:
                    _install(connection, file)
        except (*_NEEDS_DROP, pg.DependentObjectsStillExist):
            # A changed shape may have dependents in other rooms: all go, all come back, in this same transaction.
            _drop_recorded(connection)
            for file in files:
                _install(connection, file)
            return [file.room for file in files]
        return [file.room for file in changed]


def drop_all(connection: Connection) -> None:
    """Drop every recorded routine, so that structure beneath them can change."""
    with connection.transaction():
        if _recorded(connection):
            _drop_recorded(connection)


def _recorded(connection: Connection) -> bool:
    row = connection.execute(Q.is_recorded).fetchone()
    return bool(row and row[0])


def _drop_recorded(connection: Connection) -> None:
    _drop(connection, [Routine(*row) for row in connection.execute(Q.all_objects).fetchall()])
    connection.execute(Q.forget_all)


def _install(connection: Connection, file: RoutineFile) -> None:
    before = _owned(connection, file.room)
    foreign = {Routine(*row) for row in connection.execute(Q.existing).fetchall()} - set(before)
    _reset(connection, before)
    with connection.transaction():
        # The row's xmin is this savepoint's own transaction id; all that the file writes carries it too.
        row = connection.execute(Q.record_file, {"room": file.room, "sha256": file.sha256}).fetchone()
        try:
            connection.execute(file.text.encode(), prepare=False)
        except psycopg.Error as error:
            if isinstance(error, (*_NEEDS_DROP, pg.LockNotAvailable, pg.DeadlockDetected)):
                raise
            raise MigrationError(_message(file, error)) from error
        made = [Routine(*item) for item in connection.execute(Q.made_by, {"xmin": row[0] if row else None}).fetchall()]
    trespass = sorted(item.identity for item in made if item in foreign)
    if trespass:
        raise MigrationError(f"{file.room}/routines.sql changes {', '.join(trespass)}, which it does not own")
    _drop(connection, [item for item in before if item not in made])
    connection.execute(Q.forget_objects, {"room": file.room})
    for item in made:
        connection.execute(Q.record_object, {"room": file.room, "kind": item.kind, "identity": item.identity})
    _close_definers(connection, made)
    _hand_over(connection, file, made)


def _owned(connection: Connection, room: str) -> list[Routine]:
    """What the room's file made and is still there, dependents first."""
    return [Routine(*row) for row in connection.execute(Q.room_objects, {"room": room}).fetchall()]


def _reset(connection: Connection, objects: Sequence[Routine]) -> None:
    """Back to the owner and to a new object's privileges, so that a replay gives what a fresh install gives."""
    connection.execute("RESET ROLE")
    for item in objects:
        connection.execute(_alter(item, f"OWNER TO {roles.OWNER}"))
    connection.execute(f"SET ROLE {roles.OWNER}")
    for item in objects:
        for grantee, _ in connection.execute(Q.grantees, {"kind": item.kind, "identity": item.identity}).fetchall():
            connection.execute(_privilege("REVOKE ALL ON {} {} FROM {}", item, grantee))
        if item.kind != "VIEW":
            connection.execute(_privilege("GRANT EXECUTE ON {} {} TO {}", item, "PUBLIC"))


def _close_definers(connection: Connection, made: Sequence[Routine]) -> None:
    """A SECURITY DEFINER function is for those whom its file names, never for PUBLIC."""
    definers = {Routine(*row) for row in connection.execute(Q.definers).fetchall()}
    for item in made:
        if item in definers:
            connection.execute(_privilege("REVOKE EXECUTE ON {} {} FROM {}", item, "PUBLIC"))


def _hand_over(connection: Connection, file: RoutineFile, made: Sequence[Routine]) -> None:
    """Give functions to the role that their ``-- owner:`` line names.

    The login does it, being a member of both roles; the new owner needs CREATE on the schema at that moment only.
    """
    wanted = file.owners
    given = [(item, wanted[name]) for item in made if (name := _bare(item)) in wanted]
    missing = wanted.keys() - {_bare(item) for item in made}
    if missing:
        raise MigrationError(f"{file.room}/routines.sql: an owner line names {min(missing)}, which it does not make")
    if not given:
        return
    places = sorted({(_bare(item).split(".")[0], role) for item, role in given})
    connection.execute("RESET ROLE")
    for schema, role in places:
        connection.execute(_schema_grant("GRANT CREATE ON SCHEMA {} TO {}", schema, role))
    for item, role in given:
        connection.execute(_alter(item, f"OWNER TO {role}"))
    for schema, role in places:
        connection.execute(_schema_grant("REVOKE CREATE ON SCHEMA {} FROM {}", schema, role))
    connection.execute(f"SET ROLE {roles.OWNER}")


def _drop(connection: Connection, objects: Sequence[Routine]) -> None:
    """Drop them in an order that their dependencies allow; functions given away come back to the owner before."""
    _reset(connection, objects)
    left = list(objects)
    while left:
        refused = [item for item in left if not _dropped(connection, item)]
        if len(refused) == len(left):
            names = ", ".join(item.identity for item in refused)
            raise pg.DependentObjectsStillExist(f"something outside the routine files depends on {names}")
        left = refused


def _dropped(connection: Connection, item: Routine) -> bool:
    try:
        with connection.transaction():
            connection.execute(sql.SQL("DROP {} {}").format(sql.SQL(item.kind), sql.SQL(item.identity)))
    except pg.DependentObjectsStillExist:
        return False
    return True


def _bare(item: Routine) -> str:
    return item.identity.split("(")[0].replace('"', "")


# Identities come quoted from the catalogue (pg_identify_object), kinds from a fixed list.
def _alter(item: Routine, change: str) -> sql.Composed:
    return sql.SQL("ALTER {} {} {}").format(sql.SQL(item.kind), sql.SQL(item.identity), sql.SQL(change))


def _privilege(template: str, item: Routine, grantee: str) -> sql.Composed:
    kind = "TABLE" if item.kind == "VIEW" else item.kind
    who: sql.Composable = sql.SQL("PUBLIC") if grantee == "PUBLIC" else sql.Identifier(grantee)
    return sql.SQL(template).format(sql.SQL(kind), sql.SQL(item.identity), who)


def _schema_grant(template: str, schema: str, role: str) -> sql.Composed:
    return sql.SQL(template).format(sql.Identifier(schema), sql.Identifier(role))


def _message(file: RoutineFile, error: psycopg.Error) -> str:
    position = error.diag.statement_position
    line = file.text.encode()[: int(position)].decode(errors="ignore").count("\n") + 1 if position else None
    where = f"{file.room}/routines.sql" if line is None else file.place(line)
    return f"{where}: {(error.diag.message_primary or str(error)).splitlines()[0]}"
