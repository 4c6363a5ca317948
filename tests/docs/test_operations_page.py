"""``docs/operations.md`` is complete and true: states, alerts and events, and its backup."""

from __future__ import annotations

import re
import shlex
import shutil
import sqlite3
from pathlib import Path
from typing import TYPE_CHECKING

import yaml

from reconciler.watch.records import ServerState

if TYPE_CHECKING:
    from tests.support.cli_runner import CliProcess

ROOT = Path(__file__).parents[2]
PAGE = (ROOT / "docs" / "operations.md").read_text(encoding="utf-8")
SHELL = "".join(re.findall(r"```sh\n(.*?)```", PAGE, re.DOTALL))
MANIFEST = """\
version: 1
server: {name: lab}
defaults: {service: other, smtp_server: smtp.example.com}
accounts: [{email: alerts@example.com, name: Alerts}]
"""


def table(heading: str) -> set[str]:
    """The names in the first column of a section's table."""
    section = PAGE.partition(f"\n## {heading}\n")[2].partition("\n## ")[0]
    cells = re.findall(r"^\| ([^|]+) \|", section, re.MULTILINE)
    return {name for cell in cells for name in re.findall(r"`(\w+)`", cell)}


def test_every_state_is_explained() -> None:
    assert table("States") == set(ServerState)


def test_every_alert_has_a_section() -> None:
    alerts = yaml.safe_load((ROOT / "examples" / "prometheus" / "alerts.yaml").read_text(encoding="utf-8"))
    names = {rule["alert"] for rule in alerts["groups"][0]["rules"]}
    assert set(re.findall(r"^### (\w+)$", PAGE, re.MULTILINE)) == names


def test_every_event_of_the_log_is_explained() -> None:
    code = "".join(path.read_text(encoding="utf-8") for path in (ROOT / "reconciler").rglob("*.py"))
    logged = set(re.findall(r'\.event\(\s*"(\w+)"', code)) | set(re.findall(r'\.notice\(\s*"(\w+)"', code))
    assert {"started", "change", "rollout_stopped"} <= logged
    assert sorted(logged - table("Log")) == []


def test_a_copy_of_the_state_can_be_restored(at_sandbox: CliProcess) -> None:
    at_sandbox.write("accounts.yaml", MANIFEST)
    assert at_sandbox.run("watch", "accounts.yaml", "--once", "--state-dir", "state").code == 0
    assert at_sandbox.run("suspend", "lab", "--reason", "a test", "--state-dir", "state").code == 0
    folder, (command,) = at_sandbox.folder, re.findall(r"^sqlite3 .*$", SHELL, re.MULTILINE)
    shown = command.replace("/var/lib/reconciler", f"{folder}/state").replace("/var/backups", str(folder))
    _, database, statement = shlex.split(shown)
    with sqlite3.connect(database) as connection:
        connection.execute(statement)
    connection.close()
    shutil.rmtree(folder / "state")
    (folder / "state").mkdir(mode=0o700)
    restored = folder / "state" / "state.sqlite"
    shutil.copy(folder / "reconciler.sqlite", restored)
    restored.chmod(0o600)
    assert "suspended by" in at_sandbox.run("status", "--state-dir", "state").out
    again = at_sandbox.run("watch", "accounts.yaml", "--once", "--state-dir", "state")
    assert "state_lost" not in again.err
    assert "a test" in at_sandbox.run("status", "--state-dir", "state").out


def test_every_link_leads_somewhere() -> None:
    for target, anchor in re.findall(r"\]\(([^)#:]*)#?([^)]*)\)", PAGE):
        path = ROOT / "docs" / target if target else ROOT / "docs" / "operations.md"
        assert path.exists(), target
        if anchor:
            headings = re.findall(r"^#+ (.*)$", path.read_text(encoding="utf-8"), re.MULTILINE)
            assert anchor in {heading.lower().replace(" ", "-") for heading in headings}, anchor
