"""Confirms every applied change against one more list of the accounts at the end of the run."""

from __future__ import annotations

import time
from collections import defaultdict
from dataclasses import replace
from typing import TYPE_CHECKING, Final, NamedTuple

from reconciler.applying.worker_pool import InterruptGate, WorkerPool
from reconciler.errors import ApiError, Kind, Problem
from reconciler.model.outcome import FailureKind, Outcome, Status
from reconciler.model.plan import Action
from reconciler.planning.fields import TIMES, changed_by_others, describe_fields, is_recreated, not_kept

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Iterator, Sequence

    from reconciler.model.account import Account
    from reconciler.model.plan import Change, Plan
    from reconciler.model.ports import AccountReader

PAUSES: Final = (0.2, 0.6, 1.2)
"""Seconds before each further list, if something does not match: a server may show a write a moment later."""


class FinalCheckResult(NamedTuple):
    """The result of the final check.

    Attributes:
        outcomes: One for each change, in the plan's order.
        problem: Why nothing could be confirmed; ``None`` if it was, or if there was nothing to confirm.
    """

    outcomes: tuple[Outcome, ...]
    problem: Problem | None = None


def final_check(
    plan: Plan,
    outcomes: Sequence[Outcome],
    server: AccountReader,
    *,
    gate: InterruptGate,
    pauses: Sequence[float] = PAUSES,
) -> FinalCheckResult:
    """Confirms every outcome that is applied against one more list of the accounts.

    The list is read in another thread, so that a signal can end the wait for it.

    Args:
        plan: What was carried out.
        outcomes: One for each change, in the plan's order.
        server: For listing.
        gate: Ends the wait.
        pauses: Seconds before each further list, if something does not match.
    """
    if all(outcome.status is not Status.APPLIED for outcome in outcomes):
        return FinalCheckResult(tuple(outcomes))
    check = _FinalCheck(plan, outcomes, server, pauses)
    jobs = iter([0])
    found: list[FinalCheckResult] = []
    pool = WorkerPool(1, lambda _job: check.run(), gate)
    pool.run(lambda: next(jobs, None), lambda _job, checked: found.append(checked))
    return found[0] if found else FinalCheckResult(tuple(outcomes), _not_verified("interrupted"))


def _not_verified(reason: str) -> Problem:
    return Problem(
        kind=Kind.NOT_VERIFIED,
        message=f"the writes were not verified: the list at the end of the run could not be read: {reason}",
        hint="`reconciler plan` shows what is on the server now",
    )


class _Accounts:
    """The accounts in a list, by id and by address."""

    def __init__(self, accounts: Iterable[Account]) -> None:
        self.by_id: dict[int | None, Account] = {}
        self.by_key: defaultdict[str, list[Account]] = defaultdict(list)
        for account in accounts:
            self.by_id[account.id] = account
            self.by_key[account.key].append(account)


class _FinalCheck:
    def __init__(self, plan: Plan, outcomes: Sequence[Outcome], server: AccountReader, pauses: Sequence[float]) -> None:
        self._changes = plan.changes
        self._outcomes = list(outcomes)
        self._server = server
        self._pauses = pauses
        self._promotes = any(change.promotes for change in plan.changes)
        # The ids that may have an address: those that the plan has seen there, and those that it puts there.
        self._expected: defaultdict[str, set[int | None]] = defaultdict(set)
        for account in plan.current:
            self._expected[account.key].add(account.id)
        for change, outcome in zip(plan.changes, outcomes, strict=True):
            if change.after:
                self._expected[change.after.key].add(outcome.id)

    def run(self) -> FinalCheckResult:
        try:
            accounts = _Accounts(self._server.list_accounts())
        except ApiError as error:
            return FinalCheckResult(tuple(self._outcomes), _not_verified(error.reason))
        applied = [index for index, outcome in enumerate(self._outcomes) if outcome.status is Status.APPLIED]
        wrong = self._wrong(applied, accounts)
        for pause in self._pauses:
            if not wrong:
                break
            time.sleep(pause)
            try:
                accounts = _Accounts(self._server.list_accounts())
            except ApiError:
                continue
            wrong = self._wrong(wrong, accounts)
        for index in applied:
            self._outcomes[index] = self._confirmed(index, wrong.get(index), accounts)
        return FinalCheckResult(tuple(self._outcomes))

    def _wrong(self, indexes: Collection[int], accounts: _Accounts) -> dict[int, str]:
        """What is not as it should be, by the index of the change."""
        errors = ((index, self._error(index, accounts)) for index in indexes)
        return {index: error for index, error in errors if error}

    def _error(self, index: int, accounts: _Accounts) -> str:
        change, outcome = self._changes[index], self._outcomes[index]
        if change.action is Action.DELETE:
            return self._remains(change, accounts)
        found = accounts.by_id.get(outcome.id)
        if found is None:
            return "the account is not on the server at the end of the run"
        if missing := not_kept(change.managed, found):
            return f"at the end of the run the server has other values: {describe_fields(missing, found)}"
        twins = [one for one in accounts.by_key[found.key] if one.id not in self._expected[found.key]]
        if twins:
            ids = ", ".join(str(one.id) for one in (found, *twins))
            return (
                f"the server has this address more than once at the end of the run (ids {ids}): choose one with"
                f" `id: {found.id}` in the YAML; the other is then undeclared, and is deleted if pruning is on"
            )
        return ""

    def _remains(self, change: Change, accounts: _Accounts) -> str:
        """What is left of a deleted account, or was created at its address."""
        before = change.before
        assert before is not None  # noqa: S101 - a delete has an account
        at_address = accounts.by_key[before.key]
        found = accounts.by_id.get(before.id)
        if found is not None and not is_recreated(before, found):
            if found in at_address:
                return "the account is still on the server at the end of the run"
            if before.created_at and found.created_at:
                return f"the account is still on the server at the end of the run, as {found.email}"
        again = [one.id for one in at_address if one is found or one.id not in self._expected[before.key]]
        if again:
            return f"an account with this address exists again at the end of the run (id {again[0]})"
        return ""

    def _confirmed(self, index: int, error: str | None, accounts: _Accounts) -> Outcome:
        outcome = self._outcomes[index]
        if error:
            return replace(outcome, status=Status.FAILED, error=error, kind=FailureKind.NOT_CONFIRMED)
        names = list(self._changed_since(outcome, accounts))
        if not names:
            return outcome
        since = "this run's write" if outcome.written else "this run looked at it"
        note = f"somebody changed it after {since}: {', '.join(names)}"
        return replace(outcome.with_note(note), changed_since=True)

    def _changed_since(self, outcome: Outcome, accounts: _Accounts) -> Iterator[str]:
        """The fields and times that are not as this run last wrote, or read, them."""
        written, found = outcome.account, accounts.by_id.get(outcome.id)
        if written is None or found is None:
            return
        for name in changed_by_others(written, found, promotes=self._promotes, ours=True):
            if name in TIMES or name in found.fields:
                yield name
