"""A database whose routines live on a clock of their own: the product's SQL with another name for the clock."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import psycopg

from outreachdb.db.tenant import Tenant
from outreachdb.sending.ledger import Ledger

CLOCK = (
    "CREATE TABLE public.clock AS SELECT now() AS at",
    "GRANT SELECT ON public.clock TO PUBLIC",
    "CREATE FUNCTION public.simulated_now() RETURNS timestamptz LANGUAGE sql STABLE AS 'SELECT at FROM public.clock'",
)
ROUTINES = r"""
    SELECT regexp_replace(
        d.text, '\m(now|clock_timestamp|statement_timestamp)\(\)|CURRENT_TIMESTAMP', 'public.simulated_now()', 'g')
    FROM pg_proc AS p
    CROSS JOIN LATERAL (SELECT pg_get_functiondef(p.oid) AS text) AS d
    WHERE p.pronamespace = 'outreach'::regnamespace AND p.prokind = 'f'
      AND d.text ~ '\m(now|clock_timestamp|statement_timestamp)\(\)|CURRENT_TIMESTAMP'
"""
LOOK = """
    SELECT min(s.scheduled_at) FILTER (WHERE s.scheduled_at > c.at) AS due,
           min(m.next_free_at) FILTER (WHERE m.next_free_at > c.at) AS free,
           bool_or(s.scheduled_at <= c.at) AS held
    FROM public.clock AS c, outreach.email_sends AS s
    JOIN outreach.mailboxes AS m ON m.workspace_id = s.workspace_id AND m.id = s.mailbox_id
    WHERE s.workspace_id = %s AND s.status = 'scheduled'
"""


class SimulatedClock:
    """The clock of one database."""

    def __init__(self, url: str, at: datetime) -> None:
        self._connection = psycopg.connect(url, autocommit=True)
        for statement in CLOCK:
            self._connection.execute(statement.encode())
        for (routine,) in self._connection.execute(ROUTINES).fetchall():
            self._connection.execute(routine.encode())
        self.at = at
        self.set(at)

    def set(self, at: datetime) -> None:
        """Put it to an instant."""
        self._connection.execute("UPDATE public.clock SET at = %s", [at])
        self.at = at

    def close(self) -> None:
        """Give the database free."""
        self._connection.close()

    async def send_everything(self, tenant: Tenant, until: datetime | None = None) -> datetime | None:
        """Claim, begin and record until nothing is left (or an instant has come); when the last mail left.

        Where nothing can be claimed the clock is put to the next instant at which a row of the ledger, a mailbox or the
        day (UTC) may allow more.
        """
        ledger, last = Ledger(tenant, timedelta(hours=1)), None
        while until is None or self.at < until:
            sends, others = await ledger.claim(1000, [])
            if sends:
                begun = await ledger.begin(sends)
                assert {row["verdict"] for row in begun.values()} == {"begun"}
                sent = [{"id": each.send_id, "created_at": each.created_at, "outcome": "sent"} for each in sends]
                assert (await ledger.record(sent))["sent"] == len(sends)
                last = self.at
            elif not others:
                following = await self._next(tenant)
                if following is None:
                    break
                self.set(following)
        return last

    async def _next(self, tenant: Tenant) -> datetime | None:
        async with tenant.trusted() as session:
            found = await session.one(LOOK, [tenant.workspace_id])
        assert found is not None
        midnight = self.at.astimezone(UTC).replace(hour=0, minute=0, second=0, microsecond=0) + timedelta(days=1)
        candidates = [found["due"], found["free"] if found["held"] else None, midnight if found["held"] else None]
        return min((each for each in candidates if each is not None), default=None)
