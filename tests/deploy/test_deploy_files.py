"""Deployment files: every command, option, setting and path in them is one that there is."""

from __future__ import annotations

import json
import re
import shlex
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Literal

import pytest
import typer.main
import yaml
from pydantic import BaseModel, ConfigDict, Field

from outreachdb.cli.main import build
from outreachdb.config import SETTINGS, Settings
from outreachdb.pooling import POOLS

DEPLOY = Path(__file__).parents[2] / "deploy"
UNITS = sorted((DEPLOY / "systemd").glob("*.service"))
PROGRAM = "/opt/outreachdb/bin/outreachdb"
VARIABLES = {setting.variable for setting in SETTINGS}


class _Strict(BaseModel):
    model_config = ConfigDict(extra="forbid")


class _Health(_Strict):
    test: list[str] = Field(default_factory=list)
    interval: str = "30s"
    timeout: str = "30s"
    retries: int = 3
    disable: bool = False


class _Depends(_Strict):
    condition: Literal["service_started", "service_healthy", "service_completed_successfully"]


class _Build(_Strict):
    context: str
    dockerfile: str


class _Service(_Strict):
    """What we use of a service: https://github.com/compose-spec/compose-spec/blob/main/05-services.md."""

    image: str
    build: _Build | None = None
    restart: Literal["no", "always", "on-failure", "unless-stopped"] = "no"
    read_only: bool = False
    tmpfs: list[str] = Field(default_factory=list)
    cap_drop: list[str] = Field(default_factory=list)
    security_opt: list[str] = Field(default_factory=list)
    secrets: list[str] = Field(default_factory=list)
    volumes: list[str] = Field(default_factory=list)
    entrypoint: list[str] | None = None
    command: list[str] | None = None
    environment: dict[str, str] = Field(default_factory=dict)
    ports: list[str] = Field(default_factory=list)
    shm_size: str | None = None
    stop_grace_period: str | None = None
    healthcheck: _Health | None = None
    depends_on: dict[str, _Depends] = Field(default_factory=dict)


class _Secret(_Strict):
    file: str


class _Compose(_Strict):
    name: str
    services: dict[str, _Service]
    volumes: dict[str, dict[str, Any]]
    secrets: dict[str, _Secret]


@pytest.fixture(scope="module")
def compose() -> _Compose:
    document = yaml.safe_load((DEPLOY / "compose.yaml").read_text())
    return _Compose(**{name: value for name, value in document.items() if not name.startswith("x-")})


def _exists(words: list[str]) -> None:
    """Raise unless a line of words is a command of ours with options that it takes."""
    command: Any = typer.main.get_command(build())
    path, rest = "outreachdb", list(words)
    while rest and rest[0] in getattr(command, "commands", {}):
        path, command = f"{path} {rest[0]}", command.commands[rest.pop(0)]
    if rest and getattr(command, "commands", {}):
        raise LookupError(f"no such command: {path} {rest[0]}")
    command.make_context(path, rest)


def _lines() -> Iterator[tuple[str, list[str]]]:
    """Every call of our program in any of the files."""
    for unit in UNITS:
        for words in re.findall(rf"^Exec\w+={re.escape(PROGRAM)} (.*)$", unit.read_text(), re.MULTILINE):
            yield unit.name, shlex.split(words)
    docker = (DEPLOY / "Dockerfile").read_text()
    yield "Dockerfile", json.loads(re.findall(r"^CMD (\[.*\])$", docker, re.MULTILINE)[-1])
    for name, service in yaml.safe_load((DEPLOY / "compose.yaml").read_text())["services"].items():
        if service.get("image") == "outreachdb":
            for words in (
                service["command"] if service.get("entrypoint") else [shlex.join(["outreachdb", *service["command"]])]
            ):
                for call in re.findall(r"outreachdb ([^&|;]+)", words):
                    yield name, shlex.split(call)
            test = service.get("healthcheck", {}).get("test", [])
            if test[1:2] == ["outreachdb"]:
                yield name, test[2:]


LINES = list(_lines())


def test_all_parts_are_there(compose: _Compose) -> None:
    assert {name for name, _ in LINES} == {
        "Dockerfile", "migrate", "pooler", "web", "worker",
        "outreachdb-backup.service", "outreachdb-pooler.service", "outreachdb-web.service", "outreachdb-worker.service",
    }  # fmt: skip
    assert set(compose.services) == {"migrate", "pooler", "postgres", "web", "worker"}


@pytest.mark.parametrize(("file", "words"), LINES, ids=[f"{file}: {' '.join(words)}" for file, words in LINES])
def test_commands_and_options_exist(file: str, words: list[str]) -> None:
    _exists(words)


def test_a_wrong_option_would_be_noticed() -> None:
    with pytest.raises(Exception, match="--hots"):
        _exists(["serve", "--hots", "0.0.0.0"])
    with pytest.raises(Exception, match="nonsense"):
        _exists(["nonsense"])


def test_variables_are_settings() -> None:
    files = [path for path in DEPLOY.rglob("*") if path.is_file() and path.suffix != ".md"]
    used = {name for path in files for name in re.findall(r"\bOUTREACHDB_[A-Z_]+", path.read_text())}
    assert {"OUTREACHDB_WEB_URL", "OUTREACHDB_SECRET_KEY_FILE", "OUTREACHDB_LOG_FORMAT"} <= used
    assert used <= VARIABLES


def test_compose_hangs_together(compose: _Compose) -> None:
    for name, service in compose.services.items():
        assert set(service.depends_on) <= set(compose.services), name
        assert set(service.secrets) <= set(compose.secrets), name
        assert {volume.split(":")[0] for volume in service.volumes} <= set(compose.volumes), name
        for dependency, how in service.depends_on.items():
            waited_for = compose.services[dependency].healthcheck
            assert how.condition != "service_healthy" or (waited_for and waited_for.test), name
        assert all(port.startswith("127.0.0.1:") for port in service.ports), name
        if service.image == "outreachdb":
            assert (service.cap_drop, service.read_only) == (["ALL"], True), name
    web = {
        key: value.replace("${POSTGRES_PASSWORD}", "p") for key, value in compose.services["web"].environment.items()
    }
    settings = Settings.load({key: value for key, value in web.items() if key != "OUTREACHDB_DATABASE_URL"})
    for pool in POOLS:
        url = str(settings.url(pool.workload))
        # Migrations and backups hold sessions for long: they go to the server itself.
        expected = "@postgres:5432/outreach" if pool.workload == "admin" else f"@pooler:6432/outreach_{pool.workload}"
        assert url.endswith(expected)


def test_the_image_is_built_from_what_is_here() -> None:
    docker = (DEPLOY / "Dockerfile").read_text()
    copied = [word for line in re.findall(r"^COPY (?!--from)(.*) \S+$", docker, re.MULTILINE) for word in line.split()]
    assert {"requirements.lock", "src", "pyproject.toml"} <= set(copied)
    assert all((DEPLOY.parent / each).exists() for each in copied)
    assert re.search(r"^USER outreachdb$", docker, re.MULTILINE)


@pytest.mark.systemd
def test_units_are_accepted_and_closed(tmp_path: Path) -> None:
    """systemd itself reads them; where a unit names our program, one that is here stands in for it."""
    for unit in [*UNITS, *(DEPLOY / "systemd").glob("*.timer")]:
        (tmp_path / unit.name).write_text(unit.read_text().replace(PROGRAM, "/bin/true"))
    files = sorted(map(str, tmp_path.iterdir()))
    done = subprocess.run(["systemd-analyze", "verify", *files], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (0, "")
    services = [file for file in files if file.endswith(".service")]
    # 10 is open, 0 closed; 2.0 is what systemd calls OK.
    closed = subprocess.run(
        ["systemd-analyze", "security", "--offline=true", "--threshold=20", *services],
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert closed.returncode == 0, closed.stdout
