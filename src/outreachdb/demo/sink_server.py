"""The SMTP server of the demo: notes who got which message, in a process of its own.

Run as ``python -m outreachdb.demo.sink_server NOTES``: prints its port once it listens, appends a line of JSON to NOTES
for each message, and ends when its standard input closes (so it can't outlive whoever started it).
"""

from __future__ import annotations

import asyncio
import json
import sys
from email.parser import BytesHeaderParser
from pathlib import Path
from typing import IO

from aiosmtpd.smtp import SMTP, Envelope, Session


class Noting:
    """Takes every message and notes its recipient, Message-ID and unique arguments before it says yes."""

    def __init__(self, notes: IO[str]) -> None:
        self._notes = notes

    async def handle_DATA(self, _server: SMTP, _session: Session, envelope: Envelope) -> str:  # noqa: N802
        """Note the message; aiosmtpd calls this by name."""
        content = envelope.content if isinstance(envelope.content, bytes) else (envelope.content or "").encode()
        headers = BytesHeaderParser().parsebytes(content)
        arguments = json.loads(str(headers["X-SMTPAPI"] or "{}")).get("unique_args", {})
        for recipient in envelope.rcpt_tos:
            line = {
                "recipient": recipient,
                "message_id": str(headers["Message-ID"]).strip(),
                "arguments": arguments,
            }
            self._notes.write(json.dumps(line) + "\n")
        self._notes.flush()
        return "250 noted"


async def serve(notes: Path) -> None:
    """Listen until standard input closes."""
    loop = asyncio.get_running_loop()
    with notes.open("a", encoding="utf-8") as file:
        handler = Noting(file)
        server = await loop.create_server(
            lambda: SMTP(handler, enable_SMTPUTF8=True, hostname="sink.example"), host="127.0.0.1", port=0
        )
        sys.stdout.write(f"{server.sockets[0].getsockname()[1]}\n")
        sys.stdout.flush()
        await loop.run_in_executor(None, sys.stdin.read)
        server.close()


if __name__ == "__main__":
    asyncio.run(serve(Path(sys.argv[1])))
