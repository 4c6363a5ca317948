"""What holds after every run, judged by what the server held before it and holds now."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from typing import TYPE_CHECKING

from reconciler.model.account import Account, Fields, identity
from reconciler.model.outcome import Outcome, Status
from reconciler.model.plan import Action, Change, Plan
from reconciler.planning.fields import changed_fields

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping, Sequence

NOT_KEPT = "did not keep"
UNCONFIRMED = "at the end of the run"
STRANGER = "Stranger"
"""How the names of accounts begin that somebody else has made meanwhile."""
UNTOUCHED = (Status.FAILED, Status.SKIPPED, Status.NOT_ATTEMPTED)


@dataclass(frozen=True, slots=True)
class Run:
    """A plan that was carried out, well or badly.

    Attributes:
        before: What the server held, by id.
        after: What it holds now.
        single_default: Whether it clears the flag of the other accounts by itself.
        edited: The accounts that somebody else has changed or removed meanwhile.
        removed: Those of them that are gone.
    """

    plan: Plan
    before: Mapping[int, Fields]
    after: Mapping[int, Fields]
    single_default: bool
    edited: Collection[int] = ()
    removed: Collection[int] = ()

    def check(self, outcomes: Sequence[Outcome]) -> None:
        """All that always holds."""
        self.check_nothing_is_lost()
        assert self.doubled() == []
        self.check_report(outcomes)
        self.check_kept()

    def check_between_writers(self, outcomes: Sequence[Outcome]) -> None:
        """All that holds if somebody else can create an account where this run does: then the report says so."""
        self.check_nothing_is_lost()
        for key in self.doubled():
            about = [one for one in outcomes if identity(one.address) == key and one.action == Action.CREATE]
            assert [one for one in about if one.status is Status.APPLIED] == []
        self.check_report(outcomes)
        self.check_kept()

    def check_nothing_is_lost(self) -> None:
        deleted = {change.id for change in self.plan.changes if change.action is Action.DELETE}
        assert set(self.before) - deleted - set(self.removed) <= set(self.after)

    def doubled(self) -> list[str]:
        """The addresses of more than one account."""
        counted = Counter(Account(fields).key for fields in self.after.values())
        return [key for key, count in counted.items() if count > 1]

    def check_report(self, outcomes: Sequence[Outcome]) -> None:
        steps = [step.change.key for step in self.plan.steps]
        for change, outcome in zip(self.plan.changes, outcomes, strict=True):
            if {change.id, outcome.id} & set(self.edited):
                continue
            if outcome.status is Status.APPLIED:
                self._check_done(change, outcome)
            elif outcome.status in UNTOUCHED and steps.count(change.key) == 1 and not was_written(outcome):
                self._check_untouched(change)

    def check_kept(self) -> None:
        for account in (*self.plan.kept, *self.plan.unchanged):
            if account.id is not None and account.id not in self.edited:
                self._check_same(account.id)

    def _check_done(self, change: Change, outcome: Outcome) -> None:
        if change.action is Action.DELETE:
            assert change.id not in self.after
            return
        assert outcome.id is not None
        now = self.after[outcome.id]
        assert not changed_fields(Account(now), change.managed)
        if change.id is not None:
            assert outcome.id == change.id
            was = self.before[change.id]
            hidden = {"password"} if change.managed.get("has_auth") is False else set()
            free = set(was) - set(change.managed) - hidden - {"default"}
            assert {name: now[name] for name in free} == {name: was[name] for name in free}

    def _check_untouched(self, change: Change) -> None:
        if change.id is not None:
            self._check_same(change.id)
            return
        assert change.after is not None
        if change.after.key in self.doubled():
            return
        known = {*self.before, *self.edited}
        new = [fields for account_id, fields in self.after.items() if account_id not in known]
        mine = [fields for fields in new if Account(fields).key == change.after.key]
        assert all(str(fields["name"]).startswith(STRANGER) for fields in mine)

    def _check_same(self, account_id: int) -> None:
        assert self.same_but_for_default(self.after[account_id], self.before[account_id])

    def same_but_for_default(self, one: Fields | None, other: Fields | None) -> bool:
        """A server with a single default account clears the flag of the others by itself."""
        if self.single_default and one and other:
            return {**one, "default": False} == {**other, "default": False}
        return one == other


def was_written(outcome: Outcome) -> bool:
    """Whether a failure says that something was written, and did not last."""
    return any(text in (outcome.error or "") for text in (NOT_KEPT, UNCONFIRMED))
