"""A change as rows of a table: which fields, and what each was and will be, as reports may show it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from reconciler.model.desired import DeliveryTestWhen
from reconciler.model.display import display_address, display_pair, display_value, escape
from reconciler.model.fields import FIELDS, SECRET_FIELDS
from reconciler.model.plan import Action
from reconciler.model.secret import LITERAL, UNKNOWN, SecretReference

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from reconciler.model.plan import Change, FieldChange, Plan

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
    source = change.password_from
    if change.action is Action.CREATE:
        return [_created(one, source) for one in change.fields if one.field != "email"]
    return [_updated(one, source) for one in change.fields]


def sent_rows(change: Change) -> list[Row]:
    """A declared password that an update sends although it does not change, or nobody knows whether it does."""
    source, password = change.password_from, change.managed.get("password")
    if change.action is not Action.UPDATE or source is None or any(one.field in SECRET_FIELDS for one in change.fields):
        return []
    words = "unchanged"
    if isinstance(password, SecretReference):
        words = "not compared"
    elif change.before and change.before.fields.get("password") is UNKNOWN:
        words = "sent along"
    return [Row("password", words=f"({words}, from {escape(source)})", changed=False)]


def kept_rows(change: Change) -> list[Row]:
    """The fields that stay: those that an update leaves alone, none of any other change."""
    if change.action is not Action.UPDATE or change.after is None:
        return []
    changed = {one.field for one in change.fields} | {row.field for row in sent_rows(change)}
    fields = change.after.fields
    return [
        Row(name, words="unchanged", changed=False)
        if name in SECRET_FIELDS
        else Row(name, display_value(fields[name]), display_value(fields[name]), changed=False)
        for name in FIELDS
        if name in fields and name not in changed
    ]


def lost_rows(change: Change) -> list[Row]:
    """What goes with a delete; none of any other change."""
    if change.action is not Action.DELETE or change.before is None:
        return []
    fields = change.before.fields
    return [
        Row(name, words="(deleted)") if name in SECRET_FIELDS else Row(name, before=display_value(fields[name]))
        for name in FIELDS
        if name != "email" and fields.get(name) not in (None, "")
    ]


def remarks(plan: Plan) -> list[tuple[str, ...]]:
    """For each change of the plan its reason, its notes, and what it waits for."""
    waits = dict(_waits(plan))
    return [
        tuple(words for words in (change.reason, *change.notes, _tested(change), waits.get(index, "")) if words)
        for index, change in enumerate(plan.changes)
    ]


def _tested(change: Change) -> str:
    """When the change is tested, and who receives the mail."""
    test = change.test
    if test.when in {None, DeliveryTestWhen.OFF} or change.after is None:
        return ""
    return f"tested {test.when} the write, with a mail to {display_address(test.to_email or '')}"


def password_words(change: Change) -> str:
    """What may be said about the declared password of a create or an update; empty if none is declared."""
    rows = [row for row in (*changed_rows(change), *sent_rows(change)) if row.field in SECRET_FIELDS]
    return rows[0].words if rows and change.password_from else ""


def _sensitive_words(change: FieldChange, source: str | None) -> str:
    """What may be said about a secret that changes."""
    if change.after is None:
        return "removed"
    source = source or LITERAL
    if change.before is UNKNOWN:
        return f"(sent again, from {escape(source)}; the server hides the current one)"
    words = "changed" if change.before else "set"
    ending = "; not compared" if isinstance(change.after, SecretReference) else ""
    return f"({words}, from {escape(source)}{ending})"


def _created(change: FieldChange, source: str | None) -> Row:
    if change.field in SECRET_FIELDS:
        return Row(change.field, words=_sensitive_words(change, source))
    return Row(change.field, after=display_value(change.after))


def _updated(change: FieldChange, source: str | None) -> Row:
    if change.field in SECRET_FIELDS:
        return Row(change.field, words=_sensitive_words(change, source))
    return Row(change.field, *display_pair(change.before, change.after))


def _waits(plan: Plan) -> Iterator[tuple[int, str]]:
    index_of = {change.key: index for index, change in enumerate(plan.changes)}
    indexes = [index_of[step.change.key] for step in plan.steps]
    found: dict[int, set[int]] = {}
    shared: dict[int, dict[frozenset[int], None]] = {}
    for index, step in zip(indexes, plan.steps, strict=True):
        if earlier := {indexes[place] for place in step.requires} - {index}:
            found.setdefault(index, set()).update(earlier)
        if step.shared:
            shared.setdefault(index, {}).update(dict.fromkeys(step.shared))
    # Thousands of changes may wait for the same thousands: those are put together once.
    together: dict[tuple[frozenset[int], ...], tuple[set[int], list[int]]] = {}
    for index in {**found, **shared}:
        sets = tuple(shared.get(index, ()))
        if sets not in together:
            changes = {indexes[place] for places in sets for place in places}
            together[sets] = changes, sorted(changes)[: _MOST_NAMED + 1]
        changes, first = together[sets]
        own = found.get(index, set()) - changes
        count = len(own) + len(changes) - (index in changes)
        yield index, _after(plan, sorted({*own, *first} - {index}), count)


def _after(plan: Plan, earlier: Sequence[int], count: int) -> str:
    names = [display_address(plan.changes[index].address) for index in earlier[:_MOST_NAMED]]
    if more := count - len(names):
        names.append(f"{more:,} more")
    return f"after {', '.join(names)}"
