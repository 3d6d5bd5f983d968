"""OutreachDB: opens the pools and hands out workspaces; every door builds this."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from functools import cached_property
from typing import TYPE_CHECKING

from outreachdb.config import WORKLOADS, Settings
from outreachdb.db import revision
from outreachdb.db.embedded import EmbeddedServer
from outreachdb.db.pools import Pools
from outreachdb.db.tenant import Tenant
from outreachdb.errors import UsageError
from outreachdb.secrets import Keyring
from outreachdb.tenancy import workspaces

if TYPE_CHECKING:  # whoever opens the engine for something else starts without the reading of files
    from outreachdb.leads.room import Leads


class OutreachDB:
    """An open engine; make one with :meth:`open`.

    Without any database URL the embedded server is started (and left running), unless a person took it down. The
    schema is left alone: migrate first.
    """

    def __init__(self, pools: Pools, settings: Settings) -> None:
        self.pools = pools
        self.settings = settings

    @classmethod
    @asynccontextmanager
    async def open(cls, url: str | None = None, *, settings: Settings | None = None) -> AsyncIterator[OutreachDB]:
        """Open the pools; raises DatabaseUnavailable, or MigrationError when the schema is not this version's."""
        settings = settings or Settings.load(database_url=url)
        async with Pools(settings, await embedded_url(settings)) as pools:
            await revision.check(pools.url("web"))
            yield cls(pools, settings)

    @cached_property
    def keyring(self) -> Keyring:
        """The key for secrets at rest and signed tokens."""
        return Keyring.load(self.settings)

    @cached_property
    def leads(self) -> Leads:
        """Imports, for applications: ``await db.leads.import_file("contacts.csv", workspace="acme")``."""
        from outreachdb.leads.room import Leads  # noqa: PLC0415  (see above)

        return Leads(self._tenant_of)

    async def _tenant_of(self, workspace: str | Tenant | None) -> Tenant:
        if isinstance(workspace, Tenant):
            return workspace
        name = workspace or self.settings.workspace
        if not name:
            raise UsageError("which workspace?", hint="give workspace=NAME or set OUTREACHDB_WORKSPACE")
        return await self.tenant(name)

    async def create_workspace(self, name: str) -> Tenant:
        """Create a workspace and return its tenant."""
        await workspaces.create(self.pools, name)
        return await self.tenant(name)

    async def tenant(self, name: str) -> Tenant:
        """The tenant of a workspace; rooms' functions take it as their first argument."""
        return await workspaces.tenant(self.pools, name)


async def embedded_url(settings: Settings) -> str | None:
    """URL of the embedded server, started if need be; ``None`` where every workload has a URL in the settings.

    Raises ServerError where a person took it down (`outreachdb down`).
    """
    if all(settings.url(workload) for workload in WORKLOADS):
        return None
    return (await asyncio.to_thread(EmbeddedServer(settings.home).ensure)).url
