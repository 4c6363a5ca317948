"""``docs/unknown.md`` is true: what it shows of a server that fails, and of a process that is killed, happens so."""

from __future__ import annotations

import shlex
import signal
from typing import TYPE_CHECKING

import pytest

from tests.support.fault_control import FaultServerControl, fault
from tests.support.page_world import is_shown
from tests.support.pages import ROOT, blocks

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.support.cli_runner import CliProcess
    from tests.support.pages import Step

BLOCKS = blocks(ROOT / "docs" / "unknown.md")
(MANIFEST,) = [block.text for block in BLOCKS if block.language == "yaml"]
STEPS = [step for block in BLOCKS if block.language == "console" for step in block.steps]
SECOND_CREATE = 4
"""The requests before it: the token, the list for the plan, the list before the first create, the first create."""


@pytest.fixture
def server() -> Iterator[FaultServerControl]:
    with FaultServerControl() as control:
        yield control


def follow(user: CliProcess, steps: list[Step], *, code: int = 0) -> None:
    """Runs what a page shows; the first command ends with ``code``."""
    for step in steps:
        if step.command.startswith("echo"):
            assert [str(code)] == step.output
            continue
        program, *arguments = shlex.split(step.command)
        done = user.run(*arguments) if program == "reconciler" else user.run_program([program, *arguments])
        assert done.code == code, done.err
        shown = [line.replace("https://fw.example.com", user.environ["RECONCILER_URL"]) for line in step.output]
        assert is_shown(shown, done.out, done.err), (step.command, done.out, done.err)


def connected(user: CliProcess, url: str) -> CliProcess:
    user.environ |= {"RECONCILER_URL": url, "RECONCILER_REFRESH_TOKEN": "sandbox-refresh-token"}
    user.write("accounts.yaml", MANIFEST)
    return user


def test_a_run_whose_server_fails_and_the_next_one_are_as_shown(user: CliProcess, server: FaultServerControl) -> None:
    url = server.reset([], [fault("reset_after", SECOND_CREATE), fault("down", SECOND_CREATE + 1, times=1000)])
    follow(connected(user, url), STEPS[:2], code=3)
    server.arm()
    follow(user, STEPS[2:6])


def test_a_run_that_is_killed_and_the_next_one_are_as_shown(user: CliProcess, server: FaultServerControl) -> None:
    connected(user, server.reset([], [fault("held_after", SECOND_CREATE)]))
    options = ("--auto-approve", "--parallelism", "1", "--journal", "killed.jsonl")
    process = user.start("apply", "accounts.yaml", *options)
    server.held()
    process.send_signal(signal.SIGKILL)
    process.wait()
    follow(user, STEPS[6:])
