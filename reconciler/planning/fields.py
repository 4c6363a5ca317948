"""What differs between a declaration and the account it means, field by field."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Final

from reconciler.model.account import Account, Fields, Value, comparable, same
from reconciler.model.fields import FIELDS
from reconciler.model.plan import FieldChange
from reconciler.model.secret import UNKNOWN, Secret, SecretReference

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

_RUN_KEY: Final = os.urandom(32)


def differing(current: Account, managed: Fields) -> tuple[FieldChange, ...]:
    """The managed fields that differ, in the order of ``FIELDS``.

    A field that the server does not show counts as ``None``; a hidden password counts as unchanged. Most accounts do
    not differ: those that have every declared value are told at once, others by ``same``, field by field; what differs
    in those fields is DeepDiff's to say.

    Args:
        current: The account on the server.
        managed: The declared fields; one that is absent is not managed.
    """
    if managed.items() <= current.fields.items():
        return ()
    names = list(_unlike(current.fields, managed))
    return _diff(current.fields, managed, names) if names else ()


def differs(current: Account, managed: Fields) -> bool:
    """Whether any managed field differs; for who need not know which."""
    return any(True for _ in _unlike(current.fields, managed))


def towards(current: Account, managed: Fields) -> Account:
    """The account that a write asks for: ``current`` with the declared values over it.

    Where a declared value counts as the same, the server's spelling stays, so that nothing is written that the plan
    does not show. A hidden password gives way to the declared one: a write needs it.
    """
    have = current.fields
    return current.with_fields(
        {name: value for name, value in managed.items() if name not in have or not same(name, have[name], value)}
    )


def changes_of(before: Fields | None, after: Fields, names: Iterable[str]) -> tuple[FieldChange, ...]:
    """The named fields as changes, in the order of ``FIELDS``; ``before`` is ``None`` for a create."""
    wanted = set(names)
    return tuple(
        FieldChange(name, before.get(name) if before else None, after.get(name)) for name in FIELDS if name in wanted
    )


def withheld(wanted: Value) -> bool:
    """Whether a declared value is not to be compared: a secret of which only the reference is known."""
    return isinstance(wanted, SecretReference)


def _unlike(have: Fields, managed: Fields) -> Iterator[str]:
    for name, wanted in managed.items():
        value = have.get(name)
        if value != wanted and value is not UNKNOWN and not same(name, value, wanted) and not withheld(wanted):
            yield name


def _diff(have: Fields, managed: Fields, names: Sequence[str]) -> tuple[FieldChange, ...]:
    from deepdiff import DeepDiff

    found = DeepDiff(
        {name: _comparable(name, have.get(name)) for name in names},
        {name: _comparable(name, managed[name]) for name in names},
        threshold_to_diff_deeper=0,
        view="tree",  # as it was found, without the time that another form takes
    )
    return changes_of(have, managed, found.affected_root_keys)


def _comparable(name: str, value: Value) -> Value:
    """The value as DeepDiff gets it, equal exactly where ``same`` says so.

    A secret goes in only as a fingerprint that means nothing outside this process.
    """
    if isinstance(value, Secret):
        import hmac

        return hmac.digest(_RUN_KEY, value.encoded(), "sha256").hex()
    return comparable(name, value)
