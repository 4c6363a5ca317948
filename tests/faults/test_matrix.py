"""Every fault at every request: nothing is lost or doubled, the report is true, and the next run converges."""

from __future__ import annotations

import json
from collections import Counter
from typing import TYPE_CHECKING

import pytest

from reconciler.model.outcome import Outcome, Status
from reconciler.model.plan import Action
from reconciler.model.secret import Secret
from tests.faults.command import APPLY, begun, finished
from tests.support.fault_control import KINDS, FaultServerControl, fault
from tests.support.scenarios import PLAIN, TANGLED, WATCHED, Case, Result, Scenario, run

if TYPE_CHECKING:
    from pathlib import Path

    from tests.faults.tally import Note
    from tests.support.scenarios import Row

SCENARIOS = {"plain": PLAIN, "tangled": TANGLED}
LASTING = 4
"""The most requests that one call makes: a fault that hits them all outlasts the repetitions."""


COUNTED: dict[str, int] = {}


def requests_of(server: FaultServerControl, scenario: Scenario, folder: Path) -> int:
    """The number of requests of a run without faults, which is always the same."""
    if scenario.name not in COUNTED:
        case = Case(server, scenario, folder)
        assert run(case.path, case.url, parallelism=1).code == 0
        COUNTED[scenario.name] = len(server.state()[1])
    return COUNTED[scenario.name]


@pytest.mark.parametrize("scenario", [PLAIN, TANGLED, WATCHED], ids=lambda one: one.name)
def test_each_scenario_is_planned_as_it_wants(server: FaultServerControl, tmp_path: Path, scenario: Scenario) -> None:
    plan = Case(server, scenario, tmp_path).plan
    addresses = {index: one["email"] for index, one in enumerate(scenario.seed, start=1)}
    accounts = {one.after.email: one.after for one in plan.changes if one.after}
    accounts |= {one.email: one for one in (*plan.unchanged, *plan.untouched)}
    for address, wanted in scenario.wanted.items():
        account = accounts[address]
        assert {name: account.fields[name] for name in wanted if name != "password"} == without_password(wanted)
        if "password" in wanted:
            assert account.fields["password"] == Secret(wanted["password"])
        assert addresses.get(account.id or 0) == scenario.origin.get(address)
    gone = {one["email"] for one in scenario.seed} - {*scenario.origin.values()} - set(accounts)
    assert {one.address for one in plan.changes if one.action is Action.DELETE} == gone


def without_password(fields: Row) -> Row:
    return {name: value for name, value in fields.items() if name != "password"}


def test_without_a_fault_one_run_converges(server: FaultServerControl, tmp_path: Path) -> None:
    for scenario in SCENARIOS.values():
        for parallelism in (1, 8):
            outcomes = Case(server, scenario, tmp_path, []).check_run(parallelism=parallelism)
            assert set(outcomes) == {"applied"}


@pytest.mark.fault_sample
@pytest.mark.parametrize("parallelism", [1, 8])
@pytest.mark.parametrize("kind", KINDS)
def test_a_fault_is_reported_truly_and_the_next_run_converges(
    server: FaultServerControl, tmp_path: Path, note: Note, kind: str, parallelism: int
) -> None:
    count = requests_of(server, PLAIN, tmp_path)
    # A sample of the whole matrix below: each kind and parallelism begins elsewhere, and takes every fourth request.
    every = range((KINDS.index(kind) + parallelism // 4) % 4, count, 4)
    chosen = every[::2] if kind == "down" else every  # all later requests fail, which takes time
    outcomes: Counter[str] = Counter()
    for index in chosen:
        outcomes += Case(server, PLAIN, tmp_path, [fault(kind, index)]).check_run(parallelism=parallelism)
    note(kind, len(chosen), outcomes)


@pytest.mark.parametrize(
    ("kind", "index"), [(kind, 4 + 5 * at % 14) for at, kind in enumerate(KINDS) if kind != "down"]
)
def test_the_command_reports_a_fault_truly(
    server: FaultServerControl, tmp_path: Path, note: Note, kind: str, index: int
) -> None:
    """A sample of the above as users run it: in a process of its own, judged by its exit code and its JSON."""
    case = Case(server, PLAIN, tmp_path, [fault(kind, index)])
    code, out, err = finished(begun(tmp_path, case.url, *APPLY, "--timeout", "1", "-f", "json"))
    results = json.loads(out)["results"]
    outcomes = tuple(
        Outcome(
            address=one["address"],
            action=one["action"],
            status=Status(one["status"]),
            id=one["id"],
            error=one.get("error"),
        )
        for one in results
    )
    case.check(case.violations(Result(code, case.plan, outcomes)))
    complete = all(one.status is Status.APPLIED for one in outcomes)
    assert code == (0 if complete else 3), err
    case.check_next_run()
    note("command", 1, Counter(one.status.value for one in outcomes))


@pytest.mark.faults
@pytest.mark.timeout(600)
@pytest.mark.parametrize("times", [1, LASTING])
@pytest.mark.parametrize("parallelism", [1, 8])
@pytest.mark.parametrize("name", SCENARIOS)
@pytest.mark.parametrize("kind", KINDS)
def test_every_fault_is_reported_truly_and_the_next_run_converges(  # noqa: PLR0913, PLR0917 - one for each dimension
    server: FaultServerControl, tmp_path: Path, note: Note, kind: str, name: str, parallelism: int, times: int
) -> None:
    scenario = SCENARIOS[name]
    count = requests_of(server, scenario, tmp_path)
    outcomes: Counter[str] = Counter()
    for index in range(count):
        outcomes += Case(server, scenario, tmp_path, [fault(kind, index, times)]).check_run(parallelism=parallelism)
    note(f"{kind} x{times}" if times > 1 else kind, count, outcomes)
