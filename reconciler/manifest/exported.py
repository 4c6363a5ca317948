"""What of an account on a server the YAML can say."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final

from reconciler.errors import InvalidValueError
from reconciler.manifest import values
from reconciler.manifest.quoting import is_expressible
from reconciler.model.account import identity
from reconciler.model.display import shorten
from reconciler.model.secret import UNKNOWN, Secret

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Mapping, Sequence

    from reconciler.model.account import Account

SERVICES: Final = frozenset({"gmail", "outlook", "other"})
_CRYPTS: Final = frozenset({"none", "ssl-tls", "starttls"})
_MECHANISMS: Final = frozenset({"plain", "login", "cram-md5"})
_MOST_PORTS: Final = 65535


@dataclass(slots=True)
class ExportedAccount:
    """One account as the export writes it.

    Attributes:
        fields: Keys and values, without the password.
        secret: Whether a password reference belongs to it.
        remarks: What is left out, and why; values are not shown.
    """

    account: Account
    fields: dict[str, str | int | bool] = field(default_factory=dict)
    secret: bool = False
    remarks: list[str] = field(default_factory=list)


def exported(account: Account) -> ExportedAccount | str:
    """What the YAML can say of an account; a reason where it cannot hold the account at all."""
    given = account.fields
    server = given.get("smtp_server")
    if isinstance(server, str) and not server.isascii():
        given = {**given, "smtp_server": identity(server)}  # the same host, in the form that the YAML takes
    for name in ("email", "name", "service"):
        if not _CHECKS[name](given.get(name)):
            return f"its {name} is not one that this format has"
    if given["service"] == "other" and not _is_host(given.get("smtp_server")):
        return "service other needs an smtp_server, and it has none that this format has"
    result = ExportedAccount(account)
    for name, is_good in _CHECKS.items():
        value = given.get(name)
        if is_good(value) and isinstance(value, str | int):
            result.fields[name] = value
        elif value not in {None, ""} or isinstance(value, bool):
            result.remarks.append(f"{name} is left out: the server's value is not one that this format has")
    result.secret = _has_password(account)
    return result


def default_keys(accounts: Sequence[ExportedAccount]) -> Mapping[int, bool] | str:
    """Who gets a ``default`` key, by index; a reason where nobody may get one.

    One ``default: true`` says of every other account that it is not the default. That has to be so on the server.
    """
    flags = [entry.account.fields.get("default") for entry in accounts]
    chosen = [index for index, flag in enumerate(flags) if flag is True]
    if len(chosen) > 1:
        return "default is left out: the server has more than one default account"
    if chosen and any(flag is not True and flag is not False for flag in flags):
        return "default is left out: the server does not say it of every account"
    return dict.fromkeys(chosen, True)


def variable(address: str, taken: Collection[str]) -> str:
    """The environment variable for an account's password, other than those taken."""
    base = re.sub(r"[^A-Z0-9]", "_", address.upper(), flags=re.ASCII) + "_PASSWORD"
    base = f"_{base}" if base[0].isdigit() else base
    name, number = base, 1
    while name in taken:
        number += 1
        name = f"{base}_{number}"
    return name


def exact_glob(address: str) -> str:
    """A pattern that matches this address alone; where a character has no encoding, any one in its place."""
    escaped_glob = re.sub(r"([*?[])", r"[\1]", address)
    if values.is_placeholder(escaped_glob):
        escaped_glob = f"[{escaped_glob[0]}]{escaped_glob[1:]}"
    return "".join(character if is_expressible(character) else "?" for character in escaped_glob)


def comment(text: str) -> str:
    """A comment that stays one line whatever the server put into its texts."""
    return "# " + shorten(text, 200)


def _has_password(account: Account) -> bool:
    """Whether a reference leaves the account as it is: one that says has_auth by itself is left out."""
    password, has_auth = account.fields.get("password"), account.fields.get("has_auth")
    if password is UNKNOWN:
        return has_auth is True
    return isinstance(password, Secret) and bool(password) and isinstance(has_auth, bool)


def _is_address(value: object) -> bool:
    if not isinstance(value, str) or not is_expressible(value):
        return False
    try:
        return values.address(value) == value
    except InvalidValueError:
        return False


def _is_host(value: object) -> bool:
    try:
        return isinstance(value, str) and is_expressible(value) and values.host(value) == value
    except InvalidValueError:
        return False


def is_name(value: object) -> bool:
    """Whether this format has the display name."""
    try:
        return isinstance(value, str) and is_expressible(value) and values.display_name(value) == value
    except InvalidValueError:
        return False


def _is_port(value: object) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and 1 <= value <= _MOST_PORTS


def _one_of(allowed: Collection[str]) -> Callable[[object], bool]:
    return lambda value: isinstance(value, str) and value in allowed


_CHECKS: Final[Mapping[str, Callable[[object], bool]]] = {
    "email": _is_address,
    "name": is_name,
    "service": _one_of(SERVICES),
    "has_auth": lambda value: isinstance(value, bool),
    "smtp_server": _is_host,
    "smtp_port": _is_port,
    "smtp_crypt": _one_of(_CRYPTS),
    "smtp_auth_mechanism": _one_of(_MECHANISMS),
}
"""The fields that the export writes as they are, in its order, each with what the YAML takes."""
