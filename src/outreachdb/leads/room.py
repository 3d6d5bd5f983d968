"""``db.leads``: the imports of a workspace for applications, without a tenant to carry around."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Collection, Mapping
from pathlib import Path

from outreachdb.db.tenant import Tenant
from outreachdb.leads import importing
from outreachdb.leads.importing import ImportReport, UndoReport
from outreachdb.leads.importing.mappings import BY_HEADER
from outreachdb.leads.importing.policy import OnConflict
from outreachdb.leads.importing.streams import Rows
from outreachdb.progress import Progress, silent


class Leads:
    """Each call takes ``workspace`` (a name, or a tenant); without one the setting OUTREACHDB_WORKSPACE counts."""

    def __init__(self, find: Callable[[str | Tenant | None], Awaitable[Tenant]]) -> None:
        self._find = find

    async def import_file(  # noqa: PLR0913 - each is a choice of its own, with a default
        self,
        path: str | Path,
        *,
        workspace: str | Tenant | None = None,
        mapping: Mapping[str, str] | None = None,
        ignore: Collection[str] = (),
        on_conflict: OnConflict = "update",
        dry_run: bool = False,
        progress: Progress = silent,
        saved_mapping: str = BY_HEADER,
        save_mapping: str | None = None,
        encoding: str | None = None,
        delimiter: str | None = None,
    ) -> ImportReport:
        """Import a file; see :func:`outreachdb.leads.importing.import_file`."""
        tenant = await self._find(workspace)
        return await importing.import_file(
            tenant, path, mapping=mapping, ignore=ignore, on_conflict=on_conflict, dry_run=dry_run, progress=progress,
            saved_mapping=saved_mapping, save_mapping=save_mapping, encoding=encoding, delimiter=delimiter,
        )  # fmt: skip

    async def import_rows(
        self,
        rows: Rows,
        *,
        workspace: str | Tenant | None = None,
        name: str = "rows",
        mapping: Mapping[str, str] | None = None,
        ignore: Collection[str] = (),
        on_conflict: OnConflict = "update",
        dry_run: bool = False,
        progress: Progress = silent,
    ) -> ImportReport:
        """Import dicts or Arrow data; see :func:`outreachdb.leads.importing.import_rows`."""
        tenant = await self._find(workspace)
        return await importing.import_rows(
            tenant, rows, name=name, mapping=mapping, ignore=ignore, on_conflict=on_conflict, dry_run=dry_run,
            progress=progress,
        )  # fmt: skip

    async def resume_import(
        self,
        import_id: int,
        path: str | Path | None = None,
        *,
        workspace: str | Tenant | None = None,
        progress: Progress = silent,
    ) -> ImportReport:
        """Go on with an import that stopped; see :func:`outreachdb.leads.importing.resume`."""
        return await importing.resume(await self._find(workspace), import_id, path, progress=progress)

    async def undo_import(
        self,
        import_id: int,
        *,
        workspace: str | Tenant | None = None,
        keep_changed: bool = False,
        progress: Progress = silent,
    ) -> UndoReport:
        """Take an import back; see :func:`outreachdb.leads.importing.undo`."""
        tenant = await self._find(workspace)
        return await importing.undo(tenant, import_id, keep_changed=keep_changed, progress=progress)
