"""Which settings ``test`` tries, and to whom the mails go."""

from __future__ import annotations

from typing import TYPE_CHECKING

from reconciler.errors import PlanError
from reconciler.model.account import Account, label
from reconciler.model.desired import TestSettings
from reconciler.model.trial import Trial
from reconciler.plan.builder import in_scope
from reconciler.plan.checks import password_problems, test_problem
from reconciler.plan.fields import differing
from reconciler.plan.matching import match

if TYPE_CHECKING:
    from collections.abc import Sequence

    from reconciler.model.desired import Desired, Globs


def trials_of(desired: Desired, current: Sequence[Account], *, only: Globs, to_email: str | None) -> tuple[Trial, ...]:
    """The declared accounts in scope as they will be, sorted by address.

    Args:
        desired: The declared set; passwords of the accounts in scope are resolved.
        current: What the server holds; fills in what the declaration leaves open.
        only: Narrows the accounts.
        to_email: Where mails go, over what the YAML says.

    Raises:
        PlanError: Where an account is ambiguous, has no address to send to, or must not be tried because its stored
            password would go to a place its owner never approved.
    """
    ignore = desired.policy.ignore
    matching = match(desired.accounts, [account for account in current if account.email not in ignore])
    problems = [one for one in matching.errors if not only or one.address in only]
    trials = []
    for pair in matching.pairs:
        if not in_scope(pair.desired, only):
            continue
        declared = pair.desired.account
        base = pair.current or Account({"default": False, "has_auth": False})
        after = base.overlaid(declared.fields)
        changes = differing(pair.current, declared.fields) if pair.current else ()
        test = TestSettings(None, to_email).over(pair.desired.test.over(desired.policy.test))
        found = password_problems(pair.desired, pair.current, after, changes)
        if problem := test_problem(pair.desired, test):
            found.append(problem)
        problems += found
        address = label(declared.email, declared.id, ambiguous=declared.id is not None)
        trials.append(Trial(address=address, fields=after.fields, to_email=test.to_email or "", id=base.id))
    if problems:
        raise PlanError(*problems)
    return tuple(sorted(trials, key=lambda trial: (trial.address.casefold(), trial.id or 0)))
