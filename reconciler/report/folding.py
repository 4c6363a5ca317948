"""Folds what many servers have in common: equal changes, outcomes and problems, each once, with its servers.

Two servers have the same change if their strings differ only by the servers' variables, by ids, or by the positions
in the files that declare it. What all servers of a group share is shown; the rest is written with ``${variable}``, and
ids and positions are omitted. What only one server has is shown as it is.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Generic, NamedTuple, Protocol, TypeVar

from reconciler.model.account import Account
from reconciler.model.display import LONGEST_SENTENCE
from reconciler.model.fields import SECRET_FIELDS
from reconciler.model.plan import Action, Change, FieldChange
from reconciler.report.template import Template, Writer, ids_in, shared_values
from reconciler.report.view import ChangeView, change_notes, password_words, public_fields, view_change

if TYPE_CHECKING:
    from collections.abc import Hashable, Iterable, Sequence

    from reconciler.errors import Position, Problem
    from reconciler.model.account import Value
    from reconciler.model.outcome import Outcome, Report
    from reconciler.model.plan import Plan
    from reconciler.model.server import Server

Item = TypeVar("Item")
Item_contra = TypeVar("Item_contra", contravariant=True)
Shown = TypeVar("Shown")
Shown_co = TypeVar("Shown_co", covariant=True)


@dataclass(frozen=True, slots=True)
class Folded(Generic[Shown_co]):
    """What several servers have in common, or what one server has.

    Attributes:
        item: As it is shown.
        servers: At least one, in the order of the document.
    """

    item: Shown_co
    servers: tuple[Server, ...]


class _Details(NamedTuple):
    """What is shown only if it is the same on all servers of a group."""

    ids: Hashable
    position: Position | None


class _Form(Protocol[Item_contra, Shown_co]):
    """How one kind of item is compared and shown."""

    def key(self, item: Item_contra, writer: Writer) -> Hashable:
        """What has to be equal."""

    def details(self, item: Item_contra) -> _Details:
        """What may differ."""

    def show(self, item: Item_contra, writer: Writer) -> Shown_co:
        """The item as its group shows it."""


def _fold(servers: Iterable[tuple[Template, Iterable[Item]]], form: _Form[Item, Shown]) -> list[Folded[Shown]]:
    """The items of all servers, folded, in the order of their first occurrence."""
    groups: dict[Hashable, _Group[Item]] = {}
    for template, items in servers:
        bare = Writer(template)
        seen: Counter[Hashable] = Counter()
        for item in items:
            key = form.key(item, bare)
            # What one server has twice is in two groups.
            place = (key, seen[key])
            seen[key] += 1
            ids, position = form.details(item)
            details = _Details(ids, position and template.position(position))
            group = groups.get(place)
            if group is None:
                groups[place] = _Group(item, details, [template])
            else:
                group.add(template, details)
    return [group.folded(form) for group in groups.values()]


class _Group(Generic[Item]):
    def __init__(self, first: Item, details: _Details, templates: list[Template]) -> None:
        self.first = first
        self.details = details
        self.templates = templates
        self.has_same_ids = self.has_same_position = True

    def add(self, template: Template, details: _Details) -> None:
        self.templates.append(template)
        self.has_same_ids = self.has_same_ids and details.ids == self.details.ids
        self.has_same_position = self.has_same_position and details.position == self.details.position

    def folded(self, form: _Form[Item, Shown]) -> Folded[Shown]:
        first, *others = self.templates
        writer = Writer(
            first if others else None,
            shared_values(self.templates),
            keeps_ids=self.has_same_ids,
            keeps_position=self.has_same_position,
        )
        return Folded(form.show(self.first, writer), tuple(template.server for template in self.templates))


def fold_changes(plans: Iterable[Plan]) -> list[Folded[ChangeView]]:
    """The changes of all servers."""
    return _fold(
        (
            (Template(plan.server), map(_NotedChange, plan.changes, change_notes(plan)))
            for plan in plans
            if plan.changes
        ),
        _ChangeForm(),
    )


def fold_problems(problems: Iterable[tuple[Server, Iterable[Problem]]]) -> list[Folded[Problem]]:
    """The problems of all servers."""
    return _fold(((Template(server), found) for server, found in problems if found), _ProblemForm())


def fold_placed_problems(problems: Iterable[tuple[Server, Iterable[Problem]]]) -> list[Folded[Problem]]:
    """The problems of all servers, each at the position that it has for the first of its servers."""
    return _fold(((Template(server), found) for server, found in problems if found), _PlacedProblemForm())


def fold_outcomes(reports: Iterable[Report]) -> list[Folded[Outcome]]:
    """The outcomes on all servers."""
    return _fold(((Template(report.server), report.outcomes) for report in reports if report.outcomes), _OutcomeForm())


def fold_still_accounts(plans: Iterable[Plan]) -> list[Folded[tuple[str, str]]]:
    """The accounts that stay as they are on all servers: their addresses, and why."""
    return _fold(((Template(plan.server), _still_accounts(plan)) for plan in plans), _StillForm())


def _still_accounts(plan: Plan) -> Iterable[tuple[str, str]]:
    for accounts, words in ((plan.unchanged, "is as declared"), (plan.untouched, "is left alone")):
        for account in accounts:
            yield account.email, words


class _StillForm:
    def key(self, item: tuple[str, str], writer: Writer) -> Hashable:
        return (writer.value(item[0]), item[1])

    def details(self, item: tuple[str, str]) -> _Details:  # noqa: ARG002 - there are none
        return _Details((), None)

    def show(self, item: tuple[str, str], writer: Writer) -> tuple[str, str]:
        return (writer.value(item[0]), item[1])


class _NotedChange(NamedTuple):
    change: Change
    notes: Sequence[str]


class _ChangeForm:
    def key(self, item: _NotedChange, writer: Writer) -> Hashable:
        change = item.change
        fields: tuple[Hashable, ...]
        if change.action is Action.DELETE and change.before:
            has_password = change.before.fields.get("password") not in (None, "")
            fields = (has_password, *((name, writer.value(value)) for name, value in _shown_fields(change.before)))
        else:
            changed = (one for one in change.fields if one.field not in SECRET_FIELDS)
            fields = tuple((one.field, writer.value(one.before), writer.value(one.after)) for one in changed)
        notes = tuple(writer.sentence(note, change.position) for note in item.notes)
        return (
            change.action,
            writer.value(change.address),
            fields,
            writer.value(password_words(change), LONGEST_SENTENCE),
            notes,
        )

    def details(self, item: _NotedChange) -> _Details:
        return _Details((item.change.id, *map(ids_in, item.notes)), item.change.position)

    def show(self, item: _NotedChange, writer: Writer) -> ChangeView:
        change = item.change
        shown = replace(
            change,
            address=writer.value(change.address),
            before=_show_account(change.before, writer),
            after=_show_account(change.after, writer),
            fields=tuple(
                FieldChange(one.field, writer.value(one.before), writer.value(one.after)) for one in change.fields
            ),
        )
        view = view_change(shown, tuple(writer.sentence(note, change.position) for note in item.notes))
        rows = [
            row._replace(words=writer.value(row.words, LONGEST_SENTENCE)) if row.words else row for row in view.rows
        ]
        return view._replace(rows=rows)


def _shown_fields(account: Account) -> Iterable[tuple[str, Value]]:
    fields = account.fields
    return (
        (name, fields[name])
        for name in public_fields(account)
        if name not in SECRET_FIELDS and fields[name] not in (None, "")
    )


def _show_account(account: Account | None, writer: Writer) -> Account | None:
    if account is None:
        return None
    fields = {name: writer.value(value) for name, value in account.fields.items()}
    return Account(fields, account.id if writer.keeps_ids else None)


class _ProblemForm:
    def key(self, item: Problem, writer: Writer) -> Hashable:
        return (str(item.kind), writer.sentence(item.message), writer.sentence(item.hint))

    def details(self, item: Problem) -> _Details:
        return _Details((ids_in(item.message), ids_in(item.hint)), item.position)

    def show(self, item: Problem, writer: Writer) -> Problem:
        message, hint = writer.sentence(item.message), writer.sentence(item.hint)
        return replace(item, message=message, hint=hint, position=writer.position(item.position))


class _PlacedProblemForm(_ProblemForm):
    def show(self, item: Problem, writer: Writer) -> Problem:
        return replace(super().show(item, writer), position=item.position)


class _OutcomeForm:
    def key(self, item: Outcome, writer: Writer) -> Hashable:
        test = item.test
        return (
            writer.value(item.address),
            item.action,
            item.status,
            item.kind,
            item.written,
            item.changed_since,
            *(part and writer.sentence(part) for part in (item.error, item.note, test and test.error)),
            test and (test.when, test.passed, test.unclear, test.unreached, writer.value(test.to_email)),
        )

    def details(self, item: Outcome) -> _Details:
        texts = (item.error, item.note, item.test and item.test.error)
        return _Details((item.id, *(ids_in(text) for text in texts if text)), item.position)

    def show(self, item: Outcome, writer: Writer) -> Outcome:
        test = item.test
        if test:
            error = test.error and writer.sentence(test.error)
            test = replace(test, to_email=writer.value(test.to_email), error=error)
        return replace(
            item,
            address=writer.value(item.address),
            id=item.id if writer.keeps_ids else None,
            error=item.error and writer.sentence(item.error),
            note=item.note and writer.sentence(item.note),
            test=test,
            position=writer.position(item.position),
        )
