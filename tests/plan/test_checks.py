from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from reconciler.model.account import Account
from reconciler.model.change import Action, Change
from reconciler.model.desired import DesiredAccount
from reconciler.model.secret import UNKNOWN, Secret
from reconciler.plan.checks import taken_addresses
from tests.fake_server import account
from tests.plan.declarations import ORIGIN, declare, plan_of

if TYPE_CHECKING:
    from reconciler.model.account import Fields

KNOWN = account("a@x", 1, has_auth=True, password=Secret("p"), smtp_server="mx.x", smtp_port=25, smtp_crypt="none")
HIDDEN = KNOWN.overlaid({"password": UNKNOWN})
UNUSED = KNOWN.overlaid({"password": UNKNOWN, "has_auth": False})
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
def test_a_plan_is_refused_where_a_password_would_be_lost_missing_or_sent_elsewhere(
    held: Account | None, fields: Fields, kinds: list[str]
) -> None:
    declaration = DesiredAccount(Account({"email": "a@x", **fields}), ORIGIN)
    plan = plan_of([declaration], [held] if held else [])
    assert [one.kind for one in plan.errors] == kinds
    assert all((one.address, one.file, one.line, one.column) == ("a@x", "accounts.yaml", 7, 5) for one in plan.errors)
    assert all(one.hint for one in plan.errors)


def test_the_hint_offers_to_remove_a_password_that_is_not_in_use() -> None:
    (unused,) = plan_of([declare("a@x", name="N")], [UNUSED]).errors
    (used,) = plan_of([declare("a@x", name="N")], [HIDDEN]).errors
    assert (unused.hint, used.hint) == (
        "declare `password`, or `password: null` to remove it",
        "declare `password`",
    )


def test_no_message_holds_a_password() -> None:
    held = KNOWN.overlaid({"password": Secret("canary")})
    plan = plan_of([declare("a@x", smtp_server="evil.x", name="N")], [held])
    assert "canary" not in repr(plan)


def test_a_taken_address_is_told_also_where_its_declaration_has_no_place() -> None:
    change = Change(action=Action.CREATE, address="a@x", before=None, after=OPEN)
    (problem,) = taken_addresses([change], [KNOWN])
    assert (problem.kind, problem.address, problem.file, problem.line) == ("address_taken", "a@x", None, None)
