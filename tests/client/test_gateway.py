from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from reconciler.errors import (
    ApiError,
    NotFoundError,
    OutcomeUnknownError,
    Position,
    Problem,
    RejectedError,
    WithheldError,
)
from reconciler.model.account import Account
from reconciler.model.redaction import Redactor
from reconciler.model.secret import UNKNOWN, Secret, SecretReference
from reconciler.model.server import Passwords
from tests.support.scripted_server import Reply, ScriptedServer, Step, json_reply

if TYPE_CHECKING:
    from collections.abc import Callable

    from reconciler.model.ports import AccountWriter
    from tests.client.conftest import Open

BARE = {"id": 1, "email": "a@example.com"}
URL_HINT = "is this the URL of the server's API, without a path?"


@pytest.mark.parametrize(
    ("responses", "spellings"),
    [
        ([[]], ["hash_auth", "has_auth"]),
        ([[BARE]], ["hash_auth", "has_auth"]),
        ([[{**BARE, "hash_auth": False}]], ["hash_auth"]),
        ([[BARE, {**BARE, "id": 2, "has_auth": False}]], ["has_auth"]),
        ([[{**BARE, "has_auth": False, "hash_auth": False}, {**BARE, "id": 2}]], ["hash_auth", "has_auth"]),
    ],
)
def test_the_servers_spelling_is_sent_and_both_until_it_is_known(
    writer: Open, responses: list[object], spellings: list[str]
) -> None:
    with ScriptedServer(*map(json_reply, responses), json_reply(BARE)) as server:
        accounts = writer(server.url)
        accounts.list_accounts()
        accounts.create_account({"email": "a@example.com", "has_auth": False})
    assert server.requests[1].json == {"email": "a@example.com", **dict.fromkeys(spellings, False)}


def test_a_create_leaves_out_fields_that_are_none(writer: Open) -> None:
    with ScriptedServer(json_reply(BARE, 201)) as server:
        writer(server.url).create_account({"email": "a@example.com", "password": None, "smtp_port": None, "name": "é"})
    assert server.requests[0].json == {"email": "a@example.com", "name": "é"}


def test_an_update_clears_with_null_and_returns_unknown_fields(writer: Open) -> None:
    account = {**BARE, "name": "n", "smtp_port": 25, "zone": [1], "mask": "***", "created_at": "x"}
    with ScriptedServer(json_reply(account)) as server:
        accounts = writer(server.url)
        accounts.update_account(accounts.get_account(1).with_fields({"smtp_port": None}))
    assert server.requests[1].json == {"name": "n", "email": "a@example.com", "smtp_port": None, "zone": [1]}


def test_a_write_is_not_sent_if_it_takes_long_to_be_permitted(writer: Open, monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[str] = []
    with ScriptedServer(json_reply(BARE), json_reply(BARE)) as server:
        accounts = writer(server.url, fence=lambda: asked.append("a"))
        account = accounts.get_account(1)
        accounts.update_account(account)
        monkeypatch.setattr("reconciler.client.transport._LONGEST_QUESTION", -1.0)
        with pytest.raises(WithheldError, match="it took too long to learn whether") as caught:
            accounts.update_account(account)
    assert (caught.value.transient, asked) == (True, ["a", "a"])
    assert [request.method for request in server.requests] == ["GET", "PUT"]


BAD_UPDATES = [
    (Reply(200), "the response is empty"),
    (Reply(204, headers={"Content-Length": ""}), "status 204 is not a documented success"),
    (json_reply(BARE, 202), "status 202 is not a documented success"),
    (json_reply(BARE, 206), "status 206 is not a documented success"),
    (json_reply({**BARE, "id": 2}), "the response is about account 2, not 1"),
    (json_reply({"success": True}), "the response: field id: Field required"),
]


@pytest.mark.parametrize(("response", "reason"), BAD_UPDATES)
def test_an_update_succeeds_only_if_the_account_is_returned(writer: Open, response: Step, reason: str) -> None:
    with ScriptedServer(response) as server:
        accounts = writer(server.url)
        with pytest.raises(OutcomeUnknownError) as caught:
            accounts.update_account(Account({"email": "a@example.com"}, 1))
    message = f"it is not certain whether the server did it: PUT /api/email/accounts/1: {reason}"
    assert caught.value.problems == (Problem(kind="invalid_response", message=message, hint=URL_HINT),)
    assert server.lines == ["PUT /api/email/accounts/1"]


DONE = [Reply(200), Reply(200, b"true"), Reply(200, b" null\n"), Reply(204, headers={"Content-Length": ""})]
NOT_DONE = [
    (Reply(200, b"false"), RejectedError, "the server refuses: 200 OK: false"),
    (json_reply({"success": False}), RejectedError, 'the server refuses: 200 OK: {"success": false}'),
    (json_reply({"errors": [{"type": "auth", "msg": "535"}]}), RejectedError, "the server refuses: 200 auth: 535"),
    (Reply(202), OutcomeUnknownError, "202 Accepted"),
    (Reply(202, b"true"), OutcomeUnknownError, "202 Accepted: true"),
    (Reply(206), OutcomeUnknownError, "206 Partial Content"),
    (Reply(200, b"{}"), OutcomeUnknownError, "200 OK: {}"),
    (Reply(200, b"ok"), OutcomeUnknownError, "200 OK: ok"),
]
WITHOUT_RESULT: dict[str, Callable[[AccountWriter], object]] = {
    "DELETE /api/email/accounts/1": lambda accounts: accounts.delete_account(1),
    "POST /api/email/accounts/test": lambda accounts: accounts.run_delivery_test({"email": "a@x"}, "b@x"),
}


@pytest.mark.parametrize("line", WITHOUT_RESULT)
@pytest.mark.parametrize("response", DONE)
def test_a_delete_or_test_accepts_documented_successes(writer: Open, response: Step, line: str) -> None:
    with ScriptedServer(response) as server:
        WITHOUT_RESULT[line](writer(server.url))
    assert server.lines == [line]


@pytest.mark.parametrize("line", WITHOUT_RESULT)
@pytest.mark.parametrize(("response", "kind", "description"), NOT_DONE)
def test_a_delete_or_test_accepts_nothing_else(
    writer: Open, response: Step, kind: type[ApiError], description: str, line: str
) -> None:
    with ScriptedServer(response) as server:
        accounts = writer(server.url)
        with pytest.raises(ApiError) as caught:
            WITHOUT_RESULT[line](accounts)
    if kind is OutcomeUnknownError:
        what = f"{line}: the response does not confirm that it was done: {description}"
        description = f"it is not certain whether the server did it: {what}"
    assert (type(caught.value), caught.value.problems[0].message) == (kind, description)
    assert server.lines == [line]


@pytest.mark.parametrize(
    ("response", "reason"),
    [
        (Reply(200), "the response is empty"),
        (json_reply(BARE, 202), "status 202 is not a documented success"),
        (Reply(201, b"<p>ok</p>"), "the response is not JSON: is this the right URL?"),
        (json_reply({"email": "a"}), "the response: field id: Field required"),
    ],
)
def test_a_create_is_unknown_if_the_response_shows_no_account(writer: Open, response: Step, reason: str) -> None:
    with ScriptedServer(response) as server:
        accounts = writer(server.url)
        with pytest.raises(OutcomeUnknownError) as caught:
            accounts.create_account({"email": "a@example.com"})
    message = f"it is not certain whether the server did it: POST /api/email/accounts: {reason}"
    assert caught.value.problems == (Problem(kind="invalid_response", message=message, hint=URL_HINT),)
    assert len(server.requests) == 1


def test_a_response_about_another_account_is_refused(writer: Open) -> None:
    with ScriptedServer(json_reply(BARE)) as server:
        accounts = writer(server.url)
        with pytest.raises(ApiError) as read:
            accounts.get_account(2)
        with pytest.raises(OutcomeUnknownError):
            accounts.update_account(Account({"email": "a@example.com"}, 2))
    message = "GET /api/email/accounts/2: the response is about account 1, not 2"
    assert (type(read.value), read.value.problems) == (
        ApiError,
        (Problem(kind="invalid_response", message=message, hint=URL_HINT),),
    )


def test_a_login_page_is_not_a_valid_response(writer: Open) -> None:
    page = Reply(200, b"<!doctype html><title>Login</title>", {"Content-Type": "text/html; charset=utf-8"})
    with ScriptedServer(page) as server:
        accounts = writer(server.url)
        with pytest.raises(ApiError) as listed:
            accounts.list_accounts()
        with pytest.raises(OutcomeUnknownError):
            accounts.delete_account(1)
        with pytest.raises(OutcomeUnknownError):
            accounts.run_delivery_test({"email": "a@example.com"}, "b@example.com")
    message = "GET /api/email/accounts: the response is not JSON: is this the right URL?"
    assert listed.value.problems == (Problem(kind="invalid_response", message=message, hint=URL_HINT),)
    assert len(server.requests) == 3


def test_a_missing_account_is_not_found(writer: Open) -> None:
    error = {"errors": [{"field": "id", "type": "not_found", "msg": "Conta não existe"}]}
    with ScriptedServer(json_reply(error, 404)) as server:
        accounts = writer(server.url)
        with pytest.raises(NotFoundError) as deleted:
            accounts.delete_account(7)
        problem = Problem(kind="not_found", message="404 not_found: id: Conta não existe")
        with pytest.raises(NotFoundError) as read:
            accounts.get_account(7)
        with pytest.raises(NotFoundError) as updated:
            accounts.update_account(Account({"email": "a"}, 7))
    assert [caught.value.problems for caught in (read, updated, deleted)] == [(problem,)] * 3


def test_a_404_for_a_list_or_a_create_is_not_a_missing_account(writer: Open) -> None:
    with ScriptedServer(json_reply({}, 404)) as server:
        accounts = writer(server.url)
        with pytest.raises(RejectedError) as listed:
            accounts.list_accounts()
        with pytest.raises(RejectedError) as created:
            accounts.create_account({"email": "a"})
    problem = Problem(kind="not_found", message="404 Not Found: {}", hint=URL_HINT)
    ends = [(type(caught.value), caught.value.problems) for caught in (listed, created)]
    assert ends == [(RejectedError, (problem,))] * 2


@pytest.mark.parametrize("value", [UNKNOWN, SecretReference("env", ("X",), Position("f.yaml"))])
def test_an_unknown_or_unresolved_value_is_never_sent(writer: Open, value: object) -> None:
    fields = {"email": "a@example.com", "password": value}
    with ScriptedServer(json_reply(BARE)) as server:
        accounts = writer(server.url)
        with pytest.raises(TypeError, match="password has no value that could be sent"):
            accounts.create_account(fields)  # type: ignore[arg-type]
        with pytest.raises(TypeError):
            accounts.update_account(Account(fields, 1))  # type: ignore[arg-type]
        with pytest.raises(TypeError):
            accounts.run_delivery_test(fields, "b@example.com")  # type: ignore[arg-type]
        with pytest.raises(TypeError, match="without an id"):
            accounts.update_account(Account({"email": "a@example.com"}))
    assert server.requests == []


def test_passwords_that_the_server_shows_are_masked(writer: Open) -> None:
    redactor = Redactor()
    shown = [{**BARE, "password": "hunter2-secret", "hash_auth": True}]
    refusal = {"errors": [{"field": "password", "type": "invalid", "msg": "hunter2-secret não serve"}]}
    with ScriptedServer(json_reply(shown), json_reply(refusal, 400)) as server:
        accounts = writer(server.url, redactor=redactor)
        accounts.list_accounts()
        with pytest.raises(RejectedError) as caught:
            accounts.create_account({"email": "a@example.com", "password": Secret("x")})
    assert caught.value.problems == (Problem(kind="invalid", message="400 invalid: password: *** não serve"),)
    assert redactor.redact("hunter2-secret") == "***"


@pytest.mark.parametrize("passwords", Passwords)
def test_a_stored_password_is_masked_whatever_the_policy(writer: Open, passwords: Passwords) -> None:
    shown = {**BARE, "password": "hunter2-secret", "hash_auth": True}
    hidden = {**BARE, "id": 2, "email": "b@example.com", "password": "<hidden>", "hash_auth": True}
    redactor = Redactor()
    with ScriptedServer(json_reply([shown, hidden])) as server:
        writer(server.url, redactor=redactor, passwords=passwords).list_accounts()
    masked = "a *** is " + ("***" if passwords is Passwords.SHOWN else "<hidden>")
    assert redactor.redact("a hunter2-secret is <hidden>") == masked


@pytest.mark.parametrize(
    "extra",
    [
        {"imap_pass": "s3cr3t-value"},
        {"imapPass": "s3cr3t-value"},
        {"credential": "s3cr3t-value"},
        {"authorization": "s3cr3t-value"},
        {"private_pem": "s3cr3t-value"},
        {"chave": "s3cr3t-value"},
        {"smtp_pin": "s3cr3t-value"},
        {"tokens": ["s3cr3t-value"]},
        {"secret": {"value": "s3cr3t-value"}},
        {"oauth": {"client_secret": "s3cr3t-value"}},
        {"settings": [{"apiKey": {"nested": ["s3cr3t-value"]}}]},
        {"pin_token": 8675309123},
        {"token_type": {"token": "s3cr3t-value"}},
        {"password_mode": "s3cr3t-value"},
        {"api_key": "ab9"},
        {"fax_pin": "4711"},
    ],
    ids=str,
)
def test_secrets_in_unknown_fields_are_masked(writer: Open, extra: dict[str, object]) -> None:
    redactor = Redactor()
    with ScriptedServer(json_reply({**BARE, **extra})) as server:
        writer(server.url, redactor=redactor).get_account(1)
    values = ("s3cr3t-value", "8675309123", "ab9", "4711")
    value = next(value for value in values if value in str(extra))
    assert redactor.redact(f"not {value}") == "not ***"


def test_words_in_unknown_fields_stay_readable(writer: Open) -> None:
    redactor = Redactor()
    harmless = {
        "author": "Ana Maria",
        "shipping": "express",
        "opinion": "splendid",
        "smtpAuthMechanism": "cram-md5",
        "token_type": "Bearer",
        "has_key": True,
        "passes": 1,
        "auth": {"type": "oauth2", "active": False, "level": "low"},
    }
    with ScriptedServer(json_reply({**BARE, **harmless})) as server:
        writer(server.url, redactor=redactor).get_account(1)
    text = "Ana Maria, express, splendid, cram-md5, Bearer, True, False, 1, oauth2, low"
    assert redactor.redact(text) == text
