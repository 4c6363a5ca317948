"""``reconciler demo``, as ``make demo`` and ``pipx run`` start it."""

from __future__ import annotations

import re
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from tests.support.cli_runner import CliProcess

EXAMPLE = Path(__file__).parents[2] / "examples" / "accounts.yaml"


def test_the_demo_runs_every_step(user: CliProcess) -> None:
    done = user.run("demo")
    assert done.code == 0, done.err
    commands = re.findall(r"^\$ reconciler (\w+)", done.out, re.MULTILINE)
    assert commands == ["validate", "plan", "apply", "plan", "plan", "apply", "plan"]
    assert done.out.count("\nNo changes.\n") == 2
    assert '      name                 "Edited by hand" → "Alerts"\n' in done.out
    assert "backup@example.com → ops@example.com  (TLS, cram-md5)" in done.out


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
