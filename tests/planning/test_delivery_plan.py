from __future__ import annotations

from typing import Any

import pytest

from reconciler.errors import PlanError
from reconciler.model.account import ACCOUNT_DEFAULTS, NO_GLOBS
from reconciler.model.desired import DeliveryTestSettings, Desired, Policy
from reconciler.model.plan import DeliveryTest
from reconciler.model.secret import UNKNOWN, Secret
from reconciler.planning.delivery_plan import plan_delivery_tests
from tests.support.declarations import POSITION, declare, globs, said
from tests.support.fake_server import account

POLICY = Policy(test=DeliveryTestSettings(None, "ops@x"), ignore=globs("i-*"))
HELD = [account("b@x", 2, smtp_port=25), account("a@x", 1), account("i-1@x", 3)]


def tried(*desired: Any, only: Any = NO_GLOBS, to: str | None = None, held: Any = HELD, policy: Policy = POLICY) -> Any:  # noqa: ANN401 - brevity
    return plan_delivery_tests(Desired(desired, policy), held, only=only, to_email=to)


def test_tests_use_declared_settings_and_are_sorted_by_address() -> None:
    new = ACCOUNT_DEFAULTS.with_fields({"email": "n@x", "name": "N"})
    assert tried(declare("n@x", name="N"), declare("B@x", smtp_port=587)) == (
        DeliveryTest(
            address="B@x",
            fields=HELD[0].with_fields({"smtp_port": 587}).fields,
            to_email="ops@x",
            id=2,
            position=POSITION,
        ),
        DeliveryTest(
            address="n@x",
            fields=new.fields,
            to_email="ops@x",
            position=POSITION,
        ),
    )


@pytest.mark.parametrize(
    ("option", "own", "expected"), [(None, None, "ops@x"), (None, "own@x", "own@x"), ("me@x", "own@x", "me@x")]
)
def test_the_most_specific_recipient_wins(option: str | None, own: str | None, expected: str) -> None:
    (trial,) = tried(declare("a@x", test=DeliveryTestSettings(None, own)), to=option)
    assert trial.to_email == expected


def test_only_narrows_delivery_tests_and_their_problems() -> None:
    twice = [*HELD, account("b@x", 4)]
    assert [one.address for one in tried(declare("a@x"), declare("b@x"), only=globs("a@*"), held=twice)] == ["a@x"]


def test_only_finds_a_renamed_account_by_its_former_address_and_shows_its_problems() -> None:
    twice = [*HELD, account("b@x", 4)]
    with pytest.raises(PlanError, match="the server has b@x 2 times"):
        tried(declare("n@x", renamed_from="b@x"), only=globs("b@x"), held=twice)


def test_only_addresses_declared_twice_carry_the_id() -> None:
    twice = [*HELD, account("b@x", 4)]
    trials = tried(declare("a@x", 1), declare("b@x", 4), declare("b@x", 2), held=twice)
    assert [(one.address, one.id) for one in trials] == [("a@x", 1), ("b@x#2", 2), ("b@x#4", 4)]


def test_all_problems_are_reported_at_once() -> None:
    held = [account("a@x", 1, password=Secret("p")), account("b@x", 2), account("b@x", 3)]
    with pytest.raises(PlanError) as raised:
        tried(declare("b@x"), declare("a@x", smtp_port=1), declare("n@x", has_auth=True), held=held, policy=Policy())
    problems = said(raised.value.problems)
    assert problems[-1] == "test_without_address: a@x and 1 more are to be tested, but there is no address to send to"
    assert [one.partition(":")[0] for one in problems] == [
        "ambiguous_address",
        "secret_destination",
        "password_missing",
        "test_without_address",
    ]


def test_a_list_without_identities_is_an_error() -> None:
    with pytest.raises(PlanError, match="with the id of another account"):
        tried(declare("a@x"), held=[account("a@x", 1), account("b@x", 1)])


def test_a_hidden_password_is_left_for_the_delivery_test_to_report() -> None:
    held = [account("a@x", 1, has_auth=True, password=UNKNOWN)]
    (trial,) = tried(declare("a@x"), held=held)
    assert trial.fields["password"] is UNKNOWN


def test_a_pin_to_an_account_that_others_own_is_refused() -> None:
    policy = Policy(test=POLICY.test, own=globs("a@*"))
    with pytest.raises(PlanError, match=r"a@x is pinned to id 2, but b@x is outside `policy\.own`"):
        tried(declare("a@x", 2), policy=policy)
