"""``plan --save`` and ``apply --plan``, by the installed command."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import pytest

from reconciler.report.json import digest
from tests.support.accounts_api import AccountsApi, Row, account_json
from tests.support.run_result import help_for
from tests.support.scripted_server import ScriptedServer

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from reconciler.sandbox import Sandbox
    from tests.support.cli_runner import CliProcess
    from tests.support.scripted_server import Request

FILE = """\
version: 1
accounts:
  - {email: a@example.com, name: A, service: other, smtp_server: smtp.example.com, password: {env: PW}}
  - {email: b@example.com, name: B, service: other, smtp_server: smtp.example.com}
"""


@pytest.fixture
def reviewed(at_sandbox: CliProcess, sandbox: Sandbox) -> CliProcess:
    """A user with a saved plan: create a, update b, delete c."""
    sandbox.seed([account_json("b@example.com", name="Old"), account_json("c@example.com")])
    at_sandbox.environ["PW"] = "canary-password"
    at_sandbox.write("a.yaml", FILE)
    done = at_sandbox.run("plan", "a.yaml", "--save", "plan.json")
    assert (done.code, done.err) == (0, "wrote plan.json\n")
    return at_sandbox


def test_a_saved_plan_is_applied_without_asking(reviewed: CliProcess) -> None:
    done = reviewed.run("apply", "a.yaml", "--plan", "plan.json", "-f", "json", "-q")
    assert done.code == 0
    assert [
        (one["name"] if "name" in one else one["address"], one["status"]) for one in json.loads(done.out)["results"]
    ] == [
        ("a@example.com", "applied"),
        ("b@example.com", "applied"),
        ("c@example.com", "applied"),
    ]
    assert reviewed.run("plan", "a.yaml", "--detailed-exitcode").code == 0


def test_a_saved_plan_holds_no_secret(reviewed: CliProcess) -> None:
    assert "canary" not in (reviewed.folder / "plan.json").read_text(encoding="utf-8")


def test_a_change_that_is_already_in_place_is_skipped(reviewed: CliProcess) -> None:
    other = reviewed.run("apply", "a.yaml", "--auto-approve", "--only", "b@example.com")
    assert other.code == 0
    done = reviewed.run("apply", "a.yaml", "--plan", "plan.json", "-q")
    assert done.code == 0
    assert done.out.splitlines()[-4:] == [
        "b@example.com: update not needed; was in place already; nothing written",
        "a@example.com: created",
        "c@example.com: deleted",
        "Done: 3 applied (1 in place already).",
    ]


def test_a_different_change_ends_with_4_and_is_compared(reviewed: CliProcess) -> None:
    reviewed.write("a.yaml", FILE.replace("name: B", "name: Other"))
    done = reviewed.run("apply", "a.yaml", "--plan", "plan.json")
    assert done.code == 4
    assert done.err == (
        "  b@example.com\n"
        "                           reviewed       now\n"
        "      action               update (id 1)  update (id 1)\n"
        '    ! name                 "Old" → "B"    "Old" → "Other"\n'
        "error: the plan is not the reviewed one: 1 account differs; nothing was written\n"
        "  hint: plan and review again\n"
        f"{help_for('stale_plan')}"
    )
    assert reviewed.run("plan", "a.yaml", "-f", "json").out.count('"actions"') == 3


def test_the_json_document_has_the_differences_too(reviewed: CliProcess) -> None:
    reviewed.write("a.yaml", FILE.replace("name: B", "name: Other"))
    done = reviewed.run("apply", "a.yaml", "--plan", "plan.json", "-f", "json", "-q")
    assert done.code == 4
    assert [(one.get("address"), one["message"]) for one in json.loads(done.out)["errors"]] == [
        (None, "the plan is not the reviewed one: 1 account differs; nothing was written"),
        (
            "b@example.com",
            'b@example.com: reviewed: update (id 1), name "Old" → "B"; now: update (id 1), name "Old" → "Other"',
        ),
    ]


def test_a_change_missing_from_the_saved_plan_ends_with_4(reviewed: CliProcess) -> None:
    reviewed.write("a.yaml", FILE + "  - {email: d@example.com, name: D, service: gmail}\n")
    done = reviewed.run("apply", "a.yaml", "--plan", "plan.json")
    assert done.code == 4
    assert "d@example.com" in done.err


def test_a_recreated_account_ends_with_4(reviewed: CliProcess) -> None:
    reviewed.write("only-b.yaml", FILE)
    reviewed.write("none.yaml", "version: 1\naccounts: []\n")
    reviewed.run("apply", "none.yaml", "--auto-approve", "--only", "b@example.com", "--max-deletes", "1")
    reviewed.run("apply", "a.yaml", "--auto-approve", "--only", "b@example.com")
    done = reviewed.run("apply", "a.yaml", "--plan", "plan.json")
    assert done.code == 4


def test_a_change_that_is_no_longer_planned_ends_with_4(reviewed: CliProcess) -> None:
    done = reviewed.run("apply", "a.yaml", "--plan", "plan.json", "--no-prune")
    assert done.code == 4
    assert "c@example.com" in done.err


def test_a_plan_for_another_server_ends_with_4(reviewed: CliProcess) -> None:
    path = reviewed.folder / "plan.json"
    path.write_text(path.read_text().replace(reviewed.environ["RECONCILER_URL"], "https://other.example.com"))
    done = reviewed.run("apply", "a.yaml", "--plan", "plan.json")
    assert done.code == 4
    assert "is a plan for https://other.example.com" in done.err


def _truncate(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:-100])


def _edit(path: Path) -> None:
    path.write_text(path.read_text().replace('"Old"', '"New"'))


def _empty(path: Path) -> None:
    path.write_bytes(b"")


def _foreign(path: Path) -> None:
    path.write_text('{"terraform_version": "1.9"}')


def _list(path: Path) -> None:
    path.write_text("[" * 100_000)


def _forge(path: Path) -> None:
    """A plan with a digest that fits, but with a change that no planner makes."""
    document = json.loads(path.read_text())
    document["resource_changes"][0]["change"]["actions"] = []
    path.write_text(json.dumps({**document, "digest": digest(document["resource_changes"])}))


@pytest.mark.parametrize("spoil", [_truncate, _edit, _empty, _foreign, _list, _forge])
def test_a_damaged_plan_file_is_a_clear_error(reviewed: CliProcess, spoil: Callable[[Path], None]) -> None:
    spoil(reviewed.folder / "plan.json")
    done = reviewed.run("apply", "a.yaml", "--plan", "plan.json")
    assert done.code == 1
    assert done.err.startswith("error: plan.json ")
    assert "reconciler plan --save" in done.err
    assert "bug" not in done.err


def test_a_plan_is_saved_although_nobody_reads_it(reviewed: CliProcess) -> None:
    (reviewed.folder / "plan.json").unlink()
    process = reviewed.start("plan", "a.yaml", "--save", "plan.json")
    process.close("stdout")
    assert process.wait() == 141
    assert json.loads((reviewed.folder / "plan.json").read_text())["applyable"] is True


def test_a_plan_that_cannot_be_applied_is_not_saved(reviewed: CliProcess) -> None:
    reviewed.write("none.yaml", "version: 1\naccounts: []\n")
    done = reviewed.run("plan", "none.yaml", "--save", "none.json")
    assert done.code == 5
    assert not (reviewed.folder / "none.json").exists()
    assert done.err.startswith("none.json was not written: the plan cannot be applied.\nerror: the plan deletes every")


HELD: tuple[Row, ...] = ({"email": "b@example.com", "name": "Old"}, {"email": "c@example.com", "name": "C"})
FINAL = 2
"""The list calls of an apply that creates nothing: one for the plan, one at the end."""


def done_and_undone(api: AccountsApi, what: str) -> None:
    """Undoes, as an administrator, what was applied."""
    if what == "update":
        api.edit(1, name="Old")
    elif what == "delete":
        api.add(account_id=2, email="c@example.com")
    elif what == "create":
        del api.accounts[3]


@pytest.mark.parametrize(
    ("what", "address", "error"),
    [
        ("nothing", "", ""),
        ("update", "b@example.com", 'at the end of the run the server has other values: name (it has "Old")'),
        ("delete", "c@example.com", "an account with this address exists again at the end of the run (id 2)"),
        ("create", "a@example.com", "the account is not on the server at the end of the run"),
    ],
)
def test_changes_already_in_place_are_checked_at_the_end(user: CliProcess, what: str, address: str, error: str) -> None:
    api = AccountsApi(*HELD)
    user.write("a.yaml", FILE)
    user.environ["PW"] = "password"
    with ScriptedServer(respond=api) as server:
        user.environ |= {"RECONCILER_URL": server.url, "RECONCILER_TOKEN": "token"}
        assert user.run("plan", "a.yaml", "--save", "plan.json").code == 0
        assert user.run("apply", "a.yaml", "--auto-approve").code == 0

        def undo(_request: Request, count: int) -> None:
            if count == FINAL:
                done_and_undone(api, what)

        api.requests.clear()
        api.overrides["GET list"] = undo
        done = user.run("apply", "a.yaml", "--plan", "plan.json", "-f", "json", "-q")
    results = {one["address"]: one for one in json.loads(done.out)["results"]}
    failed = {key: one["error"] for key, one in results.items() if one["status"] != "applied"}
    assert (done.code, failed) == ((3, {address: error}) if error else (0, {}))
    assert [results[f"{name}@example.com"]["id"] for name in "abc"] == [3, 1, 2]


def test_an_empty_plan_name_is_an_error(at_sandbox: CliProcess) -> None:
    at_sandbox.write("a.yaml", "version: 1\naccounts:\n  - {email: a@example.com, name: A, service: gmail}\n")
    done = at_sandbox.run("apply", "a.yaml", "--auto-approve", "--plan", "")
    assert (done.code, done.out) == (64, "")
    assert "'--plan': the name is empty. " in done.err
    assert "accounts: []" in at_sandbox.run("export").out
