from __future__ import annotations

import importlib
from pathlib import Path

import typer
from commands import Run

from outreachdb import cli
from outreachdb.cli import main
from outreachdb.version import __version__


def test_every_command_file_is_known_and_registers_what_the_list_says() -> None:
    files = {path.stem for path in Path(cli.__path__[0]).glob("*.py")}
    registering = {name for name in files if hasattr(importlib.import_module(f"outreachdb.cli.{name}"), "register")}
    assert registering == {entry.file for entry in main.COMMANDS.values()}
    app = main.build()
    named = {group.name for group in app.registered_groups}
    named |= {command.name or command.callback.__name__ for command in app.registered_commands if command.callback}
    assert named == set(main.COMMANDS)


def test_the_first_help_page_says_what_the_commands_say_of_themselves() -> None:
    whole = typer.main.get_command(main.build())
    said = {name: str(command.help).split("\n\n")[0] for name, command in whole.commands.items()}  # type: ignore[attr-defined]
    assert {name: entry.help for name, entry in main.COMMANDS.items()} == said


def test_global_options_stand_anywhere(run: Run, workspace: str) -> None:
    for arguments in (
        ("--json", "-w", workspace, "segment", "count", "--where", "{}"),
        ("segment", "count", "--where", "{}", "--json", f"--workspace={workspace}"),
        ("segment", "--json", "count", "-w", workspace, "--where", "{}"),
    ):
        assert run(*arguments).document["count"] == 0


def test_version_and_help(run: Run) -> None:
    assert run("--version").out == f"outreachdb {__version__}\n"
    helped = run("--help")
    assert helped.status == 0
    assert all(command in helped.out for command in main.COMMANDS)
