from __future__ import annotations

import pytest

from outreachdb.config import SETTINGS, WORKLOADS, Settings
from outreachdb.errors import UsageError


def test_environment_then_argument_then_fallback() -> None:
    environ = {"OUTREACHDB_POOL_MAX": "3", "DATABASE_URL": "postgresql://b", "OUTREACHDB_JOBS_URL": "postgresql://c"}
    settings = Settings.load(environ)
    assert (settings.pool_max, settings.url("web"), settings.url("jobs")) == (3, "postgresql://b", "postgresql://c")
    assert Settings.load(environ, pool_max=5, database_url="postgresql://d").url("web") == "postgresql://d"
    assert Settings.load({}).url("web") is None


def test_a_database_that_is_named_is_meant_for_every_workload() -> None:
    """Else `outreachdb restore -d OTHER` writes to the database of a pool.env that was read into the shell."""
    environ = {f"OUTREACHDB_{name.upper()}_URL": f"postgresql://pooler/{name}" for name in WORKLOADS}
    named = Settings.load(environ, database_url="postgresql://other")
    assert {named.url(workload) for workload in WORKLOADS} == {"postgresql://other"}
    both = Settings.load(environ, database_url="postgresql://other", jobs_url="postgresql://jobs")
    assert (both.url("jobs"), both.url("admin")) == ("postgresql://jobs", "postgresql://other")
    # The environment's own database_url is what they fall back to, no more.
    assert (
        Settings.load(environ | {"OUTREACHDB_DATABASE_URL": "postgresql://d"}).url("web") == "postgresql://pooler/web"
    )


@pytest.mark.parametrize(
    ("name", "text"), [("POOL_MAX", "0"), ("POOL_MAX", "many"), ("CONNECT_TIMEOUT", "-5"), ("LOCK_TIMEOUT_MS", "1.5")]
)
def test_a_wrong_value_is_named(name: str, text: str) -> None:
    with pytest.raises(UsageError, match=f"OUTREACHDB_{name} must be a whole number .*{text}"):
        Settings.load({f"OUTREACHDB_{name}": text})


def test_unknown_settings_are_refused_and_secrets_are_not_shown() -> None:
    with pytest.raises(UsageError, match="unknown setting: colour"):
        Settings.load({}, colour="blue")
    assert "hidden" not in repr(Settings.load({"OUTREACHDB_DATABASE_URL": "postgresql://u:hidden@h/d"}))
    assert all(setting.help.endswith(".") for setting in SETTINGS)
