"""The embedded server's configuration: settings fitted to the machine, and choices that come with our installation."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence

from outreachdb.db.fitting import MB, Situation, fit
from outreachdb.db.machine import Machine


def settings_for(
    machine: Machine,
    *,
    major: int = 18,
    libraries: Sequence[str] = (),
    durable: bool = True,
    fitted: Mapping[str, str] | None = None,
) -> dict[str, str]:
    """The server's settings for a machine; ``durable=False`` is for data that may be lost, such as a test's.

    ``libraries`` are the preloaded ones, named by the caller because only it knows which the installation has.
    ``fitted`` takes the place of what would be fitted: to try other settings.
    """
    if fitted is None:
        fitted = {each.name: each.value for each in fit(Situation(machine, major))}
    settings = dict(fitted) | {
        "timezone": "UTC",
        "log_timezone": "UTC",
        "log_line_prefix": "%m [%p] %u@%d ",
        "password_encryption": "scram-sha-256",
    }
    if not hasattr(os, "posix_fadvise"):
        settings.pop("effective_io_concurrency", None)  # a server that can't ask ahead refuses to start with it
    settings.setdefault("shared_preload_libraries", ",".join(libraries))
    if machine.shm_bytes is not None and machine.shm_bytes < 256 * MB:
        settings["dynamic_shared_memory_type"] = "mmap"  # parallel queries fail in a container's 64 MB /dev/shm
    if "auto_explain" in libraries:
        settings["auto_explain.log_min_duration"] = "10s"
    if not durable:
        settings |= {"fsync": "off", "synchronous_commit": "off", "full_page_writes": "off"}
    return settings


def render(settings: dict[str, str]) -> str:
    """The settings as a configuration file."""
    head = "# Rewritten at each start; change settings in data/postgresql.conf or by ALTER SYSTEM: both win.\n"
    quoted = {name: value.replace("'", "''") for name, value in settings.items()}
    return head + "".join(f"{name} = '{value}'\n" for name, value in quoted.items())
