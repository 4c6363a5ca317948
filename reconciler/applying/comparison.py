"""What the server has, compared with what was expected and with what was sent."""

from __future__ import annotations

import json
import re
from datetime import datetime
from typing import TYPE_CHECKING, Final

from reconciler.model.account import Account, Fields, Value, same
from reconciler.model.fields import SECRET_FIELDS
from reconciler.model.secret import UNKNOWN

if TYPE_CHECKING:
    from collections.abc import Iterable

    from reconciler.model.plan import Change

TIMES: Final = ("created_at", "updated_at")
_LONGEST: Final = 80


def moved(expected: Account, fresh: Account) -> list[str]:
    """The fields and times that are not as expected; what the server hides or leaves out cannot be compared.

    The times show what the fields do not: that a hidden password was changed, or that the id is another account's.
    """
    fields = [
        name
        for name in {**expected.fields, **fresh.fields}
        if not _same_or_hidden(name, expected.fields.get(name), fresh.fields.get(name))
    ]
    return fields + [name for name in TIMES if not same_moment(getattr(expected, name), getattr(fresh, name))]


def is_another(expected: Account, fresh: Account) -> bool:
    """Whether an account that has the id of the expected one is another one, made later."""
    return not same_moment(expected.created_at, fresh.created_at)


def same_moment(one: str | None, other: str | None) -> bool:
    """Whether two times mean the same, as far as both are known.

    A server may write a time in one way in one response and in another way in the next: with milliseconds or without.
    """
    if one is None or other is None or one == other:
        return True
    try:
        moments = [datetime.fromisoformat(text) for text in (one, other)]
    except ValueError:
        return False
    if len({moment.tzinfo is None for moment in moments}) > 1:
        return False
    digits = min(_digits(text) for text in (one, other))
    unit = 10 ** (6 - digits)
    first, second = (moment.replace(microsecond=moment.microsecond // unit * unit) for moment in moments)
    return first == second


def _digits(text: str) -> int:
    """How many decimals the seconds of a time have; none if all are zero, which may mean that they are unknown."""
    found = re.search(r"[.,](\d{1,6})", text)
    return len(found[1]) if found and found[1].strip("0") else 0


def lost(sent: Fields, answer: Account) -> list[str]:
    """The fields that the server did not keep; a secret that it does not show cannot be compared."""
    return [
        name
        for name, value in sent.items()
        if not (name in SECRET_FIELDS and answer.fields.get(name, UNKNOWN) is UNKNOWN)
        and not same(name, value, answer.fields.get(name))
    ]


def shown(names: Iterable[str], account: Account) -> str:
    """Fields with what the account has in them, for a report; a secret is only named."""
    return ", ".join(
        name if name in SECRET_FIELDS else f"{name} (it has {_shortened(account.fields.get(name))})" for name in names
    )


def _shortened(value: Value) -> str:
    text = json.dumps(value, ensure_ascii=False)
    return text if len(text) <= _LONGEST else f"{text[:_LONGEST]}…"


def sends_unseen_password(change: Change, fresh: Account) -> bool:
    """Whether the change is about a password that the server hides, so that nothing can tell if it is in place."""
    return fresh.fields.get("password") is UNKNOWN and any(one.field == "password" for one in change.fields)


def shows(fresh: Account, managed: Fields) -> bool:
    """Whether everything declared can be compared with what the server shows."""
    return not (managed.get("password") and fresh.fields.get("password") is UNKNOWN)


def _same_or_hidden(name: str, one: object, other: object) -> bool:
    return UNKNOWN in (one, other) or same(name, one, other)  # type: ignore[arg-type]
