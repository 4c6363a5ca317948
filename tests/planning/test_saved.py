"""A reviewed plan beside a fresh one: what may be written, and what is in place already."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import pytest

from reconciler.errors import Position
from reconciler.model.account import Account
from reconciler.model.desired import Desired, DesiredAccount
from reconciler.model.secret import UNKNOWN, Secret
from reconciler.model.server import Server
from reconciler.planning.planner import PlanOptions, make_plan
from reconciler.planning.saved import compare

if TYPE_CHECKING:
    from typing import TypeAlias

    from reconciler.model.account import Value
    from reconciler.model.plan import Plan
    from reconciler.planning.saved import PlanComparison

    Found: TypeAlias = tuple[list[str], list[tuple[str, ...] | None]]

SERVER = Server("fw", "https://fw.example.com")
STORED: dict[str, Value] = {
    "email": "a@x",
    "name": "A",
    "service": "other",
    "default": False,
    "has_auth": True,
    "smtp_port": 587,
}
NEW, OTHER = Secret("new", "env NEW"), Secret("new", "env OTHER")
ROTATE = PlanOptions(rotate_passwords=True)


def stored(password: Value = None, *, updated_at: str = "2026-01-01T00:00:00Z", **fields: Value) -> Account:
    """The account on the server."""
    return Account(
        {**STORED, "password": password, **fields}, 1, created_at="2026-01-01T00:00:00Z", updated_at=updated_at
    )


def planned(declared: dict[str, Value] | None, *current: Account, options: PlanOptions = PlanOptions()) -> Plan:  # noqa: B008 - frozen
    """The plan for what is declared of ``a@x``; ``None`` if it is not."""
    entry = DesiredAccount(Account({"email": "a@x", **(declared or {})}), Position("a.yaml", 3))
    return make_plan(Desired((entry,) if declared is not None else ()), current, SERVER, options)


def found(reviewed: Plan, fresh: Plan) -> Found:
    """The addresses that are in place, and the fields of accounts that differ; ``None`` if a side is missing."""
    compared: PlanComparison = compare(reviewed.changes, fresh)
    differences = [one.in_account if one.reviewed and one.fresh else None for one in compared.differences]
    return [change.address for change in compared.in_place], differences


IN_PLACE: Found = (["a@x"], [])
DIFFERS: Found = ([], [None])


@pytest.mark.parametrize(
    ("declared", "now", "expected"),
    [
        ({"password": NEW}, stored(Secret("new")), IN_PLACE),
        ({"password": NEW}, stored(UNKNOWN), DIFFERS),
        ({"password": OTHER}, stored(Secret("new")), DIFFERS),
        ({"name": "A"}, stored(Secret("new")), DIFFERS),
    ],
    ids=["shown", "hidden", "from elsewhere", "not declared any more"],
)
def test_a_reviewed_password_is_in_place_only_if_it_was_compared(
    declared: dict[str, Value], now: Account, expected: object
) -> None:
    reviewed = planned({"password": NEW}, stored(Secret("old")))
    assert found(reviewed, planned(declared, now)) == expected


def test_a_password_to_send_again_is_not_in_place_without_the_option() -> None:
    reviewed = planned({"password": NEW}, stored(UNKNOWN), options=ROTATE)
    assert [one.field for one in reviewed.changes[0].fields] == ["password"]
    assert found(reviewed, planned({"password": NEW}, stored(UNKNOWN))) == DIFFERS


@pytest.mark.parametrize(("password", "expected"), [(None, IN_PLACE), (UNKNOWN, DIFFERS)])
def test_a_removed_password_is_in_place_only_if_it_is_seen_to_be_gone(password: Value, expected: object) -> None:
    reviewed = planned({"password": None}, stored(Secret("old")))
    fresh = planned({}, stored(password))
    assert found(reviewed, fresh) == expected


@pytest.mark.parametrize("password", [Secret("new"), UNKNOWN])
def test_a_created_account_is_in_place_although_the_server_hides_its_password(password: Value) -> None:
    declared = {name: value for name, value in STORED.items() if name != "email"} | {"password": NEW}
    assert found(planned(declared), planned(declared, stored(password))) == IN_PLACE
    assert found(planned(declared), planned(declared | {"password": OTHER}, stored(password))) == DIFFERS


@pytest.mark.parametrize("declared", [{}, {"name": "A"}])
def test_a_value_that_is_not_declared_any_more_is_not_in_place(declared: dict[str, Value]) -> None:
    assert found(planned({"name": "New"}, stored()), planned(declared, stored())) == DIFFERS


def test_a_change_that_somebody_made_is_in_place_whatever_else_has_changed() -> None:
    reviewed = planned({"name": "New"}, stored(UNKNOWN))
    now = stored(UNKNOWN, updated_at="2026-02-02T00:00:00Z", name="New", smtp_port=25)
    assert found(reviewed, planned({"name": "New"}, now)) == IN_PLACE


def test_a_change_of_an_account_that_was_created_again_is_not_in_place() -> None:
    reviewed = planned({"name": "New"}, stored())
    now = stored(name="New")._replace(created_at="2026-02-02T00:00:00Z")
    assert found(reviewed, planned({"name": "New"}, now)) == DIFFERS


@pytest.mark.parametrize(
    ("now", "names"),
    [
        (stored(smtp_port=25), ("smtp_port",)),
        (stored(name="B"), ("name",)),
        (stored()._replace(created_at="2026-01-01T00:00:01Z"), ("created_at",)),
    ],
)
@pytest.mark.parametrize("declared", [{"name": "New"}, None], ids=["update", "delete"])
def test_the_fields_and_times_that_differ_are_named(
    declared: dict[str, Value] | None, now: Account, names: tuple[str, ...]
) -> None:
    options = PlanOptions(allow_empty=True)
    reviewed, fresh = planned(declared, stored(), options=options), planned(declared, now, options=options)
    assert found(reviewed, fresh) == ([], [names])


def test_times_that_mean_the_same_or_are_unknown_do_not_differ() -> None:
    reviewed = planned({"name": "New", "password": NEW}, stored(UNKNOWN))
    for time in ("2026-01-01T00:00:00.250000+00:00", None):
        now = stored(UNKNOWN)._replace(created_at=time, updated_at=time)
        assert found(reviewed, planned({"name": "New", "password": NEW}, now)) == ([], [])


@pytest.mark.parametrize(("password", "differs"), [(UNKNOWN, [("updated_at",)]), (Secret("old"), [])])
def test_the_time_of_the_last_change_counts_if_a_hidden_password_is_overwritten(
    password: Value, differs: list[tuple[str, ...]]
) -> None:
    declared: dict[str, Value] = {"name": "New", "password": NEW}
    now = stored(password, updated_at="2026-02-02T00:00:00Z")
    assert found(planned(declared, stored(password)), planned(declared, now)) == ([], differs)


def test_passwords_that_were_not_compared_count_as_reviewed_if_their_source_is() -> None:
    plan = planned({"name": "New", "password": NEW}, stored(Secret("old")))
    (change,) = plan.changes
    reviewed = replace(change, fields=change.fields[:1])
    assert compare([reviewed], plan, []).differences == ()
    assert len(compare([reviewed], plan).differences) == 1
