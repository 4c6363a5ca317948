"""What becomes of a change whose write, or whose delivery test, the fence of the run keeps from being sent."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from reconciler.errors import Kind, Problem, RejectedError, WithheldError
from reconciler.model.desired import NO_DELIVERY_TEST, DeliveryTestSettings, DeliveryTestWhen
from reconciler.model.on_failure import OnFailure
from tests.applying.test_cycle import transient
from tests.support.declarations import apply_plan, declare, plan_for, summaries
from tests.support.fake_server import FakeServer, Fault, lost

if TYPE_CHECKING:
    from tests.support.fake_server import Method

SUSPENDED = Problem(kind=Kind.SUSPENDED, message="it was suspended")
WITHHELD = Fault(WithheldError(SUSPENDED))
NOT_YET = Fault(WithheldError(SUSPENDED, transient=True))
BUSY = Fault(transient(RejectedError.of("429 too many requests", kind=Kind.REJECTED)))
BAD_GATEWAY = Fault(transient(lost("502 bad gateway")))
BEFORE, AFTER = (DeliveryTestSettings(when) for when in (DeliveryTestWhen.BEFORE, DeliveryTestWhen.AFTER))


def update(method: Method, *faults: Fault | None, test: DeliveryTestSettings = NO_DELIVERY_TEST) -> tuple[str, str]:
    """The outcome of an update, and the calls that it took."""
    server = FakeServer.holding({"email": "a@x", "name": "A"})
    plan = plan_for(server, declare("a@x", 1, name="B", test=test))
    server.script(method, *faults)
    (summary,) = summaries(apply_plan(plan, server, on_failure=OnFailure.ROLLBACK))
    return summary, " ".join(call.method for call in server.calls)


def test_a_write_that_is_withheld_is_not_repeated() -> None:
    assert update("update", WITHHELD) == ("update a@x: failed (not written: it was suspended)", "get update")


def test_an_attempt_that_may_have_taken_effect_stays_unknown_if_the_next_is_withheld() -> None:
    error = "502 bad gateway; read again, not in place so far; not written again: it was suspended"
    found = update("update", BAD_GATEWAY, WITHHELD)
    assert found == (f"update a@x: unknown ({error})", "get update get update get")


def test_a_refused_write_that_is_withheld_afterwards_names_both() -> None:
    error = "429 too many requests; not written again: it was suspended"
    assert update("update", BUSY, WITHHELD)[0] == f"update a@x: failed ({error})"


def test_a_write_that_is_withheld_for_a_moment_begins_again_with_a_read() -> None:
    assert update("update", NOT_YET) == ("update a@x: applied", "get update get update")


@pytest.mark.parametrize("faults", [(WITHHELD,), (BUSY, WITHHELD)])
def test_a_create_that_is_withheld_is_not_repeated(faults: tuple[Fault, ...]) -> None:
    server = FakeServer.holding()
    plan = plan_for(server, declare("a@x", name="A"))
    server.script("create", *faults)
    outcomes = apply_plan(plan, server)
    assert summaries(outcomes) == ["create a@x: failed (not written: it was suspended)"]
    assert outcomes[0].attempts == len(faults) - 1


def test_a_test_before_that_is_withheld_keeps_the_account_from_being_written() -> None:
    error = "not written, because the test failed: not sent: it was suspended"
    assert update("test", WITHHELD, test=BEFORE) == (f"update a@x: failed ({error})", "test")


def test_a_test_that_is_withheld_for_a_moment_is_sent_later() -> None:
    assert update("test", NOT_YET, test=BEFORE) == ("update a@x: applied", "test test get update")


def test_a_rollback_that_is_withheld_says_so() -> None:
    server = FakeServer.holding({"email": "a@x", "name": "A"})
    plan = plan_for(server, declare("a@x", 1, name="B", test=AFTER))
    server.script("test", WITHHELD)
    server.script("update", None, WITHHELD)
    (summary,) = summaries(apply_plan(plan, server, on_failure=OnFailure.ROLLBACK))
    test, undo = "the test failed: not sent: it was suspended", "not rolled back: it was suspended"
    assert summary == f"update a@x: failed ({test}) ({undo})"
