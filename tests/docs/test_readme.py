"""What the README shows is true: its commands run, and its YAML is valid."""

from __future__ import annotations

import re
import shlex
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from tests.support.accounts_api import account_json

if TYPE_CHECKING:
    from reconciler.sandbox import Sandbox
    from tests.support.cli_runner import CliProcess

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
    assert len(COMMANDS) >= 5
    for command in COMMANDS:
        done = at_sandbox.run(*shlex.split(command)[1:])
        assert (command, done.code) == (command, 0), done.err


@pytest.mark.parametrize("text", YAML)
def test_every_yaml_shown_is_valid(user: CliProcess, text: str) -> None:
    user.write("accounts.yaml", text)
    done = user.run("validate", "accounts.yaml")
    assert (done.code, done.err) == (0, "")
