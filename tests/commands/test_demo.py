"""``reconciler demo``, as ``make demo`` and ``pipx run`` start it."""

from __future__ import annotations

import os
import pty
import re
from pathlib import Path
from typing import TYPE_CHECKING

from tests.support import fork_server

if TYPE_CHECKING:
    from tests.support.cli_runner import CliProcess

ROOT = Path(__file__).parents[2]
EXAMPLE = ROOT / "examples" / "accounts.yaml"
PAUSE = "[Enter] goes on, [Ctrl-C] ends the demo"


def test_the_demo_runs_every_step(user: CliProcess) -> None:
    done = user.run("demo")
    assert done.code == 0, done.err
    commands = re.findall(r"^\$ reconciler (\w+)", done.out, re.MULTILINE)
    assert commands == ["validate", "plan", "apply", "plan", "plan", "apply", "apply", "sandbox"]
    assert done.out.count("\nNo changes.\n") == 1
    assert '      name                 "Edited by hand" → "Alerts"\n' in done.out
    assert re.search(r"  \w+@example\.com → ops@example\.com  \(TLS, plain\)", done.out)
    assert "      on 3 servers: lisbon, porto, recife\n" in done.out
    assert done.out.endswith("# `watch` repairs drift. Its page: http://127.0.0.1:8080; more in docs/watch.md\n")


def test_the_demo_fits_on_a_few_screens_and_names_no_installation_path(user: CliProcess) -> None:
    done = user.run("demo")
    assert len((done.out + done.err).splitlines()) < 120
    assert [line for line in done.out.splitlines() if len(line) > 88 and not line.startswith("$")] == []
    assert str(ROOT) not in done.out + done.err
    assert "/tmp" not in done.out + done.err  # noqa: S108 - not a file that a test writes
    assert "RECONCILER_" not in done.out + done.err
    assert "\x1b" not in done.out + done.err
    assert [one.name for one in user.folder.iterdir()] == []


def test_only_the_first_plan_is_shown_in_full(user: CliProcess) -> None:
    shown = user.run("demo").out
    assert shown.count("+ create  root@example.com") == 1
    assert shown.count("Plan: 1 to create, 2 to update, 1 to delete.") == 2


def test_the_demo_pauses_on_a_terminal_unless_asked_not_to(user: CliProcess) -> None:
    screen = at_terminal(user, "demo")
    assert screen.count(PAUSE) == 5
    assert "\x1b[36m# Show what would change." in screen
    assert "$ \x1b[1mreconciler plan accounts.yaml\x1b[0m" in screen
    assert PAUSE not in at_terminal(user, "demo", "--no-pause")


def at_terminal(user: CliProcess, *arguments: str) -> str:
    """The screen of a command whose pauses the user ends with Enter."""
    ours, theirs = pty.openpty()
    environ = user.environment({"TERM": "xterm", "COLUMNS": "80"})
    process = fork_server.start(arguments, user.folder, environ, stdin=theirs, stdout=theirs, stderr=theirs)
    os.close(theirs)
    screen, ended = "", 0
    while True:
        try:
            screen += os.read(ours, 65536).decode("utf-8", "replace")
        except OSError:
            break
        if screen.count(PAUSE) > ended:
            ended += 1
            os.write(ours, b"\n")
    os.close(ours)
    assert process.finish().code == 0
    return screen


def test_the_demo_accepts_a_file_and_ignores_the_configured_server(user: CliProcess) -> None:
    user.environ |= {"RECONCILER_URL": "http://127.0.0.1:9", "RECONCILER_TOKEN": "real-token"}
    user.write("mine.yaml", "version: 1\naccounts:\n  - {email: a@example.com, name: A, service: gmail}\n")
    done = user.run("demo", "mine.yaml")
    assert done.code == 0, done.err
    assert "$ reconciler plan mine.yaml\n" in done.out
    assert "127.0.0.1:9 " not in done.out


def test_the_example_is_valid_without_a_warning(user: CliProcess) -> None:
    done = user.run("validate", str(EXAMPLE))
    assert (done.code, done.out, done.err) == (0, "Valid: 8 accounts.\n", "")
