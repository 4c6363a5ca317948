"""The sample accounts of the demo and the sandbox: what a server has before the YAML is applied."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from reconciler.model.account import ACCOUNT_DEFAULTS, Account
from reconciler.model.secret import Secret, SecretReference

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from reconciler.model.desired import DesiredAccount

_PACKAGED: Final = Path(__file__).with_name("accounts.yaml")
_IN_CHECKOUT: Final = Path(__file__).parents[2] / "examples" / "accounts.yaml"

SAMPLE: Final = _PACKAGED if _PACKAGED.exists() else _IN_CHECKOUT
"""The example ``accounts.yaml``: in the installed package, or in a checkout."""


def sample_accounts() -> list[dict[str, Any]]:
    """The accounts of a server that the example is about, as the API's JSON has them.

    Every password is ``sample``; the sandbox's mail server accepts any.
    """
    from reconciler.manifest.reader import read_manifests

    declared = read_manifests([str(SAMPLE)]).accounts
    return initial_accounts(declared, dict.fromkeys(password_variables(declared), "sample"))


def password_variables(declared: Sequence[DesiredAccount]) -> list[str]:
    """The environment variables that the YAML names as passwords."""
    references = [entry.account.fields.get("password") for entry in declared]
    return [one.target[0] for one in references if isinstance(one, SecretReference) and one.kind == "env"]


def initial_accounts(declared: Sequence[DesiredAccount], passwords: Mapping[str, str]) -> list[dict[str, Any]]:
    """Accounts for the server to start with, so that the plan has creates, updates, a rename and a delete.

    Args:
        declared: What the YAML declares.
        passwords: Passwords by environment variable.
    """
    renamed = next((entry for entry in declared if entry.renamed_from), None)
    others = [entry.account for entry in declared if entry is not renamed and entry.account.id is None]
    accounts = [account.with_fields({"name": f"{account.name} (old)"}) for account in others[:1]]
    intern = {
        "email": "intern@example.org",
        "name": "Intern's test",
        "service": "other",
        "smtp_server": "smtp.example.org",
    }
    accounts += [*others[1:-1], Account(intern)]
    if renamed:
        accounts.insert(0, renamed.account.with_fields({"email": renamed.renamed_from}))
    return [_on_server(account, passwords) for account in accounts]


def password_of(account: Account, passwords: Mapping[str, str]) -> str | None:
    """An account's password; ``None`` if it has none, or it is not among ``passwords``."""
    password = account.fields.get("password")
    if isinstance(password, Secret):
        return password.reveal()
    return passwords.get(password.target[0]) if isinstance(password, SecretReference) else None


def _on_server(account: Account, passwords: Mapping[str, str]) -> dict[str, Any]:
    """An account as the server's JSON has it."""
    password = password_of(account, passwords)
    fields: dict[str, Any] = {"service": "other", **ACCOUNT_DEFAULTS.fields, **account.fields}
    return {**fields, "default": False, "has_auth": fields["has_auth"] and bool(password), "password": password}
