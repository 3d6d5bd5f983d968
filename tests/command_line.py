"""The command line for tests that run in an event loop: one process beside the test does one command after the other.

Starting a process costs a good third of a second, loading included; a test that calls many commands calls some of them
by processes of their own (:func:`process`), as scripts do, and the rest here.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import outreachdb

SOURCE = str(Path(outreachdb.__file__).parents[1])
CHILD = """
import contextlib, io, json, os, sys
from outreachdb.cli.main import main

answers = os.fdopen(os.dup(1), "w")
for line in sys.stdin:
    asked = json.loads(line)
    os.environ.clear()
    os.environ.update(asked["environment"])
    out, err, status = io.StringIO(), io.StringIO(), 0
    with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
        try:
            main(asked["arguments"])
        except SystemExit as ended:
            status = int(ended.code or 0)
    answers.write(json.dumps({"status": status, "out": out.getvalue(), "err": err.getvalue()}) + "\\n")
    answers.flush()
"""


@dataclass(frozen=True)
class Said:
    """What a command printed, and how it exited."""

    status: int
    out: str
    err: str

    @property
    def document(self) -> dict[str, Any]:
        """Of a command that was asked for JSON and did what it should."""
        assert (self.status, self.err) == (0, "")
        found: dict[str, Any] = json.loads(self.out)
        return found


def process(environment: Mapping[str, str], *arguments: str) -> Said:
    """A command as a process of its own."""
    done = subprocess.run(
        [sys.executable, "-m", "outreachdb", *arguments],
        env={"PYTHONPATH": SOURCE, **environment}, capture_output=True, text=True, check=False,
    )  # fmt: skip
    return Said(done.returncode, done.stdout, done.stderr)


class CommandLine:
    """The process beside the test; it blocks its caller."""

    def __enter__(self) -> Self:
        self._child = subprocess.Popen(
            [sys.executable, "-c", CHILD],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            env=os.environ | {"PYTHONPATH": SOURCE},
        )
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._child.communicate(timeout=20)

    def __call__(self, environment: Mapping[str, str], *arguments: str) -> Said:
        """Do a command in that environment."""
        assert self._child.stdin is not None
        assert self._child.stdout is not None
        asked = {"environment": {"PYTHONPATH": SOURCE, **environment}, "arguments": arguments}
        self._child.stdin.write(json.dumps(asked) + "\n")
        self._child.stdin.flush()
        return Said(**json.loads(self._child.stdout.readline()))
