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


def test_the_demo_runs_every_step_on_a_few_screens(user: CliProcess) -> None:
    done = user.run("demo")
    assert done.code == 0, done.err
    commands = re.findall(r"^\$ reconciler (\w+)", done.out, re.MULTILINE)
    assert commands == ["validate", "plan", "apply", "plan", "plan", "apply", "apply", "sandbox"]
    assert done.out.count("\nNo changes.\n") == 1
    assert '      name                 "Edited by hand" → "Alerts"\n' in done.out
    assert re.search(r"  \w+@example\.com → ops@example\.com  \(TLS, plain\)", done.out)
    assert "      on 3 servers: lisbon, porto, recife\n" in done.out
    assert done.out.endswith("# Without --once, `watch` goes on and has a page; it needs an extra: see docs/watch.md\n")
    # Only the first plan is shown in full.
    assert done.out.count("+ create  root@example.com") == 1
    assert done.out.count("Plan: 1 to create, 2 to update, 1 to delete.") == 2
    assert len((done.out + done.err).splitlines()) < 120
    assert [line for line in done.out.splitlines() if len(line) > 88 and not line.startswith("$")] == []
    # It names no installation path, no variable of a server that is gone, and has no colours.
    assert not any(word in done.out + done.err for word in (str(ROOT), "/tmp", "RECONCILER_", "\x1b"))  # noqa: S108
    assert [one.name for one in user.folder.iterdir()] == []


def test_the_demo_pauses_on_a_terminal_and_uses_a_file_but_no_configured_server(user: CliProcess) -> None:
    user.environ |= {"RECONCILER_URL": "http://127.0.0.1:9", "RECONCILER_TOKEN": "real-token"}
    user.write("mine.yaml", "version: 1\naccounts:\n  - {email: a@example.com, name: A, service: gmail}\n")
    screen, code = at_terminal(user, "demo", "mine.yaml")
    assert code == 0
    assert screen.count(PAUSE) == 5
    assert "\x1b[36m# Show what would change." in screen
    assert "$ \x1b[1mreconciler plan mine.yaml\x1b[0m" in screen
    assert "127.0.0.1:9 " not in screen


def test_the_demo_does_not_pause_if_asked_not_to(user: CliProcess) -> None:
    screen, code = at_terminal(user, "demo", "--no-pause", until="# Apply.")
    assert (PAUSE in screen, code) == (False, 130)


def at_terminal(user: CliProcess, *arguments: str, until: str = "") -> tuple[str, int]:
    """The screen of a command whose pauses the user ends with Enter, and its exit code; Ctrl-C follows ``until``."""
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
        if until and until in screen:
            until = ""
            os.write(ours, b"\x03")
    os.close(ours)
    return screen, process.finish().code


def test_the_example_is_valid_without_a_warning(user: CliProcess) -> None:
    done = user.run("validate", str(EXAMPLE))
    assert (done.code, done.out, done.err) == (0, "Valid: 8 accounts.\n", "")
