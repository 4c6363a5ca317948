"""``reconciler export``: what it writes plans to no changes."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from reconciler.commands.invocation import Invocation
from reconciler.errors import OutputError
from tests.support.accounts_api import account_json
from tests.support.run_result import help_for

if TYPE_CHECKING:
    from pathlib import Path

    from reconciler.sandbox import Sandbox
    from tests.conftest import MakeSandbox
    from tests.support.cli_runner import CliProcess

ACCOUNTS = [
    account_json(
        "certs@example.com", default=True, hash_auth=True, password="right", smtp_port=465, smtp_crypt="ssl-tls"
    ),
    account_json("twice@example.com", name="1"),
    account_json("twice@example.com", name="2"),
    account_json("odd@example.com", name="\u202e - yes: [null] # \n\t"),
    account_json("gmail@example.com", service="gmail", smtp_server=None),
]

KEEPS = "or remove `password:`: the server keeps the password that it has\n"
ODD_NOTE = "note: odd@example.com is left out and left alone: its name is not one that this format has\n"
PASSWORD_NOTE = f"note: 1 password is not exported: set the variables, {KEEPS}"


@pytest.mark.parametrize("passwords", ["shown", "absent", "null", "empty", "mask"])
def test_planning_an_export_shows_no_changes(user: CliProcess, make_sandbox: MakeSandbox, passwords: str) -> None:
    sandbox = make_sandbox(passwords=passwords)
    sandbox.seed(ACCOUNTS)
    user.connect_to(sandbox)
    done = user.run("export", "-o", "accounts.yaml")
    assert (done.code, done.out, done.err) == (0, "", f"wrote accounts.yaml\n{ODD_NOTE}{PASSWORD_NOTE}")
    text = (user.folder / "accounts.yaml").read_text(encoding="utf-8")
    assert "right" not in text
    assert "password: {env: CERTS_EXAMPLE_COM_PASSWORD}" in text or "env: CERTS_EXAMPLE_COM_PASSWORD" in text
    user.environ["CERTS_EXAMPLE_COM_PASSWORD"] = "right"
    done = user.run("plan", "accounts.yaml", "--detailed-exitcode")
    assert (done.code, done.out.splitlines()[-1]) == (0, "No changes.")


@pytest.mark.parametrize("encoding", ["cp1252", "latin-1", "ascii", "utf-16"])
def test_an_export_is_always_utf_8(user: CliProcess, make_sandbox: MakeSandbox, encoding: str) -> None:
    sandbox = make_sandbox()
    sandbox.seed([*ACCOUNTS, account_json("names@example.com", name="Ação 日本 😀"), account_json("jörg@example.com")])
    user.connect_to(sandbox).environ |= {"PYTHONUTF8": "0", "PYTHONIOENCODING": encoding, "LC_ALL": "C"}
    user.write("accounts.yaml", user.run("export").out)
    user.environ["CERTS_EXAMPLE_COM_PASSWORD"] = "right"
    done = user.run("plan", "accounts.yaml", "--detailed-exitcode", environ={"PYTHONIOENCODING": "utf-8"})
    assert (done.code, done.out.splitlines()[-1]) == (0, "No changes.")


def test_an_export_can_be_narrowed(user: CliProcess, make_sandbox: MakeSandbox) -> None:
    sandbox = make_sandbox()
    sandbox.seed(ACCOUNTS)
    done = user.connect_to(sandbox).run("export", "--only", "g*")
    user.write("gmail.yaml", done.out)
    planned = user.run("plan", "gmail.yaml", "--detailed-exitcode")
    assert (planned.code, planned.out.splitlines()[-1]) == (0, "No changes.")
    assert [line for line in done.out.splitlines() if "email" in line] == ["  - email: gmail@example.com"]


def test_an_empty_export_prints_a_warning(user: CliProcess, make_sandbox: MakeSandbox) -> None:
    done = user.connect_to(make_sandbox()).run("export", "--only", "typo*")
    assert (done.code, done.err) == (
        0,
        "warning: --only typo*: no account has such an address\n"
        "  hint: check the spelling; quote `*`, so that the shell leaves it alone\n",
    )


def test_what_an_export_leaves_out_is_printed(user: CliProcess, make_sandbox: MakeSandbox) -> None:
    sandbox = make_sandbox()
    sandbox.seed([*ACCOUNTS, account_json("second@example.com", default=True)])
    user.connect_to(sandbox)
    assert user.run("export").err == (
        "note: default is left out: the server has more than one default account\n" + ODD_NOTE + PASSWORD_NOTE
    )
    assert user.run("export", "-q").err == ""
    assert user.run("export", "--only", "g*").err == (
        "note: prune is off, because the server has more accounts than these: nothing that the file does not declare is"
        " deleted\n"
    )


def test_an_export_without_its_passwords_keeps_the_stored_ones(at_sandbox: CliProcess, sandbox: Sandbox) -> None:
    sandbox.seed(ACCOUNTS)
    text = at_sandbox.run("export").out
    at_sandbox.write("accounts.yaml", text)
    done = at_sandbox.run("plan", "accounts.yaml")
    assert (done.code, done.err.count("hint: ")) == (1, 1)
    assert done.err.endswith(
        "{env: CERTS_EXAMPLE_COM_PASSWORD}: the variable is not set\n"
        "  hint: set CERTS_EXAMPLE_COM_PASSWORD in the environment; without `password:`, an account that exists keeps"
        f" its password\n{help_for('secret_unset')}"
    )
    lines = [line for line in text.splitlines(keepends=True) if "password:" not in line or line.startswith("#")]
    at_sandbox.write("accounts.yaml", "".join(lines))
    assert at_sandbox.run("plan", "accounts.yaml").out.endswith("\n\nNo changes.\n")
    at_sandbox.write("accounts.yaml", "".join(lines).replace("name: ", "name: New ", 2))
    assert at_sandbox.run("apply", "accounts.yaml", "--auto-approve").code == 0
    assert sandbox.accounts()[0]["password"] == "right"


def test_an_export_replaces_no_file_unless_forced(at_sandbox: CliProcess, sandbox: Sandbox) -> None:
    sandbox.seed(ACCOUNTS[:1])
    at_sandbox.write("accounts.yaml", "mine\n")
    done = at_sandbox.run("export", "-o", "accounts.yaml")
    assert (done.code, done.err) == (
        1,
        f"error: accounts.yaml exists already\n  hint: `--force` replaces it\n{help_for('output_exists')}",
    )
    assert (at_sandbox.folder / "accounts.yaml").read_text(encoding="utf-8") == "mine\n"
    done = at_sandbox.run("export", "-o", "accounts.yaml", "--force")
    assert (done.code, done.err) == (0, f"wrote accounts.yaml\n{PASSWORD_NOTE}")
    assert "certs@example.com" in (at_sandbox.folder / "accounts.yaml").read_text(encoding="utf-8")


def test_a_file_that_appears_during_an_export_is_not_replaced(tmp_path: Path) -> None:
    file = tmp_path / "accounts.yaml"
    file.write_text("theirs", encoding="utf-8")
    invocation = Invocation(output=str(file), overwrite=False)
    with pytest.raises(OutputError, match="exists already"):
        invocation.write_document("ours")
    assert [(one.name, one.read_text(encoding="utf-8")) for one in tmp_path.iterdir()] == [("accounts.yaml", "theirs")]
