"""A server that failed while it was suspended is checked as soon as it is resumed."""

from __future__ import annotations

import signal
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from reconciler.sandbox import Sandbox
    from tests.support.cli_runner import CliProcess

MANIFEST = """\
version: 1
server: {{name: lab, url: "{url}", auth: {{refresh_token: {{file: lab.key}}}}}}
defaults: {{service: other, smtp_server: smtp.example.com}}
accounts: [{{email: alerts@example.com, name: Alerts}}]
"""


def test_a_server_that_failed_while_suspended_does_not_wait_once_it_is_resumed(
    user: CliProcess, sandbox: Sandbox
) -> None:
    user.write("accounts.yaml", MANIFEST.format(url=sandbox.url))
    user.write("lab.key", "revoked")
    state = ("--state-dir", "state")
    assert user.run("suspend", "lab", "--reason", "a new key", *state).code == 0
    watcher = user.start("watch", "accounts.yaml", "--interval", "1h", "--listen", "off", *state)
    try:
        watcher.wait_for_error_text("round_finished")
        user.write("lab.key", sandbox.refresh_token)
        assert user.run("resume", "lab", *state).code == 0
        watcher.wait_for_error_text("status=applied")
    finally:
        watcher.send_signal(signal.SIGTERM)
        assert watcher.wait() == 0
