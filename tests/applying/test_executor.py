from __future__ import annotations

import signal
import threading
from typing import TYPE_CHECKING, Any

import pytest

from reconciler.applying.executor import ApplyOptions, _combined, _Run
from reconciler.applying.run_state import RunState
from reconciler.applying.step import StepRunner
from reconciler.applying.worker_pool import Abort, InterruptGate
from reconciler.errors import Kind, RejectedError, UnreachableError
from reconciler.model.desired import DeliveryTestSettings, DeliveryTestWhen
from reconciler.model.on_failure import OnFailure
from reconciler.model.outcome import Outcome, Status
from reconciler.retry import Retry
from tests.support.declarations import RecordingObserver, apply_plan, declare, plan_for, summaries
from tests.support.fake_server import FakeServer, Fault, Rules

if TYPE_CHECKING:
    from collections.abc import Iterator

    from reconciler.model.plan import Change, Plan
    from tests.support.fake_server import Call

NO = Fault(RejectedError.of("no", kind=Kind.REJECTED))
LONGEST_WAIT = 20
"""Seconds after which a waiting test fails."""
NOT_STARTED = "not started: the run stopped first"


def creates(*addresses: str, **fields: Any) -> tuple[FakeServer, Any]:  # noqa: ANN401 - a plan
    server = FakeServer.holding()
    return server, plan_for(server, *(declare(one, name=one, **fields) for one in addresses))


def test_an_empty_plan_has_no_outcomes() -> None:
    server, plan = creates()
    assert apply_plan(plan, server) == ()


def test_outcomes_come_in_the_order_of_the_changes_with_their_ids() -> None:
    server = FakeServer.holding({"email": "a@x"}, {"email": "b@x"})
    plan = plan_for(server, declare("b@x", name="B"), declare("c@x", name="C"))
    outcomes = apply_plan(plan, server)
    assert summaries(outcomes) == ["delete a@x: applied", "update b@x: applied", "create c@x: applied"]
    assert [one.id for one in outcomes] == [1, 2, 3]


def test_a_created_account_may_get_the_id_0() -> None:
    server, plan = creates("a@x")
    server._next_id = 0
    (outcome,) = apply_plan(plan, server)
    assert (outcome.status, outcome.id) == (Status.APPLIED, 0)


def test_an_account_that_keeps_its_temporary_name_may_have_the_id_0() -> None:
    _, plan = creates("a@x")
    (change,) = plan.changes
    combined = _combined([Outcome.of(change, Status.APPLIED, id=0), Outcome.of(change, Status.FAILED, "no")])
    assert (combined.status, combined.id) == (Status.FAILED, 0)


@pytest.mark.parametrize("parallelism", [2, 5])
def test_as_many_writes_as_allowed_are_under_way_at_the_same_time(parallelism: int) -> None:
    server, plan = creates(*(f"u{place}@x" for place in range(2 * parallelism)))
    barrier = threading.Barrier(parallelism, timeout=LONGEST_WAIT)
    server.hooks["create"] = lambda _call: (barrier.wait(), None)[1]
    outcomes = apply_plan(plan, server, parallelism=parallelism)
    assert {one.status for one in outcomes} == {Status.APPLIED}


def test_parallelism_limits_the_writes_in_flight() -> None:
    server, plan = creates(*(f"u{place}@x" for place in range(12)))
    lock, under_way, most = threading.Lock(), 0, 0

    def enter(_change: Change) -> None:
        nonlocal under_way, most
        with lock:
            under_way += 1
            most = max(most, under_way)

    def leave(_change: Change) -> None:
        nonlocal under_way
        with lock:
            under_way -= 1

    apply_plan(plan, server, parallelism=3, observer=RecordingObserver(enter, leave))
    assert most <= 3


def test_the_observer_is_notified_before_and_after_each_step() -> None:
    server = FakeServer.holding({"email": "a@x", "name": "A"}, {"email": "b@x", "name": "B"})
    plan = plan_for(server, declare("a@x", name="B"), declare("b@x", name="A"))
    observer = RecordingObserver()
    apply_plan(plan, server, observer=observer)
    assert observer.heard == [
        "before update a@x",
        "after update a@x: applied",
        "before update b@x",
        "after update b@x: applied",
        "before update a@x",
        "after update a@x: applied",
    ]


def test_what_depends_on_a_failure_is_skipped_and_nothing_else() -> None:
    held = [{"email": f"{name}@x", "name": name} for name in ("a", "b", "c", "z")]
    server = FakeServer.holding(*held)
    desired = [declare("a@x", name="b"), declare("b@x", name="c"), declare("c@x", name="d"), declare("z@x", name="y")]
    plan = plan_for(server, *desired)
    server.script("update", NO)
    assert summaries(apply_plan(plan, server)) == [
        "update a@x: skipped (needs the change of b@x, which did not succeed)",
        "update b@x: skipped (needs the change of c@x, which did not succeed)",
        "update c@x: failed (no)",
        "update z@x: applied",
    ]


def sharing(server: FakeServer) -> Plan:
    wanted = [declare(f"{letter}@x", name=letter if letter in "ab" else "shared") for letter in "abcd"]
    return plan_for(server, *wanted)


def test_several_that_take_a_name_wait_for_all_that_free_it() -> None:
    held = [{"email": f"{letter}@x", "name": "shared" if letter in "ab" else letter} for letter in "abcd"]
    server = FakeServer.holding(*held)
    plan = sharing(server)
    assert len({id(places) for step in plan.steps for places in step.shared}) == 1
    assert [one.status for one in apply_plan(plan, server)] == ["applied"] * 4
    server = FakeServer.holding(*held)
    plan = sharing(server)
    server.script("update", NO)
    assert summaries(apply_plan(plan, server)) == [
        "update a@x: failed (no)",
        "update b@x: applied",
        "update c@x: skipped (needs the change of a@x, which did not succeed)",
        "update d@x: skipped (needs the change of a@x, which did not succeed)",
    ]


def test_a_step_is_skipped_if_one_of_two_requirements_failed() -> None:
    server = FakeServer.holding({"email": "a@x", "name": "A", "default": True}, {"email": "b@x", "name": "B"})
    successor = declare("c@x", name="D", default=True)
    plan = plan_for(server, declare("a@x", name="B", default=False), declare("b@x", name="C"), successor)
    server.script("update", NO)
    assert [one.status for one in apply_plan(plan, server)] == ["skipped", "failed", "applied"]


def test_a_default_that_cannot_be_created_blocks_no_other_create() -> None:
    server = FakeServer.holding(rules=Rules(first_is_default=True))
    plan = plan_for(server, declare("a@x", name="A", default=False), declare("b@x", name="B", default=True))
    server.script("create", NO)
    assert summaries(apply_plan(plan, server)) == [
        "create a@x: failed (the server did not keep default (it has true))",
        "create b@x: failed (no)",
    ]


def test_deletes_that_free_nothing_start_when_all_else_is_done() -> None:
    server = FakeServer.holding({"email": "d1@x"}, {"email": "d2@x"})
    plan = plan_for(server, *(declare(f"u{place}@x", name=f"{place}") for place in range(6)))
    created = threading.Semaphore(0)

    def at_delete(change: Change) -> None:
        if change.action == "delete":
            # All six have ended, and not only begun; this never waits unless the order is wrong.
            assert [created.acquire(blocking=False) for _ in range(3)] == [True] * 3

    def at_end(change: Change) -> None:
        if change.action == "create":
            created.release()

    outcomes = apply_plan(plan, server, parallelism=8, observer=RecordingObserver(at_delete, at_end))
    assert {one.status for one in outcomes} == {Status.APPLIED}
    assert [call.split()[0] for call in server.writes()] == ["create"] * 6 + ["delete"] * 2


def test_a_last_delete_starts_when_nothing_is_in_flight() -> None:
    server = FakeServer.holding({"email": "d@x"})
    plan = plan_for(server, declare("n@x", name="N"))
    stop = threading.Event()
    state = RunState(plan, server, stop, delays=())
    steps = StepRunner(plan, server, state, stop=stop, retry=Retry(30, stop))
    run = _Run(plan, steps, ApplyOptions(), InterruptGate(stop), RecordingObserver())
    assert (run._next(), run._next()) == (0, None)
    run._take(0, Outcome.of(plan.steps[0].change, Status.APPLIED))
    assert (run._next(), run._next()) == (1, None)


def test_independent_deletes_run_although_something_failed() -> None:
    server = FakeServer.holding({"email": "a@x"})
    plan = plan_for(server, declare("n@x", name="N"))
    server.script("create", NO)
    assert summaries(apply_plan(plan, server)) == ["delete a@x: applied", "create n@x: failed (no)"]


@pytest.mark.parametrize(
    ("on_failure", "expected"),
    [
        (OnFailure.CONTINUE, ["applied", "failed", "applied", "applied"]),
        (OnFailure.ROLLBACK, ["applied", "failed", "applied", "applied"]),
        (OnFailure.STOP, ["applied", "failed", "not_attempted", "not_attempted"]),
    ],
)
def test_a_failure_stops_the_rest_where_asked(on_failure: OnFailure, expected: list[str]) -> None:
    server, plan = creates("a@x", "b@x", "c@x", "d@x")
    server.script("create", None, NO)
    assert [one.status for one in apply_plan(plan, server, on_failure=on_failure)] == expected


def test_a_failed_test_after_the_write_stops_the_rest_if_asked() -> None:
    server, plan = creates("a@x", "b@x", test=DeliveryTestSettings(DeliveryTestWhen.AFTER, "ops@x"))
    server.tests_fail = lambda _fields: "no"
    assert summaries(apply_plan(plan, server, on_failure=OnFailure.STOP)) == [
        "create a@x: applied",
        f"create b@x: not_attempted ({NOT_STARTED})",
    ]


def test_what_is_stopped_before_it_begins_is_not_attempted() -> None:
    server, plan = creates("a@x", "b@x")
    stop = threading.Event()
    stop.set()
    assert summaries(apply_plan(plan, server, stop=stop)) == [
        f"create a@x: not_attempted ({NOT_STARTED})",
        f"create b@x: not_attempted ({NOT_STARTED})",
    ]
    assert server.calls == []


def test_a_stop_lets_writes_in_flight_finish_and_starts_no_other() -> None:
    server, plan = creates("a@x", "b@x", "c@x")
    stop = threading.Event()
    server.hooks["create"] = lambda _call: stop.set()
    assert [one.status for one in apply_plan(plan, server, stop=stop)] == ["applied", "not_attempted", "not_attempted"]


def test_a_stop_during_a_test_keeps_the_write_from_starting() -> None:
    server, plan = creates("a@x", test=DeliveryTestSettings(DeliveryTestWhen.BEFORE, "ops@x"))
    stop = threading.Event()
    server.hooks["test"] = lambda _call: stop.set()
    (outcome,) = apply_plan(plan, server, stop=stop)
    assert summaries([outcome]) == [f"create a@x: not_attempted ({NOT_STARTED})"]
    assert (outcome.test and outcome.test.passed, server.writes()) == (True, [])


def test_a_stop_between_two_steps_reports_the_temporary_name() -> None:
    server = FakeServer.holding({"email": "a@x", "name": "A"}, {"email": "b@x", "name": "B"})
    plan = plan_for(server, declare("a@x", name="B"), declare("b@x", name="A"))
    stop = threading.Event()
    server.hooks["update"] = lambda _call: stop.set()
    assert summaries(apply_plan(plan, server, stop=stop)) == [
        f"update a@x: failed (the account was left under its temporary name: {NOT_STARTED})",
        f"update b@x: not_attempted ({NOT_STARTED})",
    ]


@pytest.fixture
def _abort_at_signal() -> Iterator[None]:
    def handle(*_signal: object) -> None:
        raise Abort

    former = signal.signal(signal.SIGUSR1, handle)
    yield
    signal.signal(signal.SIGUSR1, former)


@pytest.mark.usefixtures("_abort_at_signal")
def test_an_abort_keeps_outcomes_and_reports_the_rest_as_unknown() -> None:
    server, plan = creates("a@x", "b@x", "c@x", "d@x")
    release, done = threading.Event(), threading.Event()

    def block(call: Call) -> None:
        if call.subject == "b@x":
            assert done.wait(LONGEST_WAIT)
            signal.pthread_kill(threading.main_thread().ident or 0, signal.SIGUSR1)
            release.wait(LONGEST_WAIT)

    def at_end(change: Change) -> None:
        if change.address == "c@x":
            done.set()
            release.wait(LONGEST_WAIT)

    server.hooks["create"] = block
    stop = threading.Event()
    outcomes = apply_plan(plan, server, stop=stop, parallelism=2, observer=RecordingObserver(after=at_end))
    release.set()
    unknown = "unknown (interrupted while the write was under way)"
    assert summaries(outcomes) == [
        "create a@x: applied",
        f"create b@x: {unknown}",
        f"create c@x: {unknown}",
        f"create d@x: not_attempted ({NOT_STARTED})",
    ]
    assert stop.is_set()


def test_a_bug_in_one_step_does_not_lose_the_others() -> None:
    server, plan = creates("a@x", "b@x")

    def bug(call: Call) -> None:
        if call.subject == "a@x":
            raise ZeroDivisionError

    server.hooks["create"] = bug
    assert summaries(apply_plan(plan, server)) == [
        "create a@x: unknown (internal error (ZeroDivisionError))",
        "create b@x: applied",
    ]


@pytest.mark.parametrize(
    ("error", "words"),
    [
        (UnreachableError.of("the disk is full", kind=Kind.CONNECTION_FAILED), "the disk is full"),
        (ZeroDivisionError(), "internal error (ZeroDivisionError)"),
    ],
)
def test_what_the_observer_cannot_record_is_not_written(error: Exception, words: str) -> None:
    def fail(change: Change) -> None:
        if change.address == "a@x":
            raise error

    server, plan = creates("a@x", "b@x")
    assert summaries(apply_plan(plan, server, observer=RecordingObserver(before=fail))) == [
        f"create a@x: failed (not written: {words})",
        "create b@x: applied",
    ]
    server, plan = creates("a@x", "b@x")
    assert summaries(apply_plan(plan, server, observer=RecordingObserver(after=fail))) == [
        f"create a@x: applied (the outcome could not be noted: {words})",
        "create b@x: applied",
    ]


def test_an_observers_error_is_added_to_the_note() -> None:
    def fail(_change: Change) -> None:
        raise UnreachableError.of("the disk is full", kind=Kind.CONNECTION_FAILED)

    server = FakeServer.holding({"email": "a@x"})
    plan = plan_for(server)
    server.accounts.clear()
    assert summaries(apply_plan(plan, server, observer=RecordingObserver(after=fail))) == [
        "delete a@x: applied (was gone already; nothing written; the outcome could not be noted: the disk is full)"
    ]
