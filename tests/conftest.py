"""Fixtures for tests of several packages: sandboxes, and the command in a process of its own."""

from __future__ import annotations

import gc
import os
import signal
import sys
from contextlib import ExitStack
from typing import TYPE_CHECKING, Any, Protocol

import pytest

from tests.faults.tally import pytest_terminal_summary  # noqa: F401 - a hook, found here alone
from tests.support import fork_server
from tests.support.cli_runner import CliProcess

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from reconciler.sandbox import Sandbox
    from tests.support.example_fleet import ExampleFleet


sys.modules["rfc3987_syntax"] = None  # type: ignore[assignment]
"""jsonschema looks for it, and it builds parsers of a format that no schema here has, for three seconds."""

os.environ["HYPOTHESIS_NO_PLUGINS"] = "1"
"""Else it imports trio, which has a plugin for it."""


def pytest_configure() -> None:
    """Restores signals that are ignored, as in the background of a shell."""
    gc.disable()  # nothing that is imported or collected is garbage
    for number in (signal.SIGINT, signal.SIGHUP):
        if signal.getsignal(number) is signal.SIG_IGN:
            signal.signal(number, signal.default_int_handler)


def pytest_collection_finish() -> None:
    """Spares each search for cyclic garbage the thousands of tests themselves."""
    gc.freeze()
    gc.enable()


@pytest.fixture(scope="session", autouse=True)
def state_folder(tmp_path_factory: pytest.TempPathFactory) -> None:
    """Keeps locks out of the home folder. pytest removes the folder, also that of a run which was interrupted."""
    os.environ["XDG_STATE_HOME"] = str(tmp_path_factory.mktemp("state"))


@pytest.fixture(scope="session", autouse=True)
def end_of_fork_servers() -> Iterator[None]:
    """Ends them before coverage data is combined."""
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
def example_fleet(tmp_path: Path, make_sandbox: MakeSandbox) -> Iterator[ExampleFleet]:
    """The servers of ``examples/fleet``, which are reached by their real names."""
    from tests.support.example_fleet import ExampleFleet

    with ExampleFleet(tmp_path, make_sandbox) as fleet:
        yield fleet


@pytest.fixture
def sandbox(make_sandbox: MakeSandbox) -> Sandbox:
    return make_sandbox()


@pytest.fixture
def user(tmp_path: Path) -> CliProcess:
    return CliProcess(tmp_path)


@pytest.fixture
def at_sandbox(user: CliProcess, sandbox: Sandbox) -> CliProcess:
    return user.connect_to(sandbox)
