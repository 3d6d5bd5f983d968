"""The URLs that `pool config` writes for the engine."""

from __future__ import annotations

from outreachdb.pooling import Written


def environment(written: Written) -> dict[str, str]:
    """The variables of pool.env."""
    lines = [line for line in written.environment.read_text().splitlines() if not line.startswith("#")]
    return {name: value.strip("'") for name, _, value in (line.partition("=") for line in lines)}
