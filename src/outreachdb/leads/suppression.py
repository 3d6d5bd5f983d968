"""Who may not be mailed: single addresses and whole domains. The database's ``outreach.suppress`` holds the rules."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from outreachdb.db.queries import Queries
from outreachdb.db.tenant import Row, Session, Tenant
from outreachdb.errors import InvalidInput, UsageError
from outreachdb.leads.vocabulary import SUPPRESSION_REASONS
from outreachdb.words import did_you_mean

Q = Queries("outreachdb.leads")
S = Queries("outreachdb.leads", "suppression.sql")
MAX_TARGET = 1000  # characters of a line that are looked at; no address is longer than 254


@dataclass(frozen=True, slots=True)
class Suppressed:
    """``added`` targets that were not suppressed before, ``leads`` whose status changed."""

    added: int
    leads: int


async def add(
    tenant: Tenant, targets: Sequence[str], *, reason: str = "manual", source: str | None = None
) -> Suppressed:
    """Suppress addresses or domains; all of them or, when one is neither, none (InvalidInput)."""
    _check_reason(reason)
    async with tenant.session(doing="suppressing") as session:
        row = await session.one(Q.suppress, {"targets": list(targets), "reason": reason, "source": source})
    return _suppressed(row)


async def add_file(
    tenant: Tenant, path: str | Path, *, reason: str = "manual", source: str | None = None
) -> Suppressed:
    """Suppress what a text file (UTF-8) names, one address or domain per line; all of it or nothing.

    Blank lines are left out, and a first line that can only be a heading. Raises InvalidInput with the lines that are
    neither address nor domain.
    """
    _check_reason(reason)
    path = Path(path)
    async with tenant.trusted(doing=f"suppressing the addresses of {path.name}") as session:
        await session.execute(S.create_targets)
        await _copy(session, path)
        bad = await session.all(S.bad_targets)
        if bad:
            shown = ", ".join(f"line {row['line']}: {row['target'][:60]}" for row in bad)
            raise InvalidInput(
                f"{path}: neither an e-mail address nor a domain: {shown}", hint="nothing was suppressed"
            )
        row = await session.one(S.suppress_targets, {"reason": reason, "source": source or path.name})
    return _suppressed(row)


async def listed(tenant: Tenant, limit: int = 100) -> list[Row]:
    """The newest suppressions: target, reason, source, expires_at, created_at."""
    async with tenant.session(doing="listing suppressions") as session:
        return await session.all(Q.list_suppressions, {"workspace_id": tenant.workspace_id, "limit": limit})


async def remove(tenant: Tenant, targets: Sequence[str]) -> list[str]:
    """Lift suppressions; returns the targets that were lifted. The status of leads stays as it is."""
    async with tenant.session(doing="lifting suppressions") as session:
        rows = await session.all(Q.remove_suppressions, {"workspace_id": tenant.workspace_id, "targets": list(targets)})
    return sorted(row["target"] for row in rows)


async def find(tenant: Tenant, addresses: Sequence[str]) -> list[Row]:
    """Which of the addresses are suppressed: address (as given), target (address or domain), reason."""
    values = {"workspace_id": tenant.workspace_id, "addresses": list(addresses), "now": datetime.now(UTC)}
    async with tenant.session(doing="looking for suppressions") as session:
        return await session.all(Q.find_suppressions, values)


async def _copy(session: Session, path: Path) -> None:
    connection = await session.connection()
    async with connection.cursor() as cursor, cursor.copy(S.copy_targets) as copy:
        for number, text in _lines(path):
            await copy.write_row((number, text))


def _lines(path: Path) -> Iterator[tuple[int, str]]:
    try:
        with path.open(encoding="utf-8-sig") as file:
            for number, line in enumerate(file, start=1):
                text = line.strip().strip('",;').replace("\x00", "\ufffd")[:MAX_TARGET]
                heading = number == 1 and "@" not in text and "." not in text
                if text and not heading:
                    yield number, text
    except UnicodeDecodeError:
        raise InvalidInput(f"{path} is not UTF-8 text", hint="one address or domain per line") from None
    except OSError as error:
        raise InvalidInput(f"{path} can't be read: {error.strerror}") from None


def _check_reason(reason: str) -> None:
    if reason not in SUPPRESSION_REASONS:
        hint = did_you_mean(reason, SUPPRESSION_REASONS, f"there are {', '.join(SUPPRESSION_REASONS)}")
        raise UsageError(f"there is no reason {reason!r}", hint=hint)


def _suppressed(row: Row | None) -> Suppressed:
    return Suppressed(row["added"], row["leads"]) if row else Suppressed(0, 0)
