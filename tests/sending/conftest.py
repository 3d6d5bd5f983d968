"""A real SMTP server on 127.0.0.1, in a thread of its own."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Iterator

import pytest
from aiosmtpd.smtp import SMTP
from mailing import Sink, add_leads

from outreachdb.db.tenant import Tenant


@pytest.fixture
def sink() -> Iterator[Sink]:
    """A running sink."""
    taken = Sink()
    loop = asyncio.new_event_loop()

    def factory() -> SMTP:
        return SMTP(taken, enable_SMTPUTF8=True, loop=loop)

    server = loop.run_until_complete(loop.create_server(factory, "127.0.0.1", 0))
    taken.port = server.sockets[0].getsockname()[1]
    thread = threading.Thread(target=loop.run_forever)
    thread.start()
    yield taken
    taken.gate.set()

    async def stop() -> None:
        server.close()
        others = [task for task in asyncio.all_tasks() if task is not asyncio.current_task()]
        for task in others:
            task.cancel()
        await asyncio.gather(*others, return_exceptions=True)

    asyncio.run_coroutine_threadsafe(stop(), loop).result(10)
    loop.call_soon_threadsafe(loop.stop)
    thread.join()
    loop.close()


@pytest.fixture
async def hundred(tenant: Tenant) -> Tenant:
    """A workspace of a hundred leads."""
    await add_leads(tenant, 100)
    return tenant
