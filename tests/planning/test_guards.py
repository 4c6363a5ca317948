from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from reconciler.model.desired import DeleteLimit
from reconciler.planning.guards import check_guards
from tests.support.strategies import BOUNDED

PERCENT = DeleteLimit(30, percent=True)


def kinds(deletes: int, managed: int, limit: DeleteLimit = PERCENT, *, allow_empty: bool = False) -> list[str]:
    return [one.kind for one in check_guards(deletes=deletes, managed=managed, limits=[limit], allow_empty=allow_empty)]


@pytest.mark.parametrize(
    ("deletes", "managed", "limit", "expected"),
    [
        (0, 0, PERCENT, []),
        (0, 10, DeleteLimit(0, percent=True), []),
        (1, 2, PERCENT, []),
        (1, 2, DeleteLimit(0, percent=False), ["guard_max_deletes"]),
        (1, 200, DeleteLimit(0, percent=True), ["guard_max_deletes"]),
        (2, 6, PERCENT, ["guard_max_deletes"]),
        (3, 10, PERCENT, []),
        (4, 10, PERCENT, ["guard_max_deletes"]),
        (3, 10, DeleteLimit(2, percent=False), ["guard_max_deletes"]),
        (2, 10, DeleteLimit(2, percent=False), []),
        (1, 1, PERCENT, ["guard_empty"]),
        (5, 5, PERCENT, ["guard_empty", "guard_max_deletes"]),
        (5, 5, DeleteLimit(100, percent=True), ["guard_empty"]),
    ],
)
def test_the_guard_refuses(deletes: int, managed: int, limit: DeleteLimit, expected: list[str]) -> None:
    assert kinds(deletes, managed, limit) == expected


def test_deleting_everything_can_be_allowed() -> None:
    assert kinds(1, 1, allow_empty=True) == []


def test_a_refusal_names_the_numbers_and_the_option() -> None:
    (refusal,) = check_guards(deletes=4, managed=10, limits=[PERCENT], allow_empty=False)
    assert refusal.message == "the plan deletes 4 of 10 accounts; the limit is 30%"
    assert refusal.hint.endswith("`--max-deletes 4` permits it for this run")


@given(st.integers(0, 50), st.integers(0, 50), st.integers(0, 100), st.booleans())
@BOUNDED
def test_an_allowed_plan_is_within_the_limit(deletes: int, more: int, amount: int, percent: bool) -> None:
    managed = deletes + more
    if not kinds(deletes, managed, DeleteLimit(amount, percent=percent), allow_empty=True):
        limit = amount * managed / 100 if percent else amount
        assert deletes <= limit or (deletes == 1 and amount > 0)
