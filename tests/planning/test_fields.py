from __future__ import annotations

from typing import TYPE_CHECKING, Any

import deepdiff
import pytest

from reconciler.model.account import Account
from reconciler.model.plan import FieldChange
from reconciler.model.secret import UNKNOWN, Secret
from reconciler.planning import fields
from reconciler.planning.fields import (
    changed_fields,
    changed_since,
    describe_fields,
    field_changes,
    is_different,
    is_same_moment,
    normalized,
    not_kept,
    target_account,
)
from tests.support.fake_server import account

if TYPE_CHECKING:
    from collections.abc import Iterator

    from reconciler.model.account import Fields, Value

HELD = account("a@x", 1, name="A", smtp_server="Mail.X", smtp_port=25, password=Secret("p"))


@pytest.fixture(autouse=True)
def _nothing_compared_before() -> Iterator[None]:
    """What was compared is remembered in the process, so each test starts and ends without any of it."""
    fields._different_keys.cache_clear()
    yield
    fields._different_keys.cache_clear()


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("email", "A@X"),
        ("smtp_server", "mail.x"),
        ("smtp_port", 25),
        ("smtp_crypt", None),
        ("smtp_crypt", ""),
        ("password", Secret("p")),
    ],
)
def test_equivalent_values_are_not_differences(field: str, value: Value) -> None:
    assert changed_fields(HELD, {field: value}) == ()
    with_another = changed_fields(HELD, {field: value, "name": "B"})
    assert with_another == (FieldChange("name", "A", "B"),)


@pytest.mark.parametrize(
    ("field", "value", "before"),
    [
        ("email", "b@x", "a@x"),
        ("name", "a", "A"),
        ("smtp_port", 26, 25),
        ("smtp_port", None, 25),
        ("smtp_server", "", "Mail.X"),
        ("default", True, False),
        ("password", Secret("q"), Secret("p")),
        ("password", None, Secret("p")),
    ],
)
def test_other_values_are_differences(field: str, value: Value, before: Value) -> None:
    assert changed_fields(HELD, {field: value}) == (FieldChange(field, before, value),)


def test_undeclared_fields_are_not_compared() -> None:
    assert changed_fields(HELD, {}) == ()


def test_a_field_missing_from_the_response_counts_as_null() -> None:
    bare = account("a@x", 1)
    held = type(bare)({"email": "a@x"}, 1)
    assert changed_fields(held, {"smtp_port": None}) == ()
    assert changed_fields(held, {"smtp_port": 25}) == (FieldChange("smtp_port", None, 25),)


def test_a_hidden_password_counts_as_unchanged() -> None:
    held = HELD.with_fields({"password": UNKNOWN})
    assert changed_fields(held, {"password": Secret("q")}) == ()
    assert changed_fields(held, {"password": Secret("q"), "name": "B"}) == (FieldChange("name", "A", "B"),)


def test_differences_are_in_the_order_of_the_field_table() -> None:
    found = changed_fields(HELD, {"smtp_port": 1, "name": "B", "email": "b@x"})
    assert [one.field for one in found] == ["email", "name", "smtp_port"]


def test_deepdiff_never_sees_a_secret(monkeypatch: pytest.MonkeyPatch) -> None:
    seen: list[str] = []
    original = deepdiff.DeepDiff

    def watching(*values: Any, **options: Any) -> Any:  # noqa: ANN401 - DeepDiff's own
        found = original(*values, **options)
        seen.append(f"{values} {found} {found.to_json()}")
        return found

    monkeypatch.setattr(deepdiff, "DeepDiff", watching)
    held = HELD.with_fields({"password": Secret("canary-before")})
    assert changed_fields(held, {"password": Secret("canary-after")})
    assert len(seen) == 1
    assert "canary" not in seen[0]


def test_deepdiff_sees_the_same_two_sides_once(monkeypatch: pytest.MonkeyPatch) -> None:
    seen: list[object] = []
    original = deepdiff.DeepDiff

    def watching(*values: Any, **options: Any) -> Any:  # noqa: ANN401 - DeepDiff's own
        seen.append(values)
        return original(*values, **options)

    monkeypatch.setattr(deepdiff, "DeepDiff", watching)
    other = account("b@x", 2, name="B", smtp_port=25)
    for current in (HELD, other):
        assert changed_fields(current, {"smtp_port": 26}) == (FieldChange("smtp_port", 25, 26),)
    assert len(seen) == 1


def test_deepdiff_alone_says_which_fields_differ(monkeypatch: pytest.MonkeyPatch) -> None:
    class FindsTheName:
        def __init__(self, *_values: object, **_options: object) -> None:
            self.affected_root_keys = ["name"]

    monkeypatch.setattr(deepdiff, "DeepDiff", FindsTheName)
    fresh = HELD.with_fields({"smtp_port": 26})
    assert changed_fields(HELD, {"smtp_port": 26}) == (FieldChange("name", "A", None),)
    assert (changed_since(HELD, fresh), not_kept({"smtp_port": 26}, HELD)) == (["name"], ["name"])


def test_whether_an_account_differs_is_known_without_deepdiff(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(deepdiff, "DeepDiff", None)
    assert is_different(HELD, {"smtp_port": 26})
    assert not is_different(HELD, {"smtp_port": 25, "email": "A@X"})
    assert changed_fields(HELD, {"smtp_port": 25, "email": "A@X"}) == ()


def test_passwords_that_are_not_utf8_are_compared_too() -> None:
    held = HELD.with_fields({"password": Secret("\udcff")})
    assert changed_fields(held, {"password": Secret("\udcff")}) == ()
    assert [one.field for one in changed_fields(held, {"password": Secret("\udcfe")})] == ["password"]


def target(current: Account, managed: Fields) -> Account:
    return target_account(current, managed, changed_fields(current, managed))


def test_a_write_keeps_the_servers_spelling_of_equivalent_values() -> None:
    after = target(HELD, {"email": "A@X", "smtp_server": "mail.x", "smtp_crypt": "", "name": "B"})
    assert after == HELD.with_fields({"name": "B"})


def test_a_write_sends_the_declared_password_if_the_server_hides_it() -> None:
    held = HELD.with_fields({"password": UNKNOWN})
    assert target(held, {"password": Secret("q")}).fields["password"] == Secret("q")
    assert target(held, {}).fields["password"] is UNKNOWN


def test_the_fields_of_a_create_have_no_value_before() -> None:
    assert field_changes(None, {"name": "A", "email": "a@x"}, ["name", "email"]) == (
        FieldChange("email", None, "a@x"),
        FieldChange("name", None, "A"),
    )


@pytest.mark.parametrize(
    ("field", "one", "other", "expected"),
    [
        ("email", "A@x", "a@X", True),
        ("smtp_server", "MX.x", "mx.x", True),
        ("email", "info@b\u00fccher.example", "info@xn--bcher-kva.example", True),
        ("email", "info@strasse.example", "info@stra\u00dfe.example", False),
        ("smtp_server", "mail.b\u00fccher.example", "MAIL.XN--BCHER-KVA.example", True),
        ("name", "A", "a", False),
        ("name", "Jos\u00e9", "Jose\u0301", True),
        ("service", "Jos\u00e9", "Jose\u0301", False),
        ("password", Secret("\u00e9"), Secret("e\u0301"), False),
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
def test_values_that_mean_the_same_are_equal_once_normalized(
    field: str, one: Value, other: Value, *, expected: bool
) -> None:
    assert (normalized(field, one) == normalized(field, other)) is expected


@pytest.mark.parametrize(
    ("one", "other", "same"),
    [
        ("2026-01-01T00:00:00Z", "2026-01-01T00:00:00Z", True),
        ("2026-01-01T00:00:00Z", None, True),
        (None, None, True),
        ("2026-01-01T00:00:00Z", "2026-01-01T00:00:01Z", False),
        ("2018-12-13T12:20:02.932000+00:00", "2018-12-13T12:20:02.000Z", True),
        ("2018-12-13T12:20:02.932000+00:00", "2018-12-13T12:20:02.932Z", True),
        ("2018-12-13T12:20:02.932+00:00", "2018-12-13T13:20:02.932+01:00", True),
        ("2018-12-13T12:20:02.932Z", "2018-12-13T12:20:02.933Z", False),
        ("2018-12-13T12:20:02Z", "2018-12-13T12:20:03.100Z", False),
        ("2018-12-13T12:20:02", "2018-12-13T12:20:02Z", False),
        ("1544703602", "1544703603", False),
        ("yesterday", "today", False),
    ],
)
def test_times_are_compared_to_the_lower_precision(one: str | None, other: str | None, *, same: bool) -> None:
    assert is_same_moment(one, other) is same
    assert is_same_moment(other, one) is same


def test_described_values_are_shortened_and_never_a_password() -> None:
    account = Account({"email": "a@x", "name": "n" * 500, "password": Secret("p"), "smtp_port": None})
    names = ["name", "password", "smtp_port", "service"]
    long = "n" * 200
    assert describe_fields(names, account) == (
        f'name (it has "{long}"... (500 characters)), password, smtp_port (it has null), service (it has null)'
    )
