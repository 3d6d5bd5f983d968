from __future__ import annotations

import pytest

from outreachdb.config import SETTINGS, Settings
from outreachdb.errors import UsageError


def test_environment_then_argument_then_fallback() -> None:
    environ = {"OUTREACHDB_POOL_MAX": "3", "DATABASE_URL": "postgresql://b", "OUTREACHDB_JOBS_URL": "postgresql://c"}
    settings = Settings.load(environ)
    assert (settings.pool_max, settings.url("web"), settings.url("jobs")) == (3, "postgresql://b", "postgresql://c")
    assert Settings.load(environ, pool_max=5, database_url="postgresql://d").url("web") == "postgresql://d"
    assert Settings.load({}).url("web") is None


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
