"""All that a watcher works with: servers, a repository, receivers of notifications; and the watcher itself."""

from __future__ import annotations

from contextlib import ExitStack
from typing import TYPE_CHECKING, Self

from tests.soak.driver import Driver
from tests.soak.fleet import Repository, Servers
from tests.soak.receivers import Receivers
from tests.soak.watch_process import WatchProcess
from tests.support.canaries import TOKEN, Canaries
from tests.support.cli_runner import CliProcess

if TYPE_CHECKING:
    from pathlib import Path


class World:
    """A context manager; the watcher is not started by it, but ended.

    Args:
        folder: For all files.
        seed: Of all that is random.
    """

    def __init__(self, folder: Path, seed: int) -> None:
        self._folder = folder
        self._seed = seed
        self.canaries = Canaries(seed)
        self.servers = Servers(self.canaries)
        self.receivers = Receivers(folder, self.canaries, seed)
        self.user = CliProcess(folder)
        self._hook_secret = self.canaries.new("hook secret", TOKEN)
        self._page_token = self.canaries.new("page token", TOKEN)

    def __enter__(self) -> Self:
        with ExitStack() as stack:
            stack.enter_context(self.servers)
            stack.enter_context(self.receivers)
            self.repository = Repository(self._folder / "git", self.servers, self.canaries)
            self.watcher = WatchProcess(self._folder, self._arguments(), self._environ())
            stack.callback(self._end)
            self._stack = stack.pop_all()
        return self

    def __exit__(self, *_: object) -> None:
        self._stack.close()

    def _end(self) -> None:
        if self.watcher.is_running():
            self.watcher.kill()

    def _arguments(self) -> list[str]:
        source = ["--git", self.repository.remote.url, "--path", "fleet"]
        pace = ["--interval", "1s", "--timeout", "2s", "--heal-limit", "3/1m"]
        shown = ["--listen", "127.0.0.1:0", "--log-format", "json", "--notify-file", str(self.receivers.write_file())]
        return [*source, *pace, *shown, "--state-dir", str(self._folder / "state")]

    def _environ(self) -> dict[str, str]:
        return {
            **self.repository.remote.environ,
            **self.repository.environ,
            **self.receivers.environ,
            "RECONCILER_HOOK_SECRET": self._hook_secret,
            "RECONCILER_PAGE_TOKEN": self._page_token,
            "XDG_STATE_HOME": str(self._folder / "locks"),
        }

    def driver(self) -> Driver:
        """What makes random events."""
        parts = (self.servers, self.repository, self.watcher, self.user)
        return Driver(self._seed, *parts, self._hook_secret, self.canaries)
