"""A run whose server is gone ends early, and reports what it did not start."""

from __future__ import annotations

import pytest

from reconciler.applying.delivery_tests import run_delivery_tests
from reconciler.applying.worker_pool import OUTAGE, InterruptGate
from reconciler.errors import ApiError, Kind, RejectedError, UnreachableError
from reconciler.model.desired import DeliveryTestSettings, DeliveryTestWhen
from reconciler.model.plan import DeliveryTest
from tests.applying.test_cycle import BAD_GATEWAY, BUSY, REFUSED, Hurried
from tests.support.declarations import apply_plan, declare, plan_for, summaries
from tests.support.fake_server import BLANK, FakeServer, Fault

DOWN = UnreachableError.of("connection refused", kind=Kind.CONNECTION_FAILED)
ADDRESSES = [f"u{number}@x" for number in range(8)]


def updates() -> FakeServer:
    return FakeServer.holding(*({"email": address} for address in ADDRESSES))


@pytest.mark.parametrize("error", [DOWN, BAD_GATEWAY])
def test_five_unreached_steps_in_a_row_end_the_run(error: ApiError) -> None:
    server = updates()
    plan = plan_for(server, *(declare(address, name="N") for address in ADDRESSES))
    server.script("get", None, *[Fault(error)] * 99)
    outcomes = summaries(apply_plan(plan, server, stop=Hurried()))
    assert outcomes[:6] == [
        "update u0@x: applied",
        *(f"update u{number}@x: failed ({error})" for number in range(1, 6)),
    ]
    assert outcomes[6:] == [f"update u{number}@x: not_attempted ({OUTAGE})" for number in (6, 7)]


@pytest.mark.parametrize(
    "error", [RejectedError.of("400 no", kind=Kind.REJECTED), BUSY, ApiError.of("500 odd", kind=Kind.SERVER_ERROR)]
)
def test_a_server_that_says_no_is_reached(error: ApiError) -> None:
    server = updates()
    plan = plan_for(server, *(declare(address, name="N") for address in ADDRESSES))
    server.script("get", *[Fault(error)] * 99)
    assert {one.partition(": ")[2] for one in summaries(apply_plan(plan, server, stop=Hurried()))} == {
        f"failed ({error})"
    }


def test_a_step_that_reaches_the_server_resets_the_count() -> None:
    server = updates()
    plan = plan_for(server, *(declare(address, name="N") for address in ADDRESSES))
    server.script("get", *[Fault(DOWN)] * 4, None, *[Fault(DOWN)] * 3)
    outcomes = summaries(apply_plan(plan, server, stop=Hurried()))
    assert [one.split(": ")[1].split()[0] for one in outcomes] == [*["failed"] * 4, "applied", *["failed"] * 3]


def test_tests_before_the_write_count_too() -> None:
    server = updates()
    test = DeliveryTestSettings(DeliveryTestWhen.BEFORE, "ops@x")
    plan = plan_for(server, *(declare(address, name="N", test=test) for address in ADDRESSES))
    server.script("test", *[Fault(DOWN)] * 8)
    assert [one.split()[2] for one in summaries(apply_plan(plan, server, stop=Hurried()))].count("not_attempted") == 3


def test_delivery_tests_end_early_and_repeat_only_unsent_mail() -> None:
    tests = [DeliveryTest(address=one, fields={**BLANK, "email": one}, to_email="ops@x") for one in ADDRESSES]
    server = FakeServer()
    server.script("test", *[Fault(DOWN)] * 8)
    outcomes = run_delivery_tests(server, tests, parallelism=1, gate=InterruptGate(Hurried()))
    assert [one.status for one in outcomes] == [*["failed"] * 5, *["not_attempted"] * 3]
    assert {one.error for one in outcomes[5:]} == {OUTAGE}
    server.calls.clear()
    server.script("test", Fault(REFUSED), None, Fault(BUSY), Fault(BAD_GATEWAY))
    outcomes = run_delivery_tests(server, tests[:3], parallelism=1, gate=InterruptGate(Hurried()))
    assert [one.status for one in outcomes] == ["passed", "failed", "unknown"]
    assert server.methods() == ["test u0@x", "test u0@x", "test u1@x", "test u2@x"]
