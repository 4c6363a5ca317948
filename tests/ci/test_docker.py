"""The image and the compose file: checked by linters, and run without a container engine."""

from __future__ import annotations

import json
import re
import shlex
from collections import defaultdict
from typing import TYPE_CHECKING

import httpx
import pytest
import yaml

from tests.support.deployed_watcher import GIT_CREDENTIALS, TRUST, Machine
from tests.support.linters import lint, lint_schema
from tests.support.workflow_runner import ROOT, tool

if TYPE_CHECKING:
    from tests.conftest import MakeSandbox
    from tests.support.cli_runner import CliProcess

DOCKER = ROOT / "examples" / "docker"
TOKEN = "page-token-canary-0123456789"


@pytest.fixture
def machine(user: CliProcess, make_sandbox: MakeSandbox) -> Machine:
    return Machine(user, make_sandbox)


def instructions() -> dict[str, list[str]]:
    """The Dockerfile's instructions, by name."""
    text = re.sub(r"\\\n *", "", (DOCKER / "Dockerfile").read_text(encoding="utf-8"))
    found = defaultdict(list)
    for line in text.splitlines():
        if line and not line.startswith("#"):
            name, _, value = line.partition(" ")
            found[name].append(value)
    return found


def test_hadolint_accepts_the_dockerfile() -> None:
    assert lint(tool("hadolint"), DOCKER / "Dockerfile") == ""


def test_the_compose_file_matches_its_schema_and_gives_away_nothing() -> None:
    compose = DOCKER / "compose.yaml"
    assert lint_schema("vendor.compose-spec", compose) == ""
    (service,) = yaml.safe_load(compose.read_text(encoding="utf-8"))["services"].values()
    assert (service["read_only"], service["cap_drop"], service["init"]) == (True, ["ALL"], True)
    assert service["security_opt"] == ["no-new-privileges:true"]
    assert not {"privileged", "cap_add", "network_mode", "secrets"} & service.keys()
    assert {name for name in service["environment"] if not name.startswith("GIT_CONFIG_")} == set()


def test_the_image_contains_what_the_package_is_built_from_and_nothing_else() -> None:
    lines = (DOCKER / "Dockerfile.dockerignore").read_text(encoding="utf-8").splitlines()
    kept = [line[1:] for line in lines if line.startswith("!")]
    assert lines[1] == "*"
    assert [one for one in kept if not (ROOT / one).exists()] == []
    project = (ROOT / "pyproject.toml").read_text(encoding="utf-8")
    included = re.findall(r'^"(\S+)" = "reconciler/', project, re.MULTILINE)
    assert {*included, "README.md", "LICENSE", "pyproject.toml", "reconciler"} == set(kept)


def test_the_image_runs_as_a_user_without_rights() -> None:
    found = instructions()
    assert found["USER"] == ["10001:10001"]
    assert json.loads(found["ENTRYPOINT"][0]) == ["reconciler"]
    assert all("latest" not in image for image in found["ARG"] + found["FROM"])


def test_the_container_reconciles_and_its_health_check_passes_until_it_stops(machine: Machine) -> None:
    (service,) = yaml.safe_load((DOCKER / "compose.yaml").read_text(encoding="utf-8"))["services"].values()
    machine.declare("/run/secrets/{}.key", "/run/secrets/{}.password")
    machine.user.write("root/etc/reconciler/trust.yaml", TRUST.format(files=machine.at("/run/secrets/${name}.*")))
    for name, box in machine.boxes.items():
        machine.secret(f"/run/secrets/{name}.key", box.refresh_token)
        machine.secret(f"/run/secrets/{name}.password", "password-canary")
    for name in ("page-token", "hook-secret"):
        machine.secret(f"/run/secrets/{name}", TOKEN)
    machine.secret("/run/secrets/git-credentials", GIT_CREDENTIALS)
    paths = ["/run/secrets", "/etc/reconciler"]
    image = dict(word.split("=", 1) for word in shlex.split(instructions()["ENV"][0]) if not word.startswith("PATH="))
    values = machine.arguments(list({**image, **service["environment"]}.values()), [*paths, "/var/lib/reconciler"])
    environ = dict(zip({**image, **service["environment"]}, values, strict=True))
    (check,) = instructions()["HEALTHCHECK"]
    program, *words = json.loads(check.partition("CMD ")[2])
    assert program == "python"
    with machine.watching(machine.arguments(service["command"], paths), environ) as url:
        machine.check_git(environ)
        assert machine.counts() == [1, 1]
        port = url.rpartition(":")[2]
        command = [tool("python"), *(word.replace("8080", port) for word in words)]
        healthy = machine.user.run_program(command, environ={"http_proxy": "http://127.0.0.1:1"})
        assert (healthy.code, healthy.err) == (0, "")
        assert httpx.get(url).status_code == 401
        assert httpx.get(url, auth=("", TOKEN), headers={"Host": "watch.example.com"}).status_code == 200
    assert machine.user.run_program(command).code == 1
