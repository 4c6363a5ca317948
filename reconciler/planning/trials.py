"""Which settings ``test`` tries, and to whom the mails go."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING

from reconciler.errors import PlanError
from reconciler.model.account import ACCOUNT_DEFAULTS, identity, label
from reconciler.model.desired import DeliveryTestSettings
from reconciler.model.plan import DeliveryTest
from reconciler.planning.builder import in_scope
from reconciler.planning.checks import destination_problems, identity_problems, password_problems, test_problems
from reconciler.planning.fields import changed_fields, target_account
from reconciler.planning.matching import match

if TYPE_CHECKING:
    from collections.abc import Sequence

    from reconciler.errors import Problem
    from reconciler.model.account import Account, Globs
    from reconciler.model.desired import Desired
    from reconciler.model.trust import Trust
    from reconciler.planning.matching import Pair


def plan_delivery_tests(
    desired: Desired,
    current: Sequence[Account],
    only: Globs,
    *,
    to_email: str | None = None,
    trust: Trust | None = None,
) -> tuple[DeliveryTest, ...]:
    """The declared accounts in scope as they will be, sorted by address.

    Args:
        desired: The declared set; passwords of the accounts in scope are resolved.
        current: What the server holds; fills in what the declaration leaves open.
        only: Narrows the accounts.
        to_email: Where mails go, over what the YAML says.
        trust: What is allowed; ``None`` without a trust file.

    Raises:
        PlanError: Where an account is ambiguous, has no address to send to, or must not be tried because its stored
            password would go to a place its owner never approved.
    """
    if broken := identity_problems(current):
        raise PlanError(*broken)
    ignore = desired.policy.ignore
    declared = sorted(desired.accounts, key=lambda one: (one.account.key, one.account.id or 0))
    matching = match(declared, [account for account in current if account.email not in ignore])
    scope = [one for one in declared if in_scope(one, only)]
    addresses = Counter(one.account.key for one in scope)
    problems = [one for one in matching.errors if one.address and identity(one.address) in addresses]
    pairs = {id(pair.desired): pair for pair in matching.pairs}
    trials, unaddressed = [], []
    for one in scope:
        if pair := pairs.get(id(one)):
            to = DeliveryTestSettings(None, to_email).over(one.test.over(desired.policy.test)).to_email or ""
            trial, found = _trial(pair, to, ambiguous=addresses[one.account.key] > 1)
            trials.append(trial)
            problems += found
            if trust:
                problems += destination_problems(one, trial.fields, trust)
            if not to:
                unaddressed.append(one)
    problems += test_problems(unaddressed)
    if problems:
        raise PlanError(*problems)
    return tuple(trials)


def _trial(pair: Pair, to_email: str, *, ambiguous: bool) -> tuple[DeliveryTest, list[Problem]]:
    declared = pair.desired.account
    base = pair.current or ACCOUNT_DEFAULTS
    changes = changed_fields(base, declared.fields)
    after = target_account(base, declared.fields, changes)
    problems = password_problems(pair.desired, pair.current, after, changes if pair.current else ())
    address = label(declared.email, base.id, ambiguous=ambiguous)
    trial = DeliveryTest(
        address=address, fields=after.fields, to_email=to_email, id=base.id, position=pair.desired.position
    )
    return trial, problems
