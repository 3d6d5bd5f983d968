"""The far end of the demo: starts the SMTP server and reads what it noted."""

from __future__ import annotations

import asyncio
import importlib.util
import json
import sys
from dataclasses import dataclass, field
from pathlib import Path
from typing import Self

from outreachdb.errors import OutreachDBError

SERVER = "outreachdb.demo.sink_server"


@dataclass(frozen=True, slots=True)
class Received:
    """One message as the sink saw it; ``arguments`` are those that the provider returns with every event."""

    recipient: str
    message_id: str
    arguments: dict[str, str] = field(default_factory=dict)


class Sink:
    """Start it with ``async with``; ``port`` is where it listens."""

    def __init__(self, notes: Path) -> None:
        self._notes = notes
        self.port = 0

    async def __aenter__(self) -> Self:
        if importlib.util.find_spec("aiosmtpd") is None:
            raise OutreachDBError("the demo needs aiosmtpd", hint="pip install outreachdb[demo]")
        self._process = await asyncio.create_subprocess_exec(
            sys.executable, "-m", SERVER, str(self._notes),
            stdin=asyncio.subprocess.PIPE, stdout=asyncio.subprocess.PIPE,
        )  # fmt: skip
        assert self._process.stdout is not None  # noqa: S101  (asked for above)
        line = await self._process.stdout.readline()
        if not line.strip().isdigit():
            raise OutreachDBError("the SMTP sink did not start; what it said stands above")
        self.port = int(line)
        return self

    async def __aexit__(self, *_exception: object) -> None:
        assert self._process.stdin is not None  # noqa: S101
        self._process.stdin.close()
        await self._process.wait()

    def received(self) -> list[Received]:
        """All messages so far."""
        with self._notes.open(encoding="utf-8") as file:
            return [Received(**json.loads(line)) for line in file]
