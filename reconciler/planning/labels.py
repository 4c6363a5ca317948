"""How the accounts of a plan are told apart by name."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace
from typing import TYPE_CHECKING

from reconciler.model.account import label

if TYPE_CHECKING:
    from collections.abc import Sequence

    from reconciler.model.account import Account
    from reconciler.model.plan import Change


def labelled(changes: Sequence[Change], others: Sequence[Account]) -> list[Change]:
    """The changes, with ``#id`` added to every address that the plan would otherwise show for two accounts.

    Args:
        changes: What is to be done; their addresses are still plain.
        others: The accounts of the plan that do not change.
    """
    seen = Counter(change.key[0] for change in changes)
    seen.update(account.key for account in others)
    return [
        replace(change, address=label(change.address, change.id, ambiguous=True)) if seen[change.key[0]] > 1 else change
        for change in changes
    ]
