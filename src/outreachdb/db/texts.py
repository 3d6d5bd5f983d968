"""Which texts PostgreSQL can hold: none with a NUL, or with half a surrogate pair as odd bytes of a command give."""

from __future__ import annotations

from outreachdb.errors import InvalidInput


def check_text(name: str, text: str | None) -> None:
    """Raise InvalidInput that names what was given where no text of the database can hold it."""
    if text is not None and ("\0" in text or not is_whole(text)):
        raise InvalidInput(f"{name}: holds a character that no text here can contain")


def is_whole(text: str) -> bool:
    """Whether all of it was decoded: bytes that were not stand in it as halves of surrogate pairs."""
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True
