from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from reconciler.errors import ApiError, Kind, OutcomeUnknownError, Problem, ReconcilerError, RejectedError
from reconciler.model.desired import DeliveryTestSettings, DeliveryTestWhen, Policy
from reconciler.model.on_failure import OnFailure
from reconciler.model.secret import UNKNOWN, Secret
from tests.support.declarations import RecordingObserver, apply_plan, declare, globs, plan_for, summaries
from tests.support.fake_server import FakeServer, Fault, Rules, account

if TYPE_CHECKING:
    from reconciler.model.account import Fields
    from reconciler.model.plan import Change, Plan
    from tests.support.fake_server import Call

AFTER = DeliveryTestSettings(DeliveryTestWhen.AFTER, "ops@x")
HIDES = Rules(hidden_password_warning=True)
AUTH: Fields = {"email": "a@x", "name": "A", "has_auth": True, "password": Secret("p"), "smtp_server": "mx.x"}
SINGLE = Rules(single_default=True, keep_default=True)


def undone(server: FakeServer, plan: Plan, **options: Any) -> list[str]:  # noqa: ANN401 - ApplyOptions has their types
    """The outcomes of a plan whose tests all fail."""
    server.tests_fail = lambda _fields: "535"
    return summaries(apply_plan(plan, server, on_failure=OnFailure.ROLLBACK, **options))


def failed(what: str) -> str:
    return f"failed (the test failed: 535) ({what})"


def test_a_failed_test_restores_the_former_settings() -> None:
    server = FakeServer.holding({**AUTH, "smtp_port": 25})
    before = server.state()
    plan = plan_for(server, declare("n@x", 1, name="N", smtp_port=None, password=Secret("q"), test=AFTER))
    assert undone(server, plan) == [f"update n@x: {failed('rolled back: the account has its former settings again')}"]
    assert server.state() == before


def test_a_failed_test_deletes_the_new_account() -> None:
    server = FakeServer.holding()
    plan = plan_for(server, declare("a@x", name="A", test=AFTER))
    assert undone(server, plan) == [f"create a@x: {failed('rolled back: the new account was deleted again')}"]
    assert server.accounts == {}


def test_a_field_missing_from_the_response_is_no_conflict() -> None:
    server = FakeServer.holding()
    server.answers["create"] = lambda response: response._replace(
        fields={name: value for name, value in response.fields.items() if name != "has_auth"}
    )
    plan = plan_for(server, declare("a@x", name="A", test=AFTER))
    assert undone(server, plan) == [f"create a@x: {failed('rolled back: the new account was deleted again')}"]


def test_what_passes_its_test_stays() -> None:
    server = FakeServer.holding()
    plan = plan_for(server, declare("a@x", name="A", test=AFTER))
    assert summaries(apply_plan(plan, server, on_failure=OnFailure.ROLLBACK)) == ["create a@x: applied"]


def test_what_was_in_place_already_is_not_rolled_back() -> None:
    server = FakeServer.holding()
    plan = plan_for(server, declare("a@x", name="A", test=AFTER))
    server.accounts[1] = account("a@x", 1, name="A")
    assert undone(server, plan) == ["create a@x: applied (was in place already; nothing written)"]
    assert list(server.accounts) == [1]


def test_a_rollback_leaves_another_writers_change_alone() -> None:
    server = FakeServer.holding({"email": "a@x", "name": "A"})
    plan = plan_for(server, declare("a@x", name="B", test=AFTER))

    def meddle(_call: Call) -> None:
        server.accounts[1] = server.accounts[1].with_fields({"smtp_port": 99})

    server.hooks["test"] = meddle
    assert undone(server, plan) == [
        f"update a@x: {failed('not rolled back: somebody else has changed the account since')}"
    ]
    assert server.accounts[1].name == "B"


def test_a_replaced_hidden_password_cannot_be_restored() -> None:
    server = FakeServer.holding(AUTH, rules=HIDES)
    plan = plan_for(server, declare("a@x", name="B", password=Secret("q"), test=AFTER))
    what = "rolled back, except for the password: the server does not show the former one"
    assert undone(server, plan) == [f"update a@x: {failed(what)}"]
    assert (server.accounts[1].name, server.accounts[1].fields["password"]) == ("A", Secret("q"))


def test_a_rotation_leaves_nothing_to_put_back() -> None:
    server = FakeServer.holding(AUTH, rules=HIDES)
    plan = plan_for(server, declare("a@x", password=Secret("q"), test=AFTER), rotate_passwords=True)
    what = "not rolled back: the new password stays, as the server does not show the former one"
    assert undone(server, plan) == [f"update a@x: {failed(what)}"]
    assert len(server.writes()) == 1


def test_the_observer_is_notified_about_every_rollback() -> None:
    server = FakeServer.holding({"email": "b@x", "name": "B", "default": True}, rules=SINGLE)
    plan = plan_for(server, declare("a@x", name="A", default=True, test=AFTER), declare("b@x", default=False))
    observer = RecordingObserver()
    undone(server, plan, observer=observer)
    assert observer.heard == [
        "before create a@x",
        "undoing: update b@x ['default']",
        "undone: update b@x: applied",
        "undoing: delete a@x []",
        "undone: delete a@x: applied",
        "after create a@x: failed",
    ]
    server = FakeServer.holding({"email": "b@x", "name": "B"}, {"email": "c@x", "name": "C"})
    plan = plan_for(server, declare("b@x", name="N", smtp_port=25, test=AFTER), policy=Policy(prune=False))
    server.script("update", None, Fault(RejectedError.of("400 no", kind=Kind.REJECTED)))
    observer = RecordingObserver()
    undone(server, plan, observer=observer)
    assert observer.heard == [
        "before update b@x",
        "undoing: update b@x ['name', 'smtp_port']",
        "undone: update b@x: failed",
        "after update b@x: failed",
    ]


def test_what_the_observer_cannot_record_is_not_rolled_back() -> None:
    class Deaf(RecordingObserver):
        def rollback_started(self, change: Change) -> None:
            raise ReconcilerError(Problem(kind="journal", message=f"no room for {change.address}"))

    server = FakeServer.holding()
    plan = plan_for(server, declare("a@x", name="A", test=AFTER))
    assert undone(server, plan, observer=Deaf()) == [f"create a@x: {failed('not rolled back: no room for a@x')}"]
    assert [one.email for one in server.accounts.values()] == ["a@x"]


HIDDEN_WAY = "not rolled back: the server hides the former password, and the new one must not take its place"


@pytest.mark.parametrize(
    "fields",
    [
        {"smtp_server": "new.x", "password": Secret("q")},
        {"has_auth": False},
        {"has_auth": False, "password": None},
    ],
)
def test_the_new_password_never_goes_to_the_former_server(fields: Fields) -> None:
    server = FakeServer.holding(AUTH, rules=HIDES)
    declaration = declare("a@x", None, None, AFTER, **fields)
    plan = plan_for(server, declaration)
    assert undone(server, plan) == [f"update a@x: {failed(HIDDEN_WAY)}"]
    assert len(server.writes()) == 1


@pytest.mark.parametrize(
    ("error", "words"),
    [
        (RejectedError.of("400 no", kind=Kind.REJECTED), "not rolled back: 400 no"),
        (
            OutcomeUnknownError.of("reset", kind=Kind.TIMEOUT),
            "whether it was rolled back is unknown: reset; read again, not in place so far",
        ),
        (
            ApiError.of("odd", kind=Kind.SERVER_ERROR),
            "whether it was rolled back is unknown: odd; read again, not in place so far",
        ),
    ],
)
def test_a_rollback_that_goes_wrong_says_what_is_certain(error: ApiError, words: str) -> None:
    server = FakeServer.holding({"email": "a@x", "name": "A"})
    plan = plan_for(server, declare("a@x", name="B", test=AFTER))
    server.script("update", None, Fault(error))
    assert undone(server, plan) == [f"update a@x: {failed(words)}"]


def test_a_rollback_names_the_fields_that_the_server_did_not_keep() -> None:
    server = FakeServer.holding({"email": "a@x", "name": "A"})
    plan = plan_for(server, declare("a@x", name="B", test=AFTER))
    server.stores_instead("update", name="B")
    what = 'rolled back, but the server did not keep name (it has "B")'
    assert undone(server, plan) == [f"update a@x: {failed(what)}"]


@pytest.mark.parametrize("rules", [Rules(), SINGLE])
@pytest.mark.parametrize("email", ["new@x", "b@x"])
def test_the_former_default_account_is_the_default_again(rules: Rules, email: str) -> None:
    server = FakeServer.holding({"email": "a@x", "default": True}, {"email": "b@x"}, rules=rules)
    before = server.state()
    desired = [declare("a@x", default=False), declare("b@x", default=False)]
    desired = [one for one in desired if one.account.email != email]
    plan = plan_for(server, *desired, declare(email, name=email, default=True, test=AFTER))
    outcomes = undone(server, plan)
    assert outcomes[0] == f"update a@x: skipped (needs the change of {email}, which did not succeed)"
    assert "rolled back: " in outcomes[1]
    assert server.state() == before


def test_a_former_default_that_cannot_be_promoted_is_named() -> None:
    server = FakeServer.holding(
        {**AUTH, "default": True}, rules=Rules(single_default=True, hidden_password_warning=True)
    )
    plan = plan_for(server, declare("b@x", name="B", default=True, test=AFTER))
    what = "rolled back: the new account was deleted again; a@x was the default account and is not any more"
    assert undone(server, plan)[1] == f"create b@x: {failed(what)}"


def test_a_former_default_that_is_not_managed_is_only_named() -> None:
    server = FakeServer.holding({"email": "i-1@x", "default": True}, {"email": "b@x"}, rules=Rules(single_default=True))
    policy = Policy(ignore=globs("i-*"))
    plan = plan_for(server, declare("b@x", default=True, test=AFTER), policy=policy)
    what = "rolled back: the account has its former settings again; i-1@x was the default account and is not any more"
    assert undone(server, plan) == [f"update b@x: {failed(what)}"]
    assert server.writes() == ["update 2", "update 2"]


def test_an_account_that_stays_default_needs_no_promotion() -> None:
    server = FakeServer.holding({"email": "a@x", "default": True})
    plan = plan_for(server, declare("a@x", name="B", default=True, test=AFTER))
    undone(server, plan)
    assert server.writes() == ["update 1", "update 1"]


def test_a_password_hidden_since_the_plan_survives_a_rollback() -> None:
    server = FakeServer.holding(AUTH)
    plan = plan_for(server, declare("a@x", name="N", password=Secret("p"), test=AFTER))
    server.rules = HIDES
    assert undone(server, plan) == [f"update a@x: {failed('rolled back: the account has its former settings again')}"]
    assert server.state()[1]["password"] == Secret("p")


def test_a_password_that_looks_like_a_mask_survives_a_rollback() -> None:
    server = FakeServer.holding({**AUTH, "password": Secret("****")})
    server.answers = dict.fromkeys(
        ("get", "update"), lambda response: response.with_fields({"password": UNKNOWN})._replace(mask=Secret("****"))
    )
    plan = plan_for(server, declare("a@x", name="N", password=Secret("****"), test=AFTER))
    assert undone(server, plan) == [f"update a@x: {failed('rolled back: the account has its former settings again')}"]
    assert server.state()[1]["password"] == Secret("****")
