"""Any content of a file or a response raises only our own errors, within bounds. ``make fuzz`` searches for longer."""

from __future__ import annotations

import os
import resource
import time
from typing import TYPE_CHECKING

import pytest
from hypothesis import HealthCheck, given, settings

from tests.fuzz.targets import TARGETS, within_bounds
from tests.support.strategies import BOUNDED, jsons, yamls

if TYPE_CHECKING:
    from hypothesis.strategies import SearchStrategy

SECONDS = float(os.environ.get("FUZZ_SECONDS", "0"))
"""How long to go on with each target after the first round."""

_MEMORY = 256 * 1024
"""KiB that the process may grow by."""

INPUTS: dict[str, SearchStrategy[bytes]] = {"yaml": yamls(), "wire": jsons(), "refusal": jsons()}


@pytest.mark.timeout(0)
@pytest.mark.parametrize("name", TARGETS)
def test_any_input_raises_only_our_own_errors(name: str) -> None:
    end = time.monotonic() + SECONDS
    count = 0

    @settings(BOUNDED, database=None, suppress_health_check=list(HealthCheck))
    @given(INPUTS[name])
    def search(data: bytes) -> None:
        nonlocal count
        count += 1
        within_bounds(TARGETS[name], data)

    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    search()
    while time.monotonic() < end:
        search()
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < _MEMORY
    print(f"{name}: {count:,} examples")  # noqa: T201 - for `make fuzz`, which shows it
