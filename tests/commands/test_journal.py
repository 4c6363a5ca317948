"""``apply --journal``, by the installed command."""

from __future__ import annotations

import json
import os
from typing import TYPE_CHECKING

import pytest

from tests.support.accounts_api import AccountsApi, account_json
from tests.support.cli_runner import RECONCILER, CliProcess
from tests.support.run_result import help_for
from tests.support.scripted_server import Reply, ScriptedServer

if TYPE_CHECKING:
    from reconciler.sandbox import Sandbox
    from tests.conftest import MakeSandbox

FILE = """\
version: 1
accounts:
  - {email: a@example.com, name: A, service: other, smtp_server: smtp.example.com, password: {env: PW}}
  - {email: b@example.com, name: B, service: other, smtp_server: smtp.example.com}
"""


def entries(user: CliProcess) -> list[dict[str, object]]:
    lines = (user.folder / "journal").read_text(encoding="utf-8").splitlines()
    return [{name: value for name, value in json.loads(line).items() if name not in ("at", "server")} for line in lines]


def prepared(user: CliProcess, sandbox: Sandbox) -> CliProcess:
    sandbox.seed([account_json("b@example.com", name="Old"), account_json("c@example.com")])
    user.environ["PW"] = "canary-password"
    user.write("a.yaml", FILE)
    return user


def test_each_write_has_its_intent_and_its_outcome(at_sandbox: CliProcess, sandbox: Sandbox) -> None:
    user = prepared(at_sandbox, sandbox)
    assert user.run("apply", "a.yaml", "--auto-approve", "--parallelism", "1", "--journal", "journal").code == 0
    assert "canary" not in (user.folder / "journal").read_text(encoding="utf-8")
    create = ["email", "name", "default", "service", "has_auth", "password", "smtp_server"]
    assert entries(user) == [
        {"event": "intent", "address": "a@example.com", "action": "create", "id": None, "fields": create},
        {"event": "outcome", "address": "a@example.com", "action": "create", "id": 3, "status": "applied"},
        {"event": "intent", "address": "b@example.com", "action": "update", "id": 1, "fields": ["name"]},
        {"event": "outcome", "address": "b@example.com", "action": "update", "id": 1, "status": "applied"},
        {"event": "intent", "address": "c@example.com", "action": "delete", "id": 2, "fields": []},
        {"event": "outcome", "address": "c@example.com", "action": "delete", "id": 2, "status": "applied"},
    ]


def test_the_intent_of_a_temporary_name_lists_all_fields_written(at_sandbox: CliProcess, sandbox: Sandbox) -> None:
    sandbox.seed([account_json("a@example.com", name="A", default=True), account_json("b@example.com", name="B")])
    accounts = "[{email: a@example.com, name: B}, {email: b@example.com, name: A, default: true}]"
    at_sandbox.write("a.yaml", f"version: 1\ndefaults: {{service: gmail}}\naccounts: {accounts}\n")
    options = ("--auto-approve", "--parallelism", "1", "--journal", "journal")
    assert at_sandbox.run("apply", "a.yaml", *options).code == 0
    intents = [(one["address"], one["fields"]) for one in entries(at_sandbox) if one["event"] == "intent"]
    fields = ["name", "default", "service"]
    assert intents == [("b@example.com", fields), ("a@example.com", fields), ("b@example.com", fields)]


def test_a_rollback_has_its_own_journal_lines(user: CliProcess, make_sandbox: MakeSandbox) -> None:
    sandbox = make_sandbox(mailboxes={"a@example.com": "right"})
    user.connect_to(sandbox).environ["PW"] = "wrong"
    user.write("a.yaml", FILE.partition("  - {email: b@")[0])
    options = ("--test", "after", "--to-email", "ops@example.com", "--on-failure", "rollback")
    assert user.run("apply", "a.yaml", "--auto-approve", *options, "--journal", "journal").code == 3
    recorded = [(one["event"], one["action"], one.get("status"), one.get("rollback")) for one in entries(user)]
    assert recorded == [
        ("intent", "create", None, None),
        ("intent", "delete", None, True),
        ("outcome", "delete", "applied", True),
        ("outcome", "create", "failed", None),
    ]


def test_writes_without_an_outcome_are_checked_once(at_sandbox: CliProcess, sandbox: Sandbox) -> None:
    user = prepared(at_sandbox, sandbox)
    user.run("apply", "a.yaml", "--auto-approve", "--parallelism", "1", "--journal", "journal")
    journal = user.folder / "journal"
    lines = journal.read_text(encoding="utf-8").splitlines(keepends=True)
    journal.write_text("".join(line for line in lines if "outcome" not in line) + '{"at": "torn', encoding="utf-8")
    done = user.run("apply", "a.yaml", "--auto-approve", "--journal", "journal")
    assert done.code == 0
    printed = [line for line in done.err.splitlines() if line.startswith("checked:")]
    assert [(line.split()[3], line.rpartition("; ")[2]) for line in printed] == [
        ("a@example.com", "it is in place"),
        ("b@example.com", "it is in place"),
        ("c@example.com", "it is gone"),
    ]
    for _ in range(2):
        done = user.run("apply", "a.yaml", "--auto-approve", "--journal", "journal")
        assert done.code == 0
        assert "checked:" not in done.err


def test_the_journal_records_what_the_final_check_finds(user: CliProcess) -> None:
    api = AccountsApi({"email": "c@example.com", "name": "C"})
    api.overrides["DELETE 1"] = lambda _request, _count: Reply(200)
    user.write("a.yaml", "version: 1\naccounts: []\n")
    with ScriptedServer(respond=api) as server:
        user.environ |= {"RECONCILER_URL": server.url, "RECONCILER_TOKEN": "token"}
        done = user.run("apply", "a.yaml", "--auto-approve", "--allow-empty", "--journal", "journal")
    assert done.code == 3
    assert [(one["event"], one.get("status")) for one in entries(user)] == [
        ("intent", None),
        ("outcome", "applied"),
        ("check", "failed"),
    ]


def test_a_file_that_is_not_a_journal_is_left_alone(at_sandbox: CliProcess, sandbox: Sandbox) -> None:
    user = prepared(at_sandbox, sandbox)
    before = "version: 1\naccounts: []\n"
    user.write("other.yaml", before)
    done = user.run("apply", "a.yaml", "--auto-approve", "--journal", "other.yaml")
    assert done.code == 1
    assert done.err.endswith(
        f"error: other.yaml:1: this is not a journal line\n  hint: use a new journal file\n{help_for('journal')}"
    )
    assert (user.folder / "other.yaml").read_text(encoding="utf-8") == before
    assert len(user.run("export").out.split("- email")) == 3


def test_a_file_without_a_line_ending_is_left_alone(at_sandbox: CliProcess, sandbox: Sandbox) -> None:
    user = prepared(at_sandbox, sandbox)
    user.write("notes", "not a journal")
    done = user.run("apply", "a.yaml", "--auto-approve", "--journal", "notes")
    assert done.code == 1
    assert (user.folder / "notes").read_text(encoding="utf-8") == "not a journal"


def test_without_a_complete_journal_line_nothing_is_written(at_sandbox: CliProcess, sandbox: Sandbox) -> None:
    user = prepared(at_sandbox, sandbox)
    command = ["bash", "-c", 'ulimit -f 1; trap "" XFSZ; exec "$@"', "-", str(RECONCILER)]
    user.write("journal", "\n" * 1000)
    arguments = ["apply", "a.yaml", "--auto-approve", "--journal", "journal", "-f", "json"]
    done = user.run_program([*command, *arguments])
    assert (done.code, "wrote" in done.err) == (3, False)
    assert {one["status"] for one in json.loads(done.out)["results"]} == {"failed"}
    assert user.run("plan", "a.yaml", "-f", "json").out.count('"actions"') == 3


def test_without_a_journal_line_nothing_is_written(at_sandbox: CliProcess, sandbox: Sandbox) -> None:
    user = prepared(at_sandbox, sandbox)
    done = user.run("apply", "a.yaml", "--auto-approve", "--journal", "/dev/full", "-f", "json", "-q")
    results = json.loads(done.out)["results"]
    assert done.code == 3
    assert {one["status"] for one in results} == {"failed"}
    assert "No space left on device" in results[0]["error"]
    assert user.run("plan", "a.yaml", "-f", "json").out.count('"actions"') == 3


@pytest.mark.parametrize("is_read", [False, True])
def test_a_pipe_is_no_journal(at_sandbox: CliProcess, sandbox: Sandbox, is_read: bool) -> None:
    user = prepared(at_sandbox, sandbox)
    os.mkfifo(user.folder / "pipe")
    reader = os.open(user.folder / "pipe", os.O_RDONLY | os.O_NONBLOCK) if is_read else None
    done = user.run("apply", "a.yaml", "--auto-approve", "--journal", "pipe")
    assert done.code == 1
    assert "error: the journal pipe cannot be used: this is not a regular file\n" in done.err
    assert user.run("plan", "a.yaml", "-f", "json").out.count('"actions"') == 3
    if reader is not None:
        os.close(reader)


@pytest.mark.parametrize(
    "line",
    [
        b"\xff\xfe\n",
        b"[]\n",
        b"null\n",
        b"[" * 100_000 + b"\n",
        b'{"address": [], "action": "create", "id": 1, "at": "x", "event": "intent", "server": "x"}\n',
        b'{"address": "a@x", "action": {}, "id": 1, "at": "x", "event": "intent", "server": "x"}\n',
    ],
)
def test_an_invalid_journal_line_is_reported_with_its_number(
    at_sandbox: CliProcess, sandbox: Sandbox, line: bytes
) -> None:
    user = prepared(at_sandbox, sandbox)
    (user.folder / "odd").write_bytes(line)
    done = user.run("apply", "a.yaml", "--auto-approve", "--journal", "odd")
    assert done.code == 1
    assert "error: odd:1: this is not a journal line\n" in done.err
    assert "bug" not in done.err
    assert (user.folder / "odd").read_bytes() == line
