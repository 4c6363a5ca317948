"""The examples on the vendor's page on email accounts: each request and each response."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from reconciler.model.account import Account
from reconciler.model.secret import Secret
from reconciler.version import VERSION
from tests.client.conftest import TOKEN
from tests.support.scripted_server import Reply, Request, ScriptedServer, json_reply
from tests.support.vendor_page import ACCOUNT as SENT

if TYPE_CHECKING:
    from reconciler.model.account import Value
    from tests.client.conftest import Open

TIMES = {"created_at": "2018-12-13T12:20:02.932000+00:00", "updated_at": "2018-12-13T12:20:02.932000+00:00"}
RESPONSE: dict[str, Any] = {"id": 1, **SENT, **TIMES}
FIELDS: dict[str, Value] = {
    "email": "certs@itflex.com.br",
    "name": "Contas envio de certificados",
    "default": True,
    "service": "gmail",
    "has_auth": True,
    "password": Secret("certs"),
    "smtp_server": "smtp.test.com.br",
    "smtp_port": 1000,
    "smtp_crypt": "ssl-tls",
    "smtp_auth_mechanism": "plain",
}
ACCOUNT = Account(FIELDS, 1)


def headers(server: ScriptedServer, body: bytes = b"") -> tuple[tuple[str, str], ...]:
    sent = (
        ("Host", f"127.0.0.1:{server.port}"),
        ("Accept", "application/json"),
        ("Authorization", f"Bearer {TOKEN}"),
        ("Accept-Encoding", "gzip"),
        ("User-Agent", f"reconciler/{VERSION}"),
    )
    return (*sent, ("Content-Type", "application/json"), ("Content-Length", str(len(body)))) if body else sent


def summary(request: Request) -> tuple[str, object, list[str]]:
    """What the vendor's page shows of a request: line, body, and the order of the body's keys."""
    body = request.json if request.body else None
    return request.line, body, list(body) if isinstance(body, dict) else []


def whole(account: Account) -> tuple[object, ...]:
    return dict(account.fields), account.id, dict(account.extra)


def test_the_list_is_requested_and_read_as_on_the_vendors_page(writer: Open) -> None:
    with ScriptedServer(json_reply([RESPONSE])) as server:
        accounts = writer(server.url).list_accounts()
    assert [whole(account) for account in accounts] == [(FIELDS, 1, {})]
    assert server.requests == [Request("GET", "/api/email/accounts", headers(server), b"", 0)]


def test_an_account_is_requested_and_read_as_on_the_vendors_page(writer: Open) -> None:
    with ScriptedServer(json_reply(RESPONSE)) as server:
        account = writer(server.url).get_account(1)
    assert whole(account) == (FIELDS, 1, {})
    assert server.requests == [Request("GET", "/api/email/accounts/1", headers(server), b"", 0)]


@pytest.mark.parametrize("status", [200, 201])
def test_a_create_is_sent_and_read_as_on_the_vendors_page(writer: Open, status: int) -> None:
    with ScriptedServer(json_reply([RESPONSE]), json_reply(RESPONSE, status)) as server:
        accounts = writer(server.url)
        accounts.list_accounts()
        created = accounts.create_account(FIELDS)
    request = server.requests[1]
    assert whole(created) == (FIELDS, 1, {})
    assert summary(request) == ("POST /api/email/accounts", SENT, list(SENT))
    assert request.headers == headers(server, request.body)


@pytest.mark.parametrize("time", ["2018-12-13T12:20:02.932000+00:00", "2018-12-13T12:20:02.000Z"])
def test_an_update_is_sent_and_read_as_on_the_vendors_page(writer: Open, time: str) -> None:
    response = {**RESPONSE, "created_at": time, "updated_at": time}
    with ScriptedServer(json_reply([RESPONSE]), json_reply(response)) as server:
        accounts = writer(server.url)
        (account,) = accounts.list_accounts()
        updated = accounts.update_account(account)
    request = server.requests[1]
    assert whole(updated) == (FIELDS, 1, {})
    assert summary(request) == ("PUT /api/email/accounts/1", SENT, list(SENT))
    assert request.headers == headers(server, request.body)


@pytest.mark.parametrize(
    "response", [Reply(200), Reply(200, b"true"), Reply(200, b"null"), Reply(204, headers={"Content-Length": ""})]
)
def test_a_delete_accepts_every_documented_success(writer: Open, response: Reply) -> None:
    with ScriptedServer(response) as server:
        writer(server.url).delete_account(1)
    assert server.requests == [Request("DELETE", "/api/email/accounts/1", headers(server), b"", 0)]


def test_a_delivery_test_is_sent_as_on_the_vendors_page(writer: Open) -> None:
    with ScriptedServer(json_reply([RESPONSE]), Reply(200, headers={"Content-Type": ""})) as server:
        accounts = writer(server.url)
        accounts.list_accounts()
        accounts.run_delivery_test(FIELDS, "test@test.com")
    request = server.requests[1]
    sent = {**SENT, "to_email": "test@test.com"}
    assert summary(request) == ("POST /api/email/accounts/test", sent, list(sent))
    assert request.headers == headers(server, request.body)
