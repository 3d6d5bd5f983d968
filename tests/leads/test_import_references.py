"""Imports ask for workspace and companies once; where something else is to be asked or told, row by row as ever."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from lead_rows import value

from outreachdb.config import Settings
from outreachdb.db.pools import Pools, connect
from outreachdb.leads.importing import import_file
from outreachdb.tenancy import workspaces

FOLLOWED = """
    CREATE TABLE public.followed (lead_id bigint);
    GRANT INSERT ON public.followed TO PUBLIC;
    CREATE FUNCTION public.follow() RETURNS trigger LANGUAGE plpgsql AS $$
    BEGIN
        INSERT INTO public.followed VALUES (NEW.id);
        RETURN NEW;
    END $$;
"""
ASKED = "SELECT count(*) FROM outreach.leads AS l WHERE l.company_id IS NOT NULL AND EXISTS ("
ASKED += "SELECT FROM outreach.companies AS c WHERE c.workspace_id = l.workspace_id AND c.id = l.company_id)"


async def test_a_trigger_of_somebodys_own_sees_every_lead(own_database_url: str, csv_file: Callable[..., Path]) -> None:
    def file(tag: str) -> Path:
        rows = [(f"{tag}{n}@acme.example", f"Acme {n % 3}") for n in range(10)]
        return csv_file(("email", "company"), *rows)

    async with (
        Pools(Settings.load({}, database_url=own_database_url)) as pools,
        await connect(own_database_url, autocommit=True) as admin,
    ):
        await workspaces.create(pools, "acme")
        tenant = await workspaces.tenant(pools, "acme")
        assert (await import_file(tenant, file("a"))).inserted == 10
        assert await value(tenant, ASKED) == 10, "all companies are there"
        await admin.execute(FOLLOWED.encode())
        await admin.execute(
            "CREATE TRIGGER follow AFTER INSERT ON outreach.leads FOR EACH ROW EXECUTE FUNCTION public.follow()"
        )
        assert (await import_file(tenant, file("b"))).inserted == 10
        found = await (await admin.execute("SELECT count(DISTINCT lead_id) AS n FROM public.followed")).fetchone()
        assert found == {"n": 10}
