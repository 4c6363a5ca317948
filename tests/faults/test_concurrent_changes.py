"""If an administrator changes the account between a failed attempt and the next one, the change survives."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING

import pytest

from tests.faults.test_matrix import SCENARIOS, requests_of
from tests.support.administrator import DEEDS
from tests.support.fault_control import KINDS, LATE, REFUSALS, FaultServerControl, fault
from tests.support.scenarios import PLAIN, Case

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from tests.faults.tally import Note

ATTEMPTED: Sequence[str] = [kind for kind in KINDS if kind not in {*REFUSALS, LATE}]
"""The kinds with which the server has received the request while the client still waits for the response."""

AFTER_PLANNING = 2
"""The index of the first request after the token and the list."""
CALLS = ("get", "create", "update", "delete")


@pytest.mark.fault_sample
@pytest.mark.parametrize("kind", ATTEMPTED)
def test_an_edit_between_two_attempts_survives_and_is_reported(
    server: FaultServerControl, tmp_path: Path, note: Note, kind: str
) -> None:
    outcomes: Counter[str] = Counter()
    start = ATTEMPTED.index(kind)
    # Over all kinds, every deed is combined with every call.
    cases = [(DEEDS[(start + 2 * at) % len(DEEDS)], CALLS[(start + at) % len(CALLS)]) for at in range(3)]
    for deed, call in cases:
        outcomes += Case(server, PLAIN, tmp_path, [fault(kind, 0, call=call, deed=deed)]).check_run()
    note(f"{kind}, edited", len(cases), outcomes)


@pytest.mark.faults
@pytest.mark.timeout(600)
@pytest.mark.parametrize("parallelism", [1, 8])
@pytest.mark.parametrize("name", SCENARIOS)
@pytest.mark.parametrize("deed", DEEDS)
@pytest.mark.parametrize("kind", ATTEMPTED)
def test_every_edit_between_two_attempts_survives(  # noqa: PLR0913, PLR0917 - one for each dimension
    server: FaultServerControl, tmp_path: Path, note: Note, kind: str, deed: str, name: str, parallelism: int
) -> None:
    scenario = SCENARIOS[name]
    count = requests_of(server, scenario, tmp_path)
    # Each parallelism takes every other request, so that both together see every one.
    chosen = range(AFTER_PLANNING + (parallelism == 1), count, 2)
    outcomes: Counter[str] = Counter()
    for index in chosen:
        outcomes += Case(server, scenario, tmp_path, [fault(kind, index, deed=deed)]).check_run(parallelism=parallelism)
    note(f"{kind}, edited", len(chosen), outcomes)
