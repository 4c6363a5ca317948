"""One mailbox is one account, however YAML, server and command line spell it."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest

from tests.support.accounts_api import account_json

if TYPE_CHECKING:
    from reconciler.sandbox import Sandbox
    from tests.conftest import MakeSandbox
    from tests.support.cli_runner import CliProcess

UNICODE, ASCII = "info@b\u00fccher.example", "info@xn--bcher-kva.example"
COMPOSED, DECOMPOSED = "jos\u00e9@example.com", "jose\u0301@example.com"
SPELLINGS = [
    (UNICODE, ASCII),
    (ASCII, UNICODE),
    ("Info@B\u00dcCHER.example", "info@XN--bcher-kva.EXAMPLE"),
    (COMPOSED, DECOMPOSED),
    (DECOMPOSED, COMPOSED),
]


def entry(email: str, name: str = "Same", **more: object) -> str:
    given = {"email": email, "name": name, "service": "other", "smtp_server": "smtp.example.com", **more}
    return f"  - {json.dumps(given, ensure_ascii=False)}\n"


def write(user: CliProcess, *entries: str, policy: str = "{}") -> None:
    user.write("accounts.yaml", f"version: 1\npolicy: {policy}\naccounts:\n{''.join(entries) or '  []'}\n")


def held(user: CliProcess) -> list[tuple[str, str, int]]:
    """Address, name and id of every account, in the order of their ids."""
    document = user.run("plan", "none.yaml", "-f", "json", "--allow-empty", "--max-deletes", "100%")
    changes = json.loads(document.out)["resource_changes"]
    before: list[dict[str, Any]] = [change["change"]["before"] for change in changes]
    return [(one["email"], one["name"], one["id"]) for one in sorted(before, key=lambda one: one["id"])]


@pytest.fixture
def sandbox(user: CliProcess, make_sandbox: MakeSandbox) -> Sandbox:
    made = make_sandbox()
    user.connect_to(made)
    user.write("none.yaml", "version: 1\naccounts: []\n")
    return made


@pytest.mark.parametrize(("declared", "there"), SPELLINGS)
def test_another_spelling_is_no_difference(user: CliProcess, sandbox: Sandbox, declared: str, there: str) -> None:
    sandbox.seed([account_json(there, name="Same")])
    write(user, entry(declared))
    done = user.run("plan", "accounts.yaml", "--detailed-exitcode")
    assert (done.code, done.out.splitlines()[-1]) == (0, "No changes.")


@pytest.mark.parametrize(("declared", "there"), SPELLINGS)
def test_an_update_keeps_id_and_spelling(user: CliProcess, sandbox: Sandbox, declared: str, there: str) -> None:
    sandbox.seed([account_json(there, name="Old")])
    write(user, entry(declared))
    assert user.run("apply", "accounts.yaml", "--auto-approve").code == 0
    assert held(user) == [(there, "Same", 1)]


@pytest.mark.parametrize(("declared", "there"), SPELLINGS)
def test_patterns_match_every_spelling(user: CliProcess, sandbox: Sandbox, declared: str, there: str) -> None:
    sandbox.seed([account_json(there), account_json("other@example.com")])
    write(user, entry("other@example.com", "Other"), policy=f"{{protect: [{json.dumps(declared)}]}}")
    protected = user.run("plan", "accounts.yaml", "--detailed-exitcode")
    assert (protected.code, "is not declared; protected by" in protected.out) == (0, True)
    write(user, entry("other@example.com", "Other"), policy=f"{{ignore: [{json.dumps(declared)}]}}")
    assert user.run("plan", "accounts.yaml", "--detailed-exitcode").code == 0
    write(user, entry("other@example.com", "New"))
    narrowed = user.run("plan", "accounts.yaml", "--only", declared, "--max-deletes", "1", "-f", "json")
    changes = json.loads(narrowed.out)["resource_changes"]
    assert [(one["name"], one["change"]["actions"]) for one in changes] == [(there, ["delete"])]
    assert there in user.run("export", "--only", declared).out


def test_two_spellings_in_the_yaml_are_declared_twice(user: CliProcess) -> None:
    write(user, entry(UNICODE), entry(ASCII))
    done = user.run("validate", "accounts.yaml")
    assert done.code == 1
    assert f"this account is declared twice, also as {UNICODE} (the other is at accounts.yaml:4:" in done.err


def test_look_alikes_are_two_mailboxes(user: CliProcess, sandbox: Sandbox) -> None:
    sandbox.seed([account_json("info@strasse.example", name="SS")])
    write(user, entry("info@stra\u00dfe.example", "Sharp s"), entry("info@strasse.example", "SS"))
    assert user.run("apply", "accounts.yaml", "--auto-approve").code == 0
    assert held(user) == [("info@strasse.example", "SS", 1), ("info@stra\u00dfe.example", "Sharp s", 2)]


def test_an_id_chooses_between_two_accounts_of_a_mailbox(user: CliProcess, sandbox: Sandbox) -> None:
    sandbox.seed([account_json(UNICODE, name="Same"), account_json(ASCII, name="Other")])
    write(user, entry(UNICODE))
    done = user.run("plan", "accounts.yaml")
    assert done.code == 1
    assert f"the server has {UNICODE} 2 times (id 1: {UNICODE}, id 2: {ASCII})" in done.err + done.out
    assert "`id: 1`; every other one is then undeclared, and is deleted if pruning is on" in done.err + done.out
    write(user, entry(UNICODE, id=1))
    assert user.run("apply", "accounts.yaml", "--auto-approve").code == 0
    assert held(user) == [(UNICODE, "Same", 1)]


def test_renamed_from_matches_every_spelling(user: CliProcess, sandbox: Sandbox) -> None:
    sandbox.seed([account_json(DECOMPOSED, name="Same"), account_json(ASCII, name="B")])
    write(user, entry("new@example.com", renamed_from=COMPOSED), entry("b@example.com", "B", renamed_from=UNICODE))
    assert user.run("apply", "accounts.yaml", "--auto-approve").code == 0
    assert held(user) == [("new@example.com", "Same", 1), ("b@example.com", "B", 2)]


def test_other_spellings_of_names_and_servers_are_no_difference(user: CliProcess, sandbox: Sandbox) -> None:
    sandbox.seed([account_json("a@example.com", name="Jose\u0301", smtp_server="Mail.b\u00fccher.example")])
    write(user, entry("a@example.com", "Jos\u00e9", smtp_server="mail.xn--bcher-kva.example"))
    assert user.run("plan", "accounts.yaml", "--detailed-exitcode").code == 0
    exported = user.run("export", "-o", "exported.yaml")
    assert (exported.code, "is left out" in (user.folder / "exported.yaml").read_text(encoding="utf-8")) == (0, False)
    assert user.run("plan", "exported.yaml", "--detailed-exitcode").code == 0


def test_a_saved_plan_does_not_depend_on_the_spelling(user: CliProcess, sandbox: Sandbox) -> None:
    sandbox.seed([account_json(ASCII, name="Old")])
    write(user, entry(UNICODE), entry(COMPOSED, "J"))
    assert user.run("plan", "accounts.yaml", "--save", "plan.json").code == 0
    write(user, entry(ASCII), entry(DECOMPOSED, "J"))
    assert user.run("apply", "accounts.yaml", "--plan", "plan.json").code == 0
    assert held(user) == [(ASCII, "Same", 1), (DECOMPOSED, "J", 2)]


def test_requests_keep_the_spelling_in_the_yaml(user: CliProcess, sandbox: Sandbox) -> None:
    sandbox.seed([])
    write(user, entry(UNICODE), entry(DECOMPOSED, "J"))
    assert user.run("apply", "accounts.yaml", "--auto-approve").code == 0
    assert {(email, name) for email, name, _ in held(user)} == {(UNICODE, "Same"), (DECOMPOSED, "J")}
