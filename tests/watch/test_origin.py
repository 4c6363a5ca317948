"""Whether an account differs because its declaration changed, or because somebody changed the server."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from reconciler.model.desired import Desired, Policy
from reconciler.model.secret import Secret
from reconciler.watch.origin import Difference, after_write, difference, verified_accounts
from reconciler.watch.records import Origin
from tests.support.declarations import declare, plan_of
from tests.support.fake_server import account

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from reconciler.model.account import Account
    from reconciler.model.desired import DesiredAccount
    from reconciler.watch.records import VerifiedAccount

THEN, LATER = "2026-01-01T00:00:00Z", "2026-02-02T00:00:00Z"
COMMIT, DRIFT, BOTH = Origin.COMMIT, Origin.DRIFT, Origin.BOTH


def on_server(email: str = "a@x.org", account_id: int = 1, at: str | None = THEN, **fields: Any) -> Account:  # noqa: ANN401 - the fields' own types
    return account(email, account_id, **{"name": "A", "smtp_port": 587, **fields})._replace(updated_at=at)


def verified(
    current: Sequence[Account], *declared: DesiredAccount, policy: Policy | None = None
) -> Mapping[str, VerifiedAccount]:
    """What is known after the declared accounts were seen to match."""
    plan = plan_of(declared, current, policy)
    assert not plan.changes
    return verified_accounts(plan, Desired(declared, policy or Policy()), None)


def origins(
    known: Mapping[str, VerifiedAccount] | None, current: Sequence[Account], *declared: DesiredAccount
) -> list[Difference]:
    return [difference(change, known) for change in plan_of(declared, current).changes]


A = declare("a@x.org", name="A", smtp_port=587)
KEY, OTHER = Secret("first", "env KEY"), Secret("second", "env KEY")


def test_without_a_state_creates_count_as_commits_and_all_else_as_drift() -> None:
    found = origins(None, [on_server(name="B"), on_server("z@x.org", 2)], A, declare("new@x.org", name="N"))
    assert found == [Difference(DRIFT, ("name",)), Difference(COMMIT), Difference(DRIFT, ("",))]


def test_drift_without_a_state_stays_drift_as_long_as_it_is_not_corrected() -> None:
    plan = plan_of([A], [on_server(name="B")])
    known = verified_accounts(plan, Desired((A,)), None)
    assert origins(known, [on_server(name="B")], A) == [Difference(DRIFT, ("name",))]


@pytest.mark.parametrize(
    ("server", "declared", "expected"),
    [
        (on_server(), declare("a@x.org", name="New", smtp_port=587), Difference(COMMIT)),
        (on_server(name="Edited", at=LATER), A, Difference(DRIFT, ("name",))),
        (
            on_server(name="Edited", at=LATER),
            declare("a@x.org", name="A", smtp_port=25),
            Difference(BOTH, ("name",)),
        ),
        (on_server(name="Edited", at=LATER), declare("a@x.org", name="New"), Difference(BOTH, ("name",))),
        (on_server(smtp_port=25, name="E", at=LATER), A, Difference(DRIFT, ("name", "smtp_port"))),
        (on_server("A@X.org", name="Edited", at=LATER), A, Difference(DRIFT, ("name",))),
    ],
    ids=["declaration", "server", "each another field", "both one field", "two fields", "spelling"],
)
def test_the_value_of_then_tells_who_changed_a_field(
    server: Account, declared: DesiredAccount, expected: Difference
) -> None:
    assert origins(verified([on_server()], A), [server], declared) == [expected]


@pytest.mark.parametrize("extra", [{"pin": 1}, {"renamed_from": "b@x.org"}])
def test_an_address_that_was_changed_on_the_server_is_drift(extra: dict[str, Any]) -> None:
    declared = declare("a@x.org", name="A", smtp_port=587, **extra)
    renamed = on_server("b@x.org", at=LATER)
    assert origins(verified([on_server()], declared), [renamed], declared) == [Difference(DRIFT, ("email",))]


def test_an_account_that_vanished_from_the_server_is_drift() -> None:
    assert origins(verified([on_server()], A), [], A) == [Difference(DRIFT, ("",))]


def test_an_account_that_appeared_on_the_server_is_drift() -> None:
    known = verified([on_server()], A)
    assert origins(known, [on_server(), on_server("z@x.org", 2)], A) == [Difference(DRIFT, ("",))]


def test_an_account_that_is_declared_no_more_is_a_commit_unless_the_server_changed_too() -> None:
    known = verified([on_server()], A)
    assert origins(known, [on_server()]) == [Difference(COMMIT)]
    assert origins(known, [on_server(name="Edited", at=LATER)]) == [Difference(BOTH, ("name",))]


def test_an_account_that_was_left_alone_and_is_declared_now_is_a_commit() -> None:
    known = verified([on_server(), on_server("b@x.org", 2)], A, policy=Policy(prune=False))
    found = origins(known, [on_server(), on_server("b@x.org", 2)], A, declare("b@x.org", name="Bee"))
    assert found == [Difference(COMMIT)]


def test_an_account_that_appeared_in_both_at_once_counts_as_both() -> None:
    known = verified([on_server()], A)
    found = origins(known, [on_server(), on_server("b@x.org", 2)], A, declare("b@x.org", name="Bee"))
    assert found == [Difference(BOTH, ("name",))]


@pytest.mark.parametrize(
    ("at", "server_password", "declared", "expected"),
    [
        (THEN, KEY, OTHER, COMMIT),
        (LATER, OTHER, KEY, DRIFT),
        (LATER, OTHER, Secret("third", "env NEW"), BOTH),
        (None, OTHER, KEY, BOTH),
    ],
    ids=["rotated secret", "changed on the server", "both", "no times"],
)
def test_only_time_and_source_tell_who_changed_a_password(
    at: str | None, server_password: Secret, declared: Secret, expected: Origin
) -> None:
    before = on_server(at=THEN if at else None, password=KEY, smtp_server="mx.x.org", has_auth=True)

    def wanted(password: Secret) -> DesiredAccount:
        return declare("a@x.org", password=password, smtp_server="mx.x.org", has_auth=True)

    known = verified([before], wanted(KEY))
    now = before.with_fields({"password": server_password})._replace(updated_at=at)
    (found,) = origins(known, [now], wanted(declared))
    assert found.origin is expected


def test_nothing_known_of_an_account_is_a_secret() -> None:
    known = verified([on_server(password=KEY, has_auth=True)], declare("a@x.org", password=KEY))
    assert "first" not in repr(known)
    assert known["a@x.org"].fields["password"] is None
    assert known["a@x.org"].password_from == "env KEY"


def test_what_was_written_is_what_the_server_is_compared_with_next() -> None:
    known = verified([on_server()], A)
    wanted = declare("a@x.org", name="New", smtp_port=587)
    (change,) = plan_of([wanted], [on_server()]).changes
    written = on_server(name="New", at=LATER)
    known = after_write(known, change, written)
    reverted = on_server(name="A", at="2026-03-03T00:00:00Z")
    assert origins(known, [reverted], wanted) == [Difference(DRIFT, ("name",))]


def test_a_deleted_account_is_forgotten() -> None:
    known = verified([on_server(), on_server("b@x.org", 2)], A, declare("b@x.org"))
    (change,) = plan_of([A], [on_server(), on_server("b@x.org", 2)]).changes
    assert list(after_write(known, change, None)) == ["a@x.org"]


def test_accounts_that_are_gone_from_both_sides_are_forgotten() -> None:
    known = verified([on_server(), on_server("b@x.org", 2)], A, declare("b@x.org"))
    plan = plan_of([A], [on_server()])
    assert list(verified_accounts(plan, Desired((A,)), known)) == ["a@x.org"]
