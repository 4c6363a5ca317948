"""Fixtures that run workflows, and the repository that they run in."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tests.support import plain_http
from tests.support.github_api import FakeGitHub
from tests.support.workflow_runner import ROOT, WorkflowRunner, copy_release

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from reconciler.sandbox import Sandbox


@pytest.fixture(scope="session")
def release(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return copy_release(tmp_path_factory.mktemp("release"))


@pytest.fixture
def github(tmp_path: Path) -> Iterator[FakeGitHub]:
    artifacts = tmp_path / "artifacts"
    artifacts.mkdir()
    fake = FakeGitHub(artifacts)
    with fake.server:
        yield fake


@pytest.fixture
def runner(tmp_path: Path, github: FakeGitHub, release: Path, sandbox: Sandbox) -> WorkflowRunner:
    secrets = {
        "RECONCILER_REFRESH_TOKEN": sandbox.refresh_token,
        "CERTS_PASSWORD": "certs-password-canary",
        "RECONCILER_TRUST_FILE": TRUST.format(url=sandbox.url),
    }
    return WorkflowRunner(tmp_path, github, release, secrets)


def by_hand(sandbox: Sandbox, method: str, path: str = "", body: object = None) -> None:
    """Sends a request as an administrator who uses the server's own interface."""
    headers = {"Authorization": f"Bearer {sandbox.token}"}
    plain_http.request(method, f"{sandbox.url}/api/email/accounts{path}", json=body, headers=headers).raise_for_status()


def addresses(sandbox: Sandbox) -> list[str]:
    return sorted(account["email"] for account in sandbox.accounts())


def example(name: str, sandbox: Sandbox) -> str:
    """A workflow of examples/github that uses the sandbox, and does not install a release."""
    text = (ROOT / "examples" / "github" / name).read_text(encoding="utf-8")
    placeholder = "url: https://fw.example.com"
    assert placeholder in text
    return text.replace(placeholder, f"url: {sandbox.url}\n          version: installed")


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
