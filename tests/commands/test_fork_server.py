"""A run that is forked is like one that starts Python itself: each command is tried both ways."""

from __future__ import annotations

import json
import os
import subprocess
from dataclasses import replace
from typing import TYPE_CHECKING

import pytest

from tests.support.accounts_api import account_json
from tests.support.cli_runner import CliProcess

if TYPE_CHECKING:
    from reconciler.sandbox import Sandbox

FILE = """\
version: 1
accounts:
  - {email: a@example.com, name: A, service: other, smtp_server: smtp.example.com, password: {command: [sh, tell]}}
"""


@pytest.mark.parametrize(
    "arguments",
    [
        ["--version"],
        ["validate", "a.yaml"],
        ["plan", "a.yaml", "--allow-commands", "-o", "/dev/stdout"],
        ["plan", "-"],
        ["apply", "a.yaml", "--allow-commands", "--auto-approve"],
        ["demo", "missing.yaml"],
    ],
    ids=" ".join,
)
def test_a_forked_run_behaves_like_a_new_interpreter(
    at_sandbox: CliProcess, sandbox: Sandbox, arguments: list[str]
) -> None:
    at_sandbox.write("a.yaml", FILE)
    at_sandbox.write("tell", "env | grep -v ^_= | sort >> told; pwd >> told; cat >> told; printf x")
    sandbox.seed([account_json("a@example.com", name="A", password="x", hash_auth=True)])
    both = []
    for user in (at_sandbox, replace(at_sandbox, starts_python=True)):
        done = user.run(*arguments, stdin=FILE)
        told = user.folder / "told"
        both.append((done, told.read_text() if told.exists() else ""))
        told.unlink(missing_ok=True)
    assert both[0] == both[1]
    assert bool(both[0][1]) is ("--allow-commands" in arguments)


def test_a_run_leaves_nothing_behind_for_the_next(user: CliProcess) -> None:
    user.write("a.yaml", "version: 1\naccounts: []\n")
    elsewhere = CliProcess(user.folder / "elsewhere", {"FORCE_COLOR": "1", "TZ": "Asia/Tokyo"})
    elsewhere.write("b.yaml", "version: 1\naccounts: 7\n")
    first = user.run("validate", "b.yaml")
    assert elsewhere.run("plan", "b.yaml", "-v").code == 1
    assert (user.run("validate", "b.yaml"), user.run("validate", "a.yaml").code) == (first, 0)


def test_a_run_that_takes_too_long_is_killed_alone(user: CliProcess) -> None:
    user.environ |= {"RECONCILER_URL": "http://127.0.0.1:9", "RECONCILER_TOKEN": "t"}
    user.write("a.yaml", FILE.replace("[sh, tell]", "[sh, -c, 'echo > started; exec sleep 600']"))
    arguments = ["plan", "a.yaml", "--allow-commands"]
    os.mkfifo(user.folder / "started")
    process = user.start(*arguments)
    (user.folder / "started").read_text()
    with pytest.raises(subprocess.TimeoutExpired):
        process.finish(timeout=0)
    assert json.loads(user.run("schema", "plan").out)["title"]
