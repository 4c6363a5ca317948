"""A plan or a report as neutral rows and counts: what is shown, apart from how. Never a secret."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING, Final, Literal, NamedTuple

from reconciler.model.desired import DeliveryTestWhen
from reconciler.model.display import display_address, display_pair, display_value, escape
from reconciler.model.fields import FIELDS, SECRET_FIELDS
from reconciler.model.outcome import Status
from reconciler.model.plan import Action
from reconciler.model.secret import LITERAL, UNKNOWN, SecretReference

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping, Sequence

    from reconciler.model.account import Account, Value
    from reconciler.model.outcome import Outcome, Report
    from reconciler.model.plan import Change, FieldChange, Plan

CHANGING: Final = ("create", "update", "delete")
STILL: Final = ("unchanged", "ignored", "protected", "unmanaged")
"""The classes of accounts in ``Counts``: those that change, and those that stay as they are."""

BY_DANGER: Final = (Action.DELETE, Action.UPDATE, Action.CREATE)
"""What needs the closest review comes first."""

_SIGNS: Final = {Action.CREATE: "+", Action.UPDATE: "~", Action.DELETE: "-"}
_SIDES: Final[Mapping[Action, Sequence[Literal["before", "after"]]]] = {
    Action.CREATE: ("after",),
    Action.UPDATE: ("before", "after"),
    Action.DELETE: ("before",),
}
_MOST_NAMED: Final = 3
"""The most addresses that a note about the order lists; for more, it gives only their number."""


class FieldRow(NamedTuple):
    """One field of a change, safe to show.

    Attributes:
        before: The value on the server; empty for a create, and for a secret.
        after: The value as it will be; empty for a delete, and for a secret.
        words: What may be shown about a secret; empty for every other field.
        changed: Whether the change is about this field.
    """

    field: str
    before: str = ""
    after: str = ""
    words: str = ""
    changed: bool = True


class ChangeView(NamedTuple):
    """One change as every format shows it.

    Attributes:
        address: The account's label, safe to show.
        id: The server's id as a phrase; empty for a create.
        sides: The values that the change has: ``before``, ``after``, or both.
        rows: The fields that change, and a password that is sent along; for a delete, what goes with the account.
        notes: The reason, and what else a reviewer should know; not yet safe to show.
    """

    action: Action
    sign: str
    address: str
    id: str
    sides: Sequence[Literal["before", "after"]]
    rows: Sequence[FieldRow]
    notes: Sequence[str]

    @property
    def changed_names(self) -> str:
        """The fields that an update changes; empty for other changes."""
        return ", ".join(row.field for row in self.rows if row.changed) if self.action is Action.UPDATE else ""


def view_changes(plan: Plan) -> Iterator[ChangeView]:
    """The changes of a plan, in its order."""
    for change, notes in zip(plan.changes, change_notes(plan), strict=True):
        yield view_change(change, notes)


def view_change(change: Change, notes: Sequence[str]) -> ChangeView:
    """One change."""
    return ChangeView(
        action=change.action,
        sign=_SIGNS[change.action],
        address=display_address(change.address),
        id="" if change.id is None else f"id {change.id}",
        sides=_SIDES[change.action],
        rows=[*changed_rows(change), *sent_rows(change), *deleted_rows(change)],
        notes=notes,
    )


def view_recorded_change(action: str, address: str, rows: Sequence[FieldRow], notes: Sequence[str]) -> ChangeView:
    """A change that was viewed before and of which only this was kept."""
    kind = Action(action)
    return ChangeView(kind, _SIGNS[kind], address, "", _SIDES[kind], rows, notes)


def changed_rows(change: Change) -> list[FieldRow]:
    """The fields that a create sets or an update changes; none for a delete. The address of a create is its title."""
    if change.action is Action.CREATE:
        return [
            FieldRow(one.field, words=_secret_words(one, change.password_from))
            if one.field in SECRET_FIELDS
            else FieldRow(one.field, after=display_value(one.after))
            for one in change.fields
            if one.field != "email"
        ]
    return [
        FieldRow(one.field, words=_secret_words(one, change.password_from))
        if one.field in SECRET_FIELDS
        else FieldRow(one.field, *display_pair(one.before, one.after))
        for one in change.fields
    ]


def sent_rows(change: Change) -> list[FieldRow]:
    """A declared password that an update sends although it does not change, or cannot be compared."""
    source, password = change.password_from, change.managed.get("password")
    if change.action is not Action.UPDATE or source is None or any(one.field in SECRET_FIELDS for one in change.fields):
        return []
    words = "unchanged"
    if isinstance(password, SecretReference):
        words = "not compared"
    elif change.before and change.before.fields.get("password") is UNKNOWN:
        words = "sent along"
    return [FieldRow("password", words=f"({words}, from {escape(source)})", changed=False)]


def kept_rows(change: Change) -> list[FieldRow]:
    """The fields that an update leaves as they are; none for other changes."""
    if change.action is not Action.UPDATE or change.after is None:
        return []
    changed = {one.field for one in change.fields} | {row.field for row in sent_rows(change)}
    fields = change.after.fields
    return [
        FieldRow(name, words="unchanged", changed=False)
        if name in SECRET_FIELDS
        else FieldRow(name, display_value(fields[name]), display_value(fields[name]), changed=False)
        for name in FIELDS
        if name in fields and name not in changed
    ]


def deleted_rows(change: Change) -> list[FieldRow]:
    """The fields of an account that is deleted; none for other changes."""
    if change.action is not Action.DELETE or change.before is None:
        return []
    fields = change.before.fields
    return [
        FieldRow(name, words="(deleted)")
        if name in SECRET_FIELDS
        else FieldRow(name, before=display_value(fields[name]))
        for name in FIELDS
        if name != "email" and fields.get(name) not in (None, "")
    ]


def password_words(change: Change) -> str:
    """What may be shown about the password of a create or an update; empty if it is neither declared nor removed."""
    changed = (_secret_words(one, change.password_from) for one in change.fields if one.field in SECRET_FIELDS)
    sent = (row.words for row in sent_rows(change))
    return next(changed, None) or next(sent, "")


def _secret_words(change: FieldChange, source: str | None) -> str:
    """What may be shown about a secret that changes."""
    if change.after is None:
        return "removed"
    source = source or LITERAL
    if change.before is UNKNOWN:
        return f"(sent again, from {escape(source)}; the server hides the current one)"
    words = "changed" if change.before else "set"
    ending = "; not compared" if isinstance(change.after, SecretReference) else ""
    return f"({words}, from {escape(source)}{ending})"


def change_notes(plan: Plan) -> list[tuple[str, ...]]:
    """For each change of the plan its reason, its notes, its delivery test, and the changes that it waits for."""
    earlier = dict(_earlier_changes(plan))
    return [
        tuple(words for words in (change.reason, *change.notes, _test_words(change), earlier.get(index, "")) if words)
        for index, change in enumerate(plan.changes)
    ]


def _test_words(change: Change) -> str:
    test = change.test
    if test.when in {None, DeliveryTestWhen.OFF} or change.after is None:
        return ""
    mail = f", with a mail to {display_address(test.to_email)}" if test.to_email else ""
    return f"tested {test.when} the write{mail}"


def _earlier_changes(plan: Plan) -> Iterator[tuple[int, str]]:
    """By index of a change, the changes that it waits for, in words."""
    index_of = {change.key: index for index, change in enumerate(plan.changes)}
    indexes = [index_of[step.change.key] for step in plan.steps]
    required: dict[int, set[int]] = {}
    shared: dict[int, dict[frozenset[int], None]] = {}
    for index, step in zip(indexes, plan.steps, strict=True):
        if earlier := {indexes[place] for place in step.requires} - {index}:
            required.setdefault(index, set()).update(earlier)
        if step.shared:
            shared.setdefault(index, {}).update(dict.fromkeys(step.shared))
    # Thousands of changes may wait for the same thousands: each group of those is merged once.
    merged: dict[tuple[frozenset[int], ...], tuple[set[int], list[int]]] = {}
    for index in {**required, **shared}:
        sets = tuple(shared.get(index, ()))
        if sets not in merged:
            changes = {indexes[place] for places in sets for place in places}
            merged[sets] = changes, sorted(changes)[: _MOST_NAMED + 1]
        changes, first = merged[sets]
        own = required.get(index, set()) - changes
        count = len(own) + len(changes) - (index in changes)
        named = sorted({*own, *first} - {index})[:_MOST_NAMED]
        names = [display_address(plan.changes[one].address) for one in named]
        if more := count - len(names):
            names.append(f"{more:,} more")
        yield index, f"after {', '.join(names)}"


def public_fields(account: Account) -> dict[str, Value]:
    """The account's fields in their order, a secret as ``None``."""
    fields = account.fields
    return {name: None if name in SECRET_FIELDS else fields[name] for name in FIELDS if name in fields}


def sensitive_fields(account: Account) -> dict[str, bool]:
    """Which of the account's fields are secrets, as Terraform writes it."""
    return {name: True for name in sorted(SECRET_FIELDS) if name in account.fields}


def by_address(accounts: Iterable[Account]) -> list[Account]:
    """The accounts as reports list them."""
    return sorted(accounts, key=lambda account: (account.key, account.id or 0))


def total_counts(plans: Sequence[Plan]) -> dict[str, int]:
    """The number of accounts in each class, on all servers together."""
    return {name: sum(getattr(plan.counts, name) for plan in plans) for name in (*CHANGING, *STILL)}


def summary_line(plan: Plan) -> str:
    """A plan in one line. Scripts look for it at the end of the text."""
    if not plan.changes and not plan.errors:
        return "No changes."
    counts = plan.counts
    return f"Plan: {counts.create} to create, {counts.update} to update, {counts.delete} to delete."


def outcome_counts(outcomes: Iterable[Outcome]) -> dict[str, int]:
    """The number of outcomes by status, and of delivery tests that passed and failed.

    A test that passed is not an applied change. A test without a clear outcome counts as failed, unless the account was
    only tested: then it counts as ``unknown``.
    """
    outcomes = list(outcomes)
    statuses = Counter(one.status for one in outcomes)
    clear = (one for one in outcomes if one.action != "test" or one.status is not Status.UNKNOWN)
    tests = Counter(one.test.passed for one in clear if one.test)
    return {
        **{status.value: statuses[status] for status in Status if status is not Status.PASSED},
        "tests_passed": tests[True],
        "tests_failed": tests[False],
    }


def is_test_run(report: Report) -> bool:
    """Whether the accounts were only tested."""
    return bool(report.outcomes) and report.outcomes[0].action == "test"


def result_line(report: Report) -> str:
    """A run in one line."""
    if not report.outcomes:
        return "Nothing to do." if not report.interrupted else "Interrupted. Nothing was written."
    counts = outcome_counts(report.outcomes)
    passed, failed = counts.pop("tests_passed"), counts.pop("tests_failed")
    tests = f"tests: {passed} passed, {failed} failed"
    if is_test_run(report):
        others = [f", {counts[name]} {name.replace('_', ' ')}" for name in ("unknown", "not_attempted") if counts[name]]
        return f"{'Interrupted; ' if report.interrupted else ''}{tests}{''.join(others)}.".capitalize()
    words = [f"{count} {name.replace('_', ' ')}" for name, count in counts.items() if count or name == "applied"]
    if in_place := sum(one.status is Status.APPLIED and not one.written for one in report.outcomes):
        words[0] += f" ({in_place} in place already)"
    ending = f"; {tests}" if passed or failed else ""
    return f"{'Interrupted' if report.interrupted else 'Done'}: {', '.join(words)}{ending}."
