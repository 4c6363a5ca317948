"""The token exchange, and what happens without a token."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any

import httpx
import pytest

from tests.sandbox.conftest import ACCOUNT, ACCOUNTS, access_token

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
def test_credentials_are_exchanged_for_a_token_that_opens_the_api(
    sandbox: Sandbox, connect: Connect, path: str, grant: dict[str, str]
) -> None:
    answer = httpx.post(f"{sandbox.url}{path}", json=grant)
    token = answer.json()["access_token"]
    assert answer.status_code == 200
    assert answer.json() == {"refresh_token": "sandbox-refresh-token", "access_token": token, "expires_in": 900}
    assert dict(answer.cookies) == {"refresh-token": "sandbox-refresh-token", "access-token": token}
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
def test_credentials_that_are_not_good_are_refused(
    sandbox: Sandbox, grant: dict[str, str], status: int, error: tuple[str, str, str]
) -> None:
    answer = httpx.post(f"{sandbox.url}/api/v1/oauth2/token", json=grant)
    assert (answer.status_code, answer.json()) == (
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
    ids=["nothing", "an empty token", "another scheme", "a token that was not given out"],
)
def test_without_a_good_token_nothing_is_answered_not_even_about_the_body(
    sandbox: Sandbox, headers: dict[str, str], errors: dict[str, Any]
) -> None:
    answer = httpx.post(f"{sandbox.url}{ACCOUNTS}", content=b"{", headers=headers)
    assert (answer.status_code, answer.headers["www-authenticate"]) == (401, "Bearer")
    assert answer.json() == errors


def test_the_cookie_of_the_exchange_does_as_well_as_the_header(sandbox: Sandbox) -> None:
    with httpx.Client(base_url=sandbox.url) as client:
        client.post("/api/oauth2/token", json=REFRESH)
        assert client.get(ACCOUNTS).status_code == 200


def test_a_token_expires_after_its_lifetime(make_sandbox: MakeSandbox, connect: Connect) -> None:
    sandbox = make_sandbox(token_lifetime=0)
    answer = connect(sandbox).get(ACCOUNTS)
    assert (answer.status_code, answer.json()) == (401, EXPIRED)


def test_tokens_can_be_made_to_expire_and_new_ones_are_good(sandbox: Sandbox, connect: Connect) -> None:
    client = connect(sandbox)
    assert client.get(ACCOUNTS).status_code == 200
    sandbox.expire_tokens()
    assert client.get(ACCOUNTS).status_code == 401
    assert connect(sandbox, token=access_token(sandbox)).get(ACCOUNTS).status_code == 200


def test_latency_is_added_to_every_answer(make_sandbox: MakeSandbox, connect: Connect) -> None:
    client = connect(make_sandbox(latency=0.05))
    started = time.perf_counter()
    client.post(ACCOUNTS, json=ACCOUNT)
    assert time.perf_counter() - started >= 0.05
