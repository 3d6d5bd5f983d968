"""A contact list as teams really have them: seeded, so that every run is the same, and honestly messy.

Per 1,000 rows about 30 repeat an earlier address in other case, 20 hold no address that could work, 40 have none, 3
have cells too many; names come from many languages, and notes run over several lines.
"""

from __future__ import annotations

import csv
import random
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

HEADER = (
    "First Name", "Last Name", "Email", "Phone", "Job Title", "Company", "Website", "LinkedIn URL",
    "Industry", "Country", "City", "Tags", "Employees", "Notes",
)  # fmt: skip
FIRST = (
    "Anna", "José", "Zoë", "Łukasz", "Jürgen", "Mehmet", "Chloé", "Dmitri", "Priya", "Wei", "Yūki", "Björn", "Siobhán",
    "Fatima", "Olu", "Mary", "James", "Linda", "Robert", "Susan", "Carlos", "Ingrid", "Noah", "Amélie", "Nguyễn",
)  # fmt: skip
LAST = (
    "Müller", "García", "O'Neil", "Smith", "Nowak", "Yılmaz", "Dubois", "Ivanova", "Patel", "Zhang", "Tanaka",
    "Ångström", "Kelly", "Okafor", "Haddad", "Johnson",
    "Brown", "Lee", "Martins", "van der Berg", "Rossi", "Kovač", "Silva",
    "Nilsen",
)  # fmt: skip
TITLES = (
    "Head of Growth", "VP Sales", "CTO", "Growth Marketing Manager", "Founder", "Data Engineer", "Operations Lead",
    "Chief Revenue Officer", "Product Manager", "Account Executive",
)  # fmt: skip
INDUSTRIES = ("SaaS", "Fintech", "Healthcare", "Retail", "Logistics", "Education", "Energy", "Media")
PLACES = (
    ("US", "Austin"), ("US", "New York"), ("GB", "London"), ("DE", "München"), ("FR", "Orléans"), ("PL", "Kraków"),
    ("BR", "São Paulo"), ("IN", "Pune"), ("JP", "Kyoto"), ("SE", "Malmö"),
)  # fmt: skip
TAGS = ("vip", "webinar", "trial", "churned", "conference", "newsletter", "partner")
BROKEN = ("{name}", "{name}@", "@{domain}", "{name}@{domain} or call", "{name}.{domain}", "{name}@@{domain}", "n/a")
WORDS = ("Northwind", "Bluefin", "Cobalt", "Juniper", "Atlas", "Kestrel", "Marigold", "Quartz", "Sable", "Tundra")
KINDS = ("Labs", "Systems", "Foods", "Logistics", "Health", "Works", "Media", "Energy")


@dataclass(frozen=True, slots=True)
class Written:
    """What :func:`write` put into the file."""

    rows: int
    bytes: int


def write(path: Path, leads: int, *, seed: int = 20) -> Written:
    """Write ``leads`` rows below a header."""
    with path.open("w", encoding="utf-8", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(HEADER)
        writer.writerows(rows(leads, seed=seed))
    return Written(leads, path.stat().st_size)


def rows(leads: int, *, seed: int = 20) -> Iterator[list[str]]:
    """The rows themselves."""
    draw = random.Random(seed)  # noqa: S311  (the same list every time is the point)
    seen: list[str] = []
    for number in range(leads):
        yield _row(draw, number, seen)


def _row(draw: random.Random, number: int, seen: list[str]) -> list[str]:
    first, last = draw.choice(FIRST), draw.choice(LAST)
    company = f"{draw.choice(WORDS)} {draw.choice(KINDS)} {draw.randrange(400)}"
    domain = company.lower().replace(" ", "") + ".example"
    country, city = draw.choice(PLACES)
    row = [
        first,
        last,
        _email(draw, number, domain, seen),
        f"+1 555 {number % 10_000_000:07d}" if draw.random() < 0.7 else "",
        draw.choice(TITLES),
        company,
        f"https://www.{domain}" if draw.random() < 0.6 else "",
        f"https://www.linkedin.com/in/lead-{number}" if draw.random() < 0.5 else "",
        draw.choice(INDUSTRIES),
        country,
        city,
        ", ".join(draw.sample(TAGS, draw.randrange(3))),
        str(draw.choice((5, 20, 80, 300, 1200, 5000))),
        f'Met at the "{draw.choice(WORDS)}" fair.\nWants a call back.' if draw.random() < 0.05 else "",
    ]
    if draw.random() < 0.003:
        row.append("a cell too many")
    return row


def _email(draw: random.Random, number: int, domain: str, seen: list[str]) -> str:
    """Mostly a good one; see the module for the shares of the others."""
    name = f"lead.{number}"
    fate = draw.random()
    if fate < 0.04:
        return ""
    if fate < 0.06:
        return draw.choice(BROKEN).format(name=name, domain=domain)
    if fate < 0.09 and seen:
        return draw.choice(seen).upper()
    email = f"{name}@{domain}"
    if len(seen) < 5000:
        seen.append(email)
    return email
