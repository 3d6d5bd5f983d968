"""From staged cells to leads, set-based, inside one transaction."""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

import psycopg
from psycopg import sql

from outreachdb.db.foreign_keys import asked_at_once
from outreachdb.db.queries import Queries
from outreachdb.db.tenant import Session
from outreachdb.leads.importing import judging, policy
from outreachdb.leads.importing.cells import Cells
from outreachdb.leads.importing.fields import ColumnMap
from outreachdb.leads.importing.policy import OnConflict
from outreachdb.progress import Progress, silent

M = Queries("outreachdb.leads.importing", "merge.sql")
MERGE_ROUNDS = 5
# The planner needs the sizes and the keys of staged rows; the sample that it takes by default reads ten times as many.
STATISTICS_TARGET = 10
PART_ROWS, PARTS = 50_000, 10  # each part joins the companies anew, so a large file is not cut into more
RECOUNTED = ("refuse_kept_addresses", "refuse_unplaced")  # steps after which the judged rows count differently
NOTED = ("without_address", "role", "disposable", "phones_normalised", "arrived_suppressed")
SAMPLED_LEADS = 10  # whose changes a dry run shows
READ_BY_WORKERS = ("raw", "addresses", "tagged", "dialled")  # parallel workers can't read temporary tables
KINDS = (*READ_BY_WORKERS, "clean", "match", "firms", "changed")


@dataclass(frozen=True, slots=True)
class Counts:
    """How the rows of a file ended, each counted on its own: that they balance is the database's rule, not arithmetic.

    ``skipped`` are rows that changed nothing and those for which another row of their lead speaks. The two ids span the
    leads that were created; others may have created leads between them.
    """

    rows_read: int
    inserted: int
    updated: int
    skipped: int
    rejected: int
    first_lead_id: int | None
    last_lead_id: int | None
    details: Mapping[str, Any] = field(default_factory=dict)


def page_step(pages: int, rows: int) -> int:
    """Pages of a staging table that one part takes."""
    return -(-pages // min(PARTS, max(1, round(rows / PART_ROWS)))) or 1


class Staging:
    """The tables of one import's steps, named in merge.sql; none outlives the import's transaction."""

    def __init__(self, import_id: int) -> None:
        self.names = {
            kind: sql.Identifier("staging" if kind in READ_BY_WORKERS else "pg_temp", f"import_{import_id}_{kind}")
            for kind in KINDS
        }

    def statement(self, name: str, **parts: sql.Composable) -> sql.Composed:
        """A step of merge.sql with its names filled in."""
        return sql.SQL(getattr(M, name)).format(**self.names, **parts)

    def drop(self) -> sql.Composed:
        """The statement that drops what there is."""
        return sql.SQL("DROP TABLE IF EXISTS {}").format(sql.SQL(", ").join(self.names.values()))


@dataclass(frozen=True, slots=True)
class Plan:
    """What a merge needs to know."""

    workspace_id: int
    import_id: int
    columns: ColumnMap
    delimiter: str
    on_conflict: OnConflict
    now: datetime
    rehearsal: bool = False


class Merge:
    """One merge; call :meth:`run` once the cells are staged."""

    def __init__(self, session: Session, staging: Staging, plan: Plan) -> None:
        self._session = session
        self._staging = staging
        self._plan = plan
        self._cells = Cells(plan.columns, plan.delimiter)  # judged before it is used: see _clean
        self._values: dict[str, Any] = {
            "workspace_id": plan.workspace_id, "import_id": plan.import_id, "now": plan.now, "first_lead_id": None,
        }  # fmt: skip
        self._created: tuple[int | None, int | None] = (None, None)
        self._progress: Progress = silent
        self._noted = dict.fromkeys(NOTED, 0)
        self._counts: dict[str, int] | None = None

    async def run(self, progress: Progress) -> Counts:
        """Judge, deduplicate, link companies, insert, update; returns the counts."""
        self._progress = progress
        progress("checking", 0)
        await self._clean()
        await self._settle()
        found = await self._counted()
        if found["rejected"]:
            await self._store_rejects()
        progress("checking", found["rows_read"], found["rows_read"])
        progress("matching", 0, found["keys"])
        await self._do("lock_workspace")
        origin = sql.Literal(f"import {self._plan.import_id}")
        marked = self._cells.marks() and await self._do("store_marked", origin=origin)
        await self._do("create_match")
        await self._match()
        await self._link_companies()
        found = await self._counted()
        progress("matching", found["keys"], found["keys"])
        inserted = await self._insert()
        matched = await self._value("count_matched")
        if marked:
            await self._do("lock_marked")
        updated = await self._update()
        if marked:
            await self._do("suppress_marked", origin=origin)
        progress("finishing", 0, found["rows_read"])
        found = await self._counted()
        skipped = found["unspoken"] + matched - updated
        return Counts(
            found["rows_read"], inserted, updated, skipped, found["rejected"], *self._created, await self._details()
        )

    async def _clean(self) -> None:
        plan = self._plan
        verdicts = await judging.judge(self._session, self._staging.names, self._cells, plan.columns)
        cells = self._cells = Cells(plan.columns, plan.delimiter, verdicts)
        for kind, cell in cells.looked_up().items():
            await self._do(f"create_{kind}", cell=cell)
            await self._analyze(kind)
        await self._do(
            "clean",
            direction=policy.direction(self._plan.on_conflict),
            fields=cells.fields(),
            joins=cells.joins(self._staging.names),
            problem=cells.problem(),
            problem_column=cells.problem_column(),
        )
        await self._analyze("clean")

    async def _store_rejects(self) -> None:
        await self._do("store_rejects", row_text=self._cells.row_text(), first_cell=self._cells.cell(0))

    async def _settle(self) -> None:
        """Let one row speak for all rows of its lead, and refuse those that contradict it."""
        if not self._has_ids and not (await self._counted())["repeated"]:
            return
        await self._do(
            "settle_rows",
            rows=sql.Literal(self._staging.names["clean"].as_string()),
            policy=sql.Literal(self._plan.on_conflict),
            id_column=self._id_column,
        )
        self._counts = None

    @property
    def _has_ids(self) -> bool:
        return self._plan.columns.position("source_key") is not None

    @property
    def _id_column(self) -> sql.Composable:
        return self._cells.column_of("source_key")

    async def _match(self) -> None:
        """Find the leads that the rows mean."""
        await self._do("match_email")
        await self._do("match_source_key")
        await self._refuse_kept_addresses()
        await self._analyze("match")

    async def _refuse_kept_addresses(self) -> None:
        on_conflict = self._plan.on_conflict
        if not self._has_ids or on_conflict == "update":
            return
        if await self._do("refuse_kept_addresses", policy=sql.Literal(on_conflict), id_column=self._id_column):
            await self._do("forget_refused")
            await self._store_rejects()

    async def _link_companies(self) -> None:
        plan = self._plan
        await self._do(
            "create_firms", chosen=policy.chosen(plan.on_conflict, plan.workspace_id, self._staging.names["match"])
        )
        await self._analyze("firms")
        for step in ("create_companies_by_domain", "create_companies_by_name"):
            await self._do(step)
        for step in ("find_companies_by_domain", "find_companies_by_name"):
            await self._do(step)

    async def _insert(self) -> int:
        """Insert the leads that are new; one that somebody else inserts meanwhile is matched instead."""
        inserted = 0
        for _ in range(MERGE_ROUNDS):
            keys = (await self._counted())["keys"]
            missing = keys - inserted - await self._value("count_matched")
            if missing:
                async with asked_at_once(self._session, await self._references_held()):
                    inserted += await self._insert_once(missing)
            if inserted + await self._value("count_matched") >= keys:
                break
            await self._do("forget_match")
            await self._match()
        else:
            await self._do("refuse_unplaced", id_column=self._id_column)
            await self._store_rejects()
        return inserted

    async def _references_held(self) -> bool:
        """Whether all that new leads refer to is there and stays, so that no foreign key need ask for it row by row.

        Two foreign keys cost 7 of some 60 us that a row takes.
        """
        await self._do("hold_leads")
        return bool(await self._value("nothing_else_is_asked") and await self._value("hold_references"))

    async def _insert_once(self, missing: int) -> int:
        """Insert without looking for conflicts, which costs a tenth less; where there is one after all, with."""
        connection = await self._session.connection()
        if not self._has_ids and self._created == (None, None):
            try:
                async with connection.transaction():
                    return await self._inserted(missing, sql.SQL(""))
            except psycopg.errors.UniqueViolation:
                pass
        return await self._inserted(missing, sql.SQL("ON CONFLICT DO NOTHING"))

    async def _inserted(self, missing: int, on_conflict: sql.SQL) -> int:
        statement = self._staging.statement("insert_leads", on_conflict=on_conflict)
        ids, done = [each for each in self._created if each is not None], 0
        noted = dict.fromkeys(NOTED, 0)
        async for part in self._parts("clean", missing):
            self._progress("inserting", done, missing)
            made = await self._session.one(statement, self._values | part)
            assert made is not None  # noqa: S101  (an aggregate has a row)
            done += made["leads"]
            noted = {name: noted[name] + made[name] for name in NOTED}
            ids += [each for each in (made["first_id"], made["last_id"]) if each is not None]
        self._progress("inserting", done, missing)
        self._noted = {name: self._noted[name] + noted[name] for name in NOTED}
        if ids:
            self._created = (min(ids), max(ids))
            self._values["first_lead_id"] = self._created[0]
        return done

    async def _parts(self, kind: str, rows: int) -> AsyncIterator[dict[str, str]]:
        """Page ranges of a staging table, so that at most PARTS statements tell in between how far they are."""
        table = sql.Literal(self._staging.names[kind].as_string())
        pages = await self._session.value(self._staging.statement("pages", table=table))
        step = page_step(pages, rows)
        for first in range(0, pages, step):
            yield {"first_page": f"({first},0)", "next_page": f"({first + step},0)"}

    async def _update(self) -> int:
        plan = self._plan
        if plan.on_conflict == "skip" or not await self._value("count_matched"):
            return 0
        changed = await self._do(
            "plan_updates",
            workspace_id=sql.Literal(plan.workspace_id),
            merged=policy.merged(plan.on_conflict, plan.now),
            differs=policy.differs(),
        )
        if changed:
            await self._analyze("changed")
            await self._change(changed)
        return changed

    async def _change(self, changed: int) -> None:
        """Keep the before-images and update, part by part."""
        done = 0
        images = self._staging.statement("store_before_images")
        update = self._staging.statement("update_leads", assignments=policy.assignments())
        async for pages in self._parts("changed", changed):
            self._progress("updating", done, changed)
            part = await self._session.one(self._staging.statement("changed_part"), pages)
            if part is not None and part["leads"]:
                for statement in (images, update):
                    await self._session.execute(statement, self._values | pages | part)
                done += part["leads"]
        self._progress("updating", done, changed)

    async def _details(self) -> dict[str, Any]:
        """What people want to know besides the counts; a rehearsal looks closer."""
        found: dict[str, Any] = {"new_leads": self._noted, "typed_columns": self._cells.typed()}
        if self._plan.rehearsal:
            found["suppressed"] = await self._value("count_suppressed")
            values = self._values | {"leads": SAMPLED_LEADS}
            found["changes"] = await self._session.all(self._staging.statement("sample_changes"), values)
        return found

    async def _counted(self) -> dict[str, int]:
        """The counts of the judged rows; counted again only after a step that moved some."""
        if self._counts is None:
            self._counts = dict(await self._session.one(self._staging.statement("count_clean")) or {})
        return self._counts

    async def _analyze(self, kind: str) -> None:
        await self._session.execute(self._staging.statement("sample_lightly", target=sql.Literal(STATISTICS_TARGET)))
        await self._session.execute(sql.SQL("ANALYZE {}").format(self._staging.names[kind]))

    async def _do(self, step: str, **parts: sql.Composable) -> int:
        """Run a step; returns how many rows it wrote."""
        if step in RECOUNTED:
            self._counts = None
        return (await self._session.execute(self._staging.statement(step, **parts), self._values)).rowcount

    async def _value(self, step: str) -> Any:
        return await self._session.value(self._staging.statement(step), self._values)
