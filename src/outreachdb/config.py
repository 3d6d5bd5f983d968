"""Every setting, once: name, type, default, help; environment names and the docs derive from this table."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

from outreachdb.errors import UsageError

Workload = Literal["web", "analytics", "jobs", "admin"]
WORKLOADS: tuple[Workload, ...] = ("web", "analytics", "jobs", "admin")


@dataclass(frozen=True, slots=True)
class Setting:
    """One setting; its environment variable is ``OUTREACHDB_<NAME>``."""

    name: str
    type: type
    default: Any
    help: str
    secret: bool = False
    least: int | None = None

    @property
    def kind(self) -> str:
        """What values it takes, in words."""
        names = {int: "a whole number", str: "text", Path: "a path"}
        return names[self.type] + ("" if self.least is None else f" of at least {self.least}")

    @property
    def variable(self) -> str:
        """Name of the environment variable."""
        return f"OUTREACHDB_{self.name.upper()}"


SETTINGS: tuple[Setting, ...] = (
    Setting("database_url", str, None, "PostgreSQL URL; without one the embedded server is used.", secret=True),
    Setting("web_url", str, None, "URL for requests; falls back to database_url.", secret=True),
    Setting("analytics_url", str, None, "URL for long reads; falls back to database_url.", secret=True),
    Setting("jobs_url", str, None, "URL for background work; falls back to database_url.", secret=True),
    Setting("admin_url", str, None, "URL for migrations and maintenance; falls back to database_url.", secret=True),
    Setting("home", Path, None, "Folder of the embedded server; default is the user's data folder."),
    Setting("archive_folder", Path, None, "Folder of archived partitions; default `archives` in the home."),
    Setting("workspace", str, None, "Workspace used when a command names none."),
    Setting("pool_max", int, 10, "Most connections that one pool opens.", least=1),
    Setting(
        "pool_console_url",
        str,
        None,
        "URL of PgBouncer's console; default that of `outreachdb pool start`.",
        secret=True,
    ),
    Setting("connect_timeout", int, 5, "Seconds to wait for a connection.", least=1),
    # Below PostgreSQL's deadlock_timeout (1 s): in a deadlock it is the migration that gives way, not a writer that
    # dies.
    Setting(
        "lock_timeout_ms", int, 500, "Milliseconds a migration step waits for a lock before it gives way.", least=1
    ),
    Setting("migration_wait", int, 300, "Seconds to wait for another migration of the same database to end.", least=0),
    Setting(
        "migration_statement_timeout_ms", int, 0, "Milliseconds one statement of a migration may run; 0 is no limit."
    ),
    Setting("statement_timeout_ms", int, 0, "Milliseconds a tenant's statement may run; 0 is no limit.", least=0),
    Setting(
        "segment_budget_ms",
        int,
        10_000,
        "Milliseconds that a segment may be expected to take; above it has to be confirmed.",
        least=1,
    ),
    Setting(
        "import_history_days",
        int,
        365,
        "Days for which an import, or an action on a segment, can be undone and its rejected rows are shown.",
        least=1,
    ),
    Setting(
        "imap_ca_file",
        Path,
        None,
        "Certificates of the authorities that IMAP servers are checked by; default the system's.",
    ),
    Setting("jobs_time_zone", str, "UTC", "Time zone of the schedules of jobs, such as Europe/Berlin."),
    Setting("public_url", str, None, "Where recipients reach `outreachdb serve`, for tracking and unsubscribe links."),
    Setting(
        "smtp_ca_file",
        Path,
        None,
        "Certificates of the authorities that SMTP servers are checked by; default the system's.",
    ),
    Setting("secret_key", str, None, "Key for secrets at rest and signed tokens; 32 bytes in base64.", secret=True),
    Setting("secret_key_file", Path, None, "File that holds secret_key."),
    Setting(
        "webhook_replay_seconds", int, 86400, "Seconds that a signed webhook stays valid; providers retry for a day."
    ),
    Setting("webhook_max_bytes", int, 10_485_760, "Largest webhook body in bytes.", least=1),
    Setting("health_file", Path, None, "TOML file with thresholds of health checks and where alerts go."),
    Setting(
        "metrics_token",
        str,
        None,
        "Bearer token for /metrics; without one they are given to this machine alone.",
        secret=True,
    ),
    Setting("log_format", str, "text", "Format of the logs on stderr: text or json."),
    Setting(
        "log_level", str, "warning", "How much is logged: debug, info, warning or error; debug also shows tracebacks."
    ),
)


@dataclass(frozen=True, slots=True)
class Settings:
    """The settings in force; make one with :meth:`load`."""

    values: Mapping[str, Any] = field(repr=False)

    @classmethod
    def load(cls, environ: Mapping[str, str] | None = None, **overrides: Any) -> Settings:
        """Read the environment; keyword arguments win over it, ``None`` meaning "not given".

        A ``database_url`` given here holds for every workload: the environment's URLs of workloads may be of another
        database, and are passed over.
        """
        environ = os.environ if environ is None else environ
        passed_over = {f"{name}_url" for name in WORKLOADS} if overrides.get("database_url") is not None else set()
        values: dict[str, Any] = {}
        for setting in SETTINGS:
            given = overrides.pop(setting.name, None)
            if given is None and setting.name not in passed_over:
                given = _from_environment(setting, environ)
            values[setting.name] = given
        if overrides:
            raise UsageError(f"unknown setting: {', '.join(sorted(overrides))}")
        values["database_url"] = values["database_url"] or environ.get("DATABASE_URL") or None
        return cls(values)

    def __getattr__(self, name: str) -> Any:
        try:
            return self.values[name]
        except KeyError:
            raise AttributeError(name) from None

    def url(self, workload: Workload) -> str | None:
        """The URL for a workload, or ``None`` when the embedded server is meant."""
        given: str | None = self.values[f"{workload}_url"] or self.values["database_url"]
        return given

    @property
    def home(self) -> Path:
        """Folder of the embedded server, made by whoever starts it."""
        given: Path | None = self.values["home"]
        return given if given is not None else default_home()


def default_home() -> Path:
    """The user's data folder by the XDG rules (https://specifications.freedesktop.org/basedir-spec/); root's is shared.

    Root's server runs as another account, which can't enter a folder below /root.
    """
    if os.geteuid() == 0:
        return Path("/var/lib/outreachdb")
    base = os.environ.get("XDG_DATA_HOME")
    return (Path(base) if base else Path.home() / ".local" / "share") / "outreachdb"


def _from_environment(setting: Setting, environ: Mapping[str, str]) -> Any:
    text = environ.get(setting.variable)
    if text is None or text == "":
        return setting.default
    wrong = UsageError(f"{setting.variable} must be {setting.kind}, not {text!r}", hint=setting.help)
    try:
        value = setting.type(text)
    except ValueError:
        raise wrong from None
    if setting.least is not None and value < setting.least:
        raise wrong
    return value
