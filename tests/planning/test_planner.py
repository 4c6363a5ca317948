from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from reconciler.errors import Problem
from reconciler.model.account import Globs
from reconciler.model.desired import (
    NO_DELIVERY_TEST,
    DeleteLimit,
    DeliveryTestSettings,
    DeliveryTestWhen,
    Desired,
    Policy,
)
from reconciler.model.plan import Action, Counts, Plan
from reconciler.model.secret import UNKNOWN, Secret
from reconciler.planning.planner import PlanOptions, make_plan
from tests.support.declarations import POSITION, SERVER, declare, globs, plan_of, said
from tests.support.fake_server import account
from tests.support.strategies import BOUNDED, ServerCase, server_cases

AFTER_ME = DeliveryTestSettings(DeliveryTestWhen.AFTER, "me@x")
BEFORE = DeliveryTestSettings(DeliveryTestWhen.BEFORE, "ops@x")


def shown(plan: Plan) -> list[str]:
    """Changes in short: action, address, the fields that change."""
    return [" ".join([one.action, one.address, *(field.field for field in one.fields)]) for one in plan.changes]


def test_every_account_is_in_one_class() -> None:
    held = (
        account("update@x", 1),
        account("same@x", 2),
        account("gone@x", 3),
        account("i-1@x", 4),
        account("p-1@x", 5),
        account("twice@x", 6),
        account("twice@x", 7),
    )
    desired = [declare("new@x", name="N"), declare("update@x", name="U"), declare("same@x"), declare("twice@x")]
    plan = plan_of(desired, held, Policy(ignore=globs("i-*"), protect=globs("p-*")))
    assert plan.counts == Counts(create=1, update=1, delete=1, unchanged=1, ignored=1, protected=1, unmanaged=2)
    assert shown(plan) == ["delete gone@x", "create new@x email name default has_auth", "update update@x name"]
    assert [one.email for one in plan.unchanged] == ["same@x"]
    assert sorted(one.id or 0 for one in plan.untouched) == [4, 5, 6, 7]


def test_without_differences_the_plan_is_empty() -> None:
    held = (account("a@x", 1),)
    plan = plan_of([declare("A@x", name="a@x")], held)
    assert plan == Plan(server=SERVER, unchanged=held, counts=Counts(unchanged=1))
    assert plan.applicable


def test_an_update_shows_what_changes_and_keeps_the_rest() -> None:
    held = account("a@x", 1, smtp_port=25, password=Secret("p"))
    (change,) = plan_of([declare("A@X", name="New", smtp_port=None)], [held]).changes
    assert (change.address, change.before, change.after) == (
        "A@X",
        held,
        held.with_fields({"name": "New", "smtp_port": None}),
    )
    assert [(one.field, one.before, one.after) for one in change.fields] == [
        ("name", "a@x", "New"),
        ("smtp_port", 25, None),
    ]
    assert (change.reason, change.position) == (f"differs from the declaration ({POSITION})", POSITION)


def test_a_create_shows_what_is_sent() -> None:
    (change,) = plan_of([declare("a@x", name="A", smtp_port=None)], []).changes
    assert [(one.field, one.after) for one in change.fields] == [
        ("email", "a@x"),
        ("name", "A"),
        ("default", False),
        ("has_auth", False),
    ]
    assert change.reason == f"declared ({POSITION}), not on the server"


@pytest.mark.parametrize(
    ("declaration", "reason"),
    [
        (declare("n@x", renamed_from="a@x"), f"renamed from a@x ({POSITION})"),
        (declare("n@x", 1), f"renamed from a@x ({POSITION})"),
        (declare("A@x", name="B"), f"differs from the declaration ({POSITION})"),
    ],
)
def test_an_update_has_a_reason(declaration: Any, reason: str) -> None:  # noqa: ANN401 - a declaration
    assert plan_of([declaration], [account("a@x", 1)]).changes[0].reason == reason


def test_a_delete_has_a_reason() -> None:
    (change,) = plan_of([], [account("a@x", 1)]).changes
    assert (change.reason, change.after, change.managed) == (
        "on the server, but not declared, and pruning is on",
        None,
        {},
    )


@pytest.mark.parametrize(
    ("policy", "option", "expected"), [(True, None, 1), (True, False, 0), (False, None, 0), (False, True, 1)]
)
def test_the_command_line_overrides_the_pruning_policy(policy: bool, option: bool | None, expected: int) -> None:
    plan = plan_of([], [account("a@x", 1)], Policy(prune=policy), prune=option)
    assert (plan.counts.delete, plan.counts.unmanaged) == (expected, 1 - expected)


def test_the_command_line_overrides_the_delete_limit() -> None:
    held = [account(f"{name}@x", index) for index, name in enumerate("abcd", start=1)]
    strict = PlanOptions(max_deletes=None)
    loose = PlanOptions(max_deletes=DeleteLimit(3, percent=False))
    desired = Desired((declare("a@x"),))
    assert [one.kind for one in make_plan(desired, held, SERVER, strict).refusals] == ["guard_max_deletes"]
    assert make_plan(desired, held, SERVER, loose).applicable


def test_a_refused_plan_shows_its_deletes_and_cannot_be_applied() -> None:
    plan = plan_of([], [account("a@x", 1)], allow_empty=False)
    assert (plan.counts.delete, plan.applicable) == (1, False)


def test_ignored_accounts_do_not_count_for_the_guard() -> None:
    held = [account("a@x", 1), account("i-1@x", 2)]
    plan = plan_of([], held, Policy(ignore=globs("i-*")), allow_empty=False)
    assert said(plan.refusals) == ["guard_empty: the plan deletes every account under management (1 of 1)"]


def test_a_protected_account_stays_with_a_warning() -> None:
    plan = plan_of([], [account("p-1@x", 1), account("a@x", 2)], Policy(protect=globs("P-*")))
    assert shown(plan) == ["delete a@x"]
    assert said(plan.warnings) == ["protected: p-1@x (id 1) is not declared; protected by 'P-*', it stays"]


def test_a_protected_account_that_is_declared_is_updated() -> None:
    plan = plan_of([declare("p-1@x", name="N")], [account("p-1@x", 1)], Policy(protect=globs("p-*")))
    assert shown(plan) == ["update p-1@x name"]


def test_only_narrows_creates_updates_and_deletes() -> None:
    held = [account("a1@x", 1), account("a2@x", 2), account("b1@x", 3), account("b2@x", 4)]
    desired = [declare(one, name="N") for one in ("a1@x", "b1@x", "a3@x", "b3@x")]
    plan = plan_of(desired, held, only=Globs(("A*",)))
    assert shown(plan) == ["update a1@x name", "delete a2@x", "create a3@x email name default has_auth"]
    assert plan.counts == Counts(create=1, update=1, delete=1, unmanaged=2)


def test_only_finds_a_renamed_account_by_its_former_address() -> None:
    plan = plan_of([declare("n@x", renamed_from="a@x")], [account("a@x", 1)], only=Globs(("a@x",)))
    assert shown(plan) == ["update n@x email"]


def test_only_leaves_errors_and_warnings_of_others_out() -> None:
    held = [account("a@x", 1), account("b@x", 2), account("c@x", 3), account("c@x", 4), account("d@x", 5)]
    desired = [declare("a@x"), declare("b@x", renamed_from="d@x"), declare("c@x")]
    plan = plan_of(desired, held, only=Globs(("a@x",)))
    assert (plan.errors, plan.warnings, plan.changes) == ((), (), ())
    assert plan.counts == Counts(unchanged=1, unmanaged=4)


@pytest.mark.parametrize(("is_default", "expected"), [(True, ["update a@x default"]), (False, [])])
def test_only_demotes_an_account_if_its_successor_is_the_default_already(is_default: bool, expected: list[str]) -> None:
    held = [account("a@x", 1, default=True), account("b@x", 2, default=is_default)]
    plan = plan_of([declare("a@x", default=False), declare("b@x", default=True)], held, only=Globs(("a@x",)))
    assert shown(plan) == expected


def test_a_duplicate_address_is_an_error_and_its_accounts_stay() -> None:
    plan = plan_of([declare("a@x")], [account("a@x", 1), account("a@x", 2)])
    assert [one.kind for one in plan.errors] == ["ambiguous_address"]
    assert (plan.changes, plan.counts) == ((), Counts(unmanaged=2))


@pytest.mark.parametrize(("ids", "what"), [((1, 1), "the id of another account (1)"), ((1, None), "no id")])
def test_a_list_without_identities_is_an_error(ids: tuple[int, int | None], what: str) -> None:
    plan = plan_of([], [account("a@x", ids[0]), account("b@x", ids[1])])
    message = f"the server lists b@x with {what}: it is ambiguous which account a write would change"
    assert (said(plan.errors), plan.changes, plan.applicable) == ([f"bad_identity: {message}"], (), False)
    assert plan.counts == Counts(unmanaged=2)


def test_addresses_that_occur_twice_in_the_plan_carry_the_id() -> None:
    held = [account("a@x", 1), account("a@x", 2), account("b@x", 3)]
    plan = plan_of([declare("a@x", 1, name="N"), declare("a@x", 2)], held)
    assert shown(plan) == ["update a@x#1 name", "delete b@x"]


def test_an_address_that_changes_hands_is_not_ambiguous() -> None:
    plan = plan_of([declare("b@x", 1), declare("c@x", 2)], [account("a@x", 1), account("b@x", 2)])
    assert shown(plan) == ["update b@x email", "update c@x email"]


@pytest.mark.parametrize(
    ("held", "policy"),
    [
        ("p-1@x", Policy(protect=globs("p-*"))),
        ("u@x", Policy(prune=False)),
        ("i-1@x", Policy(ignore=globs("i-*"))),
    ],
)
def test_an_address_that_another_account_keeps_is_an_error(held: str, policy: Policy) -> None:
    plan = plan_of([declare(held, 1)], [account("a@x", 1), account(held, 2)], policy)
    assert said(plan.errors) == [f"address_taken: {held} is the address of an account that stays as it is (id 2)"]
    assert plan.errors[0].position == POSITION


def test_an_address_that_is_only_freed_outside_the_scope_is_an_error() -> None:
    held = [account("a@x", 1)]
    plan = plan_of([declare("b@x", 1), declare("a@x", name="A")], held, only=Globs(("a@x",)))
    assert said(plan.errors) == ["address_taken: a@x is the address of an account that stays as it is (id 1)"]


def test_a_name_that_another_account_keeps_is_a_warning() -> None:
    held = [account("a@x", 1), account("b@x", 2, name="Mail")]
    plan = plan_of([declare("a@x", name="mail")], held, prune=False)
    assert said(plan.warnings) == ["duplicate_name: a@x gets the name 'mail', which b@x has too"]


def test_a_name_that_is_shared_already_is_no_warning() -> None:
    held = [account("b@x", 2, name="Mail"), account("i@x", 3, name="Mail")]
    assert plan_of([declare("b@x", name="Mail", smtp_port=1)], held, prune=False).warnings == ()


def test_losing_the_default_account_is_a_warning() -> None:
    plan = plan_of([], [account("a@x", 1, default=True)])
    assert said(plan.warnings) == ["no_default: no account will be the default one; now it is a@x"]


def test_a_second_default_account_beside_one_that_is_left_alone_is_a_warning() -> None:
    held = [account("a@x", 1, default=True), account("b@x", 2)]
    plan = plan_of([declare("b@x", default=True)], held, prune=False)
    assert said(plan.warnings) == ["several_defaults: more than one account will be the default one: a@x, b@x"]


def test_handing_the_default_over_is_no_warning() -> None:
    held = [account("a@x", 1, default=True), account("b@x", 2)]
    assert plan_of([declare("b@x", default=True), declare("a@x", default=False)], held).warnings == ()


def test_warnings_of_the_manifests_are_in_the_plan() -> None:
    warning = Problem(kind="literal_secret", message="m")
    plan = make_plan(Desired((), warnings=(warning,)), (), SERVER, PlanOptions())
    assert plan.warnings == (warning,)


HIDDEN = account("a@x", 1, has_auth=True, password=UNKNOWN)


def test_a_hidden_password_counts_as_unchanged_with_a_note() -> None:
    held = [HIDDEN, account("b@x", 2, has_auth=True, password=UNKNOWN)]
    one = plan_of([declare("a@x", password=Secret("p"))], held, prune=False)
    two = plan_of([declare(email, password=Secret("p")) for email in ("a@x", "b@x")], held)
    assert said(one.warnings) == ["password_hidden: the server hides 1 declared password: counted as unchanged"]
    assert said(two.warnings) == ["password_hidden: the server hides 2 declared passwords: counted as unchanged"]
    assert (one.changes, two.changes) == ((), ())


def test_a_password_that_looks_like_a_mask_is_known_if_it_is_the_declared_one() -> None:
    held = HIDDEN._replace(mask=Secret("****"))
    known = plan_of([declare("a@x", password=Secret("****"))], [held])
    other = plan_of([declare("a@x", password=Secret("p"))], [held])
    undeclared = plan_of([declare("a@x", name="N")], [held])
    assert (shown(known), known.warnings, said(other.warnings)) == (
        [],
        (),
        ["password_hidden: the server hides 1 declared password: counted as unchanged"],
    )
    assert (undeclared.errors[0].kind, undeclared.errors[0].hint) == (
        "password_unknown",
        "declare `password`; if what the server returns is no mask but the password, write `policy.passwords: shown`",
    )


def test_rotation_sends_only_passwords_that_the_server_hides() -> None:
    held = [HIDDEN, account("b@x", 2, has_auth=True, password=Secret("p"))]
    desired = [declare(email, password=Secret("p")) for email in ("a@x", "b@x")]
    plan = plan_of(desired, held, rotate_passwords=True)
    assert (shown(plan), plan.warnings) == (["update a@x password"], ())
    assert plan.changes[0].after == HIDDEN.with_fields({"password": Secret("p")})


def test_rotation_combines_with_other_changes() -> None:
    plan = plan_of([declare("a@x", password=Secret("p"), name="N")], [HIDDEN], rotate_passwords=True)
    assert (shown(plan), plan.changes[0].notes) == (["update a@x name password"], ())


def test_an_update_sends_the_declared_password_if_it_is_hidden() -> None:
    plan = plan_of([declare("a@x", password=Secret("p"), name="N")], [HIDDEN])
    assert shown(plan) == ["update a@x name"]
    assert plan.changes[0].notes == ("the server hides its password; the declared one is sent along",)
    assert plan.changes[0].after == HIDDEN.with_fields({"password": Secret("p"), "name": "N"})


@pytest.mark.parametrize(
    ("fields", "note"),
    [
        (
            {"has_auth": False},
            "the server hides its password, which is not sent and may be lost; nothing needs it without `has_auth`",
        ),
        ({"has_auth": False, "password": None}, "the server hides its password; the declaration clears it"),
    ],
)
def test_an_update_that_ends_authentication_notes_the_hidden_password(fields: dict[str, Any], note: str) -> None:
    plan = plan_of([declare("a@x", **fields)], [HIDDEN])
    assert (shown(plan), plan.changes[0].notes, plan.errors) == (["update a@x has_auth"], (note,), ())


@pytest.mark.parametrize(
    ("option", "own", "policy", "expected"),
    [
        (NO_DELIVERY_TEST, NO_DELIVERY_TEST, NO_DELIVERY_TEST, NO_DELIVERY_TEST),
        (NO_DELIVERY_TEST, NO_DELIVERY_TEST, BEFORE, BEFORE),
        (
            NO_DELIVERY_TEST,
            DeliveryTestSettings(DeliveryTestWhen.AFTER),
            BEFORE,
            DeliveryTestSettings(DeliveryTestWhen.AFTER, "ops@x"),
        ),
        (
            NO_DELIVERY_TEST,
            DeliveryTestSettings(DeliveryTestWhen.OFF),
            BEFORE,
            DeliveryTestSettings(DeliveryTestWhen.OFF, "ops@x"),
        ),
        (
            DeliveryTestSettings(DeliveryTestWhen.OFF),
            DeliveryTestSettings(DeliveryTestWhen.AFTER),
            BEFORE,
            DeliveryTestSettings(DeliveryTestWhen.OFF, "ops@x"),
        ),
        (
            AFTER_ME,
            DeliveryTestSettings(DeliveryTestWhen.OFF),
            BEFORE,
            AFTER_ME,
        ),
    ],
)
def test_test_settings_come_from_the_command_line_then_the_account_then_the_policy(
    option: DeliveryTestSettings,
    own: DeliveryTestSettings,
    policy: DeliveryTestSettings,
    expected: DeliveryTestSettings,
) -> None:
    plan = plan_of([declare("a@x", test=own)], [], Policy(test=policy), test=option)
    assert (plan.changes[0].test, plan.errors) == (expected, ())


def test_a_delivery_test_without_a_recipient_is_an_error_for_changes() -> None:
    held = [account("b@x", 1), account("c@x", 2)]
    plan = plan_of([declare("a@x"), declare("b@x")], held, Policy(test=DeliveryTestSettings(DeliveryTestWhen.BEFORE)))
    assert said(plan.errors) == [
        "test_without_address: a@x is to be tested, but there is no address to send to",
    ]
    assert [one.test for one in plan.changes if one.action is Action.DELETE] == [NO_DELIVERY_TEST]


@given(server_cases(), st.randoms(use_true_random=False))
@BOUNDED
def test_the_order_of_the_input_does_not_matter(case: ServerCase, random: Any) -> None:  # noqa: ANN401 - Random
    def planned() -> Plan:
        desired = list(case.desired.accounts)
        held = list(case.held)
        random.shuffle(desired)
        random.shuffle(held)
        return plan_of(desired, held, case.desired.policy)

    assert planned() == planned()


@given(server_cases(), st.integers(0, 5), st.booleans())
@BOUNDED
def test_a_plan_deletes_only_what_policy_and_guard_allow(case: ServerCase, amount: int, percent: bool) -> None:
    limit = DeleteLimit(amount * 20 if percent else amount, percent=percent)
    plan = plan_of(case.desired.accounts, case.held, case.desired.policy, max_deletes=limit, allow_empty=False)
    deleted = [one.address for one in plan.changes if one.action is Action.DELETE]
    assert not [one for one in deleted if one.startswith(("i-", "p-"))]
    managed = len(case.held) - plan.counts.ignored
    if plan.applicable and deleted:
        assert limit.allows(len(deleted), managed)
        assert len(deleted) < managed


@given(server_cases())
@BOUNDED
def test_every_account_is_counted_once(case: ServerCase) -> None:
    plan = plan_of(case.desired.accounts, case.held, case.desired.policy)
    counts = plan.counts
    on_server = counts.update + counts.delete + counts.unchanged + counts.ignored + counts.protected + counts.unmanaged
    assert on_server == len(case.held)
    assert counts.create + counts.update + counts.delete == len(plan.changes)


def test_only_keeps_the_default_if_it_leaves_out_the_successor() -> None:
    declared = [declare("a@x", name="N", default=False), declare("b@x", name="B", default=True)]
    current = [account("a@x", 1, name="A", default=True), account("b@x", 2, name="B")]
    plan = plan_of(declared, current, only=globs("a@*"))
    assert [(one.address, [change.field for change in one.fields]) for one in plan.changes] == [("a@x", ["name"])]
    assert [one.kind for one in plan.warnings] == ["default_outside_only"]


def test_only_without_a_match_is_a_warning() -> None:
    plan = plan_of([declare("a@x")], [account("a@x", 1)], only=globs("zzz@*"))
    assert [one.kind for one in plan.warnings] == ["only_means_nothing"]


def test_only_that_matches_an_ignored_account_is_no_warning() -> None:
    policy = Policy(ignore=globs("old@x"))
    plan = plan_of([], [account("old@x", 1)], policy, only=globs("old@x"))
    assert (plan.warnings, plan.counts.ignored) == ((), 1)
