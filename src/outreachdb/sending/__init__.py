"""The ledger of sends: scheduling them, handing them out, delivering them, and telling why."""

from outreachdb.sending.checking import check_templates, send_test
from outreachdb.sending.dispatch import SendReport, run
from outreachdb.sending.forecasting import Forecast, forecast
from outreachdb.sending.schedule import Launch, add, launch, next_run, plan
from outreachdb.sending.timeline import Happening, Limits, Story, decide, limits, set_limits, stories, unknown, why

__all__ = [
    "Forecast",
    "Happening",
    "Launch",
    "Limits",
    "SendReport",
    "Story",
    "add",
    "check_templates",
    "decide",
    "forecast",
    "launch",
    "limits",
    "next_run",
    "plan",
    "run",
    "send_test",
    "set_limits",
    "stories",
    "unknown",
    "why",
]
