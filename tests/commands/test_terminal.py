"""What a user at a terminal sees: a question, a progress bar, colours."""

from __future__ import annotations

import os
import pty
from typing import TYPE_CHECKING

import pytest

from tests.support import fork_server
from tests.support.accounts_api import account_json
from tests.support.run_result import help_for

if TYPE_CHECKING:
    from reconciler.sandbox import Sandbox
    from tests.conftest import MakeSandbox
    from tests.support.cli_runner import CliProcess

FILE = """\
version: 1
accounts:
  - {email: a@example.com, name: A, service: other, smtp_server: smtp.example.com}
"""


def at_terminal(user: CliProcess, *arguments: str, answer: str) -> tuple[int, str]:
    """Runs the command on a terminal and types ``answer`` at its question; returns the exit code and the screen."""
    ours, theirs = pty.openpty()
    environ = user.environment({"TERM": "xterm", "COLUMNS": "120"})
    process = fork_server.start(arguments, user.folder, environ, stdin=theirs, stdout=theirs, stderr=theirs)
    os.close(theirs)
    seen = ""
    typed = False
    while True:
        try:
            chunk = os.read(ours, 65536)
        except OSError:
            break
        seen += chunk.decode("utf-8", "replace")
        if not typed and "Only 'yes' applies them" in seen:
            os.write(ours, answer.encode())
            typed = True
    os.close(ours)
    return process.finish().code, seen


def test_yes_applies_the_plan(at_sandbox: CliProcess) -> None:
    at_sandbox.write("a.yaml", FILE)
    code, seen = at_terminal(at_sandbox, "apply", "a.yaml", answer="yes\n")
    assert code == 0
    assert "\x1b[32m+ create\x1b[0m" in seen
    assert "Done: 1 applied." in seen
    assert at_sandbox.run("plan", "a.yaml", "--detailed-exitcode").code == 0


def test_a_bar_shows_the_batch_and_the_pause(user: CliProcess, make_sandbox: MakeSandbox) -> None:
    for name in ("a", "b"):
        box = make_sandbox()
        server = f"server: {{name: {name}, url: '{box.url}', auth: {{refresh_token: {{env: KEY}}}}}}\n"
        user.write(f"fleet/{name}.yaml", FILE.replace("accounts:", f"{server}accounts:"))
    user.write("fleet/fleet.yaml", "version: 1\nfleet: {rollout: {batches: [1], pause: 0.3s}}\n")
    user.environ["KEY"] = "sandbox-refresh-token"
    code, seen = at_terminal(user, "apply", "fleet", answer="yes\n")
    assert code == 0
    for description in (
        "Applying: batch 1 of 2, 1 running, 0 failed",
        "Applying: pausing for 0.3s before batch 2 of 2, 0 failed",
        "Applying: batch 2 of 2, 1 running, 0 failed",
    ):
        assert description in seen


@pytest.mark.parametrize(("answer", "code"), [("no\n", 1), ("y\n", 1), ("\n", 1), ("\x03", 130), ("\x04", 1)])
def test_any_other_answer_writes_nothing(at_sandbox: CliProcess, answer: str, code: int) -> None:
    at_sandbox.write("a.yaml", FILE)
    found, seen = at_terminal(at_sandbox, "apply", "a.yaml", answer=answer)
    assert found == code
    assert "nothing was written" in seen
    assert at_sandbox.run("plan", "a.yaml", "--detailed-exitcode").code == 2


def test_no_question_if_nothing_changes(at_sandbox: CliProcess, sandbox: Sandbox) -> None:
    sandbox.seed([account_json("a@example.com", name="A")])
    at_sandbox.write("a.yaml", FILE)
    code, seen = at_terminal(at_sandbox, "apply", "a.yaml", answer="")
    assert code == 0
    assert "Only 'yes'" not in seen


@pytest.mark.parametrize(
    ("environ", "arguments", "coloured"),
    [
        ({}, [], False),
        ({"FORCE_COLOR": "1"}, [], True),
        ({"FORCE_COLOR": "1", "NO_COLOR": "1"}, [], False),
        ({"FORCE_COLOR": "1"}, ["--no-color"], False),
    ],
)
def test_output_to_a_pipe_is_coloured_only_if_forced(
    at_sandbox: CliProcess, environ: dict[str, str], arguments: list[str], *, coloured: bool
) -> None:
    at_sandbox.write("a.yaml", FILE)
    done = at_sandbox.run("plan", "a.yaml", *arguments, environ=environ)
    assert ("\x1b[" in done.out) is coloured


@pytest.mark.parametrize(
    "arguments",
    [["plan"], ["apply"], ["plan", "-f", "json"], ["apply", "-f", "json"], ["plan", "-f", "markdown"]],
)
def test_a_refusal_is_printed_once_on_a_terminal(
    at_sandbox: CliProcess, sandbox: Sandbox, arguments: list[str]
) -> None:
    sandbox.seed([account_json("b@example.com"), account_json("c@example.com")])
    at_sandbox.write("a.yaml", FILE)
    code, seen = at_terminal(at_sandbox, arguments[0], "a.yaml", *arguments[1:], answer="")
    assert code == 5
    printed = [line for line in seen.splitlines() if "deletes every account under management" in line]
    # JSON documents list errors by server too, and a result follows a plan on standard error.
    expected: dict[tuple[str, ...], int] = {("plan", "-f", "json"): 2, ("apply", "-f", "json"): 3}
    assert len(printed) == expected.get(tuple(arguments), 1)


def test_an_error_is_printed_once(user: CliProcess) -> None:
    user.write("a.yaml", FILE.replace("name: A", "nme: A"))
    for arguments in (["plan"], ["plan", "-f", "json"], ["apply", "-f", "github"], ["validate", "-f", "json"]):
        code, seen = at_terminal(user, arguments[0], "a.yaml", *arguments[1:], answer="")
        assert (code, seen.count("unknown key")) == (1, 1), arguments


def test_a_refusal_is_printed_once_in_a_log_and_to_each_of_two_streams(
    at_sandbox: CliProcess, sandbox: Sandbox
) -> None:
    sandbox.seed([account_json("b@example.com"), account_json("c@example.com")])
    at_sandbox.write("a.yaml", FILE)
    words = "deletes every account under management"
    for times, arguments in (((1, 1), ["plan"]), ((1, 1), ["apply"]), ((2, 1), ["plan", "-f", "json"])):
        done = at_sandbox.run(*arguments, "a.yaml")
        assert (done.code, (done.out.count(words), done.err.count(words))) == (5, times), arguments
    out, log = at_sandbox.folder / "out", at_sandbox.folder / "log"
    with out.open("w") as file:
        assert at_sandbox.run("plan", "a.yaml", stdout=file).err.count(words) == 1
    with log.open("w") as file:
        at_sandbox.run("plan", "a.yaml", stdout=file, stderr=file)
    assert (out.read_text().count(words), log.read_text().count(words)) == (1, 1)


def test_an_error_is_at_the_end_of_a_plan(at_sandbox: CliProcess, sandbox: Sandbox) -> None:
    sandbox.seed([account_json("b@example.com")])
    at_sandbox.write(
        "a.yaml", "policy: {prune: false}\n" + FILE + "  - {email: b@example.com, id: 7, name: B, service: gmail}\n"
    )
    done = at_sandbox.run("plan", "a.yaml")
    assert done.code == 1
    assert done.out.splitlines()[-5:] == [
        "error: a.yaml:5:5: b@example.com is pinned to id 7, which the server does not have",
        "  hint: remove `id` to match by address, or to create the account",
        "Nothing can be applied.",
        "",
        "Plan: 1 to create, 0 to update, 0 to delete.",
    ]
    assert done.err == done.out[done.out.index("error: ") : done.out.index("Nothing can")] + help_for("pin_not_found")


def test_a_saved_plan_is_reported_below_the_plan(at_sandbox: CliProcess) -> None:
    at_sandbox.write("a.yaml", FILE)
    _, seen = at_terminal(at_sandbox, "plan", "a.yaml", "--save", "plan.json", answer="")
    assert seen.endswith(" to delete.\x1b[0m\r\nwrote plan.json\r\n")
