"""How long work tells where it is: one callback, drawn as a bar by the command line."""

from __future__ import annotations

from typing import Protocol


class Progress(Protocol):
    """Called now and then with the phase ("reading", "inserting"), what is done, and the total if it is known."""

    def __call__(self, phase: str, done: int, total: int | None = None) -> None:
        """Report; cheap enough to call every few thousand rows."""


def silent(phase: str, done: int, total: int | None = None) -> None:
    """Report to nobody."""
