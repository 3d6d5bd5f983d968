"""The four pools, and how many server connections each gets on a given server."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from outreachdb.config import Workload
from outreachdb.errors import Conflict

# What must still get in beside the pools: a person with psql, migrations, replication, monitoring.
SPARE = 5


@dataclass(frozen=True, slots=True)
class Pool:
    """One pool: whom it serves, when a server connection goes to the next client, how many it has (R3)."""

    workload: Workload
    mode: Literal["transaction", "session"]
    size: int
    purpose: str


POOLS = (
    Pool("web", "transaction", 25, "requests: many clients, short transactions"),
    Pool("analytics", "session", 10, "long reads"),
    Pool("jobs", "session", 15, "background work: LISTEN and session locks need a session of their own"),
    Pool("admin", "session", 5, "migrations and maintenance"),
)


@dataclass(frozen=True, slots=True)
class Limits:
    """How many connections a server takes: in all, kept back for superusers, of one login, of one database."""

    max_connections: int
    reserved: int
    login: int | None = None
    database: int | None = None

    @property
    def available(self) -> int:
        """What the pools may take together."""
        most = [self.max_connections - self.reserved - SPARE]
        return min(most + [limit for limit in (self.login, self.database) if limit is not None])


@dataclass(frozen=True, slots=True)
class Sizing:
    """Connections for each pool, and what has to be said about them."""

    sizes: dict[Workload, int]
    available: int
    warnings: tuple[str, ...]

    @property
    def total(self) -> int:
        """Server connections of all pools together."""
        return sum(self.sizes.values())


def sized(limits: Limits) -> Sizing:
    """The sizes of the sources where they fit, else all of them smaller in proportion; Conflict where none can be."""
    wanted = {pool.workload: pool.size for pool in POOLS}
    total, available = sum(wanted.values()), limits.available
    if total <= available:
        return Sizing(wanted, available, ())
    if available < len(POOLS):
        raise Conflict(
            f"the server has room for {max(available, 0)} pooled connections, and four pools need one each",
            hint=f"raise max_connections to {total + limits.reserved + SPARE}, or the limit of the login or database",
        )
    shares = {workload: max(1, size * available // total) for workload, size in wanted.items()}
    # What rounding down left over goes to the pools that lost most, what rounding up to one took too much comes back.
    while (left := available - sum(shares.values())) != 0:
        step = 1 if left > 0 else -1
        loss = {each: wanted[each] * available / total - shares[each] for each in wanted if shares[each] + step > 0}
        chosen = max(loss, key=lambda each: step * loss[each])
        shares[chosen] += step
    warning = (
        f"the pools want {total} connections and the server has room for {available}: all are smaller in"
        f" proportion; max_connections = {total + limits.reserved + SPARE} would take them whole"
    )
    return Sizing(shares, available, (warning,))
