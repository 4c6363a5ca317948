"""Every fault at every request: nothing is lost or doubled, the report is true, and the next run converges."""

from __future__ import annotations

import json
from collections import Counter
from typing import TYPE_CHECKING

import pytest

from reconciler.model.outcome import Outcome, Status
from tests.faults.case import converges, tried
from tests.faults.command import APPLY, begun, finished
from tests.faults.kinds import KINDS
from tests.support.fault_control import Remote, fault
from tests.support.scenarios import PLAIN, TANGLED, Scenario, disagreements, losses, run

if TYPE_CHECKING:
    from pathlib import Path

    from tests.faults.tally import Note

SCENARIOS = {"plain": PLAIN, "tangled": TANGLED}
LASTING = 4
"""As many requests as one call makes at most: what hits them all outlasts the repetitions."""


def requests_of(remote: Remote, scenario: Scenario, path: str) -> int:
    url = remote.reset(scenario.seed)
    assert run(path, url, parallelism=1).code == 0
    return len(remote.state()[1])


def test_without_a_fault_one_run_converges(remote: Remote, tmp_path: Path) -> None:
    for scenario in SCENARIOS.values():
        path = scenario.write(tmp_path)
        for parallelism in (1, 8):
            outcomes = tried(remote, scenario, path, [], parallelism=parallelism)
            assert set(outcomes) == {"applied"}


@pytest.mark.parametrize("parallelism", [1, 8])
@pytest.mark.parametrize("kind", KINDS)
def test_a_fault_at_any_request_is_told_truly_and_made_good(
    remote: Remote, tmp_path: Path, note: Note, kind: str, parallelism: int
) -> None:
    path = PLAIN.write(tmp_path)
    count = requests_of(remote, PLAIN, path)
    # Each parallelism takes every other request, so that both together see every one.
    every = range(0 if parallelism == 1 else 1, count, 2)
    chosen = every[::4] if kind == "down" else every  # what follows all fails, which takes its time
    outcomes: Counter[str] = Counter()
    for index in chosen:
        outcomes += tried(remote, PLAIN, path, [fault(kind, index)], parallelism=parallelism)
    note(kind, len(chosen), outcomes)


@pytest.mark.parametrize(
    ("kind", "index"), [(kind, 4 + 5 * at % 14) for at, kind in enumerate(KINDS) if kind != "down"]
)
def test_the_command_tells_a_fault_truly(remote: Remote, tmp_path: Path, note: Note, kind: str, index: int) -> None:
    """A sample of the above with what users have: a process of its own, its exit code and its JSON."""
    path = PLAIN.write(tmp_path)
    url = remote.reset(PLAIN.seed, [fault(kind, index)])
    code, out, err = finished(begun(tmp_path, url, *APPLY, "--timeout", "1", "-f", "json"))
    accounts, _ = remote.state()
    outcomes = [
        Outcome(address=one["address"], action=one["action"], status=Status(one["status"]), error=one.get("error"))
        for one in json.loads(out)["results"]
    ]
    found = [*losses(PLAIN, accounts), *disagreements(PLAIN, outcomes, accounts)]
    complete = all(one.status is Status.APPLIED for one in outcomes)
    assert (found, code) == ([], 0 if complete else 3), f"{kind} at request {index}: {err}"
    converges(remote, PLAIN, path, url, f"{kind} at request {index}")
    note("command", 1, Counter(one.status.value for one in outcomes))


@pytest.mark.faults
@pytest.mark.timeout(600)
@pytest.mark.parametrize("times", [1, LASTING])
@pytest.mark.parametrize("parallelism", [1, 8])
@pytest.mark.parametrize("name", SCENARIOS)
@pytest.mark.parametrize("kind", KINDS)
def test_every_fault_at_every_request_is_told_truly_and_made_good(  # noqa: PLR0913, PLR0917 - one for each dimension
    remote: Remote, tmp_path: Path, note: Note, kind: str, name: str, parallelism: int, times: int
) -> None:
    scenario = SCENARIOS[name]
    path = scenario.write(tmp_path)
    count = requests_of(remote, scenario, path)
    outcomes: Counter[str] = Counter()
    for index in range(count):
        outcomes += tried(remote, scenario, path, [fault(kind, index, times)], parallelism=parallelism)
    note(f"{kind} x{times}" if times > 1 else kind, count, outcomes)
