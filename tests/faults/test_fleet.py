"""Faults, crashes and signals on a fleet of three: each server is on its own, and the next run converges."""

from __future__ import annotations

import json
import os
import signal
from collections import Counter
from contextlib import ExitStack
from typing import TYPE_CHECKING, Any

import pytest

from reconciler.model.outcome import Outcome, Status
from tests.faults.command import finished
from tests.faults.fleet_case import KEY, ONE_BY_ONE, FleetCase
from tests.faults.test_crash import unfinished
from tests.support import fork_server
from tests.support.fault_control import HELD, KINDS, FaultServerControl, fault
from tests.support.scenarios import SECRETS, Result

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from pathlib import Path

    from reconciler.model.outcome import Report
    from tests.faults.tally import Note
    from tests.support.fork_server import Process

NAMES = ("a", "b", "c")
REQUESTS = 19
"""Those of one server: a token, a list for the plan that is shown, and then those of a run on one server."""
FIRST_WRITE = 4
APPLY = ("apply", "fleet", "--auto-approve", "--parallelism", "1", "--timeout", "2")


@pytest.fixture(scope="module")
def servers(shared_server: FaultServerControl) -> Iterator[dict[str, FaultServerControl]]:
    first, *others = NAMES
    with ExitStack() as stack:
        yield {first: shared_server, **{name: stack.enter_context(FaultServerControl()) for name in others}}


def statuses(report: Report) -> Counter[str]:
    return Counter(one.status.value for one in report.outcomes) or Counter({"no_plan": 1})


def start(case: FleetCase, *arguments: str) -> Process:
    kept = {name: value for name, value in os.environ.items() if name.startswith(("COVERAGE", "PATH", "XDG_STATE"))}
    return fork_server.start((*APPLY, *arguments), case.folder, {**kept, "PYTHONUTF8": "1", **KEY, **SECRETS})


def check_fault(
    servers: Mapping[str, FaultServerControl], folder: Path, kind: str, index: int, parallelism: int
) -> Counter[str]:
    """A run with a fault on the second server."""
    case = FleetCase(servers, folder, {"b": [fault(kind, index)]})
    reports = case.run(parallelism=parallelism)
    case.check(reports, faulty={"b"})
    case.check_next_run()
    return statuses(reports["b"])


@pytest.mark.fault_sample
def test_a_server_sends_as_many_requests_as_the_matrix_covers(
    servers: dict[str, FaultServerControl], tmp_path: Path
) -> None:
    case = FleetCase(servers, tmp_path, {})
    case.check(case.run(timeout=30), faulty=())
    assert {len(server.state()[1]) for server in servers.values()} == {REQUESTS}


@pytest.mark.fault_sample
@pytest.mark.parametrize(
    ("kind", "index"), [("refused", 2), ("500_after", 8), ("late", 6), ("truncated", 1), ("down", 7)]
)
def test_a_fault_on_one_server_changes_nothing_about_the_others(
    servers: dict[str, FaultServerControl], tmp_path: Path, note: Note, kind: str, index: int
) -> None:
    note(f"{kind}, fleet", 1, check_fault(servers, tmp_path, kind, index, parallelism=8))


@pytest.mark.faults
@pytest.mark.timeout(900)
@pytest.mark.parametrize("parallelism", [1, 8])
@pytest.mark.parametrize("kind", KINDS)
def test_no_fault_on_one_server_changes_anything_about_the_others(
    servers: dict[str, FaultServerControl], tmp_path: Path, note: Note, kind: str, parallelism: int
) -> None:
    outcomes: Counter[str] = Counter()
    for index in range(REQUESTS):
        outcomes += check_fault(servers, tmp_path, kind, index, parallelism)
    note(f"{kind}, fleet", REQUESTS, outcomes)


def kill(servers: Mapping[str, FaultServerControl], folder: Path, kind: str, index: int) -> None:
    """Kills the run while a request to the second server is held; the others may be anywhere."""
    where = f"killed at request {index}, {kind}"
    (folder / "journal").unlink(missing_ok=True)
    case = FleetCase(servers, folder, {"b": [fault(kind, index)]})
    process = start(case, "--journal", "journal")
    servers["b"].held()
    process.kill()
    process.wait()
    for one in case.cases.values():
        stopped = one.run_of(one.plan)
        one.check([*stopped.losses(), *stopped.doubled(), *stopped.touched()])
    left = unfinished(folder)
    assert left <= len(NAMES), where
    for server in servers.values():
        server.arm()
    code, _, err = finished(start(case, "--journal", "journal"))
    assert (code, err.count("checked: ")) == (0, left), f"{where}: {err}"
    case.check_next_run()


@pytest.mark.fault_sample
@pytest.mark.parametrize(("kind", "index"), [("held_after", 8)])
def test_the_run_after_a_kill_converges(
    servers: dict[str, FaultServerControl], tmp_path: Path, note: Note, kind: str, index: int
) -> None:
    kill(servers, tmp_path, kind, index)
    note("killed, fleet", 1, {})


@pytest.mark.faults
@pytest.mark.timeout(900)
@pytest.mark.parametrize("kind", HELD)
def test_the_run_after_a_kill_at_any_request_converges(
    servers: dict[str, FaultServerControl], tmp_path: Path, note: Note, kind: str
) -> None:
    for index in range(REQUESTS):
        kill(servers, tmp_path, kind, index)
    note("killed, fleet", REQUESTS, {})


def interrupt(servers: Mapping[str, FaultServerControl], folder: Path, name: str, kind: str, *, twice: bool) -> None:
    """Interrupts a run, whose batches are single servers, while a write to one of them is held."""
    case = FleetCase(servers, folder, {name: [fault(kind, FIRST_WRITE)]}, settings=ONE_BY_ONE)
    process = start(case, "-f", "json")
    servers[name].held()
    process.send_signal(signal.SIGINT)
    process.wait_for_error_text("Interrupted: ")
    if twice:
        process.send_signal(signal.SIGINT)
    code, out, err = finished(process)
    document = json.loads(out)
    at = NAMES.index(name)
    # Without a second signal, the run waits until the request is given up, and may find that the write was made.
    doubtful = any(result["status"] == "unknown" for result in document["results"])
    assert doubtful or not twice
    here = "unknown" if doubtful else "failed"
    expected = ["applied"] * at + [here] + ["not_attempted"] * (len(NAMES) - at - 1)
    assert (code, [one["status"] for one in document["servers"]]) == (130, expected), err
    for server, one in case.cases.items():
        results = [result for result in document["results"] if result["server"] == server]
        assert len(results) == len(one.plan.changes)
        one.check(one.violations(Result(3, one.plan, tuple(map(outcome_of, results)))))
    for control in servers.values():
        control.arm()
    assert finished(start(case))[0] == 0
    case.check_next_run()


def outcome_of(result: Mapping[str, Any]) -> Outcome:
    return Outcome(
        address=result["address"],
        action=result["action"],
        status=Status(result["status"]),
        id=result["id"],
        error=result.get("error"),
    )


@pytest.mark.fault_sample
@pytest.mark.parametrize(("name", "kind", "twice"), [("a", "held_after", True), ("b", "held_before", False)])
def test_the_report_of_an_interrupted_rollout_is_true(
    servers: dict[str, FaultServerControl], tmp_path: Path, name: str, kind: str, *, twice: bool
) -> None:
    interrupt(servers, tmp_path, name, kind, twice=twice)


@pytest.mark.faults
@pytest.mark.timeout(900)
@pytest.mark.parametrize("kind", HELD)
@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("twice", [False, True])
def test_the_report_of_a_rollout_interrupted_in_any_batch_is_true(
    servers: dict[str, FaultServerControl], tmp_path: Path, name: str, kind: str, *, twice: bool
) -> None:
    interrupt(servers, tmp_path, name, kind, twice=twice)
