"""What a run does, counted instead of timed: modules, requests, comparisons, passes over the text."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections import Counter
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import click
import deepdiff
import pytest

from reconciler.cli import COMMANDS, cli
from reconciler.client.wire import read_list, to_account
from reconciler.manifest import events
from reconciler.manifest.reader import read_manifests
from reconciler.manifest.secrets import SecretResolver
from reconciler.model.account import Account
from reconciler.model.server import Server
from reconciler.planning.planner import PlanOptions, make_plan
from reconciler.report.formats import Style
from reconciler.report.server_text import plan_text
from tests.support.cli_runner import CliProcess
from tests.support.scripted_server import Reply, Request, ScriptedServer

if TYPE_CHECKING:
    from pathlib import Path

_HEAVY = {"rich", "pygments", "jinja2", "fastapi", "uvicorn", "asyncio", "tenacity", "deepdiff", "pydantic"}
_HTTPX = {"rich", "pygments", "asyncio", "tenacity"}
"""What every connection imports: httpx brings its own command line and its asynchronous half along."""

_SIZE = 5


def _declared(folder: Path, size: int = _SIZE) -> str:
    path = folder / "accounts.yaml"
    entry = "- {{email: n{0}@example.com, name: n{0}, service: gmail, password: {{env: P}}}}\n"
    path.write_text("version: 1\naccounts:\n" + "".join(entry.format(number) for number in range(1, size + 1)))
    return str(path)


def _held(number: int, name: str | None = None) -> dict[str, object]:
    account = {"id": number, "email": f"n{number}@example.com", "name": name or f"n{number}", "service": "gmail"}
    return account | {"hash_auth": True, "password": "sesame"}


class _Accounts:
    """The server's side of a run."""

    def __init__(self, *accounts: dict[str, object]) -> None:
        self.accounts = {account["id"]: account for account in accounts}

    def __call__(self, request: Request) -> Reply:
        number = request.path.removeprefix("/api/email/accounts").strip("/")
        if request.method == "GET" and not number:
            return Reply(body=json.dumps(list(self.accounts.values())).encode())
        key = int(number or len(self.accounts) + 1)
        if request.method != "GET":
            sent = json.loads(request.body)
            self.accounts[key] = {name: value for name, value in sent.items() if name != "has_auth"} | {"id": key}
        return Reply(body=json.dumps(self.accounts[key]).encode())


def _apply(server: ScriptedServer, folder: Path, *options: str, size: int = _SIZE) -> None:
    done = CliProcess(folder, _environ(server)).run("apply", _declared(folder, size), "--auto-approve", *options)
    assert done.code == 0, done.err


def _environ(server: ScriptedServer | None) -> dict[str, str]:
    return {"P": "sesame", "RECONCILER_TOKEN": "t"} | ({"RECONCILER_URL": server.url} if server else {})


def _run(server: ScriptedServer | None, *arguments: str) -> set[str]:
    """Runs the command; returns the modules that it imports."""
    environment = {"PATH": os.environ["PATH"], **_environ(server)}
    command = [sys.executable, "-X", "importtime", "-m", "reconciler", *arguments]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=60, check=True)
    lines = (line for line in done.stderr.splitlines() if line.startswith("import time:"))
    return {line.rpartition("|")[2].strip() for line in lines}


def test_the_list_of_commands_says_what_the_commands_say_of_themselves() -> None:
    context = click.Context(cli)
    found = {name: cli.get_command(context, name) for name in cli.list_commands(context)}
    assert {name: command and command.get_short_help_str(limit=67) for name, command in found.items()} == COMMANDS


@pytest.mark.parametrize("option", ["--version", "--help"])
def test_help_and_version_import_click_and_nothing_else(option: str) -> None:
    imported = _run(None, option)
    assert not imported & (_HEAVY | {"pydantic_core", "dataclasses", "httpx", "yaml", "json", "pathlib"})
    light = {f"reconciler.{name}" for name in ("cli", "version", "commands", "commands.process", "__main__")}
    assert {name for name in imported if name.startswith("reconciler.")} <= light


def test_validating_a_good_file_imports_neither_planner_nor_client(tmp_path: Path) -> None:
    imported = _run(None, "validate", _declared(tmp_path))
    assert not imported & (_HEAVY | {"httpx", "ssl", "reconciler.planning", "reconciler.client", "reconciler.applying"})


def test_a_plan_without_changes_is_one_request_and_imports_nothing_that_it_does_not_use(tmp_path: Path) -> None:
    with ScriptedServer(respond=_Accounts(*map(_held, range(1, _SIZE + 1)))) as server:
        imported = _run(server, "plan", _declared(tmp_path))
    assert server.lines == ["GET /api/email/accounts"]
    unused = {
        "reconciler.applying",
        "reconciler.manifest.positions",
        "reconciler.report.json",
    }
    assert not imported & (_HEAVY - _HTTPX | unused)


@pytest.mark.parametrize(
    ("held", "expected"),
    [
        ((), {"GET": 3, "POST": _SIZE}),
        (tuple(_held(number, "other") for number in range(1, _SIZE + 1)), {"GET": 2 + _SIZE, "PUT": _SIZE}),
        (tuple(_held(number) for number in range(1, _SIZE + 1)), {"GET": 1}),
    ],
    ids=["creates", "updates", "nothing"],
)
def test_apply_sends_no_more_than_the_writes_and_the_looks_before_them(
    tmp_path: Path, held: tuple[dict[str, object], ...], expected: dict[str, int]
) -> None:
    with ScriptedServer(respond=_Accounts(*held)) as server:
        _apply(server, tmp_path)
    assert Counter(line.partition(" ")[0] for line in server.lines) == expected


def test_connections_are_kept_from_request_to_request(tmp_path: Path) -> None:
    with ScriptedServer(respond=_Accounts()) as server:
        _apply(server, tmp_path, "--parallelism", "2", size=20)
    # One for the plan; then one for each of the two that write.
    assert len({request.connection for request in server.requests}) <= 3


def test_deepdiff_is_asked_once_about_each_account_that_differs(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[str] = []

    original = deepdiff.DeepDiff

    def counted(*arguments: Any, **options: Any) -> object:  # noqa: ANN401 - passes on what it gets
        asked.append(arguments[1]["name"])
        return original(*arguments, **options)

    monkeypatch.setattr(deepdiff, "DeepDiff", counted)
    fields: list[dict[str, Any]] = [
        {"email": f"n{number}@example.com", "name": f"n{number}", "service": "gmail"} for number in range(1, 6)
    ]
    fields[1]["name"] = fields[3]["name"] = "other"
    path = tmp_path / "a.yaml"
    path.write_text(_declared_plainly())
    current = [Account(one, number) for number, one in enumerate(fields, 1)]
    plan = make_plan(read_manifests([str(path)]), current, Server("s", "https://s"), PlanOptions())
    assert plan.counts.update == 2
    assert asked == ["n2", "n4"]


def _declared_plainly() -> str:
    entries = "".join(
        f"- {{email: n{number}@example.com, name: n{number}, service: gmail}}\n" for number in range(1, 6)
    )
    return "version: 1\naccounts:\n" + entries


def test_a_good_file_is_gone_over_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    passes: list[int] = []
    parser: Any = vars(events)["CParser"]

    def counted(data: bytes) -> object:
        passes.append(len(data))
        return parser(data)

    monkeypatch.setattr(events, "CParser", counted)
    text = _declared_plainly()
    path = tmp_path / "a.yaml"
    path.write_text(text)
    read_manifests([str(path)])
    assert passes == [len(text)]


@pytest.mark.parametrize("held", ["alike", "other", "none"])
def test_twice_as_many_accounts_are_twice_the_work(tmp_path: Path, held: str) -> None:
    once, twice = (_calls(tmp_path, size, held) for size in (100, 200))
    assert twice < 2.2 * once


def _calls(folder: Path, size: int, held: str) -> int:
    """How many functions are called to read, plan and show so many accounts."""
    path = _declared(folder, size)
    names = {"alike": None, "other": "other", "none": None}
    held_ones = [] if held == "none" else [_held(number, names[held]) for number in range(1, size + 1)]
    body = json.dumps(held_ones).encode()
    count = 0

    def counted(_frame: object, event: str, _argument: object) -> None:
        nonlocal count
        count += event in ("call", "c_call")

    _plan_text(path, body)  # what is imported, compiled and remembered once is no part of it
    sys.setprofile(counted)
    try:
        _plan_text(path, body)
    finally:
        sys.setprofile(None)
    return count


def _plan_text(path: str, body: bytes) -> str:
    desired = read_manifests([path])
    accounts = SecretResolver({"P": "sesame"}, allow_commands=False).accounts(desired.accounts)
    current = tuple(map(to_account, read_list(body)))
    plan = make_plan(replace(desired, accounts=accounts), current, Server("s", "https://s"), PlanOptions())
    return plan_text(plan, Style())
