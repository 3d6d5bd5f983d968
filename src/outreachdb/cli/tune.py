"""The command ``tune``."""

from __future__ import annotations

from typing import Annotated, Any, Literal

import typer
from rich.console import Group, RenderableType
from rich.constrain import Constrain
from rich.padding import Padding
from rich.text import Text

from outreachdb import tuning
from outreachdb.app import embedded_url
from outreachdb.cli.context import run, settings
from outreachdb.cli.output import emit, stdout
from outreachdb.errors import UsageError
from outreachdb.tuning import Applied, Given, Proof, Proposal, Reverted, Row
from outreachdb.tuning.units import size_of

WIDTH = 100  # columns that the widest line takes, also where no terminal tells its own
WIDEST_VALUE = 16  # a longer one (a list of libraries) may push what follows it to the right
INDENT = 4
NOTHING = "Nothing to change."
LEGEND = (
    "Fixed recipe: a value that is given for every machine alike.",
    "In brackets: pages of PostgreSQL's documentation (Server Configuration), and PGTune.",
)


def register(app: typer.Typer) -> None:
    """Add the command to the application."""
    app.command()(tune)


def tune(
    apply: Annotated[bool, typer.Option("--apply", help="Set what differs, by ALTER SYSTEM.")] = False,
    revert: Annotated[bool, typer.Option("--revert", help="Bring back the settings from before --apply.")] = False,
    memory: Annotated[str | None, typer.Option(help="Memory of the server's machine, such as 16GB.")] = None,
    cores: Annotated[int | None, typer.Option(min=1, help="Processor cores of the server's machine.")] = None,
    disk: Annotated[Literal["ssd", "hdd"] | None, typer.Option(help="What the server's data lie on.")] = None,
    workload: Annotated[
        Literal["mixed", "web", "analytics"], typer.Option(help="What the server does most.")
    ] = "mixed",
    connections: Annotated[int | None, typer.Option(min=10, help="Connections that the server has to take.")] = None,
    alone: Annotated[bool, typer.Option("--alone", help="Nothing else on the machine needs its memory.")] = False,
) -> None:
    """Fit the server's settings to its machine: as they are, as they should be, why; tried before they are shown."""
    if apply and revert:
        raise UsageError("--apply and --revert contradict each other")
    if revert:
        _show_reverted(run(_revert()))
        return
    size = size_of(memory) if memory else None
    given = Given(size, cores, disk, workload, connections, alone)
    proposal, proof, applied = run(_tune(given, apply=apply))
    document: dict[str, Any] = proposal.document() | {"proof": proof.document()}
    if applied is not None:
        document |= {"applied": list(applied.changed), "restart": list(applied.restart), "kept_in": applied.kept_in}
    emit(document, _shown(proposal, proof, applied))


async def _url() -> str:
    given = settings()
    return str(given.url("admin") or await embedded_url(given))


async def _tune(given: Given, *, apply: bool) -> tuple[Proposal, Proof, Applied | None]:
    proposal = await tuning.propose(await _url(), given, timeout=settings().connect_timeout)
    proof = await tuning.prove(proposal)
    return proposal, proof, await tuning.apply(proposal, settings().home) if apply else None


async def _revert() -> Reverted:
    return await tuning.revert(await _url(), settings().home)


def _shown(proposal: Proposal, proof: Proof, applied: Applied | None) -> RenderableType:
    """A line for each setting, and below it why: the reasons are longer than a column of a table can be."""
    lines = [("setting", "now", "proposed"), *((row.name, row.now, _proposed(row)) for row in proposal.rows)]
    wide = max(len(name) for name, _, _ in lines) + 2
    middle = max(len(now) for _, now, _ in lines if len(now) <= WIDEST_VALUE) + 2
    parts: list[RenderableType] = []
    for (name, now, proposed), row in zip(lines, (None, *proposal.rows), strict=True):
        style = "bold" if row is None or row.changes or row.waiting else ""
        parts.append(Text(f"{name:{wide}}{now:{middle}}{'' if len(now) < middle else '  '}{proposed}", style=style))
        if row is not None:
            parts.append(Padding(Text(_why(row), style="dim"), (0, 0, 0, INDENT)))
    how = (
        f"Proven: a scratch server of PostgreSQL {proof.version} started with these settings ({proof.seconds:.1f} s)."
        if proof.how == "started"
        else f"Within the ranges of the server; not started with them: {proof.why_not_started}."
    )
    end = [Text(line) for line in ("", *LEGEND, how)]
    whole = Group(*parts, *end, *(Text(line) for line in _end(proposal, applied)))
    return Constrain(whole, min(stdout().width, WIDTH))


def _why(row: Row) -> str:
    if row.sources in {None, row.proposed}:
        return row.why
    return f"{row.why}; fixed recipe: {row.sources}, {row.sources_why}"


def _proposed(row: Row) -> str:
    if not row.changes:
        return "as it is" if row.waiting is None else f"{row.proposed} (set; waits for a restart)"
    if row.fixed:
        return f"{row.proposed} (but fixed by the server's command line)"
    return f"{row.proposed} ({'needs a restart' if row.restart else 'by a reload'})"


def _end(proposal: Proposal, applied: Applied | None) -> list[str]:
    if applied is None:
        count = len(proposal.changing)
        told = f"{count} setting{'s' if count > 1 else ''} would change: outreachdb tune --apply" if count else NOTHING
        return [told, *_restart(tuple(row.name for row in proposal.waiting))]
    if not applied.changed:
        return [NOTHING, *_restart(tuple(row.name for row in proposal.waiting))]
    lines = [f"Set: {', '.join(applied.changed)}. Back: outreachdb tune --revert (kept in {applied.kept_in})."]
    return [*lines, *_restart(applied.restart)]


def _restart(names: tuple[str, ...]) -> list[str]:
    if not names:
        return []
    how = "the embedded one: outreachdb down && outreachdb up"
    return [f"In force after a restart of the server ({how}): {', '.join(names)}."]


def _show_reverted(done: Reverted) -> None:
    lines = [f"As before: {', '.join(done.restored) or 'nothing'}.", *_restart(done.restart)]
    if done.left:
        lines.append(f"Left alone, as somebody has changed them since: {', '.join(done.left)}.")
    emit({"restored": list(done.restored), "restart": list(done.restart), "left": list(done.left)}, "\n".join(lines))
