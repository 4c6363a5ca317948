"""Writes accounts the way the server at hand reads them."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Final

from reconciler.client.wire import SPELLINGS
from reconciler.model.secret import Secret, SecretReference, Unknown

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping

    from reconciler.client.forms import WireAccount
    from reconciler.model.account import Account, Fields, Value

_ORDER: Final = (
    "default",
    "name",
    "email",
    "service",
    "has_auth",
    "password",
    "smtp_server",
    "smtp_port",
    "smtp_crypt",
    "smtp_auth_mechanism",
)
"""The order of the vendor's examples."""


class Dialect:
    """Which of ``hash_auth`` and ``has_auth`` the server speaks, learned from its answers; both until known.

    Safe for threads: what is learned is only ever replaced as a whole, and two that learn at once learn the same.
    """

    def __init__(self) -> None:
        self._spoken: frozenset[str] = frozenset()

    def learn(self, answers: Collection[WireAccount]) -> None:
        """Takes note of the spellings in ``answers``."""
        self._spoken |= {name for name in SPELLINGS if any(name in wire for wire in answers)}

    def created(self, fields: Fields) -> bytes:
        """The body that creates an account: what is ``None`` is left out."""
        return _json(self._spelled({name: value for name, value in fields.items() if value is not None}))

    def updated(self, account: Account) -> bytes:
        """The body that replaces an account: what is ``None`` is cleared, what is not ours goes back as it came."""
        return _json({**self._spelled(account.fields), **account.extra})

    def tested(self, fields: Fields, to_email: str) -> bytes:
        """The body that tries settings."""
        given = {name: value for name, value in fields.items() if value is not None}
        return _json({**self._spelled(given), "to_email": to_email})

    def _spelled(self, fields: Fields) -> dict[str, object]:
        spellings = self._spoken or frozenset(SPELLINGS)
        body: dict[str, object] = {}
        for name in _ORDER:
            if name not in fields:
                continue
            names = [each for each in SPELLINGS if each in spellings] if name == "has_auth" else [name]
            body.update(dict.fromkeys(names, _plain(name, fields[name])))
        return body


def _plain(name: str, value: Value) -> object:
    if isinstance(value, Secret):
        return value.reveal()
    if isinstance(value, Unknown | SecretReference):
        raise TypeError(f"{name} has no value that could be sent")
    return value


def _json(body: Mapping[str, object]) -> bytes:
    return json.dumps(body).encode()
