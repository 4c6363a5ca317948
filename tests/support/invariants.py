"""What holds after every run, judged by the accounts that the server had before it and has now, by id.

Each method and function returns messages about what is wrong; an empty list means that all is well.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from reconciler.model.account import Account, Fields, identity
from reconciler.model.outcome import FailureKind, Outcome, Status
from reconciler.model.plan import Action, Change, Plan
from reconciler.model.secret import UNKNOWN
from reconciler.planning.fields import is_different

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping, Sequence

    from reconciler.model.account import Globs
    from reconciler.model.desired import DeleteLimit, Policy
    from tests.support.fake_server import Rules

STRANGER = "Stranger"
"""The start of the name of each account that another writer creates during a run."""
UNCHANGED = (Status.FAILED, Status.SKIPPED, Status.NOT_ATTEMPTED)


@dataclass(frozen=True, slots=True)
class OtherWriters:
    """What other writers did during the run.

    Attributes:
        ids: The accounts that they changed, created or deleted.
        keys: The identities of the addresses that these accounts had.
        removed: Those of them that they deleted.
        after_check: Those of them that they changed after the list that confirms the writes.
    """

    ids: Collection[int] = ()
    keys: Collection[str] = ()
    removed: Collection[int] = ()
    after_check: Collection[int] = ()


NO_OTHER_WRITERS = OtherWriters()


@dataclass(frozen=True, slots=True)
class Run:
    """A plan that was carried out, successfully or not.

    Attributes:
        before: The accounts before the run.
        after: The accounts now.
        single_default: Whether the server demotes the former default account by itself.
        fills_empty: Whether the server fills in fields that are empty.
        first_is_default: Whether the server makes its first account the default one, whatever it was sent.
    """

    plan: Plan
    before: Mapping[int, Fields]
    after: Mapping[int, Fields]
    others: OtherWriters = NO_OTHER_WRITERS
    single_default: bool = False
    fills_empty: bool = False
    first_is_default: bool = False

    def violations(
        self, outcomes: Sequence[Outcome], *, lists_are_true: bool = True, is_confirmed: bool = True
    ) -> list[str]:
        """Everything that is wrong after the run.

        Args:
            outcomes: What the run reported.
            lists_are_true: Whether the run has seen every account in time. If it has not, there may be two accounts of
                one address, but no create of it may then be reported as applied.
            is_confirmed: Whether the final check could be made. If not, the report states that, and another writer
                may have changed an applied account since.
        """
        doubled = self.doubled()
        if not lists_are_true:
            created = {one.address for one in outcomes if (one.action, one.status) == (Action.CREATE, Status.APPLIED)}
            doubled = [key for key in doubled if key in map(identity, created)]
        found = [*self.losses(), *(f"{key} is there more than once" for key in doubled), *self.touched()]
        for change, outcome in zip(self.plan.changes, outcomes, strict=True):
            start = f"{outcome.action} of {outcome.address} is {outcome.status} ({outcome.error or outcome.note}), but "
            is_known = is_confirmed and outcome.id not in self.others.after_check
            if outcome.status is Status.APPLIED and not is_known and self._is_by_others(change, outcome.id):
                continue
            found += [start + what for what in self._false_report(change, outcome, lists_are_true=lists_are_true)]
        return found

    def losses(self) -> list[str]:
        """Accounts that were lost without a planned delete, or that were created without a planned create."""
        deleted = {change.id for change in self.plan.changes if change.action is Action.DELETE}
        lost = set(self.before) - deleted - set(self.others.removed) - set(self.after)
        planned = {change.after.key for change in self.plan.changes if change.after}
        new = {one: fields for one, fields in self.after.items() if one not in {*self.before, *self.others.ids}}
        unexpected = [one for one, fields in new.items() if Account(fields).key not in {*planned, *self.others.keys}]
        return [f"{self.before[one]['email']} is lost" for one in lost] + [
            f"{new[one]['email']} came from nowhere" for one in unexpected
        ]

    def doubled(self) -> list[str]:
        """The identities of addresses that more than one account has."""
        counted = Counter(Account(fields).key for fields in self.after.values())
        return [key for key, count in counted.items() if count > 1]

    def touched(self) -> list[str]:
        """Accounts that changed although the plan leaves them as they are."""
        planned = {change.id for change in self.plan.changes}
        left = [one for one in self.before if one not in {*planned, *self.others.ids}]
        return [f"{self.before[one]['email']} was touched" for one in left if not self._is_as_it_was(one)]

    def unfinished(self) -> list[str]:
        """Changes that are not in place after another run has completed what this one began."""
        found = []
        for change in self.plan.changes:
            by_others = self._is_by_others(change, change.id)
            now = [one for one, fields in self.after.items() if Account(fields).key == change.key[0]]
            wanted = 0 if change.action is Action.DELETE else 1
            if change.action is Action.DELETE and not by_others and change.id in self.after:
                found.append(f"{change.address} is still there")
            elif change.after and (len(now) != wanted or self._lacks(change, self.after[now[0]])):
                found.append(f"{change.address} is {[self.after[one] for one in now]}")
            elif change.after and change.id is not None and not by_others and now != [change.id]:
                found.append(f"{change.address} has changed its id")
        return found

    def _lacks(self, change: Change, fields: Fields) -> bool:
        wanted = (change.managed, self._with_hidden_password(change))
        return all(is_different(Account(fields), one) for one in wanted)

    def _false_report(self, change: Change, outcome: Outcome, *, lists_are_true: bool) -> list[str]:
        by_others = self._is_by_others(change, outcome.id)
        if outcome.status is Status.APPLIED:
            managed = change.managed if outcome.written else self._with_hidden_password(change, by_others=by_others)
            if not self._is_in_place(change, outcome.id, managed, by_others=by_others):
                return ["it is not in place"]
            return [] if by_others else self._side_effects(change, outcome.id)
        if by_others or says_written(outcome) or (says_unconfirmed(outcome) and not lists_are_true):
            return []
        as_before = self._is_as_before(change, lists_are_true=lists_are_true)
        if outcome.status in UNCHANGED and not as_before:
            return ["it is not as before"]
        if outcome.status is Status.UNKNOWN and not as_before and not self._may_be_ours(change, outcome.id):
            return ["it is neither as before nor in place"]
        return []

    def _with_hidden_password(self, change: Change, *, by_others: bool = False) -> Fields:
        """The declared fields, with the password as it was if the server hides it and the plan does not change it.

        Nothing is written for the sake of such a password, so that it may be any if others have written the account.
        """
        is_hidden = change.before is not None and change.before.fields.get("password") is UNKNOWN
        is_planned = any(one.field == "password" for one in change.fields)
        if not is_hidden or is_planned or change.id is None or "password" not in change.managed:
            return change.managed
        if by_others:
            return _without(change.managed, {"password"})
        return {**change.managed, "password": self.before[change.id]["password"]}

    def _is_by_others(self, change: Change, account_id: int | None) -> bool:
        keys = {one.key for one in (change.before, change.after) if one}
        return bool({change.id, account_id} & set(self.others.ids) or keys & set(self.others.keys))

    def _may_be_ours(self, change: Change, account_id: int | None) -> bool:
        """Whether the account is as declared, apart from what the server decides when it creates an account."""
        managed = dict(change.managed)
        if change.action is Action.CREATE and self.first_is_default:
            managed.pop("default", None)
        return self._is_in_place(change, change.id or account_id, managed)

    def _is_in_place(self, change: Change, account_id: int | None, managed: Fields, *, by_others: bool = False) -> bool:
        if change.action is Action.DELETE:
            fields = self.after.get(change.id or 0)
            return fields is None or (by_others and Account(fields).key != change.key[0])
        ids = [account_id] if account_id else [one for one in self.after if one not in self.before]
        found = [fields for one in ids if (fields := self.after.get(one)) and Account(fields).key == change.key[0]]
        return len(found) == 1 and not is_different(Account(found[0]), managed)

    def _side_effects(self, change: Change, account_id: int | None) -> list[str]:
        """What else an applied change has changed."""
        if change.action is not Action.UPDATE or change.id is None:
            return []
        if account_id != change.id:
            return ["the account has another id"]
        was, now = self.before[change.id], self.after[change.id]
        free = set(was) - set(change.managed) - {"default"}
        if change.managed.get("has_auth") is False:
            free.discard("password")
        if self.fills_empty:
            free = {name for name in free if was[name] is not None}
        return [f"{name} has changed too" for name in sorted(free) if now[name] != was[name]]

    def _is_as_before(self, change: Change, *, lists_are_true: bool) -> bool:
        if change.id is not None:
            return self._is_as_it_was(change.id)
        if not lists_are_true and change.key[0] in self.doubled():
            return True
        new = [fields for one, fields in self.after.items() if one not in {*self.before, *self.others.ids}]
        mine = [fields for fields in new if Account(fields).key == change.key[0]]
        return all(str(fields["name"]).startswith(STRANGER) for fields in mine)

    def _is_as_it_was(self, account_id: int) -> bool:
        now, was = self.after.get(account_id), self.before[account_id]
        return now is not None and self.same(now, was)

    def same(self, one: Fields, other: Fields) -> bool:
        """Whether two states of an account are the same, apart from what the server does by itself."""
        ignored = {"default"} if self.single_default else set()
        return _without(one, ignored) == _without(other, ignored)


def _without(fields: Fields, names: Collection[str]) -> Fields:
    return {name: value for name, value in fields.items() if name not in names}


def says_written(outcome: Outcome) -> bool:
    """Whether an outcome that is not applied reports that something was, or may have been, written."""
    return outcome.kind in {FailureKind.NOT_KEPT, FailureKind.TEMPORARY_NAME}


def says_unconfirmed(outcome: Outcome) -> bool:
    """Whether the final check found something other than what was written."""
    return outcome.kind is FailureKind.NOT_CONFIRMED


def overwritten(
    left: Mapping[int, Mapping[str, Any] | None], now: Mapping[int, Mapping[str, Any]], ignored: Collection[str] = ()
) -> list[str]:
    """Accounts that are not as another writer left them; ``None`` is an account that they deleted."""
    found = []
    for account_id, fields in left.items():
        is_now = now.get(account_id)
        if fields is None or is_now is None:
            is_kept = fields is is_now
        else:
            is_kept = all(is_now[name] == value for name, value in fields.items() if name not in ignored)
        if not is_kept:
            found.append(f"account {account_id}, which somebody else left as {fields}, is {is_now}")
    return found


def not_applied(outcomes: Sequence[Outcome], plan: Plan, rules: Rules) -> list[str]:
    """The changes of an undisturbed run that were not applied, although no rule of the server prevents them."""
    refused = [one for one in outcomes if one.status is not Status.APPLIED]
    if rules.keep_default:
        defaults = {change.id for change in plan.changes if change.before and change.before.is_default}
        stuck = {one.address for one in refused if one.id in defaults}
        # What needs such a change is skipped, or keeps its temporary name if its first step was written; and so on.
        while more := {one.address for one in refused if waits_for(one, stuck)} - stuck:
            stuck |= more
        refused = [one for one in refused if one.address not in stuck]
    if rules.first_is_default:
        refused = [one for one in refused if one.action != Action.CREATE or not says_written(one)]
    return [f"{one.action} of {one.address} is {one.status}: {one.error}" for one in refused]


def waits_for(outcome: Outcome, addresses: Collection[str]) -> bool:
    """Whether a change was not made, or only in part, because the change of one of the addresses did not succeed."""
    is_waiting = outcome.status is Status.SKIPPED or outcome.kind is FailureKind.TEMPORARY_NAME
    return is_waiting and any(f"the change of {address}," in (outcome.error or "") for address in addresses)


def remaining(plan: Plan) -> list[str]:
    """What a plan made after a complete run still changes, or why it cannot be made."""
    return [*(str(error) for error in plan.errors), *(f"{one.action} {one.address}" for one in plan.changes)]


def unguarded(plan: Plan, policy: Policy, limit: DeleteLimit, only: Globs) -> list[str]:
    """Deletes that an applicable plan must not contain."""
    deleted = [change.address for change in plan.changes if change.action is Action.DELETE]
    shielded = [one for one in deleted if one in policy.protect or one in policy.ignore]
    found = [f"{one} is protected or ignored" for one in shielded]
    found += [f"{one} is outside --only" for one in deleted if only and one not in only]
    managed = [account for account in plan.current if account.email not in policy.ignore]
    if plan.applicable and not (limit.allows(len(deleted), len(managed)) and len(deleted) < max(1, len(managed))):
        found.append(f"{len(deleted)} of {len(managed)} accounts are deleted")
    return found
