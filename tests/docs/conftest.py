"""The servers of ``examples/fleet``, reached by their real names."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tests.support.example_fleet import ExampleFleet

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from tests.conftest import MakeSandbox


@pytest.fixture
def example_fleet(tmp_path: Path, make_sandbox: MakeSandbox) -> Iterator[ExampleFleet]:
    with ExampleFleet(tmp_path, make_sandbox) as fleet:
        yield fleet
