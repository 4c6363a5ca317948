"""Every error leads to its entry on the errors page, in English and in Portuguese."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from reconciler.errors import Kind
from reconciler.report.kind_pages import help_lines
from tests.support.accounts_api import account_json
from tests.support.run_result import DOCUMENTATION, help_for

if TYPE_CHECKING:
    from tests.conftest import MakeSandbox
    from tests.support.cli_runner import CliProcess

ONE = """\
version: 1
accounts:
  - {email: a@example.com, name: A, service: other, smtp_server: smtp.example.com, default: true}
"""
THE_PAGES = f"help: {DOCUMENTATION}errors/\najuda: {DOCUMENTATION}pt-BR/errors/\n"


def test_equal_kinds_are_named_once() -> None:
    assert "".join(f"{line}\n" for line in help_lines([Kind.DNS, Kind.DNS])) == help_for("dns")


def test_several_kinds_fit_on_one_line_of_each_language() -> None:
    assert list(help_lines([Kind.TAG, Kind.SYNTAX])) == [
        f"help: {DOCUMENTATION}errors/#tag (also #syntax)",
        f"ajuda: {DOCUMENTATION}pt-BR/errors/#tag (e #syntax)",
    ]
    assert next(help_lines(Kind)).endswith(
        "#address_taken (also #alias_bomb, #alias_loop, #ambiguous_address, #auth_inherited, …)"
    )


def test_a_name_from_the_server_is_not_in_the_link() -> None:
    lines = list(help_lines(["s3cret", "conflict"]))
    assert lines == THE_PAGES.splitlines()


def test_warnings_have_no_link(user: CliProcess) -> None:
    user.write("a.yaml", ONE.replace("name: A", "name: A, password: literal"))
    done = user.run("validate", "a.yaml")
    assert (done.code, "warning: " in done.err, "help: " in done.err) == (0, True, False)


@pytest.mark.parametrize(
    "arguments",
    [
        ["plan", "--wibble"],
        ["plan"],
        ["plan", "a.yaml", "--select"],
        ["plan", "a.yaml", "--detailed-exitcode=1"],
        ["plan", "a.yaml", "-f", "wibble"],
        ["plan", "a.yaml", "-o", "a.yaml"],
    ],
)
def test_incorrect_usage_leads_to_the_help_of_its_command(user: CliProcess, arguments: list[str]) -> None:
    user.write("a.yaml", ONE)
    done = user.run(*arguments)
    usage = "Usage: reconciler plan [OPTIONS] PATH...\nTry 'reconciler plan --help' for help.\n\nError: "
    assert (done.code, done.err.startswith(usage), DOCUMENTATION in done.err) == (64, True, False), done.err


def test_an_error_the_document_shows_has_its_link_on_standard_error(user: CliProcess) -> None:
    user.write("a.yaml", ONE.replace("name: A", "name: 7"))
    done = user.run("validate", "a.yaml", "-f", "json")
    assert (done.code, DOCUMENTATION in done.out) == (1, False)
    assert done.err.endswith(f"\n{help_for('wrong_type')}")


def test_a_refused_plan_has_the_link_of_its_guard(user: CliProcess, make_sandbox: MakeSandbox) -> None:
    sandbox = make_sandbox()
    sandbox.seed([account_json(f"{name}@example.com") for name in "abc"])
    user.connect_to(sandbox).write("a.yaml", ONE)
    done = user.run("plan", "a.yaml")
    assert (done.code, done.err.endswith(f"\n{help_for('guard_max_deletes')}")) == (5, True), done.err


def test_a_change_that_failed_has_a_link_to_the_page(user: CliProcess, make_sandbox: MakeSandbox) -> None:
    sandbox = make_sandbox(unique_names=True)
    sandbox.seed([account_json("old@example.com", name="A")])
    user.connect_to(sandbox).write("a.yaml", "policy: {prune: false}\n" + ONE)
    done = user.run("apply", "a.yaml", "--auto-approve")
    assert (done.code, done.err.endswith(THE_PAGES)) == (3, True), done.err
