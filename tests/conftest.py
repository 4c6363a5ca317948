"""What tests of several packages need: sandboxes to talk to."""

from __future__ import annotations

import os
import signal
import tempfile
from contextlib import ExitStack
from typing import TYPE_CHECKING, Any, Protocol

import pytest

from tests.commands import fork_server
from tests.faults.tally import pytest_terminal_summary  # noqa: F401 - a hook, found here alone

if TYPE_CHECKING:
    from collections.abc import Iterator

    from reconciler.sandbox import Sandbox


STATE = pytest.StashKey[tempfile.TemporaryDirectory[str]]()


def pytest_configure(config: pytest.Config) -> None:
    """Heeds Ctrl-C where a shell started this in the background: the commands that tests interrupt inherit it.

    Locks go into a folder that ends with the tests, and not into that of the user.
    """
    config.stash[STATE] = tempfile.TemporaryDirectory(prefix="reconciler-state-")
    os.environ["XDG_STATE_HOME"] = config.stash[STATE].name
    if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
        signal.signal(signal.SIGINT, signal.default_int_handler)


def pytest_unconfigure(config: pytest.Config) -> None:
    config.stash[STATE].cleanup()


@pytest.fixture(scope="session", autouse=True)
def end_of_the_fork_server() -> Iterator[None]:
    """Ends it before coverage is put together."""
    yield
    fork_server.end()


class MakeSandbox(Protocol):
    """The type of the ``make_sandbox`` fixture."""

    def __call__(self, **options: Any) -> Sandbox:  # noqa: ANN401 - SandboxOptions has their types
        """A running sandbox with these ``SandboxOptions``; it ends with the test."""


@pytest.fixture
def make_sandbox() -> Iterator[MakeSandbox]:
    # Imported here, so that tests which need no server do not pay for FastAPI.
    from reconciler.sandbox import Sandbox, SandboxOptions

    with ExitStack() as stack:

        def make(**options: Any) -> Sandbox:  # noqa: ANN401 - as above
            return stack.enter_context(Sandbox(SandboxOptions(**options)))

        yield make


@pytest.fixture
def sandbox(make_sandbox: MakeSandbox) -> Sandbox:
    return make_sandbox()
