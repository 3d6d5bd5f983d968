"""Search and lists in one large workspace beside a hundred small ones that share its tables and indexes."""

from __future__ import annotations

from typing import Any

from outreachdb.benchmarks import population
from outreachdb.benchmarks.asking import Ask, Question, measure
from outreachdb.benchmarks.measure import Result
from outreachdb.benchmarks.population import Population
from outreachdb.db.tenant import Tenant
from outreachdb.leads.search import search
from outreachdb.progress import Progress, silent

PAGE = 50
DEEP = 10_000
USUAL = 2_000_000  # leads that the limits are meant for; of more, pages and searches may take twice as long
SOURCES = "500 ms; 1 s with search"


async def run(url: str, leads: int = 2_000_000, progress: Progress = silent) -> list[Result]:
    """Fill a scratch database and ask it what people ask."""
    async with population.scratch(url, leads, progress) as people:
        return await measured(people, progress)


async def measured(people: Population, progress: Progress = silent) -> list[Result]:
    """The 95th percentile of each question in milliseconds."""
    page = min(DEEP, people.leads // PAGE - 2)
    slack = 2 if people.leads > USUAL else 1
    deep = await _deep(people.large, page, progress)
    results = [await measure(question, progress) for question in _lists(people.large, deep, page, slack)]
    first = next(result.value for result in results if result.name == "list: first page")
    there = next(result.value for result in results if result.name.startswith("list: page"))
    results.append(Result(f"list: page {page:,} beside the first", round(there / first, 2), "x", None, 2.0))
    texts = [
        *await _texts(people.large, "large workspace", (50 * slack, 100 * slack)),
        *await _texts(people.small, "small workspace", (5, 5)),
        Question("list, small workspace: first page", [_ask(people.small)], 5, "500 ms"),
    ]
    return results + [await measure(question, progress) for question in texts]


def _lists(large: Tenant, deep: str | None, page: int, slack: int) -> list[Question]:
    def field(name: str, op: str, value: Any) -> dict[str, Any]:
        return {"field": name, "op": op, "value": value}

    both = {"all": [field("country", "in", ["US", "GB", "DE"]), field("qualification_score", "gte", 40)]}
    sorts = ("-score", "company_name", "-qualified_at", "email", "-updated_at")
    limit = 10 * slack
    return [
        Question("list: first page", [_ask(large)], limit, "500 ms"),
        Question(f"list: page {page:,}", [_ask(large, cursor=deep)], limit, "500 ms"),
        Question("list: first page, other orders", [_ask(large, sort=sort) for sort in sorts], limit, "500 ms"),
        Question("filter page: a country", [_ask(large, where=field("country", "equals", "US"))], limit, "500 ms"),
        Question("filter page: a status", [_ask(large, where=field("status", "equals", "replied"))], limit, "500 ms"),
        Question("filter page: a tag", [_ask(large, where=field("tags", "has_any", ["tag1"]))], limit, "500 ms"),
        Question("filter page: a rare tag", [_ask(large, where=field("tags", "has_any", ["tag299"]))], limit, "500 ms"),
        Question("filter page: countries and a score", [_ask(large, where=both)], limit, "500 ms"),
    ]


def _ask(tenant: Tenant, **given: Any) -> Ask:
    return lambda: search(tenant, **given)


NEEDLES = """
    SELECT lower(l.last_name) AS surname, lower(split_part(l.company_name, ' ', 1)) AS company,
           split_part(l.email, '@', 1) AS address, lower(l.first_name) AS name
    FROM outreach.leads AS l
    WHERE l.workspace_id = %(workspace_id)s AND l.id %% 97 = 13
    ORDER BY hashint8extended(l.id, 5)
    LIMIT 40
"""


async def _texts(tenant: Tenant, where: str, limits: tuple[int, int]) -> list[Question]:
    """Parts of the names, companies and addresses of forty people, and what nobody is called.

    ``limits`` are the milliseconds for what is found and for what is not, or not so.
    """
    async with tenant.session() as session:
        people = await session.all(NEEDLES, {"workspace_id": tenant.workspace_id})
    hit, none = limits

    def asked(texts: list[str]) -> list[Ask]:
        return [_ask(tenant, text=text) for text in texts]

    surnames = [row["surname"] for row in people]
    return [
        Question(f"search, {where}: a surname", asked(surnames), hit, SOURCES),
        Question(f"search, {where}: a part of it", asked([each[1:-1] for each in surnames]), hit, SOURCES),
        Question(f"search, {where}: a company", asked([row["company"] for row in people]), hit, SOURCES),
        Question(f"search, {where}: an address", asked([row["address"] for row in people]), hit, SOURCES),
        Question(
            f"search, {where}: name and surname",
            asked([f"{row['name']} {row['surname']}" for row in people]),
            hit,
            SOURCES,
        ),
        Question(f"search, {where}: two characters", asked([each[:2] for each in surnames]), hit, SOURCES),
        Question(f"search, {where}: no hit", asked([f"{each[::-1]}qx" for each in surnames]), none, SOURCES),
        Question(f"search, {where}: misspelt", asked([_misspelt(each) for each in surnames]), none, SOURCES),
        Question(
            f"search, {where}: both misspelt",
            asked([f"{_misspelt(row['name'])} {_misspelt(row['surname'])}" for row in people]),
            none,
            SOURCES,
        ),
    ]


def _misspelt(word: str) -> str:
    """Two letters in the middle change places."""
    middle = len(word) // 2
    return word[: middle - 1] + word[middle] + word[middle - 1] + word[middle + 1 :]


async def _deep(tenant: Tenant, page: int, progress: Progress) -> str | None:
    """The cursor of a page, found by walking there in the largest steps."""
    cursor, left = None, (page - 1) * PAGE
    while left > 0:
        progress(f"walking to page {page:,}", (page - 1) * PAGE - left, page * PAGE)
        step = min(left, 1000)
        cursor = (await search(tenant, limit=step, cursor=cursor)).next_cursor
        left -= step
    return cursor
