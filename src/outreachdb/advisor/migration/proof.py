"""Runs a migration up, down and up again on a clone, and compares the catalogues; has squawk read it."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path

import psycopg

from outreachdb.advisor.migration.clone import cloned, dump
from outreachdb.errors import MigrationError

# prefer-robust-stmts asks for IF NOT EXISTS, which hides an invalid index of that name; the name is cleared instead.
EXCLUDED = ("prefer-robust-stmts",)
_ENV = """
import os
import sqlalchemy
from alembic import context
engine = sqlalchemy.create_engine(os.environ["ADVISOR_PROOF_URL"], poolclass=sqlalchemy.NullPool)
with engine.connect() as connection:
    context.configure(connection=connection, transaction_per_migration=True, version_table="alembic_proof")
    with context.begin_transaction():
        context.run_migrations()
    connection.commit()
"""
_BEFORE = 'revision = {head!r}\ndown_revision = None\n\n\ndef upgrade():\n    """Stand in for the history."""\n'


def prove_sql(url: str, up: list[str], down: list[str]) -> None:
    """MigrationError where a statement fails or a catalogue differs."""
    with cloned(url) as clone:

        def run(statements: list[str]) -> None:
            with psycopg.connect(clone, autocommit=True) as connection:
                for statement in statements:
                    try:
                        connection.execute(statement.encode())
                    except psycopg.Error as error:
                        raise _failed(f"{statement}: {str(error).splitlines()[0]}") from error

        _up_down_up(clone, lambda: run(up), lambda: run(down))


def prove_revision(url: str, text: str, *, name: str, head: str | None) -> None:
    """The same through Alembic itself, with a stand-in for the revisions before it."""
    with cloned(url) as clone, tempfile.TemporaryDirectory(prefix="odb-proof-") as folder:
        root = Path(folder)
        (root / "versions").mkdir()
        (root / "env.py").write_text(_ENV)
        (root / "script.py.mako").write_text("")
        (root / "alembic.ini").write_text(f"[alembic]\nscript_location = {root}\npath_separator = os\n")
        (root / "versions" / f"{name}.py").write_text(text)
        if head is not None:
            (root / "versions" / "before.py").write_text(_BEFORE.format(head=head))

        def run(*arguments: str) -> None:
            done = subprocess.run(  # noqa: S603  (this Python, on files written above)
                [sys.executable, "-m", "alembic", "-c", str(root / "alembic.ini"), *arguments],
                capture_output=True,
                text=True,
                check=False,
                cwd=root,
                env=os.environ | {"ADVISOR_PROOF_URL": clone.replace("postgresql://", "postgresql+psycopg://", 1)},
            )
            if done.returncode:
                raise _failed((done.stderr.strip().splitlines() or ["Alembic failed"])[-1])

        if head is not None:
            run("upgrade", head)
        else:
            run("ensure_version")
        _up_down_up(clone, lambda: run("upgrade", name), lambda: run("downgrade", "-1"))


def lint(text: str) -> list[str]:
    """What squawk says of SQL; empty where it has no objection."""
    program = shutil.which("squawk", path=f"{Path(sys.executable).parent}{os.pathsep}{os.environ.get('PATH', '')}")
    if program is None:
        raise MigrationError("squawk is not installed", hint="pip install squawk-cli")
    with tempfile.NamedTemporaryFile("w", suffix=".sql", encoding="utf-8") as file:
        file.write(text)
        file.flush()
        done = subprocess.run(  # noqa: S603  (squawk on a file written above)
            [program, "--pg-version", "15.0", "--reporter", "Gcc", f"--exclude={','.join(EXCLUDED)}", file.name],
            capture_output=True,
            text=True,
            check=False,
        )
        said = [line.removeprefix(f"{file.name}:") for line in done.stdout.splitlines() if line.startswith(file.name)]
    if done.returncode and not said:
        raise MigrationError(f"squawk failed: {(done.stderr or done.stdout).strip()[:300]}")
    return said


def _up_down_up(clone: str, up: Callable[[], None], down: Callable[[], None]) -> None:
    before = dump(clone)
    up()
    there = dump(clone)
    if there == before:
        raise _failed("it changes nothing")
    down()
    _same(before, dump(clone), "the way down")
    up()
    _same(there, dump(clone), "the second way up")


def _same(expected: str, found: str, way: str) -> None:
    if expected == found:
        return
    lines = set(expected.splitlines()) ^ set(found.splitlines())
    raise _failed(f"{way} leaves another catalogue, such as: {min(lines)}")


def _failed(what: str) -> MigrationError:
    return MigrationError(f"the migration did not pass its proof: {what}", hint="nothing was written")
