"""Runs workflows for real, with act, against a fake GitHub and a sandbox.

Differences from GitHub:

- act itself replaces ``actions/checkout``: it copies the test's repository into the job's folder.
- ``actions/setup-python``, ``upload-artifact`` and ``download-artifact`` cannot be fetched without a network; composite
  actions in ``tests/ci/actions`` replace them.
- The examples use ``email-account-reconciler/reconciler`` at the tag of the release; act uses this checkout instead.
- ``url:`` of the examples is the sandbox's, and ``version: installed`` is added, so that not every run installs the
  package again; one test lets the action install itself.
- act does not support environments with approvals. The steps run on this machine, without a container.
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

import pytest

from reconciler.version import VERSION
from tests.support.github_api import REPOSITORY, TOKEN, FakeGitHub

if TYPE_CHECKING:
    from collections.abc import Mapping

ROOT = Path(__file__).parents[2]
TOOLS = Path(sys.executable).parent
RELEASE = f"email-account-reconciler/reconciler@v{VERSION}"
HEAD = "c0ffee" + "0" * 34
_REPLACED = {
    "actions/setup-python@a26af69be951a213d495a4c3e4e4022e16d87065": "setup-python",
    "actions/upload-artifact@ea165f8d65b6e75b540449e92b4886f43607fa02": "upload-artifact",
    "actions/download-artifact@d3f86a106a0bac45b974a628896c90dbdf5c8093": "download-artifact",
}
_PARTS = ("action.yml", "pyproject.toml", "README.md", "LICENSE", ".github/action", "reconciler", "examples")


def tool(name: str) -> str:
    """The path of a program from the extra ``dev``. If it is missing, the test is skipped, but fails in CI."""
    found = shutil.which(name, path=str(TOOLS))
    if found is None and os.environ.get("CI") == "true":
        pytest.fail(f"{name} is not installed")
    if found is None:
        pytest.skip(f"{name} is not installed: run `pip install -e '.[dev]'`")
    return found


def git(folder: Path, *arguments: str) -> None:
    identity = ["-c", "user.name=Test", "-c", "user.email=test@example.com", "-c", "commit.gpgsign=false"]
    subprocess.run(["git", *identity, *arguments], cwd=folder, check=True, capture_output=True)


def copy_release(folder: Path) -> Path:
    """Copies the parts of this checkout that a release contains."""
    for part in _PARTS:
        source, target = ROOT / part, folder / part
        target.parent.mkdir(parents=True, exist_ok=True)
        if source.is_dir():
            shutil.copytree(source, target, ignore=shutil.ignore_patterns("__pycache__"))
        else:
            shutil.copy(source, target)
    return folder


@dataclass(frozen=True)
class WorkflowResult:
    """The result of a workflow.

    Attributes:
        outputs: The outputs of each step, by its id.
        summary: The job's summary.
        log: The output of all steps.
    """

    succeeded: bool
    outputs: dict[str, dict[str, str]]
    summary: str
    log: str


@dataclass
class WorkflowRunner:
    """A repository with the YAML of some accounts, and a fake GitHub that runs its workflows."""

    folder: Path
    github: FakeGitHub
    release: Path
    secrets: dict[str, str]

    def write(self, name: str, text: str) -> None:
        path = self.folder / "repository" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="utf-8")

    def run(self, workflow: str, event: str, payload: Mapping[str, Any], *, run_id: int = 1) -> WorkflowResult:
        """Runs a workflow, given as YAML, for an event."""
        self.write(".github/workflows/workflow.yml", workflow)
        git(self.folder / "repository", "init", "--quiet", "--initial-branch=main")
        git(self.folder / "repository", "add", "--all")
        git(self.folder / "repository", "commit", "--quiet", "--allow-empty", "--message", "State")
        (self.folder / "event.json").write_text(json.dumps(payload))
        local = {RELEASE: self.release} | {
            action: ROOT / "tests" / "ci" / "actions" / name for action, name in _REPLACED.items()
        }
        variables = {
            "GITHUB_API_URL": self.github.server.url,
            "GITHUB_REPOSITORY": REPOSITORY,
            "GITHUB_RUN_ID": str(run_id),
            "ARTIFACTS": str(self.github.artifacts),
            "PATH": f"{TOOLS}{os.pathsep}{os.environ['PATH']}",
            **{name: value for name, value in os.environ.items() if name.startswith("PIP_")},
        }
        command = [tool("act"), event, "--json", "--platform", "ubuntu-latest=-self-hosted"]
        command += ["--eventpath", str(self.folder / "event.json")]
        command += [part for name, at in local.items() for part in ("--local-repository", f"{name}={at}")]
        command += [part for name, value in variables.items() for part in ("--env", f"{name}={value}")]
        secrets = {"GITHUB_TOKEN": TOKEN, **self.secrets}
        # Not in the environment: without a container, every step would inherit all secrets.
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
        return _result(done.returncode, done.stdout)


def _result(code: int, lines: str) -> WorkflowResult:
    entries = [json.loads(line) for line in lines.splitlines() if line.startswith("{")]
    outputs: dict[str, dict[str, str]] = {}
    for entry in entries:
        if entry.get("command") == "set-output" and len(entry["stepID"]) == 1:
            outputs.setdefault(entry["stepID"][0], {})[entry["name"]] = entry["arg"]
    summary = "".join(entry["content"] for entry in entries if entry.get("command") == "summary")
    log = "".join(entry["msg"] if entry.get("raw_output") else f"{entry['msg']}\n" for entry in entries)
    return WorkflowResult(code == 0, outputs, summary, log)


def pull_request(*, repository: str = REPOSITORY) -> dict[str, Any]:
    """The parts of a pull request event's payload that the action reads, as recorded on GitHub."""
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
