"""A fault server for each worker, and the records for the table at the end."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tests.support.fault_control import FaultServerControl

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

    from tests.faults.tally import Note


@pytest.fixture(scope="session")
def shared_server() -> Iterator[FaultServerControl]:
    with FaultServerControl() as server:
        yield server


@pytest.fixture
def server(shared_server: FaultServerControl) -> FaultServerControl:
    return shared_server


@pytest.fixture
def note(record_property: Callable[[str, object], None]) -> Note:
    """Adds a line to the table that is printed at the end."""

    def add(what: str, cases: int, outcomes: Mapping[str, int]) -> None:
        record_property("faults", [what, cases, dict(outcomes)])  # built-in types only: xdist serializes them

    return add
