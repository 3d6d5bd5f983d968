from __future__ import annotations

import json
import logging

import pytest
import structlog

from outreachdb import logs
from outreachdb.config import Settings
from outreachdb.errors import UsageError


@pytest.fixture(autouse=True)
def _as_before() -> object:
    root = logging.getLogger()
    before = (root.level, list(root.handlers))
    yield
    structlog.reset_defaults()
    root.setLevel(before[0])
    root.handlers[:] = before[1]


def test_logs_are_json_on_stderr_and_stdout_stays_clean(capsys: pytest.CaptureFixture[str]) -> None:
    logs.configure(Settings.load({}, log_format="json", log_level="info"))
    structlog.get_logger("x").info("sent", mailbox="a@b.example")
    logging.getLogger("other").warning("slow")
    structlog.get_logger("x").debug("not shown")
    printed = capsys.readouterr()
    assert printed.out == ""
    ours, theirs = (json.loads(line) for line in printed.err.splitlines())
    assert (ours["event"], ours["mailbox"], ours["level"]) == ("sent", "a@b.example", "info")
    assert (theirs["event"], theirs["level"]) == ("slow", "warning")


@pytest.mark.parametrize("wrong", [{"log_level": "loud"}, {"log_format": "xml"}])
def test_a_wrong_setting_is_named(wrong: dict[str, str]) -> None:
    with pytest.raises(UsageError, match="OUTREACHDB_LOG_LEVEL is one of"):
        logs.configure(Settings.load({}, **wrong))
