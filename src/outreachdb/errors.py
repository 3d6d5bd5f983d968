"""Every error that OutreachDB raises, in one tree.

::

    OutreachDBError                 1   500   something failed; base of all below
    ├── UsageError                  2   400   the call itself is wrong (an argument, a combination)
    ├── InvalidInput                1   422   the data given can't be used; says where and how to mend it
    │   └── ConstraintViolated      1   422   a database rule refused a row; names the rule
    ├── NotFound                    1   404   no such workspace, campaign, import ...
    ├── Conflict                    1   409   the thing exists already, or is in the wrong state
    │   └── TooCostly              1   409   it would take longer than the budget and is not confirmed
    ├── Unauthorized                1   401   a key, token or signature is missing or wrong
    ├── Cancelled                   1   499   a person stopped it; what was committed stays, the rest is resumable
    ├── ServerError                 1   503   the embedded server can't be started, stopped or found
    ├── DatabaseUnavailable         1   503   the database does not answer
    │   └── DatabaseUnsupported     1   503   it answers but is too old, or lacks a privilege or extension
    └── MigrationError              1   500   a migration failed, is locked out, or the catalogue drifted
        └── CatalogueDrift          1   500   the live catalogue differs from what the revision promises

The first number is the exit status of the command line, the second the HTTP status. Database errors become one of these
in :func:`from_database`, by the name of the violated constraint where there is one.
"""

from __future__ import annotations

import re
from typing import Any, ClassVar

import psycopg
from psycopg import errors as pg

from outreachdb.words import counted


class OutreachDBError(Exception):
    """Base of all errors; ``detail`` is one line for people, ``hint`` says how to mend it."""

    exit_status: ClassVar[int] = 1
    http_status: ClassVar[int] = 500
    code: ClassVar[str] = "error"

    def __init__(self, detail: str, *, hint: str | None = None, **context: Any) -> None:
        super().__init__(detail)
        self.detail = detail
        self.hint = hint
        self.context = context

    def __str__(self) -> str:
        return f"{self.detail} ({self.hint})" if self.hint else self.detail

    def problem(self) -> dict[str, Any]:
        """The error as an RFC 9457 problem document."""
        document: dict[str, Any] = {
            "type": f"urn:outreachdb:error:{self.code}",
            "title": self.code.replace("_", " "),
            "status": self.http_status,
            "detail": self.detail,
        }
        if self.hint:
            document["hint"] = self.hint
        return document | self.context


class UsageError(OutreachDBError):
    """The call itself is wrong."""

    exit_status, http_status, code = 2, 400, "usage"


class InvalidInput(OutreachDBError):
    """The data given can't be used; ``context`` may hold ``path`` (a JSON pointer or file name)."""

    http_status, code = 422, "invalid_input"


class ConstraintViolated(InvalidInput):
    """A database rule refused a row; ``context`` holds ``constraint`` and ``table``."""

    code = "constraint_violated"


class NotFound(OutreachDBError):
    """No such thing in this workspace."""

    http_status, code = 404, "not_found"


class Conflict(OutreachDBError):
    """The thing exists already, or is not in a state that allows the call."""

    http_status, code = 409, "conflict"


class Busy(Conflict):
    """Somebody else's transaction is in the way; the same call later does it, or goes on with what is begun."""

    code = "busy"


class TooCostly(Conflict):
    """It would take longer than the budget; ``context`` holds the ``estimate`` in milliseconds and the ``budget``."""

    code = "too_costly"


class Unauthorized(OutreachDBError):
    """A key, token or signature is missing, wrong or expired."""

    http_status, code = 401, "unauthorized"


class Cancelled(OutreachDBError):
    """A person stopped the work; what was committed stays."""

    http_status, code = 499, "cancelled"


class ServerError(OutreachDBError):
    """The embedded PostgreSQL can't be started, stopped or found."""

    http_status, code = 503, "server"


class DatabaseUnavailable(OutreachDBError):
    """The database does not answer."""

    http_status, code = 503, "database_unavailable"


class DatabaseUnsupported(DatabaseUnavailable):
    """The database answers, but is too old or lacks a privilege or extension."""

    code = "database_unsupported"


class MigrationError(OutreachDBError):
    """A migration failed or could not get its lock."""

    code = "migration"


class CatalogueDrift(MigrationError):
    """The live catalogue differs from what its revision promises; ``differences`` lists each."""

    code = "catalogue_drift"

    def __init__(self, differences: list[str]) -> None:
        super().__init__(
            f"the catalogue differs from its revision in {counted(len(differences), 'place')}",
            hint="each is listed; mend it by hand or migrate again",
            differences=differences,
        )
        self.differences = differences


# Constraint name -> what a person did wrong. Constraints not listed are reported by their own name.
CONSTRAINT_MESSAGES: dict[str, str] = {
    "uq_workspaces_name": "a workspace of that name exists already",
    "uq_leads_email_key": "a lead with that e-mail address exists already in the workspace",
    "uq_leads_source_key": "a lead with that source key exists already in the workspace",
    "uq_segments_name": "a segment of that name exists already in the workspace",
    "uq_campaigns_name": "a campaign of that name exists already in the workspace",
    "uq_inboxes_folder": "that folder of that account is read already",
    "uq_mailboxes_address": "a mailbox with that address exists already in the workspace",
    "uq_email_sends_exactly_once": "the lead has that step of the campaign already; no send is made twice",
    "uq_suppressions_target": "that address or domain is suppressed already",
    "ck_leads_email_format": "not an e-mail address",
    "ck_leads_company_website_format": "a web address must start with http:// or https://",
    "ck_leads_linkedin_url_format": "a web address must start with http:// or https://",
    "ck_leads_qualification_score_range": "a qualification score lies between 0 and 100",
    "ck_leads_qualification_latency_positive": "a latency can't be negative",
    "ck_companies_renewal_month_range": "a renewal month lies between 1 and 12",
}
# The way out where something is there already: what shows it, uses it as it is or changes it.
CONSTRAINT_WAYS: dict[str, str] = {
    "uq_workspaces_name": "work in it with -w NAME, or choose another name; outreachdb workspace list shows all",
    "uq_leads_email_key": "outreachdb leads show ADDRESS shows it; an import changes it",
    "uq_leads_source_key": "an import with that source key changes it",
    "uq_segments_name": "outreachdb segment show NAME shows it, segment update NAME changes it; or choose another name",
    "uq_campaigns_name": "outreachdb campaign show NAME shows it, campaign next-run NAME goes on with a closed one; "
    "or choose another name",
    "uq_inboxes_folder": "outreachdb inbox list shows it; to note it anew, inbox remove ID first",
    "uq_mailboxes_address": "a campaign file that leaves out its smtp sends from it as it is",
    "uq_email_sends_exactly_once": "outreachdb leads why LEAD tells what became of it",
    "uq_suppressions_target": "outreachdb suppress list shows it; nothing more is needed",
}


def from_database(error: psycopg.Error, *, doing: str) -> OutreachDBError:
    """Turn a driver error into one of the tree, with one line that says what was being done."""
    name = _rule(error)
    if isinstance(error, psycopg.IntegrityError) and name:
        reason = CONSTRAINT_MESSAGES.get(name, f"the rule {name} refused it")
        kind = Conflict if isinstance(error, pg.UniqueViolation) else ConstraintViolated
        context = {"constraint": name, "table": error.diag.table_name}
        return kind(f"{doing}: {reason}", hint=CONSTRAINT_WAYS.get(name), **context)
    if isinstance(error, pg.InsufficientPrivilege):
        return DatabaseUnsupported(f"{doing}: {_first_line(error)}", hint="the login lacks a privilege")
    if isinstance(error, pg.LockNotAvailable | pg.QueryCanceled):
        other = Busy if isinstance(error, pg.LockNotAvailable) else Cancelled
        return other(f"{doing}: {_first_line(error)}")
    if isinstance(error, pg.InvalidParameterValue | pg.RaiseException):
        pointer = error.diag.message_detail or ""
        context = {"path": pointer} if pointer.startswith("/") else {}
        return InvalidInput(f"{doing}: {_first_line(error)}", hint=error.diag.message_hint, **context)
    if isinstance(error, psycopg.OperationalError) and not error.diag.sqlstate:
        return DatabaseUnavailable(f"{doing}: {_first_line(error)}", hint="is the server running?")
    return OutreachDBError(f"{doing}: {_first_line(error)}", sqlstate=error.diag.sqlstate)


def plain_message(message: str) -> str:
    """What a pydantic error says, without pydantic's own words in it."""
    return _PYDANTIC.sub("", message)


_PYDANTIC = re.compile(r"\b(?:Value error|Assertion failed), ")

# A partition's index has a name of its own, made by the server and cut off: whose rule it is, tells the table.
_PARTITION = re.compile(r"(\w+?)_p?\d{4}_(?:\d{2}(?:_\d{2})?|w\d{2}|q\d)(?:_\d+)?")
_PARTITIONED_RULES = {"email_sends": "uq_email_sends_exactly_once"}


def _rule(error: psycopg.Error) -> str | None:
    """The name of the violated rule as the schema has it."""
    name = error.diag.constraint_name
    match = _PARTITION.fullmatch(error.diag.table_name or "")
    if match is None or name is None or not isinstance(error, pg.UniqueViolation):
        return name
    return f"pk_{match[1]}" if name.endswith("_pkey") else _PARTITIONED_RULES.get(match[1], name)


def _first_line(error: psycopg.Error) -> str:
    return (error.diag.message_primary or str(error) or type(error).__name__).splitlines()[0].strip()
