"""Campaign files: YAML or JSON, checked whole before anything is stored."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Annotated, Any, Literal

import yaml
from email_validator import EmailNotValidError, validate_email
from pydantic import AfterValidator, AwareDatetime, BaseModel, BeforeValidator, ConfigDict, Field, ValidationError

from outreachdb.campaigns.templates import StepTemplates, sample_lead
from outreachdb.errors import InvalidInput
from outreachdb.segments import definition as definitions

MAX_BYTES = 2 * 1024 * 1024
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


class MailboxEntry(_Strict):
    """A mailbox to send from; without ``smtp`` it must be known already."""

    address: Annotated[str, AfterValidator(_address)]
    display_name: Line | None = None
    smtp: Smtp | None = None
    daily_cap: Annotated[int, Field(gt=0)] | None = None


class Step(_Strict):
    """One message of the sequence; ``delay`` counts from the step before (seconds, or "3 days")."""

    subject: Annotated[str, Field(min_length=1, max_length=1000)]
    text: Annotated[str, Field(min_length=1)]
    html: str | None = None
    delay: Annotated[int, BeforeValidator(_seconds), Field(ge=0, le=366 * 86400)] = 0
    condition: Literal["always", "no_reply", "no_click", "no_open"] = "no_reply"


class CampaignFile(_Strict):
    """A whole campaign; ``segment`` is a saved segment's name or a definition, ``start`` the earliest instant."""

    name: Line
    segment: Line | dict[str, Any]
    mailboxes: Annotated[list[MailboxEntry], Field(min_length=1, max_length=1000)]
    steps: Annotated[list[Step], Field(min_length=1, max_length=50)]
    start: AwareDatetime | None = None


def parse(data: Any, *, where: str = "campaign") -> CampaignFile:
    """Check a campaign given as plain data, templates included; raises InvalidInput that names the spot."""
    try:
        campaign = CampaignFile.model_validate(data)
    except ValidationError as error:
        first = error.errors(include_url=False, include_input=False)[0]
        raise InvalidInput(f"{where}: {_spot(first['loc'])}: {_problem(first)}") from None
    if isinstance(campaign.segment, dict):
        definitions.check(campaign.segment)
    addresses = [mailbox.address.lower() for mailbox in campaign.mailboxes]
    for index, address in enumerate(addresses):
        if address in addresses[:index]:
            raise InvalidInput(f"{where}: mailboxes[{index}]: {address} is listed twice")
    for index, step in enumerate(campaign.steps):
        try:
            StepTemplates(step.subject, step.text, step.html).render(sample_lead())
        except InvalidInput as error:
            raise InvalidInput(f"{where}: steps[{index}].{error.detail}", hint=error.hint) from None
    return campaign


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
        return yaml.safe_load(text)
    except json.JSONDecodeError as error:
        raise InvalidInput(f"{path}: no JSON at line {error.lineno}, column {error.colno}: {error.msg}") from None
    except yaml.YAMLError as error:
        mark = getattr(error, "problem_mark", None)
        place = f" at line {mark.line + 1}, column {mark.column + 1}" if mark else ""
        raise InvalidInput(f"{path}: no YAML{place}: {getattr(error, 'problem', None) or 'unreadable'}") from None


def _spot(location: tuple[int | str, ...]) -> str:
    # The branches of segment's union (str, dict) are not places in the file.
    parts = [part for part in location if not (isinstance(part, str) and part.startswith(("dict[", "function-")))]
    if len(parts) > 1 and parts[0] == "segment":
        parts = parts[:1]
    spot = "".join(f"[{part}]" if isinstance(part, int) else f".{part}" for part in parts)
    return spot.lstrip(".") or "the file"


def _problem(error: Any) -> str:
    if error["type"] == "extra_forbidden":
        return "unknown key"
    if error["type"] == "missing":
        return "is missing"
    if error["loc"][:1] == ("segment",):
        return "must be a segment's name or a definition"
    message = str(error["msg"]).removeprefix("Value error, ")
    return message[0].lower() + message[1:]
