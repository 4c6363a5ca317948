"""A list that may have another page ends every command before anything is written."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import pytest

from tests.support.accounts_api import account_json
from tests.support.scripted_server import Reply, Request, ScriptedServer, json_reply

if TYPE_CHECKING:
    from tests.support.cli_runner import CliProcess
    from tests.support.scripted_server import Step

YAML = """version: 1
accounts:
  - {email: a@example.com, name: A, service: other, smtp_server: smtp.example.com}
  - {email: beyond@example.com, name: B, service: other, smtp_server: smtp.example.com}
"""
PAGE = [account_json("a@example.com", id=1)]


@pytest.mark.parametrize(
    ("status", "headers", "seen"),
    [
        (206, {}, "its status is 206, not 200"),
        (200, {"Content-Range": "items 0-0/2"}, "Content-Range: items 0-0/2 (with 1 account)"),
        (200, {"Link": '</api/email/accounts?page=2>; rel="next"'}, "it has a Link to a next page"),
        (200, {"X-Total-Count": "2"}, "X-Total-Count: 2 (with 1 account)"),
    ],
)
@pytest.mark.parametrize(
    "command",
    [
        ("plan", "accounts.yaml"),
        ("apply", "accounts.yaml", "--auto-approve"),
        ("test", "accounts.yaml", "--to-email", "ops@example.com"),
        ("export",),
    ],
    ids=lambda command: command[0],
)
def test_no_command_accepts_an_incomplete_list(
    user: CliProcess, command: tuple[str, ...], status: int, headers: dict[str, str], seen: str
) -> None:
    user.write("accounts.yaml", YAML)
    with ScriptedServer(Reply(status, json.dumps(PAGE).encode(), headers)) as server:
        user.environ |= {"RECONCILER_URL": server.url, "RECONCILER_TOKEN": "token"}
        done = user.run(*command)
    assert (done.code, server.lines) == (1, ["GET /api/email/accounts"])
    assert f"the response to the list call may be incomplete: {seen}" in done.err


def test_an_incomplete_list_during_a_run_creates_nothing(user: CliProcess) -> None:
    lists = iter([json_reply(PAGE)])

    def respond(request: Request) -> Step:
        assert request.method == "GET", request.line
        return next(lists, json_reply(PAGE, X_Total_Count="2"))

    user.write("accounts.yaml", YAML)
    with ScriptedServer(respond=respond) as server:
        user.environ |= {"RECONCILER_URL": server.url, "RECONCILER_TOKEN": "token"}
        done = user.run("apply", "accounts.yaml", "--auto-approve", "--no-prune")
    assert done.code == 3
    assert "may be incomplete: X-Total-Count: 2" in done.out + done.err
