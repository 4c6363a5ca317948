"""What the server has, held against what was expected and against what was sent."""

from __future__ import annotations

from typing import TYPE_CHECKING

from reconciler.model.account import SENSITIVE, Account, Fields, same
from reconciler.model.secret import UNKNOWN

if TYPE_CHECKING:
    from reconciler.model.change import Change


def moved(expected: Account, fresh: Account) -> list[str]:
    """The fields that are not as expected; what the server hides cannot be compared."""
    return [
        name
        for name in {**expected.fields, **fresh.fields}
        if not _same_or_hidden(name, expected.fields.get(name), fresh.fields.get(name))
    ]


def lost(sent: Fields, answer: Account) -> list[str]:
    """The fields that the server did not keep; a secret that it does not show cannot be compared."""
    return [
        name
        for name, value in sent.items()
        if not (name in SENSITIVE and answer.fields.get(name, UNKNOWN) is UNKNOWN)
        and not same(name, value, answer.fields.get(name))
    ]


def sends_unseen_password(change: Change, fresh: Account) -> bool:
    """Whether the change is about a password that the server hides, so that nothing can tell if it is in place."""
    return fresh.fields.get("password") is UNKNOWN and any(one.field == "password" for one in change.fields)


def shows(fresh: Account, managed: Fields) -> bool:
    """Whether everything declared can be compared with what the server shows."""
    return not (managed.get("password") and fresh.fields.get("password") is UNKNOWN)


def _same_or_hidden(name: str, one: object, other: object) -> bool:
    return UNKNOWN in (one, other) or same(name, one, other)  # type: ignore[arg-type]
