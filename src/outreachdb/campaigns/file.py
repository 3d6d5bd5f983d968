"""Campaign files: YAML or JSON, checked whole before anything is stored."""

from __future__ import annotations

import json
import re
from datetime import time
from pathlib import Path
from typing import Annotated, Any, Literal, Self
from zoneinfo import available_timezones

import yaml
from email_validator import EmailNotValidError, validate_email
from pydantic import (
    AfterValidator,
    AwareDatetime,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    ValidationError,
    model_validator,
)

from outreachdb.campaigns.templates import MissingPolicy, StepTemplates, sample_lead
from outreachdb.errors import InvalidInput, plain_message
from outreachdb.segments import definition as definitions
from outreachdb.words import did_you_mean

MAX_BYTES = 2 * 1024 * 1024
MAX_SOURCE = 100_000  # characters of a template
MAX_NODES = 100_000  # of a YAML document with its aliases written out
UNITS = {"second": 1, "minute": 60, "hour": 3600, "day": 86400, "week": 604800}
_DURATION = re.compile(r"(\d{1,6})\s*(second|minute|hour|day|week)s?")


def _address(text: str) -> str:
    try:
        return validate_email(text, check_deliverability=False, test_environment=True).normalized
    except EmailNotValidError as error:
        raise ValueError(f"is no e-mail address: {error}") from None


def _seconds(value: Any) -> Any:
    """``3 days`` as seconds; numbers are seconds already."""
    if isinstance(value, str):
        match = _DURATION.fullmatch(value.strip().lower())
        if match is None:
            raise ValueError('must be seconds or a text such as "3 days"')
        return int(match[1]) * UNITS[match[2]]
    return value


def _host(text: str) -> str:
    if not re.fullmatch(r"[A-Za-z0-9._:-]{1,253}", text):
        raise ValueError("is no host name")
    return text


def _line(text: str) -> str:
    if not text.strip() or not text.isprintable():
        raise ValueError("must be one line of printable characters")
    return text.strip()


def _clock(value: Any) -> Any:
    """``9:30`` as a time; YAML reads an unquoted one as a number of base sixty."""
    if isinstance(value, int) and not isinstance(value, bool) and 0 <= value <= 1440:
        value = f"{value // 60}:{value % 60:02d}"
    if value == "24:00":
        return time.max
    if isinstance(value, str) and re.fullmatch(r"\d{1,2}:\d{2}", value):
        return value.zfill(5)
    raise ValueError('must be a time such as "09:30"')


def _zone(text: str) -> str:
    if text not in available_timezones():
        raise ValueError("is no time zone, such as Europe/Berlin")
    return text


Duration = Annotated[int, BeforeValidator(_seconds, json_schema_input_type=int | str)]
Clock = Annotated[time, BeforeValidator(_clock, json_schema_input_type=str)]
Line = Annotated[str, Field(max_length=200), AfterValidator(_line)]


class _Strict(BaseModel):
    model_config = ConfigDict(extra="forbid", hide_input_in_errors=True)


class Smtp(_Strict):
    """How to reach a mailbox's server; ``password_env`` names the environment variable that holds the password."""

    host: Annotated[str, AfterValidator(_host)]
    port: Annotated[int, Field(ge=1, le=65535)] = 587
    security: Literal["plain", "starttls", "tls"] = "starttls"
    username: Line | None = None
    password_env: str | None = None


class RampUp(_Strict):
    """A new mailbox's first days: ``first_day`` mails, each day ``increase`` more, until ``daily_cap``."""

    first_day: Annotated[int, Field(gt=0, le=1_000_000)]
    increase: Annotated[int, Field(ge=0, le=1_000_000)]


class Window(_Strict):
    """When mails leave by the clock of their lead; ``timezone`` is the clock of leads without one."""

    from_: Annotated[Clock, Field(alias="from")]
    to: Clock
    days: Annotated[list[Literal["mon", "tue", "wed", "thu", "fri", "sat", "sun"]], Field(min_length=1)] | None = None
    timezone: Annotated[str, AfterValidator(_zone)] = "UTC"

    @model_validator(mode="after")
    def _in_order(self) -> Self:
        if self.from_ >= self.to:
            raise ValueError("must open before it closes (two campaigns make a window over midnight)")
        return self


class MailboxEntry(_Strict):
    """A mailbox to send from; without ``smtp`` it must be known already."""

    address: Annotated[str, AfterValidator(_address)]
    display_name: Line | None = None
    smtp: Smtp | None = None
    daily_cap: Annotated[int, Field(gt=0, le=1_000_000)] | None = None
    ramp_up: RampUp | None = None
    min_spacing: Annotated[Duration, Field(ge=0, le=86400)] | None = None


class Variant(_Strict):
    """One of several texts for a step; a lead always gets the same one, in proportion to ``weight``."""

    name: Annotated[str, Field(pattern=r"^[A-Za-z0-9_-]{1,20}$")]
    weight: Annotated[int, Field(ge=1, le=100)] = 1
    subject: Annotated[str, Field(min_length=1, max_length=1000)]
    text: Annotated[str, Field(min_length=1, max_length=MAX_SOURCE)]
    html: Annotated[str, Field(max_length=MAX_SOURCE)] | None = None


class Step(_Strict):
    """One message of the sequence; ``delay`` counts from the step before (seconds, or "3 days")."""

    subject: Annotated[str, Field(min_length=1, max_length=1000)] | None = None
    text: Annotated[str, Field(min_length=1, max_length=MAX_SOURCE)] | None = None
    html: Annotated[str, Field(max_length=MAX_SOURCE)] | None = None
    variants: Annotated[list[Variant], Field(min_length=2, max_length=10)] | None = None
    delay: Annotated[Duration, Field(ge=0, le=366 * 86400)] = 0
    condition: Literal["always", "no_reply", "no_click", "no_open"] = "no_reply"

    @model_validator(mode="after")
    def _text_or_variants(self) -> Self:
        if (self.variants is None) != (self.subject is not None and self.text is not None):
            raise ValueError("needs either subject and text, or variants")
        names = [variant.name for variant in self.variants or []]
        if len(set(names)) < len(names):
            raise ValueError("has two variants of one name")
        return self

    def texts(self) -> dict[str | None, tuple[str, str, str | None]]:
        """Subject, text and HTML by variant; of a step without variants by ``None``."""
        if self.variants:
            return {each.name: (each.subject, each.text, each.html) for each in self.variants}
        return {None: (self.subject or "", self.text or "", self.html)}


class CampaignFile(_Strict):
    """A whole campaign; ``segment`` is a saved segment's name or a definition, ``start`` the earliest instant.

    ``missing`` says what becomes of a lead that lacks what a template names: ``strict`` refuses empty fields too,
    ``error`` refuses unknown names and custom fields that the lead doesn't have, ``empty`` writes nothing there.
    ``track`` is told by the HTML part, where the setting ``public_url`` says who hears of it.
    ``priority``: of a mailbox's campaigns, those with a higher one come first, those with the same take turns.
    """

    name: Line
    segment: Line | dict[str, Any]
    mailboxes: Annotated[list[MailboxEntry], Field(min_length=1, max_length=1000)]
    steps: Annotated[list[Step], Field(min_length=1, max_length=50)]
    start: AwareDatetime | None = None
    window: Window | None = None
    priority: Annotated[int, Field(ge=-1000, le=1000)] = 0
    missing: MissingPolicy = "error"
    track: list[Literal["opens", "clicks"]] = ["opens", "clicks"]


# Key of a campaign file -> what its value, or each item of it, must be.
MODELS: dict[str, type[BaseModel]] = {
    "mailboxes": MailboxEntry, "ramp_up": RampUp, "smtp": Smtp, "steps": Step, "variants": Variant, "window": Window,
}  # fmt: skip


def parse(data: Any, *, where: str = "campaign") -> CampaignFile:
    """Check a campaign given as plain data, templates included; raises InvalidInput that names the spot."""
    try:
        campaign = CampaignFile.model_validate(data)
    except ValidationError as error:
        first = error.errors(include_url=False, include_input=False)[0]
        raise InvalidInput(f"{where}: {_spot(first['loc'])}: {_problem(first)}") from None
    if isinstance(campaign.segment, dict):
        definitions.check(campaign.segment, where=f"{where}: segment")
    addresses = [mailbox.address.lower() for mailbox in campaign.mailboxes]
    for index, address in enumerate(addresses):
        if address in addresses[:index]:
            raise InvalidInput(f"{where}: mailboxes[{index}]: {address} is listed twice")
    for index, step in enumerate(campaign.steps):
        for variant, texts in step.texts().items():
            spot = f"steps[{index}]" + (f".variants[{variant}]" if variant else "")
            try:
                StepTemplates(*texts, missing=campaign.missing).render(sample_lead())
            except InvalidInput as error:
                raise InvalidInput(f"{where}: {spot}.{error.detail}", hint=error.hint) from None
    return campaign


def schema() -> dict[str, Any]:
    """The JSON Schema of campaign files (draft 2020-12), for editors; :func:`parse` checks more than it can say."""
    made = CampaignFile.model_json_schema()
    return {"$schema": "https://json-schema.org/draft/2020-12/schema"} | made | {"title": "OutreachDB campaign"}


def load(path: str | Path) -> CampaignFile:
    """Read a YAML or JSON file."""
    path = Path(path)
    try:
        if path.is_file() and path.stat().st_size > MAX_BYTES:
            raise InvalidInput(f"{path}: is too large", hint="at most 2 MB")
        data = _read(path)
    except OSError as error:
        raise InvalidInput(f"{path} can't be read: {error.strerror}") from None
    except UnicodeDecodeError:
        raise InvalidInput(f"{path} is not UTF-8 text") from None
    except RecursionError:
        raise InvalidInput(f"{path}: nested too deep") from None
    if not isinstance(data, dict):
        raise InvalidInput(f"{path} holds no campaign", hint="it needs the keys name, segment, mailboxes, steps")
    return parse(data, where=str(path))


def _read(path: Path) -> Any:
    text = path.read_text(encoding="utf-8")
    try:
        if path.suffix.lower() == ".json":
            return json.loads(text)
        _check_size(path, yaml.compose(text, yaml.SafeLoader))
        return yaml.safe_load(text)
    except json.JSONDecodeError as error:
        raise InvalidInput(f"{path}: no JSON at line {error.lineno}, column {error.colno}: {error.msg}") from None
    except ValueError:  # Python reads no number of more than some thousand digits
        raise InvalidInput(f"{path} holds a number or a date that can't be read") from None
    except yaml.YAMLError as error:
        mark = getattr(error, "problem_mark", None)
        place = f" at line {mark.line + 1}, column {mark.column + 1}" if mark else ""
        raise InvalidInput(f"{path}: no YAML{place}: {getattr(error, 'problem', None) or 'unreadable'}") from None


def _check_size(path: Path, root: yaml.Node | None) -> None:
    """A few aliases of aliases are a document of billions of nodes, and checking visits each."""
    sizes: dict[int, int] = {}

    def size(node: yaml.Node) -> int:
        if id(node) not in sizes:
            sizes[id(node)] = 1  # an alias of what it stands in: the parser refuses it
            values = node.value if isinstance(node.value, list) else []
            parts = [part for value in values for part in (value if isinstance(value, tuple) else (value,))]
            sizes[id(node)] = 1 + sum(size(part) for part in parts)
        return sizes[id(node)]

    if root is not None and size(root) > MAX_NODES:
        raise InvalidInput(f"{path}: is too large", hint="its aliases, written out, are over 100,000 values")


def _spot(location: tuple[int | str, ...]) -> str:
    # The branches of segment's union (str, dict) are not places in the file.
    parts = [part for part in location if not (isinstance(part, str) and part.startswith(("dict[", "function-")))]
    if len(parts) > 1 and parts[0] == "segment":
        parts = parts[:1]
    spot = "".join(f"[{part}]" if isinstance(part, int) else f".{part}" for part in parts)
    return spot.lstrip(".") or "the file"


def _unknown_key(location: tuple[int | str, ...]) -> str:
    """The key, and the one that it may have meant, which is one of the model that it stands in."""
    model: type[BaseModel] = CampaignFile
    for part in location[:-1]:
        model = MODELS.get(str(part), model)
    known = [field.alias or name for name, field in model.model_fields.items()]
    meant = did_you_mean(str(location[-1]), known, f"there are {', '.join(known)}")
    return f'unknown key "{location[-1]}"; {meant}'


def _problem(error: Any) -> str:
    if error["type"] == "extra_forbidden":
        return _unknown_key(error["loc"])
    if error["type"] == "missing":
        return "is missing"
    if error["loc"][:1] == ("segment",):
        return "must be a segment's name or a definition"
    message = plain_message(str(error["msg"]))
    return message[0].lower() + message[1:]
