"""Every exit code, by the installed command in a process of its own."""

from __future__ import annotations

import json
import os
import signal
import threading
from typing import TYPE_CHECKING

import pytest

from tests.support.accounts_api import account_json
from tests.support.run_result import help_for
from tests.support.scripted_server import Hang, Request, ScriptedServer, Step

if TYPE_CHECKING:
    from reconciler.sandbox import Sandbox
    from tests.conftest import MakeSandbox
    from tests.support.cli_runner import CliProcess

ONE = """\
version: 1
accounts:
  - {email: a@example.com, name: A, service: other, smtp_server: smtp.example.com}
"""


def test_0_when_planned(at_sandbox: CliProcess) -> None:
    at_sandbox.write("a.yaml", ONE)
    assert at_sandbox.run("plan", "a.yaml").code == 0


def test_0_with_detailed_exitcode_when_nothing_is_needed(at_sandbox: CliProcess, sandbox: Sandbox) -> None:
    sandbox.seed([account_json("a@example.com", name="A")])
    at_sandbox.write("a.yaml", ONE)
    done = at_sandbox.run("plan", "a.yaml", "--detailed-exitcode")
    assert (done.code, done.out.splitlines()[-1]) == (0, "No changes.")


def test_1_for_bad_yaml(user: CliProcess) -> None:
    user.write("a.yaml", "version: 1\naccounts: 7\n")
    done = user.run("validate", "a.yaml")
    assert done.code == 1
    assert done.err.startswith("error: a.yaml:2:11: ")


def test_1_for_a_missing_file(user: CliProcess) -> None:
    assert user.run("validate", "nowhere.yaml").code == 1


def test_1_for_an_unset_secret(at_sandbox: CliProcess) -> None:
    at_sandbox.write("a.yaml", ONE.replace("}", ", password: {env: NOT_SET}}"))
    done = at_sandbox.run("plan", "a.yaml")
    assert done.code == 1
    assert "NOT_SET" in done.err


def test_1_when_the_server_is_unreachable(user: CliProcess) -> None:
    user.write("a.yaml", ONE)
    user.environ |= {"RECONCILER_URL": "http://127.0.0.1:9", "RECONCILER_TOKEN": "t"}
    # Retrying would take time: the limit for the whole is twice the limit for one request.
    done = user.run("plan", "a.yaml", "--timeout", "1")
    assert done.code == 1
    assert "127.0.0.1:9" in done.err


def test_1_when_no_server_is_named(user: CliProcess) -> None:
    user.write("a.yaml", ONE)
    done = user.run("plan", "a.yaml")
    assert (done.code, done.out) == (1, "")
    assert done.err == (
        "error: no server is named\n"
        "  hint: set `server.url` in the YAML, RECONCILER_URL, or --url\n"
        f"{help_for('no_server')}"
    )


def test_1_when_there_is_no_terminal_to_ask_on(at_sandbox: CliProcess) -> None:
    at_sandbox.write("a.yaml", ONE)
    done = at_sandbox.run("apply", "a.yaml")
    assert done.code == 1
    assert done.err.endswith(
        "error: there are changes to approve, but no terminal to ask on; nothing was written\n"
        "  hint: `--auto-approve` applies without asking\n"
        f"{help_for('not_approved')}"
    )
    assert at_sandbox.run("plan", "a.yaml", "--detailed-exitcode").code == 2


def test_2_when_changes_are_needed(at_sandbox: CliProcess) -> None:
    at_sandbox.write("a.yaml", ONE)
    assert at_sandbox.run("plan", "a.yaml", "--detailed-exitcode").code == 2


def test_3_when_a_change_fails(user: CliProcess, make_sandbox: MakeSandbox) -> None:
    sandbox = make_sandbox(unique_names=True)
    sandbox.seed([account_json("old@example.com", name="A")])
    user.connect_to(sandbox).write("a.yaml", ONE)
    done = user.run("apply", "a.yaml", "--auto-approve", "--no-prune", "--format", "json")
    assert done.code == 3
    (result,) = json.loads(done.out)["results"]
    assert result["status"] == "failed"
    assert "Já existe um item com o nome 'A'" in result["error"]


def test_3_when_a_test_fails(user: CliProcess, make_sandbox: MakeSandbox) -> None:
    sandbox = make_sandbox(mailboxes={"a@example.com": "right"})
    user.connect_to(sandbox).write("a.yaml", ONE.replace("}", ", password: {env: PW}}"))
    done = user.run("test", "a.yaml", "--to-email", "ops@example.com", environ={"PW": "wrong-password"})
    assert done.code == 3
    assert "535" in done.out
    assert "wrong-password" not in done.out + done.err


def test_5_when_too_much_would_be_deleted(at_sandbox: CliProcess, sandbox: Sandbox) -> None:
    sandbox.seed([account_json(f"{name}@example.com") for name in "abcd"])
    at_sandbox.write("a.yaml", ONE)
    for command in (["plan", "a.yaml"], ["apply", "a.yaml", "--auto-approve"]):
        done = at_sandbox.run(*command)
        assert done.code == 5
        assert "refused: the plan deletes 3 of 4 accounts; the limit is 30%" in done.out
    done = at_sandbox.run("apply", "a.yaml", "--auto-approve", "--max-deletes", "3")
    assert done.code == 0


def test_5_when_everything_would_be_deleted(at_sandbox: CliProcess, sandbox: Sandbox) -> None:
    sandbox.seed([account_json("a@example.com")])
    at_sandbox.write("a.yaml", "version: 1\naccounts: []\n")
    done = at_sandbox.run("plan", "a.yaml", "--format", "json")
    assert done.code == 5
    document = json.loads(done.out)
    assert (document["applyable"], [one["kind"] for one in document["errors"]]) == (False, ["guard_empty"])
    assert at_sandbox.run("apply", "a.yaml", "--auto-approve", "--allow-empty").code == 0
    assert at_sandbox.run("plan", "a.yaml", "--detailed-exitcode").code == 0


def test_64_for_wrong_usage(user: CliProcess) -> None:
    for wrong in (["plan"], ["plan", "a.yaml", "--nonsense"], ["nonsense"], ["plan", "a.yaml", "--max-deletes", "x"]):
        done = user.run(*wrong)
        assert (done.code, done.out) == (64, "")
        assert "Traceback" not in done.err


def test_130_when_interrupted_while_writing(user: CliProcess, make_sandbox: MakeSandbox) -> None:
    sandbox = make_sandbox(latency=0.3)
    accounts = "".join(
        f"  - {{email: a{n}@example.com, name: A{n}, service: other, smtp_server: s}}\n" for n in range(40)
    )
    user.connect_to(sandbox).write("a.yaml", f"version: 1\naccounts:\n{accounts}")
    process = user.start("apply", "a.yaml", "--auto-approve", "--parallelism", "2", "--format", "json")
    process.wait_for_error_text("[2/40]")
    process.send_signal(signal.SIGINT)
    done = process.finish()
    document = json.loads(done.out)
    assert done.code == 130
    summary = document["summary"]
    assert summary["applied"] + summary["not_attempted"] == 40
    assert 2 <= summary["applied"] < 40
    applied = sum(result["status"] == "applied" for result in document["results"])
    plan = json.loads(user.run("plan", "a.yaml", "-f", "json").out)
    assert (plan["summary"]["unchanged"], plan["summary"]["create"]) == (applied, 40 - applied)


@pytest.mark.parametrize("variable", ["RECONCILER_TOKEN", "RECONCILER_REFRESH_TOKEN"])
@pytest.mark.parametrize("command", [("apply", "--auto-approve"), ("test", "--to-email", "ops@example.com")])
def test_130_when_interrupted_before_anything_was_written(
    user: CliProcess, command: tuple[str, ...], variable: str
) -> None:
    reached = threading.Event()

    def hang(_request: Request) -> Step:
        reached.set()
        return Hang()

    user.write("a.yaml", ONE)
    with ScriptedServer(respond=hang) as server:
        user.environ |= {"RECONCILER_URL": server.url, variable: "token"}
        process = user.start(*command, "a.yaml", "-f", "json")
        assert reached.wait(60)
        process.send_signal(signal.SIGTERM)
        done = process.finish()
    assert (done.code, done.err) == (130, "\nerror: interrupted; nothing was written\n")
    assert [one["status"] for one in json.loads(done.out)["servers"]] == ["not_attempted"]


def test_130_when_interrupted_while_a_secret_is_fetched(at_sandbox: CliProcess) -> None:
    os.mkfifo(at_sandbox.folder / "started")
    command = "{command: [sh, -c, 'echo $$ > started; exec sleep 600']}"  # longer than any limit here
    at_sandbox.write("a.yaml", ONE.replace("}", f", password: {command}}}"))
    process = at_sandbox.start("plan", "a.yaml", "--allow-commands")
    command_id = int((at_sandbox.folder / "started").read_text())
    process.send_signal(signal.SIGTERM)
    done = process.finish()
    assert (done.code, done.out, done.err) == (130, "", "\nerror: interrupted; nothing was written\n")
    with pytest.raises(ProcessLookupError):
        os.kill(command_id, 0)
