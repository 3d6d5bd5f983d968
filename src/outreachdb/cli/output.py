"""What commands print."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from rich.console import Console, RenderableType

as_json = False


def emit(document: Mapping[str, Any], text: str | RenderableType) -> None:
    """Print the one JSON document, or the text for people."""
    if as_json:
        print(json.dumps(document, default=str))  # noqa: T201
    else:
        Console(soft_wrap=True).print(text, markup=False) if isinstance(text, str) else Console().print(text)
