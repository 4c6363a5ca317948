from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import pytest

from reconciler.errors import Problem
from reconciler.model.desired import DeliveryTestWhen
from reconciler.model.outcome import DeliveryTestResult, Outcome, Report, Status
from reconciler.model.plan import Action, Change, Plan
from reconciler.model.server import Server
from tests.support.fake_server import account

SERVER = Server("s", "https://s")
NOW = datetime(2026, 1, 1, tzinfo=UTC)
PROBLEM = Problem(kind="k", message="m")


def outcome(status: Status = Status.APPLIED, test: DeliveryTestResult | None = None) -> Outcome:
    return Outcome(address="a@x", action="create", status=status, test=test)


def tried(*, passed: bool) -> DeliveryTestResult:
    return DeliveryTestResult(DeliveryTestWhen.AFTER, "ops@x", passed)


@pytest.mark.parametrize(
    ("parts", "expected"),
    [
        ({}, True),
        ({"outcomes": (outcome(), outcome(test=tried(passed=True)))}, True),
        ({"outcomes": (outcome(), outcome(test=tried(passed=False)))}, False),
        ({"outcomes": (outcome(Status.UNKNOWN),)}, False),
        ({"outcomes": (outcome(Status.SKIPPED),)}, False),
        ({"errors": (PROBLEM,)}, False),
    ],
)
def test_a_report_is_complete_where_everything_was_applied_and_passed(parts: Any, expected: bool) -> None:  # noqa: ANN401 - parts of a report
    assert Report(server=SERVER, started_at=NOW, finished_at=NOW, **parts).complete is expected


def test_a_plan_with_errors_or_refusals_is_not_applicable() -> None:
    plans = [Plan(server=SERVER), Plan(server=SERVER, errors=(PROBLEM,)), Plan(server=SERVER, refusals=(PROBLEM,))]
    assert [plan.applicable for plan in plans] == [True, False, False]


def test_a_change_has_the_id_of_what_is_there() -> None:
    held = account("A@x", 7)
    update = Change(action=Action.UPDATE, address="A@x", before=held, after=held)
    create = Change(action=Action.CREATE, address="A@x", before=None, after=held)
    assert [(one.id, one.key) for one in (update, create)] == [(7, ("a@x", 7)), (None, ("a@x", 0))]


@pytest.mark.parametrize(
    ("outcomes", "expected"),
    [
        ((), "unchanged"),
        ((outcome(),), "applied"),
        ((outcome(Status.PASSED, tried(passed=True)),), "unchanged"),
        ((outcome(), outcome(Status.FAILED)), "failed"),
        ((outcome(test=tried(passed=False)),), "failed"),
        ((outcome(Status.FAILED), outcome(Status.UNKNOWN)), "unknown"),
        ((outcome(), outcome(Status.NOT_ATTEMPTED)), "failed"),
        ((outcome(Status.NOT_ATTEMPTED),), "not_attempted"),
    ],
)
def test_a_report_has_one_status_for_the_server(outcomes: tuple[Outcome, ...], expected: str) -> None:
    assert Report(server=SERVER, started_at=NOW, finished_at=NOW, outcomes=outcomes).status == expected


def test_an_unverified_run_has_not_the_status_applied() -> None:
    report = Report(server=SERVER, started_at=NOW, finished_at=NOW, outcomes=(outcome(),), verified=False)
    assert (report.complete, report.status) == (False, "failed")
