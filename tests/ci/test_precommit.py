"""The hook, by the real pre-commit on a scratch repository; its environment is made from this checkout with pip."""

from __future__ import annotations

import os
import subprocess
from typing import TYPE_CHECKING

import pytest

from tests.ci.conftest import ACCOUNTS
from tests.support.workflow_runner import ROOT, copy_release, git, tool

if TYPE_CHECKING:
    from pathlib import Path

pytestmark = [pytest.mark.act, pytest.mark.timeout(400)]

CONFIGURATION = """\
repos:
  - repo: {hooks}
    rev: v1
    hooks:
      - id: reconciler-validate
"""
OTHER = "version: 1\naccounts:\n  - {email: ALERTS@example.com, name: Again, service: gmail}\n"


def test_the_hook_validates_the_set_and_leaves_other_yaml_alone(tmp_path: Path) -> None:
    hooks = copy_release(tmp_path / "hooks")
    (hooks / ".pre-commit-hooks.yaml").write_bytes((ROOT / ".pre-commit-hooks.yaml").read_bytes())
    repository = tmp_path / "repository"
    files = {
        "accounts/one.yaml": ACCOUNTS,
        "accounts.yml": "version: 1\naccounts: []\n",
        "compose.yaml": "services: {}\n",
        "docs/accounting.yaml": "not: ours\n",
        ".pre-commit-config.yaml": CONFIGURATION.format(hooks=hooks),
    }
    for name, text in files.items():
        path = repository / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="utf-8")
    for folder in (hooks, repository):
        git(folder, "init", "--quiet", "--initial-branch=main")
        git(folder, "add", "--all")
        git(folder, "commit", "--quiet", "--message", "State")
    git(hooks, "tag", "v1")

    def run() -> tuple[int, str]:
        done = subprocess.run(
            [tool("pre-commit"), "run", "--all-files", "--color", "never"],
            cwd=repository,
            env={**os.environ, "PRE_COMMIT_HOME": str(tmp_path / "cache")},
            capture_output=True,
            text=True,
            check=False,
        )
        return done.returncode, done.stdout + done.stderr

    code, said = run()
    assert code == 0, said
    assert "validate email accounts" in said
    assert "Passed" in said

    (repository / "accounts" / "two.yaml").write_text(OTHER, encoding="utf-8")
    git(repository, "add", "--all")
    code, said = run()
    assert code == 1
    assert "accounts/two.yaml:3:" in said
    assert "this account is declared twice" in said
