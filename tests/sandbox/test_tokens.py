"""The token exchange, and what happens without a token."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

import pytest

from tests.sandbox.conftest import ACCOUNTS, access_token
from tests.support import plain_http
from tests.support.vendor_page import ACCOUNT

if TYPE_CHECKING:
    from reconciler.sandbox import Sandbox
    from tests.conftest import MakeSandbox
    from tests.sandbox.conftest import Connect

REFRESH = {"grant_type": "refresh_token", "refresh_token": "sandbox-refresh-token"}
LOGIN = {"grant_type": "password", "username": "admin", "password": "sandbox"}
EXPIRED = {
    "errors": [{"field": "access_token", "type": "invalid", "msg": "Token de acesso inválido ou expirado"}],
}
MISSING = {"errors": [{"field": "access_token", "type": "required", "msg": "Token de acesso não informado"}]}


@pytest.mark.parametrize("path", ["/api/v1/oauth2/token", "/api/oauth2/token"])
@pytest.mark.parametrize("grant", [REFRESH, LOGIN], ids=["refresh token", "user name and password"])
def test_credentials_are_exchanged_for_a_valid_token(
    sandbox: Sandbox, connect: Connect, path: str, grant: dict[str, str]
) -> None:
    response = plain_http.post(f"{sandbox.url}{path}", json=grant)
    token = response.json()["access_token"]
    assert response.status_code == 200
    assert response.json() == {"refresh_token": "sandbox-refresh-token", "access_token": token, "expires_in": 900}
    assert dict(response.cookies) == {"refresh-token": "sandbox-refresh-token", "access-token": token}
    assert connect(sandbox, token=token).get(ACCOUNTS).json() == []


@pytest.mark.parametrize(
    ("grant", "status", "error"),
    [
        ({**REFRESH, "refresh_token": "no"}, 401, ("refresh_token", "invalid", "Chave de acesso inválida")),
        ({**LOGIN, "password": "no"}, 401, ("password", "invalid", "Usuário ou senha inválidos")),
        ({**LOGIN, "username": "no"}, 401, ("password", "invalid", "Usuário ou senha inválidos")),
        ({"grant_type": "refresh_token"}, 400, ("refresh_token", "required", "Campo obrigatório")),
        ({"grant_type": "password", "username": "admin"}, 400, ("password", "required", "Campo obrigatório")),
        ({}, 400, ("grant_type", "required", "Campo obrigatório")),
        (
            {"grant_type": "magic"},
            400,
            ("grant_type", "invalid", "Valor inválido: valores possíveis: refresh_token, password"),
        ),
    ],
)
def test_wrong_credentials_are_refused(
    sandbox: Sandbox, grant: dict[str, str], status: int, error: tuple[str, str, str]
) -> None:
    response = plain_http.post(f"{sandbox.url}/api/v1/oauth2/token", json=grant)
    assert (response.status_code, response.json()) == (
        status,
        {"errors": [dict(zip(("field", "type", "msg"), error, strict=True))]},
    )


@pytest.mark.parametrize(
    ("headers", "errors"),
    [
        ({}, MISSING),
        ({"Authorization": "Bearer"}, MISSING),
        ({"Authorization": "Basic YWRtaW46c2FuZGJveA=="}, MISSING),
        ({"Authorization": "Bearer sandbox-refresh-token"}, EXPIRED),
    ],
    ids=["nothing", "an empty token", "another scheme", "a token that was not issued"],
)
def test_without_a_valid_token_not_even_the_body_is_checked(
    sandbox: Sandbox, headers: dict[str, str], errors: dict[str, Any]
) -> None:
    response = plain_http.post(f"{sandbox.url}{ACCOUNTS}", content=b"{", headers=headers)
    assert (response.status_code, response.headers["www-authenticate"]) == (401, "Bearer")
    assert response.json() == errors


def test_the_cookie_of_the_exchange_works_like_the_header(sandbox: Sandbox) -> None:
    with plain_http.Client(base_url=sandbox.url) as client:
        client.post("/api/oauth2/token", json=REFRESH)
        assert client.get(ACCOUNTS).status_code == 200


def test_a_token_expires_after_its_lifetime(make_sandbox: MakeSandbox, connect: Connect) -> None:
    sandbox = make_sandbox(token_lifetime=0)
    response = connect(sandbox).get(ACCOUNTS)
    assert (response.status_code, response.json()) == (401, EXPIRED)


def test_expired_tokens_are_refused_and_new_ones_accepted(sandbox: Sandbox, connect: Connect) -> None:
    client = connect(sandbox)
    assert client.get(ACCOUNTS).status_code == 200
    sandbox.expire_tokens()
    assert client.get(ACCOUNTS).status_code == 401
    assert connect(sandbox, token=access_token(sandbox)).get(ACCOUNTS).status_code == 200


def test_latency_is_added_to_every_response(
    make_sandbox: MakeSandbox, connect: Connect, monkeypatch: pytest.MonkeyPatch
) -> None:
    pauses = []
    sleep = asyncio.sleep

    async def recorded(seconds: float) -> None:
        pauses.append(seconds)
        await sleep(0)

    monkeypatch.setattr(asyncio, "sleep", recorded)
    connect(make_sandbox(latency=7.5)).post(ACCOUNTS, json=ACCOUNT)
    assert pauses == [7.5, 7.5]  # the exchange of the token, and the create
