"""What the README shows is true: its commands run, its YAML is valid, its tables are complete."""

from __future__ import annotations

import re
import shlex
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from reconciler.cli import cli
from reconciler.errors import ExitCode
from tests.support.accounts_api import account_json

if TYPE_CHECKING:
    from reconciler.sandbox import Sandbox
    from tests.support.cli_runner import CliProcess
    from tests.support.example_fleet import ExampleFleet

ROOT = Path(__file__).parents[2]
README = (ROOT / "README.md").read_text(encoding="utf-8")
COMMANDS = re.findall(r"^\$ (reconciler .*)$", README, re.MULTILINE)
YAML = re.findall(r"```yaml\n(.*?)```", README, re.DOTALL)


def test_every_command_shown_does_what_it_should(at_sandbox: CliProcess, sandbox: Sandbox) -> None:
    sandbox.seed(
        [
            account_json(
                "certs@example.com", default=True, hash_auth=True, password="right", smtp_auth_mechanism="plain"
            ),
            account_json("alerts@example.com"),
        ]
    )
    at_sandbox.environ["CERTS_EXAMPLE_COM_PASSWORD"] = "right"
    assert len(COMMANDS) >= 9
    for command in (one for one in COMMANDS if "examples/fleet" not in one):
        done = at_sandbox.run(*shlex.split(command)[1:])
        assert (command, done.code) == (command, 0), done.err


def test_every_command_shown_for_a_fleet_does_what_it_should(example_fleet: ExampleFleet) -> None:
    for command in (one for one in COMMANDS if "examples/fleet" in one):
        done = example_fleet.user.run(*shlex.split(command)[1:])
        assert (command, done.code) == (command, 0), done.err
    assert all(box.accounts() for box in example_fleet.boxes.values())


@pytest.mark.parametrize("text", YAML)
def test_every_yaml_shown_is_valid(user: CliProcess, text: str) -> None:
    user.write("accounts.yaml", text)
    done = user.run("validate", "accounts.yaml")
    assert (done.code, done.err) == (0, "")


def test_every_command_is_in_the_table() -> None:
    shown = set(re.findall(r"^\| `reconciler (\w+)", README, re.MULTILINE))
    assert shown == set(cli.list_commands(None))  # type: ignore[arg-type]


def test_every_exit_code_is_in_the_table() -> None:
    table = README.partition("| exit | meaning |")[2]
    assert {int(code) for code in re.findall(r"^\| (\d+) \|", table, re.MULTILINE)} == set(ExitCode)


def test_every_link_leads_somewhere() -> None:
    for target in re.findall(r"\]\(([^)#]+)\)", README):
        assert "://" in target or (ROOT / target).exists(), target
