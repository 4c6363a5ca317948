"""Runs the command lines of the examples for systemd, Docker and Kubernetes against sandboxes.

The commands, their options, variables and secrets are the examples' own; only folders, ports and the repository differ.
What isolates the process is not there: neither systemd nor a container engine is started.
"""

from __future__ import annotations

import re
import signal
from contextlib import contextmanager
from typing import TYPE_CHECKING

from tests.support.git_remote import GitRemote

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from tests.conftest import MakeSandbox
    from tests.support.cli_runner import CliProcess
    from tests.support.run_result import RunResult

PORT = re.compile(r"the page is at http://[^:]+:(\d+)")
MANIFEST = """\
version: 1
server: {{name: {name}, url: "{url}", auth: {{refresh_token: {{file: "{key}"}}}}}}
defaults: {{service: other, smtp_server: smtp.example.com}}
accounts:
  - {{email: alerts@{name}.example.com, name: Alerts, password: {{file: "{password}"}}}}
"""
GIT_CREDENTIALS = "username=ana\npassword=git-canary"
TRUST = """\
version: 1
servers:
  - url: "http://127.0.0.1:*"
    files: ["{files}"]
smtp_servers: [smtp.example.com]
"""


class Machine:
    """Two servers, a repository that declares them, and a folder that takes the place of ``/``.

    Attributes:
        root: That folder.
        boxes: The servers, by name.
    """

    def __init__(self, user: CliProcess, make_sandbox: MakeSandbox) -> None:
        self.user = user
        self.root = user.folder / "root"
        self.boxes = {name: make_sandbox() for name in ("b001", "b002")}
        self.remote = GitRemote(user.folder)
        user.environ |= {name: self.remote.environ[name] for name in ("GIT_CONFIG_GLOBAL", "GIT_CONFIG_NOSYSTEM")}

    def at(self, path: str) -> str:
        """Where a path of the example is here."""
        return f"{self.root}{path}"

    def secret(self, path: str, content: str) -> None:
        self.user.write(f"root{path}", f"{content}\n").chmod(0o440)

    def declare(self, key: str, password: str) -> None:
        """Commits a manifest for each server, whose secrets have these paths."""
        manifests = {
            f"fleet/{name}.yaml": MANIFEST.format(
                name=name, url=box.url, key=self.at(key.format(name)), password=self.at(password.format(name))
            )
            for name, box in self.boxes.items()
        }
        self.remote.commit(manifests)

    def arguments(self, command: Sequence[str], paths: Sequence[str]) -> list[str]:
        """Words of an example, with what is here."""
        pattern = rf"(?<![\w/])(?:{'|'.join(map(re.escape, paths))})"
        words = [re.sub(pattern, lambda path: self.at(path[0]), word) for word in command]
        words = [word.replace("https://git.example.com/example-org/accounts.git", self.remote.url) for word in words]
        return [word.replace("0.0.0.0:8080", "0.0.0.0:0") for word in words]

    @contextmanager
    def watching(self, arguments: Sequence[str], environ: Mapping[str, str]) -> Iterator[str]:
        """Runs the watcher until SIGTERM, after a first round and one that SIGHUP asks for; yields its URL."""
        watcher = self.user.start(*arguments, environ=environ)
        try:
            log = watcher.wait_for_error_text("round_finished")
            found = PORT.search(log)
            assert found, log
            watcher.send_signal(signal.SIGHUP)
            watcher.wait_for_error_text("signal")
            yield f"http://127.0.0.1:{found[1]}"
        finally:
            watcher.send_signal(signal.SIGTERM)
            done = watcher.finish()
        assert (done.code, "stopped" in done.err) == (0, True), done.err
        assert "canary" not in done.out + done.err

    def check_git(self, environ: Mapping[str, str]) -> None:
        """Checks that git finds the credentials, for its own server only, and does not try to store them."""
        asked = {name: value for name, value in environ.items() if name.startswith("GIT_CONFIG_")}
        found = self._credential("fill", "git.example.com", asked)
        assert "username=ana\npassword=git-canary\n" in found.out
        assert self._credential("fill", "evil.example.com", asked).code != 0
        stored = self._credential("approve", "git.example.com", asked)
        assert (stored.code, stored.err) == (0, "")

    def _credential(self, operation: str, host: str, environ: Mapping[str, str]) -> RunResult:
        given = "username=ana\npassword=git-canary\n" if operation == "approve" else ""
        question = f"protocol=https\nhost={host}\n{given}\n"
        quiet = {**environ, "GIT_TERMINAL_PROMPT": "0"}
        return self.user.run_program(["git", "credential", operation], stdin=question, environ=quiet)

    def counts(self) -> list[int]:
        return [len(box.accounts()) for box in self.boxes.values()]
