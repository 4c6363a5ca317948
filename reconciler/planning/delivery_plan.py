"""Which settings ``test`` sends through the test endpoint, and who receives the mails."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING

from reconciler.errors import PlanError
from reconciler.model.account import ACCOUNT_DEFAULTS, identity, label
from reconciler.model.desired import DeliveryTestSettings
from reconciler.model.plan import DeliveryTest
from reconciler.planning.checks import destination_problems, identity_problems, password_problems, recipient_problems
from reconciler.planning.fields import changed_fields, target_account
from reconciler.planning.matching import match

if TYPE_CHECKING:
    from collections.abc import Sequence

    from reconciler.model.account import Account, Globs
    from reconciler.model.desired import Desired
    from reconciler.model.trust import Trust


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
        current: All accounts on the server; they provide the values that the declaration omits.
        only: The addresses in scope; empty for all.
        to_email: The recipient of the mails; overrides the YAML.
        trust: Where accounts with passwords may log in; ``None`` without a trust file.

    Raises:
        PlanError: An account is ambiguous, has no recipient, or its stored password would go to a server that its owner
            never approved.
    """
    if problems := identity_problems(current):
        raise PlanError(*problems)
    matching = match(desired.accounts, current, desired.policy)
    scope = Counter(declaration.account.key for declaration in desired.accounts if declaration.in_scope(only))
    errors = [problem for problem in matching.errors if problem.address and identity(problem.address) in scope]
    pairs = sorted(matching.pairs, key=lambda pair: (pair[0].account.key, pair[0].account.id or 0))
    tests, without_recipient = [], []
    for declaration, found in pairs:
        if not declaration.in_scope(only):
            continue
        account, base = declaration.account, found or ACCOUNT_DEFAULTS
        changes = changed_fields(base, account.fields)
        after = target_account(base, account.fields, changes)
        settings = DeliveryTestSettings(None, to_email).over(declaration.test.over(desired.policy.test))
        test = DeliveryTest(
            address=label(account.email, base.id, ambiguous=scope[account.key] > 1),
            fields=after.fields,
            to_email=settings.to_email or "",
            id=base.id,
            position=declaration.position,
        )
        tests.append(test)
        errors += password_problems(declaration, found, after, changes if found else ())
        if trust:
            errors += destination_problems(declaration, after.fields, trust)
        if not test.to_email:
            without_recipient.append(declaration)
    errors += recipient_problems(without_recipient)
    if errors:
        raise PlanError(*errors)
    return tuple(tests)
