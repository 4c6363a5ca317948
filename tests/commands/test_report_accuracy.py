"""The report is true, and no changes of other writers are lost, whatever the server responds."""

from __future__ import annotations

import json
from http import HTTPStatus
from typing import TYPE_CHECKING, Any

import pytest

from tests.support.accounts_api import AccountsApi, Row
from tests.support.scripted_server import Reply, Request, ScriptedServer, Step, json_reply

if TYPE_CHECKING:
    from tests.support.cli_runner import CliProcess

HEAD = "version: 1\npolicy: {max_deletes: 100%}\ndefaults: {service: other, smtp_server: mx.example.com}\naccounts:\n"
KEEP = "  - {email: keep@example.com, name: Keep}\n"
RENAMED = "  - {email: keep@example.com, name: Renamed}\n"
NEW = KEEP + "  - {email: new@example.com, name: New}\n"
KEPT: Row = {"email": "keep@example.com", "name": "Keep"}
GONE: Row = {"email": "gone@example.com", "name": "Gone"}
SOON = {"Retry-After": "1"}


def earlier(status: int) -> str:
    """How the report describes a write without a clear response."""
    phrase = f"{status} {HTTPStatus(status).phrase}"
    return f" (an earlier attempt: it is not certain whether the server did it: {phrase})"


class Report:
    """A run of a command and what it printed."""

    def __init__(self, user: CliProcess, api: AccountsApi, accounts: str, *command: str) -> None:
        user.write("accounts.yaml", HEAD + accounts)
        with ScriptedServer(respond=api) as server:
            user.environ |= {"RECONCILER_URL": server.url, "RECONCILER_TOKEN": "token"}
            done = user.run(*(command or ("apply", "accounts.yaml", "--auto-approve", "--allow-empty")), "-f", "json")
        assert "Traceback" not in done.err
        self.code = done.code
        self.document: dict[str, Any] = json.loads(done.out)
        self.results = {one["address"]: one for one in self.document.get("results", ())}

    def of(self, address: str) -> tuple[int, str, str]:
        """The exit code, the status of a change, and its error and note."""
        result = self.results[address]
        return self.code, result["status"], "; ".join(result[part] for part in ("error", "note") if part in result)


def test_a_delete_is_not_repeated_for_an_account_that_got_the_id(user: CliProcess) -> None:
    api = AccountsApi(KEPT, GONE)

    def respond(_request: Request, count: int) -> Step | None:
        if count > 1:
            return None
        del api.accounts[2]
        api.add(account_id=2, email="theirs@example.com")
        return Reply(502, headers=SOON)

    api.overrides["DELETE 2"] = respond
    report = Report(user, api, KEEP)
    assert (api.accounts[2]["email"], api.requests.count("DELETE 2")) == ("theirs@example.com", 1)
    what = f"changed since the plan: id 2 is now that of another account, which is left alone{earlier(502)}"
    assert report.of("gone@example.com") == (3, "failed", what)


@pytest.mark.parametrize("hides", [False, True])
@pytest.mark.parametrize("status", [429, 502, 503, 504])
def test_an_update_is_not_repeated_over_another_change(user: CliProcess, *, status: int, hides: bool) -> None:
    api = AccountsApi({**KEPT, "password": "former", "hash_auth": True}, hides_passwords=hides)
    theirs = {"password": "theirs"} if hides else {"smtp_port": 2525, "password": "theirs"}

    def respond(_request: Request, count: int) -> Step | None:
        if count > 1:
            return None
        api.edit(1, **theirs)
        return Reply(status, headers=SOON)

    api.overrides["PUT 1"] = respond
    user.environ["SMTP_PASSWORD"] = "former"
    declared = "  - {email: keep@example.com, name: Renamed, password: {env: SMTP_PASSWORD}}\n"
    report = Report(user, api, declared)
    assert api.requests == ["GET list", "GET 1", "PUT 1", "GET 1"]
    assert {name: api.accounts[1][name] for name in ("name", *theirs)} == {"name": "Keep", **theirs}
    names = "updated_at" if hides else "password, smtp_port, updated_at"
    before = "" if status == HTTPStatus.TOO_MANY_REQUESTS else earlier(status)
    assert report.of("keep@example.com") == (3, "failed", f"changed since the plan: {names}; left alone{before}")


def test_a_create_that_is_done_despite_a_429_is_sent_once(user: CliProcess) -> None:
    api = AccountsApi(KEPT)

    def respond(request: Request, _count: int) -> Step | None:
        api.serve(request)
        return Reply(429)

    api.overrides["POST"] = respond
    report = Report(user, api, NEW)
    assert [row["email"] for row in api.accounts.values()] == ["keep@example.com", "new@example.com"]
    assert api.requests == ["GET list", "GET list", "POST", "GET list", "GET list"]
    note = "429 Too Many Requests; found on the server and adopted"
    assert report.of("new@example.com") == (0, "applied", note)


FALSE = {
    "404": json_reply({"errors": [{"field": "id", "type": "not_found", "msg": "no"}]}, 404),
    "false": json_reply(value=False),
    "no success": json_reply({"success": False}),
    "errors": json_reply({"errors": [{"field": "id", "type": "in_use", "msg": "no"}]}),
    "202": Reply(202),
    "206": Reply(206),
    "an object": json_reply({}),
    "a page": Reply(200, b"<html>Log in</html>", {"Content-Type": "text/html"}),
}


@pytest.mark.parametrize("answer", FALSE)
def test_a_false_delete_response_is_not_reported_as_applied(user: CliProcess, answer: str) -> None:
    api = AccountsApi(KEPT, GONE)
    api.overrides["DELETE 2"] = lambda _request, _count: FALSE[answer]
    report = Report(user, api, KEEP)
    expected = "failed" if answer in {"404", "false", "no success", "errors"} else "unknown"
    assert report.of("gone@example.com")[:2] == (3, expected)
    assert api.requests == ["GET list", "GET 2", "DELETE 2", "GET 2"]


@pytest.mark.parametrize("answer", FALSE)
def test_a_delete_that_is_done_is_applied_whatever_the_response(user: CliProcess, answer: str) -> None:
    api = AccountsApi(KEPT, GONE)

    def respond(request: Request, _count: int) -> Step | None:
        api.serve(request)
        return FALSE[answer]

    api.overrides["DELETE 2"] = respond
    assert Report(user, api, KEEP).of("gone@example.com")[:2] == (0, "applied")


def test_the_final_check_finds_an_account_that_was_not_deleted(user: CliProcess) -> None:
    api = AccountsApi(KEPT, GONE)
    api.overrides["DELETE 2"] = lambda _request, _count: Reply(200)
    what = "the account is still on the server at the end of the run"
    assert Report(user, api, KEEP).of("gone@example.com") == (3, "failed", what)


@pytest.mark.parametrize("answer", [one for one in FALSE if one != "404"])
def test_a_test_mail_that_was_not_sent_has_not_passed(user: CliProcess, answer: str) -> None:
    api = AccountsApi(KEPT)
    api.overrides["POST test"] = lambda _request, _count: FALSE[answer]
    report = Report(user, api, KEEP, "test", "accounts.yaml", "--to-email", "ops@example.com")
    expected = "failed" if answer in {"false", "no success", "errors"} else "unknown"
    assert report.of("keep@example.com")[:2] == (3, expected)
    assert api.requests.count("POST test") == 1


@pytest.mark.parametrize(("kind", "accounts", "address"), [("PUT 1", RENAMED, "keep"), ("POST", NEW, "new")])
def test_a_write_that_the_server_did_not_store_has_failed(
    user: CliProcess, kind: str, accounts: str, address: str
) -> None:
    api = AccountsApi(KEPT)
    api.overrides[kind] = lambda request, _count: json_reply({"id": 7, **api.echo(request)})
    report = Report(user, api, accounts)
    what = {
        "keep": 'at the end of the run the server has other values: name (it has "Keep")',
        "new": "the account is not on the server at the end of the run",
    }
    assert report.of(f"{address}@example.com") == (3, "failed", what[address])
    assert report.document["verified"] is True


NOT_DONE = {
    "refused@example.com": json_reply({"success": False}),
    "wrong@example.com": json_reply({"errors": [{"type": "invalid", "field": "name", "msg": "no"}]}),
    "later@example.com": Reply(202),
    "empty@example.com": Reply(204, headers={"Content-Length": ""}),
    "old@example.com": json_reply({**KEPT, "id": 1}, 201),
    "strange@example.com": json_reply({"email": "other@example.com", "id": 9}, 201),
}


def test_no_other_response_counts_as_a_create(user: CliProcess) -> None:
    api = AccountsApi(KEPT)
    created: list[str] = []

    def respond(request: Request, _count: int) -> Step:
        created.append(json.loads(request.body)["email"])
        return NOT_DONE[created[-1]]

    api.overrides["POST"] = respond
    # All in one run, which looks for the accounts side by side for some seconds.
    report = Report(user, api, KEEP + "".join(f"  - {{email: {one}, name: {one}}}\n" for one in NOT_DONE))
    assert {address: report.of(address)[:2] for address in NOT_DONE} == dict.fromkeys(NOT_DONE, (3, "unknown"))
    assert sorted(created) == sorted(NOT_DONE)


def test_two_accounts_at_one_address_are_chosen_by_id(user: CliProcess) -> None:
    api = AccountsApi(KEPT)

    def respond(request: Request, _count: int) -> Step | None:
        api.add(email="new@example.com", name="Theirs")
        return api.serve(request)

    api.overrides["POST"] = respond
    what = (
        "the server has this address more than once at the end of the run (ids 3, 2): choose one with `id: 3` in the"
        " YAML; the other is then undeclared, and is deleted if pruning is on"
    )
    assert Report(user, api, NEW).of("new@example.com") == (3, "failed", what)
    plan = Report(user, api, NEW, "plan", "accounts.yaml")
    (error,) = plan.document["errors"]
    words = f"{error['message']} {error['hint']}"
    assert (plan.code, error["kind"]) == (1, "ambiguous_address")
    assert all(part in words for part in ("2, 3", "`id: 2`", "undeclared", "deleted"))
    chosen = KEEP + "  - {email: new@example.com, name: New, id: 3}\n"
    assert Report(user, api, chosen).code == 0
    assert sorted(api.accounts) == [1, 3]


@pytest.mark.parametrize("moment", ["before", "after"])
def test_an_account_recreated_during_its_delete_is_reported(user: CliProcess, moment: str) -> None:
    api = AccountsApi(KEPT, GONE)

    def renew(*_: object) -> None:
        del api.accounts[2]
        api.add(account_id=5, **GONE)

    def respond(_request: Request, _count: int) -> Step | None:
        renew()
        return Reply(200) if moment == "after" else None

    api.overrides["GET 2" if moment == "before" else "DELETE 2"] = respond
    code, status, words = Report(user, api, KEEP).of("gone@example.com")
    assert (code, status) == (3, "failed")
    assert words.startswith("an account with this address exists again at the end of the run (id 5)")
    assert 5 in api.accounts


def test_a_change_by_others_after_the_write_is_reported(user: CliProcess) -> None:
    api = AccountsApi({**KEPT, "password": "former", "hash_auth": True}, hides_passwords=True)

    def respond(request: Request, _count: int) -> Step | None:
        answer = api.serve(request)
        api.edit(1, password="theirs")
        return answer

    api.overrides["PUT 1"] = respond
    user.environ["SMTP_PASSWORD"] = "former"
    declared = "  - {email: keep@example.com, name: Renamed, password: {env: SMTP_PASSWORD}}\n"
    note = "somebody changed it after this run's write: updated_at"
    assert Report(user, api, declared).of("keep@example.com") == (3, "applied", note)


def test_a_run_that_cannot_be_verified_reports_it(user: CliProcess) -> None:
    api = AccountsApi(KEPT)
    api.overrides["GET list"] = lambda _request, count: Reply(500) if count > 1 else None
    report = Report(user, api, RENAMED)
    assert (report.code, report.document["verified"]) == (3, False)
    assert [error["kind"] for error in report.document["errors"]] == ["not_verified"]
    assert report.of("keep@example.com")[1] == "applied"


def test_the_journal_counts_the_attempts_of_a_write(user: CliProcess) -> None:
    api = AccountsApi(KEPT)
    api.overrides["PUT 1"] = lambda _request, count: Reply(503) if count == 1 else None
    command = ("apply", "accounts.yaml", "--auto-approve", "--journal", "journal.jsonl")
    assert Report(user, api, RENAMED, *command).code == 0
    lines = [json.loads(line) for line in (user.folder / "journal.jsonl").read_text(encoding="utf-8").splitlines()]
    assert [(one["event"], one.get("attempts")) for one in lines] == [("intent", None), ("outcome", 2)]


def test_the_final_check_costs_one_list_call(user: CliProcess) -> None:
    api = AccountsApi(KEPT, GONE)
    assert Report(user, api, RENAMED).code == 0
    assert sorted(api.requests) == ["DELETE 2", "GET 1", "GET 2", "GET list", "GET list", "PUT 1"]
    api.requests.clear()
    assert Report(user, api, RENAMED).code == 0
    assert api.requests == ["GET list"]


def test_the_run_stops_when_the_server_dies(user: CliProcess) -> None:
    api = AccountsApi(KEPT)
    servers: list[ScriptedServer] = []

    def die(request: Request, count: int) -> Step | None:
        if count == 20:
            servers[0].die()
        return api.serve(request)

    api.overrides["POST"] = die
    many = "".join(f"  - {{email: a{index}@example.com, name: A{index}}}\n" for index in range(120))
    user.write("accounts.yaml", HEAD + KEEP + many)
    with ScriptedServer(respond=api) as server:
        servers.append(server)
        user.environ |= {"RECONCILER_URL": server.url, "RECONCILER_TOKEN": "token"}
        done = user.run("apply", "accounts.yaml", "--auto-approve", "--parallelism", "8", "-f", "json")
    document = json.loads(done.out)
    statuses = document["summary"]
    assert (done.code, document["verified"]) == (3, False)
    assert statuses["not_attempted"] >= 80
    reasons = {one["error"] for one in document["results"] if one["status"] == "not_attempted"}
    assert reasons == {"not started: 5 steps in a row did not reach the server"}
