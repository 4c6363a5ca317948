"""An account as reports show it: never a secret."""

from __future__ import annotations

from typing import TYPE_CHECKING

from reconciler.model.fields import FIELDS, SECRET_FIELDS

if TYPE_CHECKING:
    from collections.abc import Iterable

    from reconciler.model.account import Account


def public_fields(account: Account) -> dict[str, object]:
    """The account's fields in their order, a secret as ``None``."""
    fields = account.fields
    return {name: None if name in SECRET_FIELDS else fields[name] for name in FIELDS if name in fields}


def sensitive_fields(account: Account) -> dict[str, bool]:
    """Which of the account's fields are secrets, as Terraform says it."""
    return {name: True for name in sorted(SECRET_FIELDS) if name in account.fields}


def by_address(accounts: Iterable[Account]) -> list[Account]:
    """The accounts as reports list them."""
    return sorted(accounts, key=lambda account: (account.key, account.id or 0))
