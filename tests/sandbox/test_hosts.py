"""The sandbox accepts requests to its own names only, and none from another site's page."""

from __future__ import annotations

import asyncio
import socket
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

import httpx
import pytest
from starlette.responses import PlainTextResponse

from reconciler.errors import ReconcilerError
from reconciler.sandbox.app import HostMiddleware
from tests.sandbox.conftest import ACCOUNTS, access_token
from tests.support import plain_http

if TYPE_CHECKING:
    from starlette.types import Receive, Scope, Send

    from reconciler.sandbox import Sandbox
    from tests.conftest import MakeSandbox

PATHS = [ACCOUNTS, f"{ACCOUNTS}/1", "/api/v1/oauth2/token", "/sandbox/mails", "/openapi.json", "/nowhere", "/"]
GRANT = {"grant_type": "refresh_token", "refresh_token": "sandbox-refresh-token"}
FOREIGN = [
    "evil.example",
    "localhost.evil.example",
    "127.0.0.1.evil.example",
    "evil.example:80",
    "0.0.0.0",  # noqa: S104 - a header
    "192.0.2.1",
    "127.1",
    "2130706433",
    "[2001:db8::1]",
    "[::ffff:192.0.2.1]",
]
MALFORMED = ["", "localhost:80:80", "user@localhost", "localhost/", "[::1", "localhost, evil.example", "localhost:http"]


def raw(sandbox: Sandbox, head: str, body: str = "") -> str:
    """The response to exactly these bytes."""
    address = urlsplit(sandbox.url)
    with socket.create_connection((address.hostname, address.port), timeout=10) as connection:
        connection.sendall(f"{head}Connection: close\r\nContent-Length: {len(body)}\r\n\r\n{body}".encode())
        return b"".join(iter(lambda: connection.recv(65536), b"")).decode()


@pytest.mark.parametrize("path", PATHS)
@pytest.mark.parametrize("method", ["GET", "POST", "PUT", "DELETE", "OPTIONS"])
def test_every_path_refuses_a_foreign_host(sandbox: Sandbox, method: str, path: str) -> None:
    token = access_token(sandbox)
    headers = {"Host": "evil.example", "Authorization": f"Bearer {token}"}
    response = plain_http.request(method, sandbox.url + path, headers=headers, json=GRANT)
    assert (response.status_code, response.json()) == (
        421,
        {
            "errors": [
                {
                    "field": "host",
                    "type": "invalid",
                    "msg": "this sandbox is not evil.example; to accept that name, start it with --allow-host",
                }
            ]
        },
    )
    assert "set-cookie" not in response.headers


@pytest.mark.parametrize("host", FOREIGN)
def test_another_host_is_refused(sandbox: Sandbox, host: str) -> None:
    assert plain_http.get(f"{sandbox.url}/sandbox/mails", headers={"Host": host}).status_code == 421


@pytest.mark.parametrize("host", MALFORMED)
def test_a_malformed_host_is_a_bad_request(sandbox: Sandbox, host: str) -> None:
    assert raw(sandbox, f"GET /sandbox/mails HTTP/1.1\r\nHost: {host}\r\n").startswith("HTTP/1.1 400 ")


@pytest.mark.parametrize(
    "head",
    [
        "GET /sandbox/mails HTTP/1.0\r\n",
        "GET /sandbox/mails HTTP/1.1\r\n",
        "GET /sandbox/mails HTTP/1.1\r\nHost: localhost\r\nHost: evil.example\r\n",
        "GET /sandbox/mails HTTP/1.0\r\nHost: localhost\r\nHost: localhost\r\n",
    ],
)
def test_a_request_without_exactly_one_host_is_a_bad_request(sandbox: Sandbox, head: str) -> None:
    assert raw(sandbox, head).splitlines()[0].split()[1] == "400"


@pytest.mark.parametrize(
    "host", ["localhost", "LocalHost:1", "localhost.", "127.0.0.1", "127.8.8.8:80", "[::1]", "[::ffff:127.0.0.1]:8025"]
)
def test_loopback_names_are_accepted(sandbox: Sandbox, host: str) -> None:
    assert plain_http.get(f"{sandbox.url}/sandbox/mails", headers={"Host": host}).json() == []


def test_allowed_hosts_are_accepted(make_sandbox: MakeSandbox) -> None:
    url = make_sandbox(allowed_hosts=("Sandbox.example", "2001:DB8::1")).url
    statuses = {
        host: plain_http.get(f"{url}/sandbox/mails", headers={"Host": host}).status_code
        for host in ("sandbox.example", "SANDBOX.example.:8025", "[2001:db8::1]", "a.sandbox.example")
    }
    assert statuses == {
        "sandbox.example": 200,
        "SANDBOX.example.:8025": 200,
        "[2001:db8::1]": 200,
        "a.sandbox.example": 421,
    }


@pytest.mark.parametrize("host", ["0.0.0.0", "::"])  # noqa: S104 - what the sandbox warns about
def test_foreign_names_are_refused_on_all_addresses(make_sandbox: MakeSandbox, host: str) -> None:
    try:
        url = make_sandbox(host=host).url
    except ReconcilerError:
        pytest.skip("this machine has no IPv6")
    statuses = [
        plain_http.get(f"{url}/sandbox/mails", headers={"Host": name}).status_code
        for name in ("localhost", "192.0.2.1", "evil.example")
    ]
    assert statuses == [200, 421, 421]


@pytest.mark.parametrize("server", ["192.0.2.7", "::ffff:192.0.2.7"])
@pytest.mark.parametrize(
    ("host", "status"), [("192.0.2.7:8025", 200), ("192.0.2.8:8025", 421), ("evil.example:8025", 421)]
)
def test_the_address_that_was_connected_to_is_accepted(server: str, host: str, status: int) -> None:
    # Tests may connect to loopback only, so the transport says that this is a connection from another machine.
    app = HostMiddleware(PlainTextResponse("reached"), names=["0.0.0.0"])  # noqa: S104 - what was bound

    async def served(scope: Scope, receive: Receive, send: Send) -> None:
        await app({**scope, "server": (server, 8025)}, receive, send)

    async def ask() -> int:
        async with httpx.AsyncClient(transport=httpx.ASGITransport(served)) as client:
            return (await client.get("http://sandbox/", headers={"Host": host})).status_code

    assert asyncio.run(ask()) == status


@pytest.mark.parametrize("origin", ["http://evil.example", "null", "http://localhost:3000", "https://localhost:1", ""])
def test_a_page_of_another_site_changes_nothing(sandbox: Sandbox, origin: str) -> None:
    # A form in a page can send this: it needs no preflight, and the body may be anything.
    headers = {"Origin": origin, "Content-Type": "text/plain"}
    body = '{"grant_type": "refresh_token", "refresh_token": "sandbox-refresh-token"}'
    response = plain_http.post(f"{sandbox.url}/api/v1/oauth2/token", content=body, headers=headers)
    assert response.status_code == 403
    assert {"set-cookie", "access-control-allow-origin"}.isdisjoint(response.headers)


def test_a_page_of_the_sandbox_itself_is_accepted(sandbox: Sandbox) -> None:
    assert plain_http.get(f"{sandbox.url}/sandbox/mails", headers={"Origin": sandbox.url}).json() == []


def test_no_response_lets_another_site_read_it(sandbox: Sandbox) -> None:
    preflight = {"Origin": "http://evil.example", "Access-Control-Request-Method": "PUT"}
    for path in PATHS:
        response = plain_http.options(sandbox.url + path, headers=preflight)
        assert response.status_code == 403
        assert "access-control-allow-origin" not in response.headers
