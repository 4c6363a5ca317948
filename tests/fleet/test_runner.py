"""Runs on several servers at once: each is on its own, whatever happens to the others."""

from __future__ import annotations

import threading
import time
from dataclasses import replace
from typing import TYPE_CHECKING, NoReturn

import pytest

from reconciler.errors import Kind, Problem, ReconcilerError, UnreachableError
from reconciler.fleet.gate import FleetGate
from reconciler.fleet.server_run import ServerRun, ServerRunOptions
from reconciler.model.desired import Amount, DeliveryTestSettings
from reconciler.model.fleet import ALL_AT_ONCE, Rollout, Selector
from reconciler.model.outcome import Report, ServerStatus, Status
from reconciler.model.ports import FleetObserver, Notifier, RunObserver
from reconciler.model.secret import Secret
from reconciler.planning.planner import PlanOptions
from reconciler.report.plan_file import ReviewedPlan, SavedPlan
from tests.fleet.conftest import DOWN
from tests.support.accounts_api import account_json

if TYPE_CHECKING:
    from collections.abc import Sequence

    from reconciler.model.fleet import Batch
    from reconciler.model.plan import Change, Plan
    from reconciler.model.server import Server
    from tests.fleet.conftest import FleetOfSandboxes

NOTHING = Amount(0, percent=False)


def statuses(reports: Sequence[Report]) -> dict[str, str]:
    return {report.server.name: str(report.status) for report in reports}


class Events(FleetObserver):
    """What happened, in order."""

    def __init__(self) -> None:
        self.seen: list[tuple[str, str]] = []

    def batch_started(self, batch: Batch) -> None:
        self.seen.append(("batch", f"{batch.first}-{batch.last}"))

    def pause_started(self, seconds: float, batch: Batch) -> None:
        self.seen.append((f"pause of {seconds:g}", f"{batch.first}-{batch.last}"))

    def started(self, server: Server) -> None:
        self.seen.append(("started", server.name))

    def finished(self, report: Report) -> None:
        self.seen.append(("finished", report.server.name))


def test_every_server_is_planned_and_written(fleet: FleetOfSandboxes) -> None:
    fleet.add("a", "b", "c")
    run = fleet.run()
    assert [plan.server.name for plan in run.plan()] == ["a", "b", "c"]
    assert statuses(run.apply(ALL_AT_ONCE)) == {"a": "applied", "b": "applied", "c": "applied"}
    assert fleet.held() == {name: [f"alerts@{name}.example.com", "fax@example.com"] for name in "abc"}
    again = fleet.run()
    assert not any(plan.changes for plan in again.plan())
    assert statuses(again.apply(ALL_AT_ONCE)) == {"a": "unchanged", "b": "unchanged", "c": "unchanged"}


def test_a_server_that_fails_holds_up_no_other(fleet: FleetOfSandboxes) -> None:
    fleet.add("a", "b")
    fleet.add("down", url=DOWN)
    fleet.add("secret", key="{env: NO_SUCH_VARIABLE}")
    fleet.add("key", key="{literal: wrong-key}")
    run = fleet.run()
    plans = {plan.server.name: plan for plan in run.plan()}
    kinds = {name: [one.kind for one in plan.errors] for name, plan in plans.items() if plan.errors}
    assert kinds == {"down": ["connection_refused"], "secret": ["secret_unset"], "key": ["unauthorized"]}
    reports = run.apply(ALL_AT_ONCE)
    assert statuses(reports) == {
        "a": "applied",
        "b": "applied",
        "down": "unreachable",
        "key": "failed",
        "secret": "failed",
    }
    assert fleet.held()["secret"] == fleet.held()["key"] == []


def test_only_a_server_that_has_changed_since_the_plan_is_refused(fleet: FleetOfSandboxes) -> None:
    fleet.add("a", "b")
    fleet.boxes["b"].seed([account_json("fax@example.com", smtp_server="old.example.com")])
    run = fleet.run()
    run.plan()
    fleet.boxes["b"].change_account(1, smtp_port=2525)
    reports = run.apply(ALL_AT_ONCE)
    assert statuses(reports) == {"a": "applied", "b": "refused"}
    assert {one.kind for one in reports[1].errors} == {"stale_plan"}
    change = 'update (id 1), smtp_server "old.example.com" → "mx.example.com", smtp_port'
    assert [one.message for one in reports[1].errors] == [
        "the server has changed since the plan was made (fax@example.com); nothing was written",
        f"fax@example.com: reviewed: {change} null; now: {change} 2525",
    ]
    assert {outcome.status for outcome in reports[1].outcomes} == {"not_attempted"}
    assert fleet.held()["b"] == ["fax@example.com"]


def test_a_reviewed_plan_binds_each_server(fleet: FleetOfSandboxes) -> None:
    fleet.add("a", "b", "c")
    first = fleet.run()
    plans = {plan.server.name: plan for plan in first.plan()}
    reviewed = {plan.server.url: ReviewedPlan(plan.changes) for name, plan in plans.items() if name != "c"}
    reviewed[plans["b"].server.url] = ReviewedPlan(plans["b"].changes[:1])
    run = fleet.run()
    run.plan()
    reports = run.apply(ALL_AT_ONCE, SavedPlan("plan.json", reviewed))
    assert statuses(reports) == {"a": "applied", "b": "refused", "c": "refused"}
    assert reports[2].errors[0].message == "plan.json contains no plan for this server; nothing was written"
    assert fleet.held()["b"] == fleet.held()["c"] == []


def test_a_suspended_server_is_planned_and_not_written(fleet: FleetOfSandboxes) -> None:
    fleet.add("a")
    fleet.add("b", more=", suspended: 'the disk is being replaced'")
    run = fleet.run()
    plans = run.plan()
    assert [(plan.status, len(plan.changes), plan.applicable) for plan in plans] == [
        ("planned", 2, True),
        ("planned", 2, False),
    ]
    reports = run.apply(Rollout(max_failures=NOTHING))
    assert statuses(reports) == {"a": "applied", "b": "refused"}
    assert "the disk is being replaced" in reports[1].errors[0].message
    assert fleet.held()["b"] == []


def test_canaries_come_first_and_a_batch_waits_for_the_one_before(fleet: FleetOfSandboxes) -> None:
    fleet.add("a", "b", "d", "e")
    fleet.add("c", more=", labels: {ring: canary}")
    run, events = fleet.run(), Events()
    run.plan()
    batches = (Amount(2, percent=False), Amount(100, percent=True))
    run.apply(Rollout(canary=Selector.parse("ring=canary"), batches=batches, pause=0.01), observer=events)
    assert events.seen[:-6] == [
        *[("batch", "1-1"), ("started", "c"), ("finished", "c")],
        *[("pause of 0.01", "2-2"), ("batch", "2-2"), ("started", "a"), ("finished", "a")],
        *[("pause of 0.01", "3-5"), ("batch", "3-5")],
    ]
    assert {name for event, name in events.seen[-6:] if event == "started"} == {"b", "d", "e"}


def test_an_interrupt_ends_a_pause(fleet: FleetOfSandboxes) -> None:
    fleet.add("a", "b")
    run = fleet.run()
    run.plan()

    class Impatient(FleetObserver):
        def pause_started(self, seconds: float, batch: Batch) -> None:  # noqa: ARG002 - the interface's
            run.stop.set()

    reports = run.apply(Rollout(batches=(Amount(1, percent=False),), pause=3600), observer=Impatient())
    assert statuses(reports) == {"a": "applied", "b": "not_attempted"}


def test_nothing_starts_once_too_many_servers_have_failed(fleet: FleetOfSandboxes) -> None:
    fleet.add("a", key="{literal: wrong-key}")
    fleet.add("b", "c")
    run = fleet.run()
    run.plan()
    reports = run.apply(Rollout(batches=(Amount(1, percent=False),), max_failures=NOTHING))
    assert statuses(reports) == {"a": "failed", "b": "not_attempted", "c": "not_attempted"}
    assert reports[1].errors[0].message == "not started: 1 of 3 servers failed, and max_failures is 0"
    assert fleet.held()["b"] == fleet.held()["c"] == []


def test_servers_that_were_under_way_as_the_budget_was_spent_are_counted_too(fleet: FleetOfSandboxes) -> None:
    fleet.add("a", "b", key="{literal: wrong-key}")
    fleet.add("c")
    run = fleet.run()
    run.plan()
    reports = run.apply(Rollout(batches=(Amount(2, percent=False),), max_failures=NOTHING))
    assert reports[2].errors[0].message == "not started: 2 of 3 servers failed, and max_failures is 0"


def test_servers_that_are_not_reached_have_a_budget_of_their_own(fleet: FleetOfSandboxes) -> None:
    fleet.add("a", url=DOWN)
    fleet.add("b")
    run = fleet.run()
    run.plan()
    one_by_one = (Amount(1, percent=False),)
    reports = run.apply(Rollout(batches=one_by_one, max_failures=NOTHING))
    assert statuses(reports) == {"a": "unreachable", "b": "applied"}
    again = fleet.run()
    again.plan()
    assert statuses(again.apply(Rollout(batches=one_by_one, max_unreachable=NOTHING)))["b"] == "not_attempted"


class Interrupting(RunObserver):
    """Interrupts the run as the first write on a server begins."""

    def __init__(self, gate: FleetGate) -> None:
        self._gate = gate

    def step_started(self, change: Change) -> None:  # noqa: ARG002 - the interface's
        self._gate.stop.set()


def test_an_interrupt_lets_writes_under_way_finish_and_starts_no_server(fleet: FleetOfSandboxes) -> None:
    fleet.add("a", "b", "c")
    gates: list[FleetGate] = []
    run = fleet.run(parallelism=1, observer=lambda _plan: Interrupting(gates[0]))
    gates.append(run.gate)
    run.plan()
    reports = run.apply(ALL_AT_ONCE)
    written = [outcome.address for outcome in reports[0].outcomes if outcome.status == "applied"]
    assert fleet.held()["a"] == sorted(written)
    assert statuses(reports[1:]) == {"b": "not_attempted", "c": "not_attempted"}
    assert fleet.held()["b"] == fleet.held()["c"] == []
    assert [one.kind for one in reports[1].errors] == ["interrupted"]


def test_a_second_interrupt_waits_only_a_moment_for_a_server_that_does_not_respond(fleet: FleetOfSandboxes) -> None:
    fleet.add("a")
    held = threading.Event()
    release = threading.Event()

    class Stuck(RunObserver):
        def step_started(self, change: Change) -> None:  # noqa: ARG002 - the interface's
            held.set()
            release.wait(30)
            raise ReconcilerError.of("not recorded", kind=Kind.JOURNAL)  # so that nothing is written after the test

    run = fleet.run(observer=lambda _plan: Stuck())
    run.plan()

    def interrupt() -> None:
        held.wait(30)
        run.gate.stop.set()
        run.gate.end()

    threading.Thread(target=interrupt, daemon=True).start()
    try:
        reports = run.apply(ALL_AT_ONCE)
    finally:
        release.set()
        while run._runs[0]._connection:
            time.sleep(0.01)
    assert statuses(reports) == {"a": "unknown"}


def test_a_server_that_is_lost_after_the_plan_lists_what_was_not_done(
    fleet: FleetOfSandboxes, monkeypatch: pytest.MonkeyPatch
) -> None:
    fleet.add("a", "b")
    run = fleet.run()
    run.plan()

    def lost() -> NoReturn:
        raise UnreachableError(Problem(kind="unreachable", message="cannot reach it"), transient=True)

    monkeypatch.setattr(run._runs[0], "_fresh_plan", lost)
    reports = run.apply(ALL_AT_ONCE)
    assert statuses(reports) == {"a": "unreachable", "b": "applied"}
    assert [(one.status, one.error) for one in reports[0].outcomes] == [(Status.NOT_ATTEMPTED, "cannot reach it")] * 2
    assert [error.message for error in reports[0].errors] == ["cannot reach it"]


def test_a_stopped_server_stops_no_other() -> None:
    """A run that stops by itself sets its own event, and not that of the fleet."""
    gate = FleetGate()
    first, second = gate.group.member(), gate.group.member()
    first.set()
    assert not second.is_set()
    assert not gate.stop.is_set()
    gate.stop.set()
    assert second.is_set()
    assert gate.group.member().is_set()


def test_delivery_tests_run_on_every_server(fleet: FleetOfSandboxes) -> None:
    fleet.add("a", "b")
    fleet.add("down", url=DOWN)
    reports = fleet.run(planning=PlanOptions(test=DeliveryTestSettings(to_email="ops@example.com"))).test()
    assert [(report.server.name, len(report.outcomes)) for report in reports] == [("a", 2), ("b", 2), ("down", 0)]
    assert reports[2].status is ServerStatus.UNREACHABLE
    assert fleet.held() == {"a": [], "b": []}


@pytest.mark.parametrize("parallelism", [1, 3])
def test_plans_and_reports_have_the_order_of_the_servers(fleet: FleetOfSandboxes, parallelism: int) -> None:
    fleet.add("c", "a", "b")
    run = fleet.run(parallelism=parallelism)
    plans: tuple[Plan, ...] = run.plan()
    assert [plan.server.name for plan in plans] == ["a", "b", "c"]
    assert [report.server.name for report in run.apply(ALL_AT_ONCE)] == ["a", "b", "c"]


def test_warnings_and_notes_name_the_server_and_show_no_secret(fleet: FleetOfSandboxes) -> None:
    fleet.add("a")
    said: list[str] = []
    notifier = Notifier(warn=lambda problem: said.append(f"{problem.message}; {problem.hint}"), note=said.append)
    context = replace(fleet.context, notifier=notifier)
    run = ServerRun(fleet.read().servers[0], ServerRunOptions(paths=[], context=context))
    run._redactor.add(Secret("a-secret-of-this-server"))
    own = run._connect().context.notifier
    own.warn(Problem(kind=Kind.REJECTED, message="it says a-secret-of-this-server", hint="a-secret-of-this-server"))
    own.note("it says a-secret-of-this-server")
    assert said == ["a: it says ***; ***", "a: it says ***"]
