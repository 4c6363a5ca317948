"""``docs/watch.md`` is true: its commands run, in its order, against a sandbox and a repository."""

from __future__ import annotations

import json
import re
import shlex
import signal
import socket
from pathlib import Path
from typing import TYPE_CHECKING, Self

import click
import httpx

from reconciler.applying.lock import state_home
from reconciler.cli import cli
from tests.support.git_remote import GitRemote

if TYPE_CHECKING:
    from reconciler.sandbox import Sandbox
    from tests.support.cli_runner import CliProcess
    from tests.support.fork_server import Process

ROOT = Path(__file__).parents[2]
PAGE = (ROOT / "docs" / "watch.md").read_text(encoding="utf-8")
COMMANDS = re.findall(r"^\$ (.*)$", PAGE, re.MULTILINE)
((_, MANIFEST),) = re.findall(r"```yaml\n# (accounts\.yaml)\n(.*?)```", PAGE, re.DOTALL)
(SERVER,) = re.findall(r"  # fleet/accounts\.yaml.*\n  (server: .*\n)", PAGE)
((_, TRUST),) = re.findall(r"  # /etc/reconciler/(trust\.yaml)\n((?:  .*\n)+?)  ```", PAGE)
REPOSITORY = "https://git.example.com/example-org/accounts.git"


class Reader:
    """Does what the page says, with a sandbox and a repository in place of the page's, and on ports that are free."""

    def __init__(self, user: CliProcess, sandbox: Sandbox) -> None:
        self.user = user
        self.sandbox = sandbox
        self.remote = GitRemote(user.folder)
        with socket.socket() as taken:
            taken.bind(("127.0.0.1", 0))
            self.address = f"127.0.0.1:{taken.getsockname()[1]}"
        self._watcher: Process | None = None
        user.environ |= {name: self.remote.environ[name] for name in ("GIT_CONFIG_GLOBAL", "GIT_CONFIG_NOSYSTEM")}
        user.write("accounts.yaml", self.here(MANIFEST))
        (user.folder / "etc").mkdir()
        user.write("etc/lab.key", "sandbox-refresh-token\n")
        user.write("etc/trust.yaml", self.here(TRUST))
        in_git = re.sub(r"^server:\n(?:  .*\n)+", lambda _: SERVER, MANIFEST, flags=re.MULTILINE)
        self.remote.commit({"fleet/accounts.yaml": self.here(in_git)})

    def here(self, text: str) -> str:
        """What the page shows, with the addresses that there are here."""
        text = text.replace("http://127.0.0.1:8025", self.sandbox.url).replace("127.0.0.1:8080", self.address)
        text = text.replace("/etc/reconciler", str(self.user.folder / "etc"))
        return text.replace(REPOSITORY, self.remote.url) if hasattr(self, "remote") else text

    def run(self, command: str) -> str:
        """Runs a command; a watcher stays until the next one."""
        program, *arguments = shlex.split(self.here(command))
        if arguments[0] == "watch" and "--once" not in arguments:
            self.stop()
            self._watcher = self.user.start(*arguments, "--listen", self.address)
            return self._watcher.wait_for_error_text("round_finished")
        if program == "reconciler":
            if arguments[0] == "watch":
                self.stop()
            done = self.user.run(*arguments)
        else:
            done = self.user.run_program(["bash", "-e", "-c", self.here(command)])
        assert (command, done.code) == (command, 0), done.out + done.err
        return done.out + done.err

    def stop(self) -> None:
        """Ends the watcher, if there is one."""
        if self._watcher:
            self._watcher.send_signal(signal.SIGTERM)
            assert self._watcher.wait() == 0
            self._watcher = None

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()

    def hurry(self) -> None:
        """Begins a round now."""
        assert self._watcher
        self._watcher.send_signal(signal.SIGHUP)

    def wait_for(self, words: str) -> None:
        assert self._watcher
        self._watcher.wait_for_error_text(words)


def test_every_command_shown_does_what_the_page_says(user: CliProcess, sandbox: Sandbox) -> None:
    assert len(COMMANDS) >= 15
    shown = iter(COMMANDS)
    with Reader(user, sandbox) as reader:
        assert next(shown).startswith("reconciler sandbox ")
        for command in shown:
            printed = reader.run(command)
            if "by-hand.yaml --auto" in command:
                # The interval of the page is 10 s; SIGHUP begins the round now.
                assert [one["name"] for one in sandbox.accounts()] == ["By hand"]
                reader.hurry()
                reader.wait_for("origin=drift status=applied")
                assert [one["name"] for one in sandbox.accounts()] == ["Alerts"]
            if command.startswith("reconciler suspend"):
                assert "until" in printed
            if command.startswith("curl"):
                assert "the source is being checked" in printed
                assert httpx.get(f"http://{reader.address}").status_code == 401
                reader.wait_for("trigger=hook")


def test_options_in_the_text_exist() -> None:
    command = cli.get_command(click.Context(cli), "watch")
    assert command
    known = {option for parameter in command.params for option in parameter.opts}
    known |= {"--for", "--input"}  # of suspend, and of gh
    prose = re.sub(r"```.*?```", "", PAGE, flags=re.DOTALL)
    assert set(re.findall(r"(?<![\w-])--[a-z][a-z-]+", prose)) <= known


def test_help_and_page_name_the_same_state_directory(user: CliProcess) -> None:
    folder = state_home({}).relative_to(Path.home())
    assert f"`~/{folder}/watch`" in PAGE
    for command in ("watch", "status", "suspend", "resume"):
        shown = " ".join(user.run(command, "--help").out.split())
        assert f"{folder.name}/watch in XDG_STATE_HOME or ~/{folder.parent}." in shown


def test_the_hook_for_github_is_valid_json() -> None:
    ((text,),) = [re.findall(r"```json\n(.*?)```", PAGE, re.DOTALL)]
    assert json.loads(text)["config"]["url"] == "https://watch.example.com/hook"


def test_every_link_leads_somewhere() -> None:
    for target, anchor in re.findall(r"\]\(([^)#:]*)#?([^)]*)\)", re.sub(r"https?:[^)]*", "", PAGE)):
        path = ROOT / "docs" / target if target else ROOT / "docs" / "watch.md"
        assert path.exists(), target
        if anchor:
            headings = re.findall(r"^#+ (.*)$", path.read_text(encoding="utf-8"), re.MULTILINE)
            assert anchor in {heading.lower().replace(" ", "-") for heading in headings}, anchor
