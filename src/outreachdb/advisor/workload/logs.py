"""Queries out of a server's log: stderr, csvlog or jsonlog, as log_min_duration_statement and auto_explain write them.

Formats: https://www.postgresql.org/docs/current/runtime-config-logging.html
"""

from __future__ import annotations

import csv
import gzip
import json
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TextIO

from pglast import parser

from outreachdb.advisor.workload.source import MOST, Statement, Workload
from outreachdb.errors import InvalidInput

CSV_MESSAGE = 13  # column of the message, the same since PostgreSQL 9.0
CSV_WIDTH = 23  # columns of the oldest form
# What the server says of a statement it ran; "parse" and "bind" are steps before the same statement's "execute".
SAID = re.compile(
    r"(?:duration: (?P<ms>[0-9.]+) ms\s+)?(?P<what>statement|execute [^:]*|plan): ?(?P<text>.*)", re.DOTALL
)
STDERR = re.compile(r"(?:LOG|ERROR|FATAL|PANIC|WARNING|NOTICE|INFO|DEBUG[1-5]?|DETAIL|HINT|CONTEXT|STATEMENT|QUERY):  ")
PLAN = re.compile(r"^\s*(?:->\s+)?\S.*\(cost=\d+\.\d+\.\.", re.MULTILINE)


@dataclass(slots=True)
class Seen:
    """All runs of one query, whatever its literals."""

    text: str
    calls: int
    total_ms: float
    longest_ms: float


def from_log(path: Path) -> Workload:
    """The costliest queries of a log file (.gz as well), alike but for their literals counted together.

    Statements that were logged without their duration count a millisecond each. InvalidInput where none is found.
    """
    try:
        with _open(path) as file:
            found = _gathered(_messages(file))
    except (OSError, EOFError, UnicodeDecodeError) as error:
        raise InvalidInput(f"{path} can't be read: {error}") from error
    if not found:
        raise InvalidInput(
            f"{path} holds no statement of a PostgreSQL log",
            hint="set log_min_duration_statement = 0 for a while; stderr, csvlog and jsonlog are read",
        )
    made = [Statement(each.text, each.calls, each.total_ms) for each in found]
    made.sort(key=lambda each: -each.total_ms)
    return Workload(tuple(made[:MOST]), path.name, max(len(made) - MOST, 0))


def _open(path: Path) -> TextIO:
    if path.suffix == ".gz":
        return gzip.open(path, "rt", encoding="utf-8", errors="replace", newline="")
    return path.open(encoding="utf-8", errors="replace", newline="")


def _messages(file: TextIO) -> Iterator[str]:
    """The messages, in whichever of the three formats."""
    first = file.readline()
    file.seek(0)
    if first.startswith("{"):
        yield from _json_messages(file)
    elif _is_csv(first):
        yield from (row[CSV_MESSAGE] for row in csv.reader(file) if len(row) >= CSV_WIDTH)
    else:
        yield from _stderr_messages(file)


def _is_csv(line: str) -> bool:
    """A csvlog line begins with a time stamp and has its many columns; stderr's prefix may hold a comma or two."""
    return line.count(",") >= CSV_MESSAGE and re.match(r'\d{4}-\d\d-\d\d [0-9:.]+ [^,]+,("|,)', line) is not None


def _json_messages(file: TextIO) -> Iterator[str]:
    for number, line in enumerate(file, 1):
        try:
            entry = json.loads(line)
        except ValueError:
            raise InvalidInput(f"{file.name}, line {number}: not a line of a jsonlog") from None
        if isinstance(entry, dict) and isinstance(entry.get("message"), str):
            yield entry["message"]


def _stderr_messages(file: TextIO) -> Iterator[str]:
    """A message goes on in lines that begin with a tab; what its prefix looks like is the server's setting."""
    message: list[str] = []
    for raw in file:
        line = raw.rstrip("\r\n")
        if line.startswith("\t") and message:
            message.append(line[1:])
            continue
        if message:
            yield "\n".join(message)
        begins = STDERR.search(line)
        message = [line[begins.end() :]] if begins and begins[0].startswith("LOG") else []
    if message:
        yield "\n".join(message)


def _gathered(messages: Iterator[str]) -> list[Seen]:
    found: dict[str, Seen] = {}
    for message in messages:
        said = SAID.match(message)
        text = _statement(said["what"], said["text"]) if said else ""
        if said is None or not text:
            continue
        try:
            alike = parser.fingerprint(text)
        except parser.ParseError:
            continue  # cut off by the server, or no SQL: a replication command
        spent = float(said["ms"] or 1)
        seen = found.setdefault(alike, Seen(text, 0, 0.0, 0.0))
        seen.calls += 1
        seen.total_ms += spent
        if spent > seen.longest_ms:
            seen.text, seen.longest_ms = text, spent
    return list(found.values())


def _statement(what: str, text: str) -> str:
    """The SQL of a message; auto_explain's stands before its plan."""
    if what != "plan":
        return text.strip()
    _, marked, after = text.partition("Query Text: ")
    plan = PLAN.search(after)
    return after[: plan.start()].split("\nQuery Parameters:")[0].strip() if marked and plan else ""
