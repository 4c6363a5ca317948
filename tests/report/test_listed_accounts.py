"""The accounts that a worker lists for a watcher: read back, they say the same, without a secret."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from typing import Any

import pytest

from reconciler.model.account import Account
from reconciler.model.outcome import FailureKind, Outcome, Report, Status
from reconciler.model.plan import Action, Change, FieldChange, Plan, Step
from reconciler.model.secret import Secret
from reconciler.model.server import Server
from reconciler.report.listed_accounts import (
    plan_accounts,
    report_accounts,
    with_plan_accounts,
    with_report_accounts,
)
from reconciler.report.returned import UnreadableDocumentError

SERVER = Server("b001", "https://b001.example.com")
NOW = datetime(2026, 1, 1, tzinfo=UTC)


def account(number: int, **fields: Any) -> Account:  # noqa: ANN401 - the fields' own types
    email = f"a{number}@example.com"
    return Account({"email": email, "name": "A", **fields}, number, {"extra": "canary"}, updated_at="then")


def change(number: int, **before: Any) -> Change:  # noqa: ANN401 - as above
    found = account(number, **before)
    after = found.with_fields({"name": "B"})
    fields = (FieldChange("name", "A", "B"),)
    return Change(action=Action.UPDATE, address=found.email, before=found, after=after, fields=fields)


FIRST, SECOND = change(1, password=Secret("canary")), change(2, password=None)
SHARED = frozenset({0})
PLAN = Plan(
    server=SERVER,
    changes=(FIRST, SECOND),
    steps=(Step(FIRST, {}), Step(SECOND, {}, requires=frozenset({0}), shared=(SHARED,))),
    unchanged=(account(3, password=Secret("canary")),),
    untouched=(account(4),),
)
BARE = Plan(server=SERVER, changes=(FIRST, SECOND))


def through_the_broker(value: Any) -> Any:  # noqa: ANN401 - JSON
    text = json.dumps(value)
    assert "canary" not in text
    return json.loads(text)


def test_a_plan_has_its_accounts_and_what_needs_what_again() -> None:
    found = with_plan_accounts(BARE, through_the_broker(plan_accounts(PLAN)))
    assert [one.fields for one in found.untouched] == [one.fields for one in PLAN.untouched]
    assert [(one.id, one.updated_at) for one in found.current] == [(one.id, "then") for one in PLAN.current]
    assert [one.fields.get("password") is None for one in found.current] == [False, True, False, True]
    assert [(step.change.key, step.requires, step.shared) for step in found.steps] == [
        (step.change.key, step.requires, step.shared) for step in PLAN.steps
    ]


def test_a_report_has_what_was_written_again() -> None:
    left = Outcome.of(FIRST, Status.FAILED, "why", kind=FailureKind.NOT_CONFIRMED)
    done = Outcome.in_place(SECOND, account(2, name="B"))
    report = Report(server=SERVER, started_at=NOW, finished_at=NOW, outcomes=(left, done))
    bare = Report(
        server=SERVER,
        started_at=NOW,
        finished_at=NOW,
        outcomes=(Outcome.of(FIRST, Status.FAILED, "why"), Outcome.of(SECOND, Status.APPLIED, note=done.note)),
    )
    found = with_report_accounts(bare, through_the_broker(report_accounts(report)))
    assert found == report
    assert found.outcomes[1].account == account(2, name="B")._replace(extra={})


@pytest.mark.parametrize(
    "broken",
    [
        {},
        {"before": [None]},
        {"steps": [[0, [7], []]]},
        {"steps": [[0, [], [3]]]},
        {"unchanged": [[1, {"email": "a@example.com", "token": "x"}, False, None, None]]},
        {"untouched": [["1", {"email": "a@example.com"}, False, None, None]]},
        {"untouched": [[1, {"email": None}, False, None, None]]},
        {"before": [[9, {"email": "a1@example.com"}, False, None, None]] * 2},
    ],
)
def test_a_list_that_cannot_be_read_is_refused(broken: dict[str, Any]) -> None:
    listed = {**plan_accounts(PLAN), **broken} if broken else {}
    with pytest.raises(UnreadableDocumentError):
        with_plan_accounts(BARE, listed)
    with pytest.raises(UnreadableDocumentError):
        with_report_accounts(Report.of_no_changes(SERVER), [broken])
