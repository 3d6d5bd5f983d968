"""The README's Python runs as it stands, against a real SMTP sink."""

from __future__ import annotations

import re
from pathlib import Path

import psycopg
import pytest

from outreachdb.demo.sink import Sink

README = Path(__file__).parents[1] / "README.md"
CONTACTS = (
    "First Name,Email,Job Title,Country\nAnn,ann@bluefin.example,Head of Growth,US\nBo,bo@cobalt.example,CTO,PL\n"
)
CAMPAIGN = """
name: spring
segment: growth
mailboxes:
  - address: maria@sender.example
    smtp: {{host: 127.0.0.1, port: {port}, security: plain}}
steps:
  - subject: Hello
    text: Hello {{{{ first_name }}}}
"""


async def test_the_python_of_the_readme(
    own_database_url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    found = re.search(r"```python\n(.*?)```", README.read_text(), re.DOTALL)
    assert found is not None
    code = found[1].replace("asyncio.run(main())", "")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("OUTREACHDB_DATABASE_URL", own_database_url)
    monkeypatch.setenv("OUTREACHDB_HOME", str(tmp_path / "home"))
    (tmp_path / "contacts.csv").write_text(CONTACTS)
    async with Sink(tmp_path / "received.jsonl") as sink:
        (tmp_path / "spring.yaml").write_text(CAMPAIGN.format(port=sink.port))
        names: dict[str, object] = {"__name__": "readme"}
        exec(compile(code, str(README), "exec"), names)  # noqa: S102
        await names["main"]()  # type: ignore[operator]
        received = sink.received()
    assert [message.recipient for message in received] == ["ann@bluefin.example"]
    printed = capsys.readouterr().out.splitlines()
    assert printed[0] == "2 1"
    assert "sent=1" in printed[-1]
    with psycopg.connect(own_database_url) as connection:
        assert connection.execute("SELECT status FROM outreach.email_sends").fetchall() == [("sent",)]


def test_every_command_of_the_readme_exists() -> None:
    from outreachdb.cli.main import COMMANDS

    shell = "\n".join(re.findall(r"```sh\n(.*?)```", README.read_text(), re.DOTALL))
    used = set(re.findall(r"^outreachdb (\w+)", shell, re.MULTILINE))
    assert len(used) > 8
    assert used <= set(COMMANDS)
