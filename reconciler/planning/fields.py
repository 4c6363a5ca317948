"""Which fields of an account differ: the only module that compares accounts, for the plan and around a write.

Both sides are normalised once, so that values that mean the same are equal: secrets as fingerprints, addresses and
hosts as identities, an empty string as null. ``==`` finds the accounts that differ, and DeepDiff finds their fields.
"""

from __future__ import annotations

import os
import re
import sys
from datetime import datetime
from functools import lru_cache
from hashlib import blake2b
from typing import TYPE_CHECKING, Final

from reconciler.model.account import Account, Fields, Value, identity, nfc
from reconciler.model.display import display_value
from reconciler.model.fields import CASELESS_FIELDS, FIELDS, SECRET_FIELDS
from reconciler.model.plan import FieldChange
from reconciler.model.secret import UNKNOWN, Secret, SecretReference

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable

TIMES: Final = ("created_at", "updated_at")
_RUN_KEY: Final = os.urandom(32)
_REMEMBERED: Final = 1024


def changed_fields(current: Account, managed: Fields) -> tuple[FieldChange, ...]:
    """The managed fields that differ, in the order of ``FIELDS``.

    A field that the server does not show counts as null; a password that cannot be compared counts as unchanged.

    Args:
        current: The account on the server.
        managed: The declared fields; one that is absent is not managed.
    """
    if managed.items() <= current.fields.items():  # most accounts are as they are declared
        return ()
    return field_changes(current.fields, managed, _different(current.fields, managed, managed))


def is_different(current: Account, managed: Fields) -> bool:
    """Whether any managed field differs."""
    before, after = _normalized_sides(current.fields, managed, managed)
    return before != after


def field_changes(before: Fields | None, after: Fields, names: Collection[str]) -> tuple[FieldChange, ...]:
    """The named fields as changes, in the order of ``FIELDS``; ``before`` is ``None`` for a create."""
    if not names:
        return ()
    return tuple(
        FieldChange(name, before.get(name) if before else None, after.get(name)) for name in FIELDS if name in names
    )


def target_account(current: Account, managed: Fields, changes: Iterable[FieldChange]) -> Account:
    """The account that a write asks for: ``current`` with the declared values over it.

    A declared value that is not among the changes means the same as the server's. The server's spelling of it stays,
    so that nothing is written that the plan does not show. A password that cannot be compared is always written.
    """
    have = current.fields
    changed = {change.field for change in changes}
    return current.with_fields(
        {
            name: value
            for name, value in managed.items()
            if name in changed or name not in have or is_hidden(value) or is_hidden(have[name])
        }
    )


def is_hidden(value: Value) -> bool:
    """Whether a value cannot be compared: the server hides it, or only the reference to the secret is known."""
    return value is UNKNOWN or isinstance(value, SecretReference)


def changed_since(expected: Account, fresh: Account) -> list[str]:
    """The fields and times that are not as expected. A hidden password and a time that is left out count as expected.

    The times show what the fields do not: that a hidden password was changed, or that the id is another account's.
    """
    found = _different(expected.fields, fresh.fields, {**expected.fields, **fresh.fields})
    times = [name for name in TIMES if not is_same_moment(getattr(expected, name), getattr(fresh, name))]
    return [*(name for name in FIELDS if name in found), *times]


def changed_by_others(expected: Account, fresh: Account, *, promotes: bool, ours: bool) -> list[str]:
    """As ``changed_since``, without what a run that promotes another account has cleared.

    ``ours``: ``expected`` is the response to a write of the run, and a field missing from it is unknown.
    """
    demoted = promotes and expected.is_default and not fresh.is_default
    return [
        name
        for name in changed_since(expected, fresh)
        if not (demoted and name in {"default", "updated_at"})
        and (not ours or name in TIMES or name in expected.fields)
    ]


def not_kept(sent: Fields, response: Account) -> list[str]:
    """The fields that the server did not keep; a secret that it does not show cannot be compared."""
    found = _different(sent, {**dict.fromkeys(SECRET_FIELDS, UNKNOWN), **response.fields}, sent)
    return [name for name in FIELDS if name in found]


def can_compare(fresh: Account, managed: Fields) -> bool:
    """Whether everything declared can be compared with what the server shows."""
    return not (managed.get("password") and fresh.fields.get("password") is UNKNOWN)


def is_recreated(expected: Account, fresh: Account) -> bool:
    """Whether the account with the expected id is another one, created later."""
    return not is_same_moment(expected.created_at, fresh.created_at)


def is_same_moment(one: str | None, other: str | None) -> bool:
    """Whether two times are the same, to the precision of the less precise one; an unknown time equals any other.

    A server may write one time with milliseconds in one response and without them in the next.
    """
    if one is None or other is None or one == other:
        return True
    try:
        moments = [datetime.fromisoformat(text) for text in (one, other)]
    except ValueError:
        return False
    if len({moment.tzinfo is None for moment in moments}) > 1:
        return False
    unit = 10 ** (6 - min(_decimals(text) for text in (one, other)))
    first, second = (moment.replace(microsecond=moment.microsecond // unit * unit) for moment in moments)
    return first == second


def describe_fields(names: Iterable[str], account: Account) -> str:
    """Fields with their values in the account, for a report; a secret is only named."""
    return ", ".join(
        name if name in SECRET_FIELDS else f"{name} (it has {display_value(account.fields.get(name))})"
        for name in names
    )


def normalized(name: str, value: Value) -> object:
    """The value of a field, equal to all values that mean the same; a secret as a fingerprint of this process.

    Strings are interned: DeepDiff looks no further at two values that are the same object.
    """
    if isinstance(value, str):
        if name in CASELESS_FIELDS:
            value = identity(value)
        elif name == "name":
            value = nfc(value)
        return sys.intern(value) or None
    if isinstance(value, Secret):
        # Not hmac.digest: it lets other threads run for each value, and a fleet's threads then wait for each other.
        return sys.intern(blake2b(value.encoded(), key=_RUN_KEY, digest_size=32).hexdigest())
    return str(value) if isinstance(value, bool) else value  # in Python, True equals 1


def _different(before: Fields, after: Fields, names: Collection[str]) -> Collection[str]:
    """The names of the fields that differ."""
    left, right = _normalized_sides(before, after, names)
    return () if left == right else _different_keys(tuple(left.items()), tuple(right.items()))


@lru_cache(_REMEMBERED)
def _different_keys(left: tuple[tuple[str, object], ...], right: tuple[tuple[str, object], ...]) -> Collection[str]:
    """The names with different values. A fleet, or a change of many accounts, asks for the same ones many times."""
    from deepdiff import DeepDiff

    # The tree is how DeepDiff finds the differences; making any other view from it takes time.
    found = DeepDiff(dict(left), dict(right), threshold_to_diff_deeper=0, view="tree").affected_root_keys
    return frozenset(found)


def _normalized_sides(
    before: Fields, after: Fields, names: Collection[str]
) -> tuple[dict[str, object], dict[str, object]]:
    """The named fields of both sides, except those that are equal as they are, and a secret that either side hides."""
    if any(is_hidden(before.get(secret)) or is_hidden(after.get(secret)) for secret in SECRET_FIELDS):
        names = [name for name in names if name not in SECRET_FIELDS]
    unequal = [
        (name, one, other)
        for name in names
        if (one := before.get(name)) != (other := after.get(name)) or type(one) is not type(other)
    ]
    left = {name: normalized(name, one) for name, one, _ in unequal}
    right = {name: normalized(name, other) for name, _, other in unequal}
    return left, right


def _decimals(text: str) -> int:
    """How many decimals the seconds of a time have; none if all are zero, which may mean that they are unknown."""
    found = re.search(r"[.,](\d{1,6})", text)
    return len(found[1]) if found and found[1].strip("0") else 0
