"""A change as rows of a table: which fields, and what each was and will be, as reports may show it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from reconciler.model.account import FIELDS, SENSITIVE
from reconciler.model.change import Action
from reconciler.model.secret import UNKNOWN
from reconciler.report.view import named, shown, shown_pair

if TYPE_CHECKING:
    from collections.abc import Iterator

    from reconciler.model.change import Change, FieldChange, Plan

_MOST_NAMED: Final = 3
"""Addresses in a note about order; of more only the number is told."""


@dataclass(frozen=True, slots=True)
class Row:
    """One field, safe to show.

    Attributes:
        before: The value on the server; empty for a create, and for a secret.
        after: The value as it will be; empty for a delete, and for a secret.
        words: What may be said about a secret; empty for every other field.
        changed: Whether the change is about this field.
    """

    field: str
    before: str = ""
    after: str = ""
    words: str = ""
    changed: bool = True


def changed_rows(change: Change) -> list[Row]:
    """The fields that a create sets or an update changes; none for a delete. A create's address is its title."""
    if change.action is Action.CREATE:
        return [_created(one) for one in change.fields if one.field != "email"]
    return [_updated(one) for one in change.fields]


def kept_rows(change: Change) -> list[Row]:
    """The fields that stay: those that an update leaves alone, none of any other change."""
    if change.action is not Action.UPDATE or change.after is None:
        return []
    changed = {one.field for one in change.fields}
    fields = change.after.fields
    return [
        Row(name, words="unchanged", changed=False)
        if name in SENSITIVE
        else Row(name, shown(fields[name]), shown(fields[name]), changed=False)
        for name in FIELDS
        if name in fields and name not in changed
    ]


def lost_rows(change: Change) -> list[Row]:
    """What goes with a delete; none of any other change."""
    if change.action is not Action.DELETE or change.before is None:
        return []
    fields = change.before.fields
    return [
        Row(name, words="(deleted)") if name in SENSITIVE else Row(name, before=shown(fields[name]))
        for name in FIELDS
        if name != "email" and fields.get(name) not in (None, "")
    ]


def remarks(plan: Plan) -> list[tuple[str, ...]]:
    """For each change of the plan its reason, its notes, and what it waits for."""
    waits = dict(_waits(plan))
    return [
        tuple(words for words in (change.reason, *change.notes, waits.get(index, "")) if words)
        for index, change in enumerate(plan.changes)
    ]


def _sensitive_words(change: FieldChange) -> str:
    """What may be said about a secret that changes."""
    if change.after is None:
        return "removed"
    if change.before is UNKNOWN:
        return "sent again (the server hides the current one)"
    return "changed" if change.before else "set"


def _created(change: FieldChange) -> Row:
    if change.field in SENSITIVE:
        return Row(change.field, words="(set)")
    return Row(change.field, after=shown(change.after))


def _updated(change: FieldChange) -> Row:
    if change.field in SENSITIVE:
        return Row(change.field, words=_sensitive_words(change))
    return Row(change.field, *shown_pair(change.before, change.after))


def _waits(plan: Plan) -> Iterator[tuple[int, str]]:
    found: dict[int, set[int]] = {}
    for step in plan.steps:
        if earlier := {plan.steps[place].change for place in step.requires} - {step.change}:
            found.setdefault(step.change, set()).update(earlier)
    for index, earlier in found.items():
        yield index, _after(plan, earlier)


def _after(plan: Plan, earlier: set[int]) -> str:
    names = [named(plan.changes[index].address) for index in sorted(earlier)[:_MOST_NAMED]]
    if more := len(earlier) - len(names):
        names.append(f"{more:,} more")
    return f"after {', '.join(names)}"
