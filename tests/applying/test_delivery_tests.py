from __future__ import annotations

import signal
import threading
from typing import TYPE_CHECKING

import pytest

from reconciler.applying.delivery_tests import run_delivery_tests
from reconciler.applying.worker_pool import Abort, InterruptGate
from reconciler.errors import Kind, RejectedError
from reconciler.model.desired import DeliveryTestWhen
from reconciler.model.outcome import DeliveryTestResult, Outcome, Status
from reconciler.model.plan import DeliveryTest
from reconciler.model.secret import UNKNOWN
from tests.support.declarations import summaries
from tests.support.fake_server import BLANK, FakeServer, Fault, lost

if TYPE_CHECKING:
    from collections.abc import Sequence

    from reconciler.model.account import Value
    from tests.support.fake_server import Call

LONGEST_WAIT = 20
NOT_STARTED = "not started: the run stopped first"


def delivery_test(address: str, **fields: Value) -> DeliveryTest:
    return DeliveryTest(address=address, fields={**BLANK, "email": address, **fields}, to_email="ops@x", id=7)


def run_tests(
    server: FakeServer, tests: Sequence[DeliveryTest], parallelism: int = 1, stop: threading.Event | None = None
) -> tuple[Outcome, ...]:
    return run_delivery_tests(server, tests, parallelism=parallelism, gate=InterruptGate(stop))


def test_each_account_is_tested_once_and_reported_in_order() -> None:
    server = FakeServer()
    server.tests_fail = lambda fields: "535 no" if fields["email"] == "b@x" else None
    outcomes = run_tests(server, [delivery_test("a@x"), delivery_test("b@x")])
    failed = "535 no"
    passed = DeliveryTestResult(DeliveryTestWhen.BEFORE, "ops@x", passed=True)
    assert outcomes == (
        Outcome(address="a@x", action="test", status=Status.PASSED, id=7, test=passed),
        Outcome(
            address="b@x",
            action="test",
            status=Status.FAILED,
            id=7,
            error=failed,
            test=DeliveryTestResult(DeliveryTestWhen.BEFORE, "ops@x", False, failed),
        ),
    )
    assert server.methods() == ["test a@x", "test b@x"]


def test_no_tests_have_no_outcome() -> None:
    assert run_tests(FakeServer(), []) == ()


def test_delivery_tests_run_in_parallel() -> None:
    server = FakeServer()
    barrier = threading.Barrier(3, timeout=LONGEST_WAIT)
    server.hooks["test"] = lambda _call: (barrier.wait(), None)[1]
    outcomes = run_tests(server, [delivery_test(f"{name}@x") for name in "abcdef"], parallelism=3)
    assert {one.status for one in outcomes} == {Status.PASSED}


def test_a_hidden_password_cannot_be_tested() -> None:
    server = FakeServer()
    assert summaries(run_tests(server, [delivery_test("a@x", has_auth=True, password=UNKNOWN)])) == [
        "test a@x: failed (the server hides the password, and the YAML declares none)"
    ]
    assert server.calls == []


def test_a_hidden_password_without_authentication_is_left_out() -> None:
    server = FakeServer()
    assert summaries(run_tests(server, [delivery_test("a@x", password=UNKNOWN)])) == ["test a@x: passed"]
    assert "password" not in (server.calls[0].fields or {})


@pytest.mark.parametrize(
    ("fault", "outcome", "failure"),
    [
        (Fault(RejectedError.of("400 no", kind=Kind.REJECTED)), "failed (400 no)", "the test failed: 400 no"),
        (
            Fault(lost(), "after"),
            "unknown (connection reset) (its mail may have been sent)",
            "the outcome of the test is unknown, and its mail may have been sent: connection reset",
        ),
    ],
)
def test_a_test_is_not_repeated_and_reports_only_what_is_certain(fault: Fault, outcome: str, failure: str) -> None:
    server = FakeServer()
    server.script("test", fault)
    outcomes = run_tests(server, [delivery_test("a@x")])
    assert summaries(outcomes) == [f"test a@x: {outcome}"]
    assert [one.test.failure for one in outcomes if one.test] == [failure]
    assert server.methods() == ["test a@x"]


def test_a_stop_lets_tests_in_flight_finish() -> None:
    server = FakeServer()
    stop = threading.Event()
    server.hooks["test"] = lambda _call: stop.set()
    assert summaries(run_tests(server, [delivery_test("a@x"), delivery_test("b@x")], stop=stop)) == [
        "test a@x: passed",
        f"test b@x: not_attempted ({NOT_STARTED})",
    ]


def test_a_bug_in_one_test_does_not_lose_the_others() -> None:
    server = FakeServer()

    def bug(call: Call) -> None:
        if call.subject == "a@x":
            raise ZeroDivisionError

    server.hooks["test"] = bug
    assert summaries(run_tests(server, [delivery_test("a@x"), delivery_test("b@x")])) == [
        "test a@x: unknown (internal error (ZeroDivisionError))",
        "test b@x: passed",
    ]


def test_an_abort_does_not_wait_for_the_test_in_flight() -> None:
    def handle(*_signal: object) -> None:
        raise Abort

    server = FakeServer()
    release = threading.Event()

    def block(_call: Call) -> None:
        signal.pthread_kill(threading.main_thread().ident or 0, signal.SIGUSR1)
        release.wait(LONGEST_WAIT)

    server.hooks["test"] = block
    former = signal.signal(signal.SIGUSR1, handle)
    try:
        outcomes = run_tests(server, [delivery_test("a@x"), delivery_test("b@x")])
    finally:
        signal.signal(signal.SIGUSR1, former)
        release.set()
    assert summaries(outcomes) == [
        "test a@x: unknown (interrupted while the test was under way)",
        f"test b@x: not_attempted ({NOT_STARTED})",
    ]
