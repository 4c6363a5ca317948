"""The example of an engine in containers: checked against its schema, and its commands run without containers."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import yaml

from tests.support.linters import lint_schema
from tests.support.workflow_runner import ROOT

if TYPE_CHECKING:
    from tests.support.cli_runner import CliProcess

COMPOSE = ROOT / "examples" / "compose" / "compose.yaml"


def services() -> dict[str, Any]:
    found: dict[str, Any] = yaml.safe_load(COMPOSE.read_text(encoding="utf-8"))["services"]
    return found


def test_the_file_matches_its_schema() -> None:
    assert lint_schema("vendor.compose-spec", COMPOSE) == ""


def test_no_container_has_the_secrets_of_another() -> None:
    folders = {name: {one.partition(":")[0] for one in service["volumes"]} for name, service in services().items()}
    assert folders == {
        "valkey": {"./broker", "data"},
        "north": {"./manifests", "./north", "./engine"},
        "south": {"./manifests", "./south", "./engine"},
        "client": {"./manifests", "./engine"},
        "watch": {"./manifests", "./engine", "./watch", "state"},
    }


def test_the_commands_are_valid(user: CliProcess) -> None:
    """They get as far as the broker, which is not there."""
    for path in ("manifests/b001.yaml", "secrets/trust.yaml", "engine/ca.pem"):
        user.write(path, "version: 1\nserver: {name: b001, url: 'https://b001.example.com'}\naccounts: []\n")
    user.write("secrets/trust.yaml", "version: 1\n")
    for name in ("north", "south", "client", "watch"):
        command = [word.replace("/run/", "").replace("/manifests", "manifests") for word in services()[name]["command"]]
        command = [word for word in command if "engine-ca-file" not in word]
        command += ["--once"] if name == "watch" else []
        done = user.run(*command, environ={"RECONCILER_ENGINE": "redis://:canary@127.0.0.1:1/0"})
        assert (done.code, "does not respond" in done.err) == (1, True), (name, done.err)
        assert "canary" not in done.out + done.err
