"""The page's token and the secret of hooks, read from files."""

from __future__ import annotations

import hmac
import json
import re
import signal
from typing import TYPE_CHECKING

import pytest

from tests.support import plain_http

if TYPE_CHECKING:
    from reconciler.sandbox import Sandbox
    from tests.support.cli_runner import CliProcess

TOKEN = "page-token-canary-0123456789"
SECRET = "hook-secret-canary-0123456789"
MANIFEST = """\
version: 1
server: {name: matriz}
defaults: {service: other, smtp_server: smtp.example.com}
accounts: [{email: alerts@example.com, name: Alerts}]
"""


def test_the_page_takes_its_secrets_from_files(at_sandbox: CliProcess, sandbox: Sandbox) -> None:
    at_sandbox.write("accounts.yaml", MANIFEST)
    at_sandbox.write("page-token", f"{TOKEN}\n")
    at_sandbox.write("hook-secret", f"{SECRET}\n")
    watcher = at_sandbox.start(
        *("watch", "accounts.yaml", "--listen", "127.0.0.1:0", "--state-dir", "state", "--log-format", "json"),
        *("--page-token-file", "page-token", "--hook-secret-file", "hook-secret"),
        environ={"RECONCILER_PAGE_TOKEN": "another-token-0123456789"},  # options win
    )
    try:
        log = watcher.wait_for_error_text("round_finished")
        url = re.findall(r"the page is at (http://[0-9.:]+)", log)[0]
        assert plain_http.get(url).status_code == 401
        assert plain_http.get(url, auth=("ana", TOKEN)).status_code == 200
        body = json.dumps({"ref": "refs/heads/main"}).encode()
        signature = "sha256=" + hmac.new(SECRET.encode(), body, "sha256").hexdigest()
        assert plain_http.post(f"{url}/hook", content=body).status_code == 403
        signed = {"X-Hub-Signature-256": signature}
        assert plain_http.post(f"{url}/hook", content=body, headers=signed).status_code == 202
        assert len(sandbox.accounts()) == 1
    finally:
        watcher.send_signal(signal.SIGTERM)
        done = watcher.finish()
    assert done.code == 0
    assert not re.search("page-token-canary|hook-secret-canary", done.out + done.err)


@pytest.mark.parametrize(
    ("content", "message"),
    [(None, "cannot read secret.txt"), ("", "secret.txt is empty"), ("short", "fewer than 16 characters")],
)
def test_a_secret_that_cannot_be_used_is_an_error(user: CliProcess, content: str | None, message: str) -> None:
    user.write("accounts.yaml", MANIFEST)
    if content is not None:
        user.write("secret.txt", content)
    done = user.run("watch", "accounts.yaml", "--state-dir", "state", "--page-token-file", "secret.txt")
    assert (done.code, message in done.err) == (1, True), done.err
