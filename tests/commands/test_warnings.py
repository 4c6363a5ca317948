"""What a command line asks for and does not get: a warning on standard error and in the document."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest

from tests.fleet.conftest import KEY, FleetOfSandboxes

if TYPE_CHECKING:
    from tests.conftest import MakeSandbox
    from tests.support.cli_runner import CliProcess
    from tests.support.run_result import RunResult

ONE = """\
version: 1
accounts:
  - {email: a@example.com, name: A, service: other, smtp_server: smtp.example.com, has_auth: false}
"""
RECIPIENT = ("--to-email", "ops@example.com")
UNUSED = (
    "warning: --to-email is not used: nothing is tested\n  hint: add `--test before` or `--test after`\n",
    ["to_email_not_used"],
)
UNMATCHED = "only_means_nothing"
ONLY = ("--only", "typo@example.com")


def kinds(done: RunResult) -> list[str]:
    document: dict[str, Any] = json.loads(done.out)
    return [one["kind"] for one in document["warnings"]]


@pytest.fixture
def fleet(user: CliProcess, make_sandbox: MakeSandbox) -> FleetOfSandboxes:
    user.environ |= {"KEY": KEY, "XDG_STATE_HOME": str(user.folder / ".state")}
    found = FleetOfSandboxes(user.folder, make_sandbox)
    found.add("a", "b")
    return found


@pytest.mark.parametrize("command", [("apply", "--auto-approve"), ("apply", "--dry-run")])
def test_a_recipient_without_a_test_is_a_warning(at_sandbox: CliProcess, command: tuple[str, ...]) -> None:
    at_sandbox.write("a.yaml", ONE)
    done = at_sandbox.run(*command, "a.yaml", *RECIPIENT, "-f", "json")
    assert (done.code, done.err.count(UNUSED[0])) == (0, 1)
    assert kinds(done) == ([] if "--dry-run" in command else UNUSED[1])


def test_a_recipient_is_used_if_a_test_is_asked_for_or_nothing_is_written(at_sandbox: CliProcess) -> None:
    at_sandbox.write("a.yaml", ONE)
    for more in (("--test", "after"), ()):
        done = at_sandbox.run("apply", "a.yaml", "--auto-approve", *RECIPIENT, *more)
        assert (done.code, "--to-email" in done.err) == (0, False)
    at_sandbox.write("a.yaml", ONE.replace("name: A", "name: B, test: {when: after}"))
    done = at_sandbox.run("apply", "a.yaml", "--auto-approve", *RECIPIENT)
    assert (done.code, "--to-email" in done.err) == (0, False)


@pytest.mark.usefixtures("fleet")
def test_a_recipient_without_a_test_is_one_warning_for_a_fleet(user: CliProcess) -> None:
    done = user.run("apply", ".", "--auto-approve", *RECIPIENT, "-f", "json")
    assert (done.code, done.err.count(UNUSED[0]), kinds(done)) == (0, 1, UNUSED[1])


def test_only_that_matches_nothing_is_a_warning_of_every_command(at_sandbox: CliProcess) -> None:
    at_sandbox.write("a.yaml", ONE)
    for command in (("plan",), ("apply", "--auto-approve"), ("test", *RECIPIENT)):
        done = at_sandbox.run(*command, "a.yaml", *ONLY, "-f", "json")
        assert (done.code, kinds(done)) == (0, [UNMATCHED]), command
        assert "--only typo@example.com: no " in done.err
        text = at_sandbox.run(*command, "a.yaml", *ONLY)
        assert "--only typo@example.com: no " in text.err + text.out


@pytest.mark.usefixtures("fleet")
def test_only_that_matches_nothing_is_a_warning_for_a_fleet(user: CliProcess) -> None:
    for command, count in ((("plan",), 2), (("apply", "--auto-approve"), 2), (("test", *RECIPIENT), 1)):
        done = user.run(*command, ".", *ONLY, "-f", "json")
        assert (done.code, kinds(done)) == (0, [UNMATCHED] * count), command
        assert done.err.count("--only typo@example.com: no ") == 1, command
