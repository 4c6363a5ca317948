"""Fixtures: the watcher's page on a port of this machine."""

from __future__ import annotations

from contextlib import ExitStack
from typing import TYPE_CHECKING, Protocol

import pytest

from tests.watch.fleets import small

if TYPE_CHECKING:
    from collections.abc import Iterator

    from reconciler.watch.page_server import PageServer
    from reconciler.watch.view import View


class Serve(Protocol):
    """The type of the ``serve`` fixture."""

    def __call__(
        self, view: View | None = None, *names: str, listen: str = "127.0.0.1:0", **environ: str
    ) -> PageServer:
        """A running page with these values of ``--listen`` and ``--host``, and variables; it ends with the test."""


@pytest.fixture
def bugs() -> list[Exception]:
    """What the page's requests ended in."""
    return []


@pytest.fixture
def serve(bugs: list[Exception]) -> Iterator[Serve]:
    from reconciler.watch.metrics import Metrics
    from reconciler.watch.page_options import page_options
    from reconciler.watch.page_server import PageServer

    with ExitStack() as stack:

        def start(view: View | None = None, *names: str, listen: str = "127.0.0.1:0", **environ: str) -> PageServer:
            options = page_options(listen, names, environ)
            return stack.enter_context(PageServer(view or small(), Metrics(), options, bugs.append))

        yield start
