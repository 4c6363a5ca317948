"""Runs workflows for real, with act, against a stand-in for the forge and a sandbox.

What is not as on GitHub, and why:

- ``actions/checkout`` is replaced by act itself, which copies the repository of the test into the job's folder.
- ``actions/setup-python``, ``upload-artifact`` and ``download-artifact`` cannot be fetched without a network; composite
  actions in ``tests/ci/actions`` stand in for them.
- The examples name ``example-org/reconciler`` at a placeholder commit; act takes this checkout for it.
- ``url:`` of the examples is replaced by the sandbox's, and ``version: installed`` is added, so that not every run
  installs the package again; one test lets the action install itself.
- act knows no environments with approvals, and asks nobody. The steps run on this machine, without a container.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import httpx
import pytest

from tests.ci.forge import REPOSITORY, TOKEN, CIEnvironment
from tests.sandbox.conftest import ACCOUNTS as COLLECTION
from tests.sandbox.conftest import access_token

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from reconciler.sandbox import Sandbox

ROOT = Path(__file__).parents[2]
TOOLS = Path(sys.executable).parent
RELEASE = "example-org/reconciler@0000000000000000000000000000000000000000"
HEAD = "c0ffee" + "0" * 34
_REPLACED = {
    "actions/setup-python@a26af69be951a213d495a4c3e4e4022e16d87065": "setup-python",
    "actions/upload-artifact@ea165f8d65b6e75b540449e92b4886f43607fa02": "upload-artifact",
    "actions/download-artifact@d3f86a106a0bac45b974a628896c90dbdf5c8093": "download-artifact",
}
_PARTS = ("action.yml", "pyproject.toml", "README.md", "LICENSE", ".github/action", "reconciler", "examples")


def tool(name: str) -> str:
    """The path of a program that the development extra brings; skips where it is absent, but fails in CI."""
    found = shutil.which(name, path=str(TOOLS))
    if found is None and os.environ.get("CI") == "true":
        pytest.fail(f"{name} is not installed")
    if found is None:
        pytest.skip(f"{name} is not installed; `pip install -e '.[dev]'` brings it")
    return found


def git(folder: Path, *arguments: str) -> None:
    identity = ["-c", "user.name=Test", "-c", "user.email=test@example.com", "-c", "commit.gpgsign=false"]
    subprocess.run(["git", *identity, *arguments], cwd=folder, check=True, capture_output=True)


def copy_release(folder: Path) -> Path:
    """This checkout without what is not part of a release."""
    for part in _PARTS:
        source, target = ROOT / part, folder / part
        target.parent.mkdir(parents=True, exist_ok=True)
        if source.is_dir():
            shutil.copytree(source, target, ignore=shutil.ignore_patterns("__pycache__"))
        else:
            shutil.copy(source, target)
    return folder


@pytest.fixture(scope="session")
def release(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return copy_release(tmp_path_factory.mktemp("release"))


@dataclass(frozen=True)
class Ran:
    """What a workflow left behind.

    Attributes:
        outputs: By the id of the step, the outputs that it set.
        summary: What all steps added to the job's summary.
        log: What the steps printed.
    """

    succeeded: bool
    outputs: dict[str, dict[str, str]]
    summary: str
    log: str


@dataclass
class Workbench:
    """A repository with the YAML of some accounts, and a forge that runs its workflows."""

    folder: Path
    forge: CIEnvironment
    release: Path
    secrets: dict[str, str]

    def write(self, name: str, text: str) -> None:
        path = self.folder / "repository" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="utf-8")

    def run(self, workflow: str, event: str, payload: Mapping[str, Any], *, run_id: int = 1) -> Ran:
        """Runs the text of a workflow, for an event."""
        self.write(".github/workflows/workflow.yml", workflow)
        git(self.folder / "repository", "init", "--quiet", "--initial-branch=main")
        git(self.folder / "repository", "add", "--all")
        git(self.folder / "repository", "commit", "--quiet", "--allow-empty", "--message", "State")
        (self.folder / "event.json").write_text(json.dumps(payload))
        local = {RELEASE: self.release} | {
            action: Path(__file__).parent / "actions" / stand_in for action, stand_in in _REPLACED.items()
        }
        variables = {
            "GITHUB_API_URL": self.forge.server.url,
            "GITHUB_REPOSITORY": REPOSITORY,
            "GITHUB_RUN_ID": str(run_id),
            "ARTIFACTS": str(self.forge.artifacts),
            "PATH": f"{TOOLS}{os.pathsep}{os.environ['PATH']}",
            **{name: value for name, value in os.environ.items() if name.startswith("PIP_")},
        }
        command = [tool("act"), event, "--json", "--platform", "ubuntu-latest=-self-hosted"]
        command += ["--eventpath", str(self.folder / "event.json")]
        command += [part for name, at in local.items() for part in ("--local-repository", f"{name}={at}")]
        command += [part for name, value in variables.items() for part in ("--env", f"{name}={value}")]
        secrets = {"GITHUB_TOKEN": TOKEN, **self.secrets}
        # Not by the environment: without a container, every step would inherit what it was not given.
        lines = [f"{name}={json.dumps(value)}\n" for name, value in secrets.items()]
        (self.folder / "secrets").write_text("".join(lines))
        command += ["--secret-file", str(self.folder / "secrets")]
        done = subprocess.run(
            command,
            cwd=self.folder / "repository",
            env={"HOME": str(self.folder), "PATH": variables["PATH"]},
            capture_output=True,
            text=True,
            check=False,
        )
        return _ran(done.returncode, done.stdout)


def _ran(code: int, lines: str) -> Ran:
    entries = [json.loads(line) for line in lines.splitlines() if line.startswith("{")]
    outputs: dict[str, dict[str, str]] = {}
    for entry in entries:
        if entry.get("command") == "set-output" and len(entry["stepID"]) == 1:
            outputs.setdefault(entry["stepID"][0], {})[entry["name"]] = entry["arg"]
    summary = "".join(entry["content"] for entry in entries if entry.get("command") == "summary")
    log = "".join(entry["msg"] if entry.get("raw_output") else f"{entry['msg']}\n" for entry in entries)
    return Ran(code == 0, outputs, summary, log)


@pytest.fixture
def forge(tmp_path: Path) -> Iterator[CIEnvironment]:
    artifacts = tmp_path / "artifacts"
    artifacts.mkdir()
    made = CIEnvironment(artifacts)
    with made.server:
        yield made


@pytest.fixture
def workbench(tmp_path: Path, forge: CIEnvironment, release: Path, sandbox: Sandbox) -> Workbench:
    secrets = {
        "RECONCILER_REFRESH_TOKEN": sandbox.refresh_token,
        "CERTS_PASSWORD": "certs-password-canary",
        "RECONCILER_TRUST_FILE": TRUST.format(url=sandbox.url),
    }
    return Workbench(tmp_path, forge, release, secrets)


def by_hand(sandbox: Sandbox, method: str, path: str = "", body: object = None) -> Any:  # noqa: ANN401 - JSON
    """What somebody does on the server, beside the workflows."""
    headers = {"Authorization": f"Bearer {access_token(sandbox)}"}
    answer = httpx.request(method, f"{sandbox.url}{COLLECTION}{path}", json=body, headers=headers)
    answer.raise_for_status()
    return answer.json() if answer.content else None


def addresses(sandbox: Sandbox) -> list[str]:
    return sorted(one["email"] for one in by_hand(sandbox, "GET"))


def example(name: str, sandbox: Sandbox) -> str:
    """A workflow of examples/github, led to the sandbox, without a release to install."""
    text = (ROOT / "examples" / "github" / name).read_text(encoding="utf-8")
    wanted = "url: https://fw.example.com"
    assert wanted in text
    return text.replace(wanted, f"url: {sandbox.url}\n          version: installed")


def pull_request(*, repository: str = REPOSITORY) -> dict[str, Any]:
    """The payload of a pull request's event, as far as anybody here reads it, after one recorded on GitHub."""
    return {
        "action": "synchronize",
        "number": 7,
        "pull_request": {
            "number": 7,
            "head": {"ref": "change", "sha": HEAD, "repo": {"full_name": repository, "fork": repository != REPOSITORY}},
            "base": {"ref": "main", "sha": "b" * 40, "repo": {"full_name": REPOSITORY}},
        },
        "repository": {"full_name": REPOSITORY, "name": "accounts", "default_branch": "main"},
    }


TRUST = """\
version: 1
servers:
  - url: "{url}"
    env: [CERTS_PASSWORD]
smtp_servers: [smtp.example.com]
recipients: [ops@example.com]
"""
"""The trust file of the environment `production`, for what ``ACCOUNTS`` declares."""

ACCOUNTS = """\
version: 1
accounts:
  - email: certs@example.com
    name: Certificates
    password: {env: CERTS_PASSWORD}
    service: other
    smtp_server: smtp.example.com
  - email: alerts@example.com
    name: Alerts
    service: other
    smtp_server: smtp.example.com
"""
