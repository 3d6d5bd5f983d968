"""A real SMTP server on 127.0.0.1, in a thread of its own."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from mailing import Sink, add_leads, running

from outreachdb.db.tenant import Tenant


@pytest.fixture
def sink() -> Iterator[Sink]:
    """A running sink."""
    with running() as taken:
        yield taken


@pytest.fixture
async def hundred(tenant: Tenant) -> Tenant:
    """A workspace of a hundred leads."""
    await add_leads(tenant, 100)
    return tenant
