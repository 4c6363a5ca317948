"""Every exit code of the README's table, by the installed command in a process of its own."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import time
from typing import TYPE_CHECKING

import pytest

from tests.commands.conftest import RECONCILER, User, lead_to, on_server

if TYPE_CHECKING:
    from reconciler.sandbox import Sandbox
    from tests.conftest import MakeSandbox

ONE = """\
version: 1
accounts:
  - {email: a@example.com, name: A, service: other, smtp_server: smtp.example.com}
"""


def test_0_when_planned(at_sandbox: User) -> None:
    at_sandbox.write("a.yaml", ONE)
    assert at_sandbox.run("plan", "a.yaml").code == 0


def test_0_with_detailed_exitcode_when_nothing_is_needed(at_sandbox: User, sandbox: Sandbox) -> None:
    sandbox.seed([on_server("a@example.com", name="A")])
    at_sandbox.write("a.yaml", ONE)
    done = at_sandbox.run("plan", "a.yaml", "--detailed-exitcode")
    assert (done.code, done.out.splitlines()[-1]) == (0, "No changes.")


def test_1_for_bad_yaml(user: User) -> None:
    user.write("a.yaml", "version: 1\naccounts: 7\n")
    done = user.run("validate", "a.yaml")
    assert done.code == 1
    assert done.err.startswith("error: a.yaml:2:11: ")


def test_1_for_a_missing_file(user: User) -> None:
    assert user.run("validate", "nowhere.yaml").code == 1


def test_1_for_an_unset_secret(at_sandbox: User) -> None:
    at_sandbox.write("a.yaml", ONE.replace("}", ", password: {env: NOT_SET}}"))
    done = at_sandbox.run("plan", "a.yaml")
    assert done.code == 1
    assert "NOT_SET" in done.err


def test_1_when_the_server_is_unreachable(user: User) -> None:
    user.write("a.yaml", ONE)
    user.environ |= {"RECONCILER_URL": "http://127.0.0.1:9", "RECONCILER_TOKEN": "t"}
    # Retrying would take its time: the limit for the whole is twice the limit for one request.
    done = user.run("plan", "a.yaml", "--timeout", "1")
    assert done.code == 1
    assert "127.0.0.1:9" in done.err


def test_1_when_no_server_is_named(user: User) -> None:
    user.write("a.yaml", ONE)
    done = user.run("plan", "a.yaml")
    assert (done.code, done.out) == (1, "")
    assert done.err == "error: no server is named\n  hint: set `server.url` in the YAML, RECONCILER_URL, or --url\n"


def test_1_when_nobody_can_be_asked(at_sandbox: User) -> None:
    at_sandbox.write("a.yaml", ONE)
    done = at_sandbox.run("apply", "a.yaml")
    assert done.code == 1
    assert done.err.endswith(
        "error: there are changes to approve, but no terminal to ask on; nothing was written\n"
        "  hint: `--auto-approve` applies without asking\n"
    )
    assert at_sandbox.run("plan", "a.yaml", "--detailed-exitcode").code == 2


def test_2_when_changes_are_needed(at_sandbox: User) -> None:
    at_sandbox.write("a.yaml", ONE)
    assert at_sandbox.run("plan", "a.yaml", "--detailed-exitcode").code == 2


def test_3_when_a_change_fails(user: User, make_sandbox: MakeSandbox) -> None:
    sandbox = make_sandbox(unique_names=True)
    sandbox.seed([on_server("old@example.com", name="A")])
    lead_to(user, sandbox).write("a.yaml", ONE)
    done = user.run("apply", "a.yaml", "--auto-approve", "--no-prune", "--format", "json")
    assert done.code == 3
    (result,) = json.loads(done.out)["results"]
    assert result["status"] == "failed"
    assert "Já existe um item com o nome 'A'" in result["error"]


def test_3_when_a_test_fails(user: User, make_sandbox: MakeSandbox) -> None:
    sandbox = make_sandbox(mailboxes={"a@example.com": "right"})
    lead_to(user, sandbox).write("a.yaml", ONE.replace("}", ", password: {env: PW}}"))
    done = user.run("test", "a.yaml", "--to-email", "ops@example.com", environ={"PW": "wrong-password"})
    assert done.code == 3
    assert "535" in done.out
    assert "wrong-password" not in done.out + done.err


def test_5_when_too_much_would_be_deleted(at_sandbox: User, sandbox: Sandbox) -> None:
    sandbox.seed([on_server(f"{name}@example.com") for name in "abcd"])
    at_sandbox.write("a.yaml", ONE)
    for command in (["plan", "a.yaml"], ["apply", "a.yaml", "--auto-approve"]):
        done = at_sandbox.run(*command)
        assert done.code == 5
        assert "refused: the plan deletes 3 of 4 accounts; the limit is 30%" in done.out
    done = at_sandbox.run("apply", "a.yaml", "--auto-approve", "--max-deletes", "3")
    assert done.code == 0


def test_5_when_everything_would_be_deleted(at_sandbox: User, sandbox: Sandbox) -> None:
    sandbox.seed([on_server("a@example.com")])
    at_sandbox.write("a.yaml", "version: 1\naccounts: []\n")
    done = at_sandbox.run("plan", "a.yaml", "--format", "json")
    assert done.code == 5
    document = json.loads(done.out)
    assert (document["applyable"], [one["kind"] for one in document["errors"]]) == (False, ["guard_empty"])
    assert at_sandbox.run("apply", "a.yaml", "--auto-approve", "--allow-empty").code == 0
    assert at_sandbox.run("plan", "a.yaml", "--detailed-exitcode").code == 0


def test_64_for_wrong_usage(user: User) -> None:
    for wrong in (["plan"], ["plan", "a.yaml", "--nonsense"], ["nonsense"], ["plan", "a.yaml", "--max-deletes", "x"]):
        done = user.run(*wrong)
        assert (done.code, done.out) == (64, "")
        assert "Traceback" not in done.err


def test_130_when_interrupted_while_writing(user: User, make_sandbox: MakeSandbox) -> None:
    sandbox = make_sandbox(latency=0.3)
    accounts = "".join(
        f"  - {{email: a{n}@example.com, name: A{n}, service: other, smtp_server: s}}\n" for n in range(40)
    )
    lead_to(user, sandbox).write("a.yaml", f"version: 1\naccounts:\n{accounts}")
    process = subprocess.Popen(
        [RECONCILER, "apply", "a.yaml", "--auto-approve", "--parallelism", "2", "--format", "json"],
        cwd=user.folder,
        env=user.environment(),
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    assert process.stderr is not None
    while not process.stderr.readline().startswith("[2/40]"):
        pass
    process.send_signal(signal.SIGINT)
    out, _ = process.communicate(timeout=30)
    document = json.loads(out)
    assert process.returncode == 130
    summary = document["summary"]
    assert summary["applied"] + summary["not_attempted"] == 40
    assert 2 <= summary["applied"] < 40
    applied = sum(result["status"] == "applied" for result in document["results"])
    plan = json.loads(user.run("plan", "a.yaml", "-f", "json").out)
    assert (plan["summary"]["unchanged"], plan["summary"]["create"]) == (applied, 40 - applied)


def test_130_when_interrupted_before_anything_was_written(user: User, make_sandbox: MakeSandbox) -> None:
    sandbox = make_sandbox(latency=20)
    lead_to(user, sandbox).write("a.yaml", ONE)
    process = subprocess.Popen(
        [RECONCILER, "apply", "a.yaml", "--auto-approve"],
        cwd=user.folder,
        env=user.environment({"PYTHONDEVMODE": "0"}),
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    try:
        process.wait(timeout=2)
    except subprocess.TimeoutExpired:
        process.send_signal(signal.SIGTERM)
    _, err = process.communicate(timeout=30)
    assert (process.returncode, err) == (130, "\nerror: interrupted; nothing was written\n")


def test_130_at_once_when_interrupted_while_a_secret_is_fetched(at_sandbox: User) -> None:
    os.mkfifo(at_sandbox.folder / "started")
    command = "{command: [sh, -c, 'echo $$ > started; exec sleep 15']}"
    at_sandbox.write("a.yaml", ONE.replace("}", f", password: {command}}}"))
    begun = time.monotonic()
    with subprocess.Popen(
        [RECONCILER, "plan", "a.yaml", "--allow-commands"],
        cwd=at_sandbox.folder,
        env=at_sandbox.environment(),
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    ) as process:
        command_id = int((at_sandbox.folder / "started").read_text())
        process.send_signal(signal.SIGTERM)
        out, err = process.communicate(timeout=60)
    assert time.monotonic() - begun < 10
    assert (process.returncode, out, err) == (130, "", "\nerror: interrupted; nothing was written\n")
    with pytest.raises(ProcessLookupError):
        os.kill(command_id, 0)
