"""The compiled templates of campaigns, by campaign, step and variant."""

from __future__ import annotations

from collections.abc import Sequence

from outreachdb.campaigns.templates import MissingPolicy, StepTemplates
from outreachdb.db.queries import Queries
from outreachdb.db.tenant import Tenant

Q = Queries("outreachdb.sending")
Templates = dict[tuple[int, int, str | None], StepTemplates]


async def load(tenant: Tenant, campaigns: Sequence[int], *, missing: MissingPolicy | None = None) -> Templates:
    """Read and compile, by the campaigns' own policy or a given one; a step without variants stands under ``None``."""
    async with tenant.session("jobs", doing="reading templates") as session:
        rows = await session.all(Q.steps, {"workspace_id": tenant.workspace_id, "campaigns": list(campaigns)})
    loaded: Templates = {}
    for row in rows:
        policy: MissingPolicy = missing or row["missing"] or "error"
        texts = (
            {None: (row["subject"], row["body_text"], row["body_html"])}
            if not row["variants"]
            else {name: (each["subject"], each["text"], each["html"]) for name, each in row["variants"].items()}
        )
        for variant, text in texts.items():
            loaded[row["campaign_id"], row["step"], variant] = StepTemplates(*text, missing=policy)
    return loaded
