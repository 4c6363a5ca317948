"""What a client that remembers accounts needs beyond the documents about one server: the accounts, and their order.

A worker writes it, and the client adds it to the values that it reads back. It contains no secret: of a password, only
whether there is one.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any, Final

from reconciler.model.account import Account
from reconciler.model.fields import FIELDS, SECRET_FIELDS
from reconciler.model.outcome import FailureKind
from reconciler.model.plan import Step
from reconciler.model.secret import Secret
from reconciler.report.returned import STAND_IN, reading_back
from reconciler.report.view import public_fields

if TYPE_CHECKING:
    from collections.abc import Sequence

    from reconciler.model.outcome import Outcome, Report
    from reconciler.model.plan import Change, Plan
    from reconciler.report.json import Document

_TIMES: Final = ("created_at", "updated_at")


def plan_accounts(plan: Plan) -> Document:
    """All accounts of a plan, and which changes need others."""
    indexes = {change.key: index for index, change in enumerate(plan.changes)}
    sets = list(dict.fromkeys(shared for step in plan.steps for shared in step.shared))
    numbers = {shared: number for number, shared in enumerate(sets)}
    return {
        "before": [None if one.before is None else _written(one.before) for one in plan.changes],
        "unchanged": [_written(one) for one in plan.unchanged],
        "untouched": [_written(one) for one in plan.untouched],
        "steps": [
            [indexes[step.change.key], sorted(step.requires), [numbers[shared] for shared in step.shared]]
            for step in plan.steps
        ],
        "sets": [sorted(shared) for shared in sets],
    }


def with_plan_accounts(plan: Plan, listed: Document) -> Plan:
    """A plan that was read back, with its accounts and its steps. The steps show only what needs what.

    Raises:
        UnreadableDocumentError: The list cannot be read, or is about another plan.
    """
    with reading_back():
        changes = tuple(
            one if one.before is None else _with_before(one, _read(before))
            for one, before in zip(plan.changes, listed["before"], strict=True)
        )
        sets = [frozenset(map(int, shared)) for shared in listed["sets"]]
        steps = tuple(
            Step(changes[index], {}, requires=frozenset(map(int, requires)), shared=tuple(sets[one] for one in shared))
            for index, requires, shared in listed["steps"]
        )
        count = len(steps)
        if any(not 0 <= index < count for step in steps for some in (step.requires, *step.shared) for index in some):
            raise ValueError
        unchanged, untouched = (tuple(map(_read, listed[name])) for name in ("unchanged", "untouched"))
    return replace(plan, changes=changes, steps=steps, unchanged=unchanged, untouched=untouched)


def report_accounts(report: Report) -> list[Document]:
    """What is known of each outcome: whether it was written, why it failed, and the account as it was left."""
    return [
        {
            "written": one.written,
            "kind": None if one.kind is None else one.kind.value,
            "changed_since": one.changed_since,
            "account": None if one.account is None else _written(one.account),
        }
        for one in report.outcomes
    ]


def with_report_accounts(report: Report, listed: Sequence[Document]) -> Report:
    """A report that was read back, with what is known of each outcome.

    Raises:
        UnreadableDocumentError: The list cannot be read, or is about another report.
    """
    with reading_back():
        outcomes = tuple(_with_details(one, entry) for one, entry in zip(report.outcomes, listed, strict=True))
    return replace(report, outcomes=outcomes)


def _with_details(outcome: Outcome, entry: Document) -> Outcome:
    kind, account = entry["kind"], entry["account"]
    return replace(
        outcome,
        written=entry["written"] is True,
        kind=None if kind is None else FailureKind(kind),
        changed_since=entry["changed_since"] is True,
        account=None if account is None else _read(account),
    )


def _with_before(change: Change, before: Account) -> Change:
    """The change with the account as the server has it. The fields of the document are those that were approved."""
    if before.id != change.id:
        raise ValueError
    return replace(change, before=before)


def _written(account: Account) -> list[Any]:
    has_password = any(account.fields.get(name) is not None for name in SECRET_FIELDS)
    return [account.id, public_fields(account), has_password, *(getattr(account, name) for name in _TIMES)]


def _read(entry: Sequence[Any]) -> Account:
    number, shown, has_password, created_at, updated_at = entry
    if not (number is None or type(number) is int) or not all(type(one) in (str, type(None)) for one in entry[3:]):
        raise TypeError
    if not isinstance(shown["email"], str) or not shown.keys() <= FIELDS.keys():
        raise ValueError
    fields = {
        name: Secret(STAND_IN) if name in SECRET_FIELDS and has_password else value for name, value in shown.items()
    }
    return Account(fields, number, created_at=created_at, updated_at=updated_at)
