"""Every attempt to write begins with a read, and reports the truth if others write meanwhile."""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING, Any

import pytest

from reconciler.errors import ApiError, Kind, NotFoundError, RejectedError, UnreachableError
from reconciler.model.account import Account
from reconciler.model.desired import DeliveryTestSettings, DeliveryTestWhen, Policy
from reconciler.model.on_failure import OnFailure
from reconciler.model.secret import Secret
from tests.support.declarations import apply_plan, declare, plan_for, summaries
from tests.support.fake_server import FakeServer, Fault, Rules, account, lost

if TYPE_CHECKING:
    from collections.abc import Callable

    from reconciler.model.account import Fields, Value
    from reconciler.model.desired import DesiredAccount
    from reconciler.model.plan import Plan
    from tests.support.fake_server import Call, Method, When


def transient(error: ApiError) -> ApiError:
    """An error after which another attempt is made."""
    error.transient = True
    return error


BUSY = transient(RejectedError.of("429 too many requests", kind=Kind.REJECTED))
BAD_GATEWAY = transient(lost("502 bad gateway"))
REFUSED = transient(UnreachableError.of("connection refused", kind=Kind.CONNECTION_FAILED))
TIMES = Rules(times=True)
HIDES = Rules(times=True, hidden_password_warning=True)
AUTH: Fields = {"email": "a@x", "name": "A", "has_auth": True, "password": Secret("p")}


class Hurried(threading.Event):
    """A stop event whose waits return at once."""

    def wait(self, timeout: float | None = None) -> bool:
        del timeout
        return self.is_set()


def applied(plan: Plan, server: FakeServer, **options: Any) -> list[str]:  # noqa: ANN401 - ApplyOptions has their types
    """The outcomes of a plan whose attempts follow each other without a pause."""
    return summaries(apply_plan(plan, server, stop=Hurried(), **options))


def between(server: FakeServer, method: Method, act: Callable[[], object]) -> None:
    """Lets another writer act after the first attempt to write and before the next read."""
    read: Method = "list" if method == "create" else "get"

    def hook(_call: Call) -> None:
        if any(call.method == method for call in server.calls):
            server.hooks.pop(read)
            act()

    server.hooks[read] = hook


@pytest.mark.parametrize("error", [BUSY, BAD_GATEWAY, REFUSED])
@pytest.mark.parametrize("rules", [Rules(), TIMES])
def test_an_update_is_sent_again_only_after_another_read(rules: Rules, error: ApiError) -> None:
    server = FakeServer.holding({"email": "a@x", "name": "A"}, rules=rules)
    plan = plan_for(server, declare("a@x", name="B"))
    server.script("update", Fault(error), None)
    assert applied(plan, server) == ["update a@x: applied"]
    assert server.methods() == ["get 1", "update 1", "get 1", "update 1"]


@pytest.mark.parametrize(("field", "value"), [("smtp_port", 99), ("name", "C"), ("password", Secret("q"))])
@pytest.mark.parametrize("error", [BUSY, BAD_GATEWAY, REFUSED])
def test_an_update_is_not_sent_again_over_what_somebody_else_wrote(error: ApiError, field: str, value: Value) -> None:
    server = FakeServer.holding(AUTH, rules=HIDES)
    plan = plan_for(server, declare("a@x", name="B", password=Secret("p")))
    server.script("update", Fault(error), None)
    between(server, "update", lambda: server.edit(1, **{field: value}))
    (outcome,) = applied(plan, server)
    seen = "updated_at" if field == "password" else f"{field}, updated_at"
    earlier = f" (an earlier attempt: {error})" if error is BAD_GATEWAY else ""
    assert outcome == f"update a@x: failed (changed since the plan: {seen}; left alone{earlier})"
    assert (server.accounts[1].fields[field], server.methods()) == (value, ["get 1", "update 1", "get 1"])


@pytest.mark.parametrize("error", [BUSY, BAD_GATEWAY])
def test_an_update_that_is_found_in_place_counts_as_applied(error: ApiError) -> None:
    server = FakeServer.holding({"email": "a@x", "name": "A"}, rules=TIMES)
    plan = plan_for(server, declare("a@x", name="B"))
    server.script("update", Fault(error, "after"), None)
    assert applied(plan, server) == [f"update a@x: applied ({error}; read again and found in place)"]
    assert server.methods() == ["get 1", "update 1", "get 1"]


@pytest.mark.parametrize(
    ("rules", "when", "expected"),
    [
        (HIDES, "before", "applied"),
        (HIDES, "after", "unknown (502 bad gateway; read again, but the server hides the password)"),
        (
            Rules(hidden_password_warning=True),
            "before",
            "unknown (502 bad gateway; read again, but the server hides the password)",
        ),
    ],
)
def test_a_hidden_password_is_resent_only_if_times_show_it_unstored(rules: Rules, when: When, expected: str) -> None:
    server = FakeServer.holding(AUTH, rules=rules)
    plan = plan_for(server, declare("a@x", password=Secret("q")), rotate_passwords=True)
    server.script("update", Fault(BAD_GATEWAY, when), None)
    assert applied(plan, server) == [f"update a@x: {expected}"]
    assert len(server.writes()) == (2 if expected == "applied" else 1)


def test_a_hidden_password_is_resent_after_a_temporary_refusal() -> None:
    server = FakeServer.holding(AUTH, rules=Rules(hidden_password_warning=True))
    plan = plan_for(server, declare("a@x", password=Secret("q")), rotate_passwords=True)
    server.script("update", Fault(BUSY), None)
    assert applied(plan, server) == ["update a@x: applied"]
    assert server.accounts[1].fields["password"] == Secret("q")


def test_a_hidden_password_changed_since_the_plan_is_left_alone() -> None:
    server = FakeServer.holding(AUTH, {"email": "b@x"}, rules=HIDES)
    plan = plan_for(server, declare("a@x", name="B", password=Secret("p")))
    for account_id in (1, 2):
        server.edit(account_id, password=Secret("theirs"), has_auth=True)
    assert applied(plan, server) == [
        "update a@x: failed (changed since the plan: updated_at; left alone)",
        "delete b@x: failed (changed since the plan: has_auth, updated_at; left alone)",
    ]
    assert server.writes() == []


def test_an_id_reused_since_the_plan_is_left_alone() -> None:
    server = FakeServer.holding({"email": "a@x", "name": "A"}, {"email": "b@x", "name": "b@x"}, rules=TIMES)
    plan = plan_for(server, declare("a@x", name="B"))
    server.reuse(1, "a@x")
    server.reuse(2, "b@x")
    assert applied(plan, server) == [
        "update a@x: failed (changed since the plan: name, created_at, updated_at; left alone)",
        "delete b@x: failed (changed since the plan: id 2 is now that of another account, which is left alone)",
    ]
    assert server.writes() == []


def test_the_demotion_of_the_former_default_is_no_conflict() -> None:
    rules = Rules(times=True, single_default=True)
    server = FakeServer.holding({"email": "a@x", "name": "A", "default": True}, {"email": "b@x"}, rules=rules)
    plan = plan_for(server, declare("a@x", name="B", default=False), declare("b@x", default=True))
    assert applied(plan, server) == ["update a@x: applied", "update b@x: applied"]


def test_our_first_step_is_no_conflict_but_another_writer_is() -> None:
    held: tuple[Fields, Fields] = ({"email": "a@x", "name": "A"}, {"email": "b@x", "name": "B"})
    server = FakeServer.holding(*held, rules=Rules(times=True, unique_names=True))
    plan = plan_for(server, declare("a@x", name="B"), declare("b@x", name="A"))
    assert applied(plan, server) == ["update a@x: applied", "update b@x: applied"]
    server = FakeServer.holding(*held, rules=Rules(times=True, unique_names=True))
    plan = plan_for(server, declare("a@x", name="B"), declare("b@x", name="A"))
    server.hooks["update"] = lambda call: server.edit(1, smtp_port=9) if call.subject == 2 else None
    assert applied(plan, server) == [
        "update a@x: failed (the account may still have its temporary name:"
        " changed since the plan: smtp_port, updated_at; left alone)",
        "update b@x: applied",
    ]


@pytest.mark.parametrize("error", [BUSY, BAD_GATEWAY, REFUSED])
def test_a_delete_is_sent_again_only_after_another_read(error: ApiError) -> None:
    server = FakeServer.holding({"email": "a@x"}, rules=TIMES)
    plan = plan_for(server)
    server.script("delete", Fault(error), None)
    assert applied(plan, server) == ["delete a@x: applied"]
    assert server.methods() == ["get 1", "delete 1", "get 1", "delete 1"]


@pytest.mark.parametrize("rules", [Rules(), TIMES])
def test_a_delete_is_not_resent_to_an_account_that_got_the_id(rules: Rules) -> None:
    server = FakeServer.holding({"email": "a@x"}, rules=rules)
    plan = plan_for(server)
    server.script("delete", Fault(BAD_GATEWAY, "after"), None)
    between(server, "delete", lambda: server.reuse(1, "new@x"))
    what = "id 1 is now that of another account, which is left alone" if rules.times else "email, name; left alone"
    expected = f"delete a@x: failed (changed since the plan: {what} (an earlier attempt: 502 bad gateway))"
    assert applied(plan, server) == [expected]
    assert (server.accounts[1].email, server.methods()) == ("new@x", ["get 1", "delete 1", "get 1"])


def test_a_delete_is_not_resent_after_another_writers_change() -> None:
    server = FakeServer.holding({"email": "a@x"}, rules=TIMES)
    plan = plan_for(server)
    server.script("delete", Fault(BAD_GATEWAY), None)
    between(server, "delete", lambda: server.edit(1, password=Secret("in use")))
    assert applied(plan, server) == [
        "delete a@x: failed (changed since the plan: password, updated_at; left alone"
        " (an earlier attempt: 502 bad gateway))",
    ]
    assert len(server.writes()) == 1


@pytest.mark.parametrize(
    ("when", "expected"),
    [
        ("before", "failed (404 not found)"),
        ("after", "applied (404 not found; read again and found gone)"),
    ],
)
def test_a_delete_that_finds_nothing_is_checked_by_another_read(when: When, expected: str) -> None:
    server = FakeServer.holding({"email": "a@x"})
    plan = plan_for(server)
    server.script("delete", Fault(NotFoundError.of("404 not found", kind=Kind.NOT_FOUND), when))
    assert applied(plan, server) == [f"delete a@x: {expected}"]
    assert server.methods() == ["get 1", "delete 1", "get 1"]


@pytest.mark.parametrize("error", [BUSY, REFUSED])
def test_a_create_is_sent_again_only_after_a_fresh_list(error: ApiError) -> None:
    server = FakeServer.holding()
    plan = plan_for(server, declare("a@x", name="A"))
    server.script("create", Fault(error), None)
    assert applied(plan, server) == ["create a@x: applied"]
    assert server.methods() == ["list", "create a@x", "list", "create a@x"]


def test_a_create_that_was_refused_but_made_is_adopted() -> None:
    server = FakeServer.holding()
    plan = plan_for(server, declare("a@x", name="A"))
    server.script("create", Fault(BUSY, "after"), None)
    note = "429 too many requests; found on the server and adopted"
    assert applied(plan, server) == [f"create a@x: applied ({note})"]
    assert server.methods() == ["list", "create a@x", "list"]


def test_the_list_is_read_after_the_last_attempt_to_create() -> None:
    server = FakeServer.holding()
    plan = plan_for(server, declare("a@x", name="A"))
    server.script("create", *[Fault(BUSY)] * 3, Fault(BUSY, "after"))
    note = "429 too many requests; found on the server and adopted"
    assert applied(plan, server) == [f"create a@x: applied ({note})"]
    assert (len(server.writes()), len(server.accounts)) == (4, 1)
    server = FakeServer.holding()
    plan = plan_for(server, declare("a@x", name="A"))
    server.script("create", *[Fault(BUSY)] * 4)
    assert applied(plan, server) == ["create a@x: failed (429 too many requests)"]


def test_a_create_is_not_sent_again_if_somebody_else_was_faster() -> None:
    for error in (BUSY, REFUSED):
        server = FakeServer.holding()
        plan = plan_for(server, declare("a@x", name="A"))
        server.script("create", Fault(error), None)
        between(server, "create", lambda: server.accounts.update({9: account("a@x", 9, name="Z")}))  # noqa: B023
        assert applied(plan, server) == [
            "create a@x: failed (an account with its address (id 9) has appeared since the plan; left alone)"
        ]
        assert len(server.writes()) == 1


def test_a_create_without_a_clear_answer_is_never_sent_again() -> None:
    server = FakeServer.holding()
    plan = plan_for(server, declare("a@x", name="A"))
    server.script("create", Fault(BAD_GATEWAY), None)
    assert applied(plan, server) == ["create a@x: unknown (502 bad gateway; it is not on the server so far)"]
    assert len(server.writes()) == 1


@pytest.mark.parametrize("response", [Account({"email": "old@x"}, 1), Account({"email": "b@x"}, 2)])
def test_a_create_is_not_done_by_an_answer_about_another_account(response: Account) -> None:
    server = FakeServer.holding({"email": "old@x"})
    plan = plan_for(server, declare("a@x", name="A"), declare("old@x"))
    server.answers["create"] = lambda _created: response
    note = (
        f"the response was about another account ({response.email}, id {response.id}); found on the server and adopted"
    )
    (outcome,) = apply_plan(plan, server, stop=Hurried())
    assert (summaries([outcome]), outcome.id) == ([f"create a@x: applied ({note})"], 2)


def test_a_create_may_get_the_id_of_an_account_we_deleted() -> None:
    server = FakeServer.holding({"email": "a@x", "name": "N"}, rules=Rules(unique_names=True))
    plan = plan_for(server, declare("n@x", name="N"))
    server._next_id = 1
    assert applied(plan, server) == ["delete a@x: applied", "create n@x: applied"]
    assert server.methods() == ["get 1", "delete 1", "list", "create n@x"]


@pytest.mark.parametrize("fault", [None, Fault(BAD_GATEWAY, "after")])
def test_a_create_may_get_the_id_of_an_account_others_deleted(fault: Fault | None) -> None:
    server = FakeServer.holding({"email": "a@x", "name": "a@x"}, rules=TIMES)
    plan = plan_for(server, declare("a@x"), declare("n@x", name="N"))
    server.accounts.clear()
    server._next_id = 1
    server.script("create", fault)
    (outcome,) = applied(plan, server)
    assert outcome.startswith("create n@x: applied")


def test_a_rollback_does_not_overwrite_another_writers_change() -> None:
    server = FakeServer.holding({"email": "a@x", "name": "A"}, rules=TIMES)
    plan = plan_for(server, declare("a@x", name="B", test=DeliveryTestSettings(DeliveryTestWhen.AFTER, "ops@x")))
    server.tests_fail = lambda _fields: "535"
    server.script("update", None, Fault(BAD_GATEWAY), None)

    def meddle(_call: Call) -> None:
        if len(server.writes()) == 2:
            server.hooks.pop("get")
            server.edit(1, smtp_port=99)

    server.hooks["get"] = meddle
    assert applied(plan, server, on_failure=OnFailure.ROLLBACK) == [
        "update a@x: failed (the test failed: 535)"
        " (not rolled back: changed since the plan: smtp_port, updated_at; left alone"
        " (an earlier attempt: 502 bad gateway))"
    ]
    assert (server.accounts[1].fields["smtp_port"], len(server.writes())) == (99, 2)


def test_a_rollback_that_the_server_says_and_does_not_do_is_told() -> None:
    server = FakeServer.holding({"email": "a@x", "name": "A"})
    plan = plan_for(server, declare("a@x", name="B", test=DeliveryTestSettings(DeliveryTestWhen.AFTER, "ops@x")))
    server.tests_fail = lambda _fields: "535"

    def echo(response: Account) -> Account:
        server.accounts[1] = server.accounts[1].with_fields({"name": "B"})
        return response

    server.answers["update"] = echo
    (outcome,) = applied(plan, server, on_failure=OnFailure.ROLLBACK)
    assert outcome == (
        'update a@x: failed (the test failed: 535) (rolled back, but the server did not keep name (it has "B"))'
    )


@pytest.mark.parametrize(
    ("read", "write", "desired"),
    [("get", "update", [declare("a@x", name="B")]), ("get", "delete", []), ("list", "create", [declare("n@x")])],
)
@pytest.mark.parametrize("error", [None, BUSY, BAD_GATEWAY])
def test_no_write_starts_after_an_interrupt_during_the_read(
    read: Method, write: Method, desired: list[DesiredAccount], error: ApiError | None
) -> None:
    server = FakeServer.holding({"email": "a@x", "name": "A"}, rules=TIMES)
    plan = plan_for(server, *desired, policy=Policy(prune=write == "delete"))
    stop = Hurried()
    if error:
        server.script(write, Fault(error), None)
        between(server, write, stop.set)
    else:
        server.hooks[read] = lambda _call: stop.set()
    (outcome,) = summaries(apply_plan(plan, server, stop=stop))
    assert len(server.writes()) == (1 if error else 0)
    expected = {None: "not_attempted", BUSY: "failed", BAD_GATEWAY: "unknown"}
    assert outcome.split(": ")[1].split()[0] == expected[error]
