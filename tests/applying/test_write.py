from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from reconciler.errors import ApiError, Kind, NotFoundError, OutcomeUnknownError, RejectedError, UnreachableError
from reconciler.model.account import Account, Fields
from reconciler.model.desired import DeliveryTestSettings, DeliveryTestWhen
from reconciler.model.secret import UNKNOWN, Secret
from tests.support.declarations import RecordingObserver, apply_plan, declare, plan_and_apply, plan_for, summaries
from tests.support.fake_server import BLANK, FakeServer, Fault, Rules, account, lost

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.support.fake_server import Call, Method

NO = RejectedError.of("400 no", kind=Kind.REJECTED)
DOWN = UnreachableError.of("connection refused", kind=Kind.CONNECTION_FAILED)
GONE = NotFoundError.of("404 not found", kind=Kind.NOT_FOUND)
ODD = ApiError.of("no JSON", kind=Kind.SERVER_ERROR)
BEFORE = DeliveryTestSettings(DeliveryTestWhen.BEFORE, "ops@x")
AFTER = DeliveryTestSettings(DeliveryTestWhen.AFTER, "ops@x")


def meddling(server: FakeServer, account_id: int, **fields: Any) -> Callable[[Call], None]:  # noqa: ANN401 - values
    """Another writer that changes an account just before a call."""

    def hook(call: Call) -> None:
        if call.subject == account_id and account_id in server.accounts:
            server.accounts[account_id] = server.accounts[account_id].with_fields(fields)

    return hook


def vanishing(server: FakeServer, account_id: int) -> Callable[[Call], None]:
    """Another writer that deletes an account just before a call."""
    return lambda _call: (server.accounts.pop(account_id, None), None)[1]


# Updates


def test_an_update_writes_the_whole_account_after_a_read() -> None:
    held = Account({**BLANK, "email": "a@x", "name": "A", "smtp_port": 25}, 1, {"color": "red"})
    server = FakeServer({1: held})
    assert summaries(plan_and_apply(server, declare("a@x", name="B"))) == ["update a@x: applied"]
    assert server.methods() == ["get 1", "update 1"]
    assert (server.accounts[1], server.accounts[1].extra) == (held.with_fields({"name": "B"}), {"color": "red"})


def test_an_update_in_place_already_needs_no_write() -> None:
    server = FakeServer.holding({"email": "a@x", "name": "A"})
    plan = plan_for(server, declare("a@x", name="B"))
    server.hooks["get"] = meddling(server, 1, name="B", smtp_port=99)
    assert summaries(apply_plan(plan, server)) == ["update a@x: applied (was in place already; nothing written)"]
    assert server.writes() == []


def test_an_update_leaves_alone_what_somebody_else_has_changed() -> None:
    server = FakeServer.holding({"email": "a@x", "name": "A", "password": Secret("p")})
    plan = plan_for(server, declare("a@x", name="B"))
    server.hooks["get"] = meddling(server, 1, smtp_port=99, password=Secret("q"))
    assert summaries(apply_plan(plan, server)) == [
        "update a@x: failed (changed since the plan: password, smtp_port; left alone)"
    ]
    assert server.writes() == []


def test_an_update_of_an_account_that_is_gone_fails() -> None:
    server = FakeServer.holding({"email": "a@x", "name": "A"})
    plan = plan_for(server, declare("a@x", name="B"))
    server.hooks["get"] = vanishing(server, 1)
    assert summaries(apply_plan(plan, server)) == ["update a@x: failed (the account is gone: deleted since the plan)"]


@pytest.mark.parametrize("error", [NO, DOWN, ODD, OutcomeUnknownError.of("time-out", kind=Kind.TIMEOUT)])
def test_an_update_fails_if_the_account_cannot_be_read(error: ApiError) -> None:
    server = FakeServer.holding({"email": "a@x", "name": "A"})
    plan = plan_for(server, declare("a@x", name="B"))
    server.script("get", Fault(error))
    assert summaries(apply_plan(plan, server)) == [f"update a@x: failed ({error})"]
    assert server.writes() == []


@pytest.mark.parametrize(
    ("update", "get", "expected"),
    [
        (Fault(NO), None, "failed (400 no)"),
        (Fault(DOWN), None, "failed (connection refused)"),
        (Fault(GONE), None, "failed (404 not found)"),
        (Fault(lost()), None, "unknown (connection reset; read again, not in place so far)"),
        (Fault(lost(), "after"), None, "applied (connection reset; read again and found in place)"),
        (Fault(ODD, "after"), None, "applied (no JSON; read again and found in place)"),
        (
            Fault(lost(), "after"),
            Fault(DOWN),
            "unknown (connection reset; it could not be read again: connection refused)",
        ),
        (Fault(lost()), Fault(NO), "unknown (connection reset; it could not be read again: 400 no)"),
        (Fault(lost()), Fault(GONE), "failed (connection reset; read again, the account is gone)"),
    ],
)
def test_an_update_that_goes_wrong_says_what_is_certain(update: Fault, get: Fault | None, expected: str) -> None:
    server = FakeServer.holding({"email": "a@x", "name": "A"})
    plan = plan_for(server, declare("a@x", name="B"))
    server.script("update", update)
    server.script("get", None, get)
    assert summaries(apply_plan(plan, server)) == [f"update a@x: {expected}"]
    assert len(server.writes()) == 1


def test_an_update_names_the_fields_that_the_server_did_not_keep() -> None:
    server = FakeServer.holding({"email": "a@x", "name": "A"})
    server.stores_instead("update", smtp_port=25, name="b")
    outcomes = plan_and_apply(server, declare("a@x", name="B", smtp_port=587))
    assert summaries(outcomes) == [
        'update a@x: failed (the server did not keep name (it has "b"), smtp_port (it has 25))'
    ]


@pytest.mark.parametrize("method", ["create", "update"])
def test_a_response_with_former_values_is_checked_by_reading_again(method: Method) -> None:
    server = FakeServer.holding(*([{"email": "a@x", "name": "A"}] if method == "update" else []))
    server.answers[method] = lambda response: response.with_fields({"name": "A"})
    assert summaries(plan_and_apply(server, declare("a@x", name="B"))) == [f"{method} a@x: applied"]
    assert server.methods()[-1] == "get 1"


def test_the_server_may_fill_in_empty_undeclared_fields() -> None:
    server = FakeServer.holding({"email": "a@x", "service": "other"}, rules=Rules(fills_gmail=True))
    assert summaries(plan_and_apply(server, declare("a@x", service="gmail"))) == ["update a@x: applied"]


def test_a_declared_empty_field_must_stay_empty() -> None:
    server = FakeServer.holding({"email": "a@x", "service": "other"}, rules=Rules(fills_gmail=True))
    outcomes = plan_and_apply(server, declare("a@x", service="gmail", smtp_port=None))
    assert summaries(outcomes) == ["update a@x: failed (the server did not keep smtp_port (it has 587))"]


@pytest.mark.parametrize(
    ("stored", "expected"),
    [
        (True, "applied (the response was about another account (id 77); read again and found in place)"),
        (False, "unknown (the response was about another account (id 77); read again, not in place so far)"),
    ],
)
def test_after_a_response_about_another_account_it_reads_again(*, stored: bool, expected: str) -> None:
    server = FakeServer.holding({"email": "a@x", "name": "A"})

    def respond(response: Account) -> Account:
        if not stored:
            server.accounts[1] = server.accounts[1].with_fields({"name": "A"})
        return Account(response.fields, 77)

    server.answers["update"] = respond
    outcomes = plan_and_apply(server, declare("a@x", name="B"))
    assert summaries(outcomes) == [f"update a@x: {expected}"]
    assert (outcomes[0].id, server.methods()) == (1, ["get 1", "update 1", "get 1"])


def test_letter_case_that_the_server_changes_is_kept_enough() -> None:
    server = FakeServer.holding({"email": "a@x"}, rules=Rules(lower_case=True))
    assert summaries(plan_and_apply(server, declare("n@X", 1, smtp_server="MX.x"))) == ["update n@X: applied"]


# Hidden passwords

HIDES = Rules(hidden_password_warning=True)
AUTH: Fields = {"email": "a@x", "name": "A", "has_auth": True, "password": Secret("p")}


def test_a_hidden_password_is_sent_along_where_it_is_declared() -> None:
    server = FakeServer.holding(AUTH, rules=HIDES)
    assert summaries(plan_and_apply(server, declare("a@x", name="B", password=Secret("q")))) == ["update a@x: applied"]
    assert server.accounts[1].fields["password"] == Secret("q")


def test_a_password_that_is_hidden_only_since_the_plan_is_not_overwritten() -> None:
    server = FakeServer.holding(AUTH)
    plan = plan_for(server, declare("a@x", name="B"))
    server.rules = HIDES
    assert summaries(apply_plan(plan, server)) == ["update a@x: failed (the server hides the password now; left alone)"]
    assert server.writes() == []


def test_a_new_password_is_sent_if_the_old_one_is_hidden_now() -> None:
    server = FakeServer.holding(AUTH)
    plan = plan_for(server, declare("a@x", password=Secret("q")))
    server.rules = HIDES
    assert summaries(apply_plan(plan, server)) == ["update a@x: applied"]
    assert server.accounts[1].fields["password"] == Secret("q")


@pytest.mark.parametrize("when", ["before", "after"])
def test_a_rotation_whose_response_was_lost_is_unknown(when: Any) -> None:  # noqa: ANN401 - literal
    server = FakeServer.holding(AUTH, rules=HIDES)
    plan = plan_for(server, declare("a@x", password=Secret("q")), rotate_passwords=True)
    server.script("update", Fault(lost(), when))
    assert summaries(apply_plan(plan, server)) == [
        "update a@x: unknown (connection reset; read again, but the server hides the password)",
    ]


def test_a_rotation_is_written_although_everything_seems_in_place() -> None:
    server = FakeServer.holding(AUTH, rules=HIDES)
    plan = plan_for(server, declare("a@x", password=Secret("q")), rotate_passwords=True)
    assert summaries(apply_plan(plan, server)) == ["update a@x: applied"]
    assert server.accounts[1].fields["password"] == Secret("q")


def test_ending_authentication_does_not_send_a_hidden_password() -> None:
    server = FakeServer.holding(AUTH, rules=HIDES)
    assert summaries(plan_and_apply(server, declare("a@x", has_auth=False))) == ["update a@x: applied"]
    assert server.calls[-1].fields is not None
    assert "password" not in server.calls[-1].fields


# The default account


@pytest.mark.parametrize("rules", [Rules(), Rules(single_default=True), Rules(single_default=True, keep_default=True)])
def test_the_default_is_handed_over_on_every_kind_of_server(rules: Rules) -> None:
    server = FakeServer.holding({"email": "a@x", "default": True}, {"email": "b@x"}, rules=rules)
    outcomes = plan_and_apply(server, declare("a@x", name="A", default=False), declare("b@x", default=True))
    assert [one.status for one in outcomes] == ["applied", "applied"]
    assert [one.is_default for one in server.accounts.values()] == [False, True]
    assert server.accounts[1].name == "A"


@pytest.mark.parametrize("rules", [Rules(), Rules(single_default=True, keep_default=True)])
def test_the_old_default_is_deleted_after_the_new_one_is_promoted(rules: Rules) -> None:
    server = FakeServer.holding({"email": "a@x", "default": True}, rules=rules)
    outcomes = plan_and_apply(server, declare("b@x", name="B", default=True))
    assert summaries(outcomes) == ["delete a@x: applied", "create b@x: applied"]
    assert server.writes() == ["create b@x", "delete 1"]


def test_a_default_that_somebody_else_cleared_is_a_conflict() -> None:
    server = FakeServer.holding({"email": "a@x", "default": True})
    plan = plan_for(server, declare("a@x", name="A"))
    server.hooks["get"] = meddling(server, 1, default=False)
    assert summaries(apply_plan(plan, server)) == ["update a@x: failed (changed since the plan: default; left alone)"]


def test_a_default_set_by_another_writer_is_a_conflict() -> None:
    server = FakeServer.holding({"email": "a@x"}, {"email": "b@x"})
    plan = plan_for(server, declare("a@x", default=True), declare("b@x", name="B"))
    server.hooks["get"] = meddling(server, 2, default=True)
    assert summaries(apply_plan(plan, server)) == [
        "update a@x: applied",
        "update b@x: failed (changed since the plan: default; left alone)",
    ]


def test_the_first_account_may_become_the_default_by_itself() -> None:
    server = FakeServer.holding(rules=Rules(first_is_default=True))
    assert summaries(plan_and_apply(server, declare("a@x", name="A"))) == ["create a@x: applied"]


def test_the_default_of_an_empty_server_is_created_first() -> None:
    server = FakeServer.holding(rules=Rules(first_is_default=True))
    desired = [declare("a@x", name="A", default=False), declare("b@x", name="B", default=True)]
    assert summaries(plan_and_apply(server, *desired, parallelism=2)) == ["create a@x: applied", "create b@x: applied"]


# Creates


def test_a_create_sends_required_fields_and_verifies_declared_ones() -> None:
    server = FakeServer.holding()
    server.answers["create"] = lambda response: response.with_fields({"default": True, "smtp_port": 25})
    assert summaries(plan_and_apply(server, declare("a@x", name="A"))) == ["create a@x: applied"]
    assert server.calls[-1].fields == {"default": False, "has_auth": False, "email": "a@x", "name": "A"}


def test_a_create_names_fields_not_kept_and_its_id() -> None:
    server = FakeServer.holding()
    server.stores_instead("create", name="a")
    outcomes = plan_and_apply(server, declare("a@x", name="A"))
    assert summaries(outcomes) == ['create a@x: failed (the server did not keep name (it has "a"))']
    assert outcomes[0].id == 1


def test_a_response_that_lacks_fields_is_completed_by_a_read() -> None:
    server = FakeServer.holding()
    server.answers["create"] = lambda response: Account({"email": response.email}, response.id)
    assert summaries(plan_and_apply(server, declare("a@x", name="A"))) == ["create a@x: applied"]
    assert server.methods() == ["list", "create a@x", "get 1"]


def test_a_response_that_cannot_be_completed_is_unknown() -> None:
    server = FakeServer.holding()
    server.answers["create"] = lambda response: Account({"email": response.email}, response.id)
    server.script("get", Fault(DOWN))
    outcomes = plan_and_apply(server, declare("a@x", name="A"))
    assert summaries(outcomes) == [
        "create a@x: unknown (written, but the response lacks name, and reading again failed: connection refused)"
    ]


@pytest.mark.parametrize("error", [NO, DOWN])
def test_a_create_that_did_nothing_fails_without_a_search(error: ApiError) -> None:
    server = FakeServer.holding()
    server.script("create", Fault(error))
    assert summaries(plan_and_apply(server, declare("a@x", name="A"))) == [f"create a@x: failed ({error})"]
    assert server.methods() == ["list", "create a@x"]


def test_a_create_whose_answer_was_lost_is_adopted() -> None:
    server = FakeServer.holding()
    server.script("create", Fault(lost(), "after"))
    outcomes = plan_and_apply(server, declare("a@x", name="A"))
    assert summaries(outcomes) == ["create a@x: applied (connection reset; found on the server and adopted)"]
    assert (outcomes[0].id, server.methods()) == (1, ["list", "create a@x", "list"])


def test_a_lost_create_is_searched_for_and_never_repeated() -> None:
    server = FakeServer.holding()
    server.script("create", Fault(lost()))
    assert summaries(plan_and_apply(server, declare("a@x", name="A"))) == [
        "create a@x: unknown (connection reset; it is not on the server so far)"
    ]
    assert server.methods() == ["list", "create a@x", "list", "list"]


def test_a_search_goes_on_after_a_list_that_failed() -> None:
    server = FakeServer.holding()
    server.script("create", Fault(lost(), "after"))
    server.script("list", None, None, Fault(DOWN))
    assert summaries(plan_and_apply(server, declare("a@x", name="A"))) == [
        "create a@x: applied (connection reset; found on the server and adopted)"
    ]


def test_a_search_without_a_list_leaves_the_outcome_unknown() -> None:
    server = FakeServer.holding()
    server.script("create", Fault(lost(), "after"))
    server.script("list", None, None, Fault(DOWN), Fault(DOWN))
    assert summaries(plan_and_apply(server, declare("a@x", name="A"))) == [
        "create a@x: unknown (connection reset; the list could not be read to look for it)"
    ]


def test_two_candidates_are_not_adopted() -> None:
    server = FakeServer.holding()
    plan = plan_for(server, declare("a@x", name="A"))

    def rival(_call: Call) -> None:
        server.accounts[50] = account("a@x", 50)

    server.hooks["create"] = rival
    server.script("create", Fault(lost(), "after"))
    assert summaries(apply_plan(plan, server)) == [
        "create a@x: unknown (connection reset; 2 accounts have its address now)"
    ]


def test_an_account_that_the_plan_knew_is_never_adopted() -> None:
    server = FakeServer.holding({"email": "old@x"})
    plan = plan_for(server, declare("old@x"), declare("a@x", name="A"))
    server.script("create", Fault(lost()))
    server.hooks["list"] = lambda _call: server.accounts.update({1: account("a@x", 1, name="A")})
    assert summaries(apply_plan(plan, server)) == [
        "create a@x: unknown (connection reset; it is not on the server so far)"
    ]


def test_an_adopted_account_is_verified() -> None:
    server = FakeServer.holding(rules=Rules(first_is_default=True))
    server.script("create", Fault(lost(), "after"))
    outcomes = plan_and_apply(server, declare("a@x", name="A", default=False))
    assert summaries(outcomes) == [
        "create a@x: unknown (connection reset; an account with its address is there, with other values:"
        " default (it has true); left alone)"
    ]


def test_another_writers_account_is_not_adopted() -> None:
    server = FakeServer.holding()
    server.script("create", Fault(lost()))
    server.hooks["create"] = lambda _call: server.accounts.update({9: account("a@x", 9, name="theirs")})
    plan = plan_for(server, declare("a@x", name="A"))
    (outcome,) = apply_plan(plan, server)
    assert (outcome.id, summaries([outcome])) == (
        9,
        [
            "create a@x: unknown (connection reset; an account with its address is there, with other values:"
            ' name (it has "theirs"); left alone)'
        ],
    )


APPEARED = "create a@x: failed (an account with its address (id 9) has appeared since the plan; left alone)"


def appeared(*strangers: Account, **fields: Any) -> tuple[list[str], FakeServer]:  # noqa: ANN401 - values
    """The outcome of a create at ``a@x`` if accounts have appeared since the plan."""
    server = FakeServer.holding()
    plan = plan_for(server, declare("a@x", name="A", **fields))
    server.accounts.update({one.id: one for one in strangers if one.id})
    return summaries(apply_plan(plan, server)), server


def test_an_account_that_appeared_since_the_plan_is_not_doubled() -> None:
    outcomes, server = appeared(account("A@x", 9, name="other"))
    assert outcomes == [
        "create a@x: failed (an account with its address (id 9) has appeared since the plan; left alone)"
    ]
    assert server.methods() == ["list"]


def test_an_account_that_appeared_as_declared_counts_as_applied() -> None:
    outcomes, server = appeared(account("a@x", 9, name="A"))
    assert (outcomes, server.writes()) == (["create a@x: applied (was in place already; nothing written)"], [])


def test_an_account_with_a_hidden_password_is_not_adopted() -> None:
    outcomes, _ = appeared(account("a@x", 9, name="A", has_auth=True, password=UNKNOWN), password=Secret("p"))
    assert outcomes == [
        "create a@x: failed (an account with its address (id 9) has appeared since the plan; left alone)"
    ]


def test_two_accounts_that_appeared_are_both_named() -> None:
    outcomes, _ = appeared(account("a@x", 9, name="A"), account("a@x", 8, name="A"))
    assert outcomes == [
        "create a@x: failed (an account with its address (id 9, 8) has appeared since the plan; left alone)"
    ]


def test_unplanned_accounts_elsewhere_do_not_matter() -> None:
    server = FakeServer.holding({"email": "old@x"})
    plan = plan_for(server, declare("a@x", name="A"), declare("b@x", name="B"), declare("old@x"))
    server.accounts[9] = account("z@x", 9)
    server._next_id = 10
    assert summaries(apply_plan(plan, server)) == ["create a@x: applied", "create b@x: applied"]
    assert server.methods() == ["list", "create a@x", "create b@x"]


def test_a_create_without_a_list_fails_and_the_next_lists_again() -> None:
    server = FakeServer.holding()
    plan = plan_for(server, declare("a@x", name="A"), declare("b@x", name="B"))
    server.script("list", Fault(DOWN))
    assert summaries(apply_plan(plan, server)) == [
        "create a@x: failed (connection refused)",
        "create b@x: applied",
    ]
    assert server.methods() == ["list", "list", "create b@x"]


# Deletes


def test_a_delete_reads_again_first() -> None:
    server = FakeServer.holding({"email": "a@x"})
    assert summaries(plan_and_apply(server)) == ["delete a@x: applied"]
    assert (server.methods(), server.accounts) == (["get 1", "delete 1"], {})


def test_a_delete_of_what_is_gone_is_applied_without_a_write() -> None:
    server = FakeServer.holding({"email": "a@x"})
    plan = plan_for(server)
    server.accounts.clear()
    assert summaries(apply_plan(plan, server)) == ["delete a@x: applied (was gone already; nothing written)"]
    assert server.writes() == []


def test_a_delete_leaves_alone_what_somebody_else_has_changed() -> None:
    server = FakeServer.holding({"email": "a@x"})
    plan = plan_for(server)
    server.hooks["get"] = meddling(server, 1, name="in use again")
    assert summaries(apply_plan(plan, server)) == ["delete a@x: failed (changed since the plan: name; left alone)"]
    assert server.writes() == []


@pytest.mark.parametrize(
    ("delete", "get", "expected"),
    [
        (Fault(NO), None, "failed (400 no)"),
        (Fault(DOWN), None, "failed (connection refused)"),
        (Fault(lost()), None, "unknown (connection reset; read again, still there so far)"),
        (Fault(lost(), "after"), None, "applied (connection reset; read again and found gone)"),
        (Fault(ODD, "after"), None, "applied (no JSON; read again and found gone)"),
        (
            Fault(lost(), "after"),
            Fault(DOWN),
            "unknown (connection reset; it could not be read again: connection refused)",
        ),
    ],
)
def test_a_delete_that_goes_wrong_says_what_is_certain(delete: Fault, get: Fault | None, expected: str) -> None:
    server = FakeServer.holding({"email": "a@x"})
    plan = plan_for(server)
    server.script("delete", delete)
    server.script("get", None, get)
    assert summaries(apply_plan(plan, server)) == [f"delete a@x: {expected}"]


@pytest.mark.parametrize("error", [DOWN, ODD])
def test_a_delete_whose_account_cannot_be_read_first_fails(error: ApiError) -> None:
    server = FakeServer.holding({"email": "a@x"})
    plan = plan_for(server)
    server.script("get", Fault(error))
    assert summaries(apply_plan(plan, server)) == [f"delete a@x: failed ({error})"]


# Temporary names

SWAPPED: tuple[Fields, Fields] = ({"email": "a@x", "name": "A"}, {"email": "b@x", "name": "B"})
SWAP = (declare("a@x", name="B"), declare("b@x", name="A"))
UNIQUE = Rules(unique_names=True)


def test_names_are_exchanged_through_a_temporary_one() -> None:
    server = FakeServer.holding(*SWAPPED, rules=UNIQUE)
    assert summaries(plan_and_apply(server, *SWAP)) == ["update a@x: applied", "update b@x: applied"]
    assert [call.fields["name"] for call in server.calls if call.fields] == ["B (moving)", "A", "B"]


def test_a_failure_after_the_temporary_name_is_reported() -> None:
    server = FakeServer.holding(*SWAPPED, rules=UNIQUE)
    plan = plan_for(server, *SWAP)
    server.script("update", None, Fault(NO))
    assert summaries(apply_plan(plan, server)) == [
        "update a@x: failed (the account was left under its temporary name: needs the change of b@x,"
        " which did not succeed)",
        "update b@x: failed (400 no)",
    ]


def test_a_last_step_that_goes_wrong_may_leave_the_temporary_name() -> None:
    server = FakeServer.holding(*SWAPPED, rules=UNIQUE)
    plan = plan_for(server, *SWAP)
    server.script("update", None, None, Fault(lost()))
    assert summaries(apply_plan(plan, server))[0] == (
        "update a@x: unknown (the account may still have its temporary name: connection reset;"
        " read again, not in place so far)"
    )


def test_a_first_step_that_goes_wrong_is_the_outcome() -> None:
    server = FakeServer.holding(*SWAPPED, rules=UNIQUE)
    plan = plan_for(server, *SWAP)
    server.script("update", Fault(NO))
    assert summaries(apply_plan(plan, server)) == [
        "update a@x: failed (400 no)",
        "update b@x: skipped (needs the change of a@x, which did not succeed)",
    ]


def test_an_unclear_first_step_may_have_set_the_temporary_name() -> None:
    server = FakeServer.holding(*SWAPPED, rules=UNIQUE)
    plan = plan_for(server, *SWAP)
    server.script("update", Fault(lost()))
    assert summaries(apply_plan(plan, server)) == [
        "update a@x: unknown (the account may have its temporary name: connection reset;"
        " read again, not in place so far)",
        "update b@x: skipped (needs the change of a@x, which did not succeed)",
    ]


def test_a_swap_in_place_already_gets_no_temporary_name() -> None:
    server = FakeServer.holding(*SWAPPED)
    plan = plan_for(server, *SWAP)
    server.accounts[1] = server.accounts[1].with_fields({"name": "B"})
    server.accounts[2] = server.accounts[2].with_fields({"name": "A"})
    note = "applied (was in place already; nothing written)"
    assert summaries(apply_plan(plan, server)) == [f"update a@x: {note}", f"update b@x: {note}"]
    assert server.writes() == []


def test_what_somebody_else_has_ended_was_still_begun_by_us() -> None:
    server = FakeServer.holding({"email": "a@x", "name": "A"}, {"email": "b@x", "name": "B"})
    plan = plan_for(server, declare("a@x", name="B"), declare("b@x", name="A"))
    observer = RecordingObserver(
        before=lambda change: meddle() if change.address == "a@x" and server.writes() else None
    )

    def meddle() -> None:
        server.accounts[1] = server.accounts[1].with_fields({"name": "B"})

    assert summaries(apply_plan(plan, server, observer=observer)) == ["update a@x: applied", "update b@x: applied"]


def test_a_create_under_a_temporary_name_is_renamed() -> None:
    server = FakeServer.holding({"email": "a@x", "name": "N", "default": True}, rules=UNIQUE)
    plan = plan_for(server, declare("n@x", name="N", default=True))
    server.answers["create"] = lambda response: Account(
        {name: response.fields[name] for name in ("email", "name", "default")}, response.id
    )
    assert summaries(apply_plan(plan, server)) == ["delete a@x: applied", "create n@x: applied"]
    assert (server.accounts[2].name, server.writes()) == ("N", ["create n@x", "delete 1", "update 2"])


# Tests around the write


def test_a_passed_test_before_the_write_lets_it_start() -> None:
    server = FakeServer.holding({"email": "a@x", "name": "A", "smtp_port": 25})
    (outcome,) = plan_and_apply(server, declare("a@x", name="B", test=BEFORE))
    assert server.methods() == ["test a@x", "get 1", "update 1"]
    assert server.calls[0].fields == {**BLANK, "email": "a@x", "name": "B", "smtp_port": 25}
    assert (outcome.status, outcome.test and outcome.test.passed, server.mails) == ("applied", True, ["ops@x"])


def test_a_create_is_tried_with_all_that_is_sent() -> None:
    server = FakeServer.holding()
    plan_and_apply(server, declare("a@x", name="A", test=BEFORE))
    assert [call.fields for call in server.calls if call.method != "list"] == [
        {"default": False, "has_auth": False, "email": "a@x", "name": "A"}
    ] * 2


def test_what_fails_its_test_before_the_write_is_not_written() -> None:
    server = FakeServer.holding()
    server.tests_fail = lambda _fields: "535 wrong password"
    (outcome,) = plan_and_apply(server, declare("a@x", name="A", test=BEFORE))
    assert summaries([outcome]) == ["create a@x: failed (not written, because the test failed: 535 wrong password)"]
    assert (outcome.test and outcome.test.passed, server.writes()) == (False, [])


def test_an_unclear_test_is_not_repeated_and_its_mail_is_mentioned() -> None:
    server = FakeServer.holding()
    plan = plan_for(server, declare("a@x", name="A", test=BEFORE))
    server.script("test", Fault(lost(), "after"))
    assert summaries(apply_plan(plan, server)) == [
        "create a@x: failed (not written, because the outcome of the test is unknown, and its mail may have been sent: "
        "connection reset)"
    ]
    assert server.methods() == ["test a@x"]


def test_a_write_that_fails_after_its_test_passed_shows_both() -> None:
    server = FakeServer.holding()
    plan = plan_for(server, declare("a@x", name="A", test=BEFORE))
    server.script("create", Fault(NO))
    (outcome,) = apply_plan(plan, server)
    assert (outcome.status, outcome.test and outcome.test.passed) == ("failed", True)


def test_an_account_with_a_temporary_name_is_tested_once() -> None:
    server = FakeServer.holding(*SWAPPED, rules=UNIQUE)
    desired = [declare("a@x", name="B", test=BEFORE), declare("b@x", name="A", test=AFTER)]
    plan_and_apply(server, *desired)
    assert server.methods().count("test a@x") == 1
    assert server.methods().count("test b@x") == 1


def test_a_test_after_the_write_uses_the_declared_password() -> None:
    server = FakeServer.holding(AUTH, rules=HIDES)
    (outcome,) = plan_and_apply(server, declare("a@x", name="B", password=Secret("q"), test=AFTER))
    assert server.methods() == ["get 1", "update 1", "test a@x"]
    assert server.calls[-1].fields == {**BLANK, **AUTH, "name": "B", "password": Secret("q")}
    assert (outcome.status, outcome.test and outcome.test.passed) == ("applied", True)


def test_a_test_after_a_write_that_failed_is_not_sent() -> None:
    server = FakeServer.holding()
    plan = plan_for(server, declare("a@x", name="A", test=AFTER))
    server.script("create", Fault(NO))
    (outcome,) = apply_plan(plan, server)
    assert (outcome.test, server.methods()) == (None, ["list", "create a@x"])


def test_the_old_default_stays_if_the_new_one_fails_its_test() -> None:
    server = FakeServer.holding({"email": "a@x", "default": True})
    server.tests_fail = lambda _fields: "no"
    outcomes = plan_and_apply(server, declare("b@x", name="B", default=True, test=AFTER))
    assert summaries(outcomes) == [
        "delete a@x: skipped (needs the change of b@x, which did not succeed)",
        "create b@x: applied",
    ]
    assert (outcomes[1].test and outcomes[1].test.passed, sorted(server.accounts)) == (False, [1, 2])


UNICODE, ASCII = "info@b\u00fccher.example", "info@xn--bcher-kva.example"


def test_an_account_in_another_spelling_is_not_doubled() -> None:
    server = FakeServer.holding()
    plan = plan_for(server, declare(UNICODE, name="A"))
    server.accounts[9] = account(ASCII, 9, name="other")
    message = "an account with its address (id 9) has appeared since the plan; left alone"
    assert summaries(apply_plan(plan, server)) == [f"create {UNICODE}: failed ({message})"]
    assert server.writes() == []


def test_a_create_stored_in_another_spelling_is_adopted() -> None:
    server = FakeServer.holding()
    server.script("create", Fault(lost(), "after"))
    server.hooks["list"] = lambda _call: server.accounts.update(
        {number: one.with_fields({"email": ASCII, "name": "Jose\u0301"}) for number, one in server.accounts.items()}
    )
    outcomes = plan_and_apply(server, declare(UNICODE, name="Jos\u00e9"))
    assert summaries(outcomes) == [f"create {UNICODE}: applied (connection reset; found on the server and adopted)"]
    assert server.writes() == [f"create {UNICODE}"]


def test_a_response_in_another_spelling_shows_what_was_sent() -> None:
    server = FakeServer.holding({"email": UNICODE, "name": "Old", "smtp_server": "mx.b\u00fccher.example"})
    server.answers["update"] = lambda response: response.with_fields(
        {"email": ASCII, "smtp_server": "MX.xn--bcher-kva.example"}
    )
    outcomes = plan_and_apply(server, declare(ASCII, name="Jos\u00e9"))
    assert summaries(outcomes) == [f"update {ASCII}: applied"]
    assert server.state()[1]["email"] == UNICODE
