from __future__ import annotations

from typing import TYPE_CHECKING, Any

import deepdiff
import pytest

from reconciler.model.plan import FieldChange
from reconciler.model.secret import UNKNOWN, Secret
from reconciler.planning.fields import changes_of, differing, towards
from tests.support.fake_server import account

if TYPE_CHECKING:
    from reconciler.model.account import Value

HELD = account("a@x", 1, name="A", smtp_server="Mail.X", smtp_port=25, password=Secret("p"))


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
def test_these_are_no_differences(field: str, value: Value) -> None:
    assert differing(HELD, {field: value}) == ()
    with_another = differing(HELD, {field: value, "name": "B"})
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
def test_these_are_differences(field: str, value: Value, before: Value) -> None:
    assert differing(HELD, {field: value}) == (FieldChange(field, before, value),)


def test_what_is_not_declared_is_not_compared() -> None:
    assert differing(HELD, {}) == ()


def test_a_field_that_the_server_does_not_show_counts_as_empty() -> None:
    bare = account("a@x", 1)
    held = type(bare)({"email": "a@x"}, 1)
    assert differing(held, {"smtp_port": None}) == ()
    assert differing(held, {"smtp_port": 25}) == (FieldChange("smtp_port", None, 25),)


def test_a_hidden_password_counts_as_unchanged_also_beside_another_difference() -> None:
    held = HELD.with_fields({"password": UNKNOWN})
    assert differing(held, {"password": Secret("q")}) == ()
    assert differing(held, {"password": Secret("q"), "name": "B"}) == (FieldChange("name", "A", "B"),)


def test_differences_come_in_the_order_of_the_fields() -> None:
    found = differing(HELD, {"smtp_port": 1, "name": "B", "email": "b@x"})
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
    assert differing(held, {"password": Secret("canary-after")})
    assert len(seen) == 1
    assert "canary" not in seen[0]


def test_a_password_that_is_not_utf8_is_compared_like_any_other() -> None:
    held = HELD.with_fields({"password": Secret("\udcff")})
    assert differing(held, {"password": Secret("\udcff")}) == ()
    assert [one.field for one in differing(held, {"password": Secret("\udcfe")})] == ["password"]


def test_a_write_keeps_the_servers_spelling_of_what_counts_as_the_same() -> None:
    after = towards(HELD, {"email": "A@X", "smtp_server": "mail.x", "smtp_crypt": "", "name": "B"})
    assert after == HELD.with_fields({"name": "B"})


def test_a_write_takes_the_declared_password_where_the_server_hides_it() -> None:
    held = HELD.with_fields({"password": UNKNOWN})
    assert towards(held, {"password": Secret("q")}).fields["password"] == Secret("q")
    assert towards(held, {}).fields["password"] is UNKNOWN


def test_the_fields_of_a_create_have_nothing_before() -> None:
    assert changes_of(None, {"name": "A", "email": "a@x"}, ["name", "email"]) == (
        FieldChange("email", None, "a@x"),
        FieldChange("name", None, "A"),
    )
