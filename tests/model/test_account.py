from __future__ import annotations

import pytest

from reconciler.model.account import NEW_ACCOUNT, Account, Value, known, label, same
from reconciler.model.secret import UNKNOWN, Secret

HELD = Account({"email": "A@x", "name": "A", "default": True}, 7, {"color": "red"})


def test_the_address_is_compared_without_its_letter_case() -> None:
    assert (HELD.email, HELD.key) == ("A@x", "a@x")


def test_an_account_may_have_no_name() -> None:
    assert (HELD.name, Account({"email": "a@x"}).name, Account({"email": "a@x", "name": None}).name) == (
        "A",
        None,
        None,
    )


def test_only_true_makes_a_default_account() -> None:
    assert (HELD.is_default, HELD.overlaid({"default": None}).is_default, NEW_ACCOUNT.is_default) == (
        True,
        False,
        False,
    )


def test_writing_over_an_account_keeps_its_id_and_what_is_unknown_to_us() -> None:
    after = HELD.overlaid({"name": "B", "smtp_port": 25})
    assert after == Account({"email": "A@x", "name": "B", "default": True, "smtp_port": 25}, 7, {"color": "red"})


def test_what_nobody_knows_is_not_written() -> None:
    assert known({"email": "a@x", "password": UNKNOWN, "smtp_port": None}) == {"email": "a@x", "smtp_port": None}


@pytest.mark.parametrize(
    ("field", "one", "other", "expected"),
    [
        ("email", "A@x", "a@X", True),
        ("smtp_server", "MX.x", "mx.x", True),
        ("name", "A", "a", False),
        ("name", "", None, True),
        ("email", None, "a@x", False),
        ("smtp_port", 1, True, False),
        ("default", False, 0, False),
        ("default", False, None, False),
        ("password", Secret("p"), Secret("p"), True),
        ("password", Secret("p"), Secret("q"), False),
        ("password", Secret("p"), UNKNOWN, False),
        ("password", Secret("p"), "p", False),
    ],
)
def test_values_mean_the_same_or_not_whichever_comes_first(
    field: str, one: Value, other: Value, expected: bool
) -> None:
    assert (same(field, one, other), same(field, other, one)) == (expected, expected)


@pytest.mark.parametrize(
    ("account_id", "ambiguous", "expected"), [(7, True, "a@x#7"), (7, False, "a@x"), (None, True, "a@x")]
)
def test_a_label_has_the_id_where_it_is_needed_and_known(
    account_id: int | None, ambiguous: bool, expected: str
) -> None:
    assert label("a@x", account_id, ambiguous=ambiguous) == expected


def test_an_address_in_lower_case_is_its_own_key() -> None:
    account = Account({"email": "a@example.com"})
    assert account.key is account.fields["email"]
    assert Account({"email": "A@Example.com"}).key == "a@example.com"
