"""What commands with ``--background`` share."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from outreachdb.cli.output import emit

if TYPE_CHECKING:  # commands that run at once start without the queue
    from outreachdb.jobs.background import Background as Job

Background = Annotated[bool, typer.Option("--background", help="Leave it to a worker (`outreachdb worker`).")]


def queued(made: Job) -> None:
    """Say which job it became."""
    emit(made.document(), f"job {made.id} waits for a worker; how far it is: outreachdb jobs show {made.id}")
