"""The command is killed while a request is in flight: the next run converges, and reports what it checked again."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import pytest

from tests.faults.command import APPLY, begun, finished
from tests.support.fault_control import HELD, FaultServerControl, fault
from tests.support.scenarios import PLAIN, Case

if TYPE_CHECKING:
    from pathlib import Path

    from tests.faults.tally import Note

REQUESTS = 18


def unfinished(folder: Path) -> int:
    """How many intents in the journal have no outcome."""
    journal = folder / "journal"
    lines = journal.read_text(encoding="utf-8").splitlines() if journal.exists() else []
    events = [json.loads(line)["event"] for line in lines]
    return events.count("intent") - events.count("outcome")


def kill(server: FaultServerControl, folder: Path, kind: str, index: int, parallelism: int) -> None:
    where = f"killed at request {index}, {kind}, parallelism {parallelism}"
    (folder / "journal").unlink(missing_ok=True)
    case = Case(server, PLAIN, folder, [fault(kind, index)])
    arguments = (*APPLY, "--parallelism", str(parallelism), "--journal", "journal")
    process = begun(folder, case.url, *arguments)
    server.held()
    process.kill()
    process.wait()
    stopped = case.run_of(case.plan)
    case.check([*stopped.losses(), *stopped.doubled(), *stopped.touched()])
    left = unfinished(folder)
    assert left <= parallelism, where
    server.arm()
    code, _, err = finished(begun(folder, case.url, *arguments))
    assert (code, err.count("checked: ")) == (0, left), f"{where}: {err}"
    case.check_next_run()


@pytest.mark.parametrize(
    ("kind", "index"), [("held_after", 8), ("held_late", 8), ("held_before", 12), ("held_after", 17)]
)
def test_the_run_after_a_kill_converges(
    server: FaultServerControl, tmp_path: Path, note: Note, kind: str, index: int
) -> None:
    kill(server, tmp_path, kind, index, parallelism=1)
    note("killed", 1, {})


@pytest.mark.faults
@pytest.mark.timeout(900)
@pytest.mark.parametrize("parallelism", [1, 8])
@pytest.mark.parametrize("kind", HELD)
def test_the_run_after_a_kill_at_any_request_converges(
    server: FaultServerControl, tmp_path: Path, note: Note, kind: str, parallelism: int
) -> None:
    for index in range(REQUESTS):
        kill(server, tmp_path, kind, index, parallelism)
    note("killed", REQUESTS, {})
