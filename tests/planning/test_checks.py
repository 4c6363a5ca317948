from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING

import pytest

from reconciler.errors import PlanError
from reconciler.model.account import Account, Globs
from reconciler.model.desired import DeleteLimit, Desired, DesiredAccount
from reconciler.model.plan import Action, Change
from reconciler.model.secret import UNKNOWN, Secret
from reconciler.model.trust import Limits, Trust
from reconciler.planning.checks import taken_addresses
from reconciler.planning.delivery_plan import plan_delivery_tests
from tests.support.declarations import POSITION, declare, plan_of
from tests.support.fake_server import account

if TYPE_CHECKING:
    from reconciler.model.account import Fields

KNOWN = account("a@x", 1, has_auth=True, password=Secret("p"), smtp_server="mx.x", smtp_port=25, smtp_crypt="none")
CRAM = KNOWN.with_fields({"smtp_auth_mechanism": "cram-md5"})
HIDDEN = KNOWN.with_fields({"password": UNKNOWN})
UNUSED = KNOWN.with_fields({"password": UNKNOWN, "has_auth": False})
OPEN = account("a@x", 1, smtp_server="mx.x")
NEW = Secret("new")


@pytest.mark.parametrize(
    ("held", "fields", "kinds"),
    [
        # A stored password stays where its owner sent it.
        (KNOWN, {"smtp_server": "evil.x"}, ["secret_destination"]),
        (KNOWN, {"smtp_port": 26}, ["secret_destination"]),
        (KNOWN, {"smtp_crypt": "starttls"}, ["secret_destination"]),
        (KNOWN, {"service": "gmail"}, ["secret_destination"]),
        (KNOWN, {"smtp_server": "evil.x", "has_auth": False}, ["secret_destination"]),
        (KNOWN, {"smtp_server": "evil.x", "password": NEW}, []),
        (KNOWN, {"smtp_server": "evil.x", "password": None, "has_auth": False}, []),
        (KNOWN, {"smtp_server": "MX.X"}, []),
        (KNOWN, {"name": "N"}, []),
        (OPEN, {"smtp_server": "other.x"}, []),
        # Nor may it be sent in a weaker way than its owner chose.
        (CRAM, {"smtp_auth_mechanism": "plain"}, ["secret_destination"]),
        (CRAM, {"smtp_auth_mechanism": "login"}, ["secret_destination"]),
        (CRAM, {"smtp_auth_mechanism": None}, ["secret_destination"]),
        (CRAM, {"smtp_auth_mechanism": "plain", "password": NEW}, []),
        (CRAM, {"smtp_auth_mechanism": "cram-md5", "name": "N"}, []),
        (
            CRAM.with_fields({"password": UNKNOWN}),
            {"smtp_auth_mechanism": "plain", "has_auth": False},
            ["secret_destination"],
        ),
        (
            CRAM.with_fields({"smtp_auth_mechanism": "scram-sha-256"}),
            {"smtp_auth_mechanism": "cram-md5"},
            ["secret_destination"],
        ),
        (KNOWN.with_fields({"smtp_auth_mechanism": "plain"}), {"smtp_auth_mechanism": "cram-md5"}, []),
        (KNOWN.with_fields({"smtp_auth_mechanism": "plain"}), {"smtp_auth_mechanism": "login"}, []),
        (KNOWN.with_fields({"smtp_auth_mechanism": None}), {"smtp_auth_mechanism": "plain"}, []),
        (OPEN.with_fields({"smtp_auth_mechanism": "cram-md5"}), {"smtp_auth_mechanism": "plain"}, []),
        # Nobody can send what nobody knows.
        (HIDDEN, {"name": "N"}, ["password_unknown"]),
        (HIDDEN, {"name": "N", "password": NEW}, []),
        (HIDDEN, {"name": "N", "has_auth": False}, []),
        (HIDDEN, {"smtp_port": 26}, ["secret_destination", "password_unknown"]),
        (HIDDEN, {"has_auth": True}, []),
        (UNUSED, {"name": "N"}, ["password_unknown"]),
        (UNUSED, {"name": "N", "password": None}, []),
        (UNUSED, {"name": "N", "has_auth": False}, []),
        # Authentication needs a password.
        (None, {"has_auth": True}, ["password_missing"]),
        (None, {"has_auth": True, "password": NEW}, []),
        (None, {}, []),
        (OPEN, {"has_auth": True}, ["password_missing"]),
        (KNOWN, {"password": None}, ["password_missing"]),
        (HIDDEN, {"password": None}, ["password_missing"]),
        (HIDDEN, {"password": None, "has_auth": False}, []),
        (KNOWN, {"has_auth": True}, []),
    ],
)
def test_a_plan_is_refused_if_a_password_would_be_lost_or_sent_elsewhere(
    held: Account | None, fields: Fields, kinds: list[str]
) -> None:
    declaration = DesiredAccount(Account({"email": "a@x", **fields}), POSITION)
    plan = plan_of([declaration], [held] if held else [])
    assert [one.kind for one in plan.errors] == kinds
    assert all((one.address, one.position) == ("a@x", POSITION) for one in plan.errors)
    assert all(one.hint for one in plan.errors)


def test_the_hint_offers_to_remove_a_password_that_is_not_in_use() -> None:
    (unused,) = plan_of([declare("a@x", name="N")], [UNUSED]).errors
    (used,) = plan_of([declare("a@x", name="N")], [HIDDEN]).errors
    assert (unused.hint, used.hint) == (
        "declare `password`, or `password: null` to remove it",
        "declare `password`",
    )


def test_the_plan_names_unknown_fields_that_the_server_hides() -> None:
    hidden = OPEN._replace(masked_extra=("oauth", "b", "c", "d" * 99))
    (change,) = plan_of([declare("a@x", name="N")], [hidden]).changes
    assert change.notes == ("the server hides oauth, b, c and 1 more, which are not sent and may be lost",)
    (change,) = plan_of([declare("a@x", name="N")], [OPEN._replace(masked_extra=("oauth",))]).changes
    assert change.notes == ("the server hides oauth, which is not sent and may be lost",)


TRUST = Trust(smtp_servers=("mx.x", "*.ok.x"), file="t.yaml")


@pytest.mark.parametrize(
    ("held", "fields", "trusted"),
    [
        (None, {"smtp_server": "evil.x"}, True),  # no password
        (None, {"smtp_server": "evil.x", "password": NEW}, False),
        (None, {"smtp_server": "MX.x.", "password": NEW}, True),
        (None, {"smtp_server": "a.ok.x", "password": NEW}, True),
        (None, {"service": "gmail", "password": NEW}, False),
        (None, {"service": "gmail", "smtp_server": "mx.x", "password": NEW}, False),
        # What the YAML leaves out is as the server has it.
        (OPEN.with_fields({"smtp_server": "evil.x"}), {"password": NEW}, False),
        (OPEN.with_fields({"smtp_server": "evil.x"}), {"name": "N"}, True),
        (KNOWN.with_fields({"smtp_server": "evil.x"}), {"name": "N"}, False),
        (KNOWN.with_fields({"smtp_server": "evil.x"}), {}, False),
        (HIDDEN.with_fields({"smtp_server": "evil.x"}), {}, False),
        (KNOWN.with_fields({"smtp_server": "evil.x"}), {"password": None, "has_auth": False}, True),
        (KNOWN, {"name": "N"}, True),
    ],
)
def test_an_account_with_a_password_logs_in_at_a_trusted_server_only(
    held: Account | None, fields: Fields, trusted: bool
) -> None:
    declaration = DesiredAccount(Account({"email": "a@x", "name": "A", "service": "other", **fields}), POSITION)
    current = [held.with_fields({"name": "A"})] if held else []
    plan = plan_of([declaration], current, trust=TRUST)
    assert {one.kind for one in plan.errors} == (set() if trusted else {"not_trusted"})
    assert all((one.address, one.position) == ("a@x", POSITION) for one in plan.errors)
    trials = partial(plan_delivery_tests, Desired((declaration,)), current, Globs(()), to_email="ops@x", trust=TRUST)
    if trusted:
        assert len(trials()) == 1
    else:
        with pytest.raises(PlanError):
            trials()


@pytest.mark.parametrize(
    ("limit", "flag", "kinds"),
    [
        (None, None, []),
        (DeleteLimit(1, percent=False), None, ["guard_max_deletes"]),
        (DeleteLimit(10, percent=True), None, ["guard_max_deletes"]),
        (DeleteLimit(0, percent=False), DeleteLimit(5, percent=False), []),
    ],
)
def test_the_limits_hold_besides_the_policy(
    limit: DeleteLimit | None, flag: DeleteLimit | None, kinds: list[str]
) -> None:
    current = [account(f"a{index}@x", index) for index in range(10)]
    kept = [declare(f"a{index}@x") for index in range(8)]
    trust = Trust(smtp_servers=("*",), limits=Limits(limit))
    plan = plan_of(kept, current, trust=trust, max_deletes=flag)
    assert [one.kind for one in plan.refusals] == kinds


def test_what_the_limits_protect_is_not_deleted() -> None:
    trust = Trust(smtp_servers=("*",), limits=Limits(None, Globs(("certs@*",))))
    plan = plan_of([declare("a@x")], [account("a@x", 1), account("CERTS@x", 2)], trust=trust)
    assert (plan.counts.delete, plan.counts.protected) == (0, 1)


def test_no_message_holds_a_password() -> None:
    held = KNOWN.with_fields({"password": Secret("canary")})
    plan = plan_of([declare("a@x", smtp_server="evil.x", name="N")], [held])
    assert "canary" not in repr(plan)


def test_a_taken_address_is_reported_without_a_position_too() -> None:
    change = Change(action=Action.CREATE, address="a@x", before=None, after=OPEN)
    (problem,) = taken_addresses([change], [KNOWN])
    assert (problem.kind, problem.address, problem.position) == ("address_taken", "a@x", None)
