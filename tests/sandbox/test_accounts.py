"""The calls on the vendor's page about accounts, and the errors of invalid requests."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

import pytest

from tests.sandbox.conftest import ACCOUNTS
from tests.support.vendor_page import ACCOUNT

if TYPE_CHECKING:
    import httpx

TIME = r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{6}\+00:00"


def without_times(account: dict[str, Any]) -> dict[str, Any]:
    assert re.fullmatch(TIME, account.pop("created_at"))
    assert re.fullmatch(TIME, account.pop("updated_at"))
    return account


def required(*fields: str) -> dict[str, Any]:
    return {"errors": [{"field": field, "type": "required", "msg": "Campo obrigatório"} for field in fields]}


def invalid(field: str, msg: str) -> dict[str, Any]:
    return {"errors": [{"field": field, "type": "invalid", "msg": msg}]}


def test_accounts_are_created_read_listed_replaced_and_deleted_as_documented(client: httpx.Client) -> None:
    created = client.post(ACCOUNTS, json=ACCOUNT)
    assert (created.status_code, created.headers["content-type"]) == (200, "application/json")
    account = created.json()
    assert list(account) == ["id", *ACCOUNT, "created_at", "updated_at"]
    assert client.get(f"{ACCOUNTS}/1").json() == account
    assert client.get(ACCOUNTS).json() == [account]

    replaced = client.put(f"{ACCOUNTS}/1", json={**ACCOUNT, "name": "Certificados"})
    assert replaced.status_code == 200
    assert replaced.json()["created_at"] == account["created_at"]
    assert replaced.json()["updated_at"] > account["updated_at"]
    assert without_times(replaced.json()) == {"id": 1, **ACCOUNT, "name": "Certificados"}

    deleted = client.delete(f"{ACCOUNTS}/1")
    assert (deleted.status_code, deleted.headers["content-type"], deleted.text) == (200, "application/json", "")
    assert client.get(ACCOUNTS).json() == []


def test_replacing_an_account_clears_fields_that_the_body_leaves_out(client: httpx.Client) -> None:
    client.post(ACCOUNTS, json=ACCOUNT)
    body = {"default": False, "name": "n", "email": "n@example.com", "service": "other", "hash_auth": False}
    assert without_times(client.put(f"{ACCOUNTS}/1", json=body).json()) == {
        "id": 1,
        **body,
        "password": None,
        "smtp_server": None,
        "smtp_port": None,
        "smtp_crypt": None,
        "smtp_auth_mechanism": None,
    }


def test_ids_are_never_reused(client: httpx.Client) -> None:
    ids = []
    for _ in range(3):
        ids.append(client.post(ACCOUNTS, json=ACCOUNT).json()["id"])
        client.delete(f"{ACCOUNTS}/{ids[-1]}")
    assert ids == [1, 2, 3]


def test_requests_may_use_either_spelling_of_has_auth(client: httpx.Client) -> None:
    body = {key: value for key, value in ACCOUNT.items() if key != "hash_auth"}
    assert client.post(ACCOUNTS, json={**body, "has_auth": True}).json()["hash_auth"] is True
    assert client.post(ACCOUNTS, json={**body, "hash_auth": False, "has_auth": False}).json()["hash_auth"] is False


def test_unknown_fields_id_and_times_in_a_body_are_ignored(client: httpx.Client) -> None:
    body = {**ACCOUNT, "id": 77, "created_at": "never", "colour": {"of": ["money"]}}
    assert without_times(client.post(ACCOUNTS, json=body).json()) == {"id": 1, **ACCOUNT}


def test_a_port_may_be_written_as_a_float_without_a_fraction(client: httpx.Client) -> None:
    response = client.post(ACCOUNTS, json={**ACCOUNT, "smtp_port": 587.0})
    assert response.json()["smtp_port"] == 587
    assert response.text.count("587.0") == 0


@pytest.mark.parametrize("account_id", ["2", "0", "-1", "9223372036854775808", "9" * 5000, "x", "1.5"])
@pytest.mark.parametrize("method", ["GET", "PUT", "DELETE"])
def test_an_unknown_id_is_not_found(client: httpx.Client, method: str, account_id: str) -> None:
    client.post(ACCOUNTS, json=ACCOUNT)
    response = client.request(method, f"{ACCOUNTS}/{account_id}", json=ACCOUNT)
    assert (response.status_code, response.json()) == (
        404,
        {"errors": [{"field": "id", "type": "not_found", "msg": "Conta de email não encontrada"}]},
    )


def test_all_missing_fields_are_reported_at_once(client: httpx.Client) -> None:
    response = client.post(ACCOUNTS, json={})
    assert (response.status_code, response.json()) == (
        400,
        required("default", "name", "email", "service", "hash_auth"),
    )


@pytest.mark.parametrize(
    ("field", "value", "msg"),
    [
        ("default", "true", "Valor inválido: esperado um booleano"),
        ("hash_auth", None, "Valor inválido: esperado um booleano"),
        ("name", 7, "Valor inválido: esperado um texto"),
        ("name", "", "Valor inválido: não pode ser vazio"),
        ("email", "nobody", "Endereço de email inválido"),
        ("email", "a@b\r\nBcc: x@y", "Endereço de email inválido"),
        ("service", "yahoo", "Valor inválido: valores possíveis: gmail, outlook, other"),
        ("smtp_port", "587", "Valor inválido: esperado um número inteiro"),
        ("smtp_port", 0, "Valor inválido: esperado um número entre 1 e 65535"),
        ("smtp_port", 65536, "Valor inválido: esperado um número entre 1 e 65535"),
        ("smtp_port", 1.5, "Valor inválido: esperado um número inteiro"),
        ("smtp_crypt", "tls", "Valor inválido: valores possíveis: none, ssl-tls, starttls"),
        ("smtp_auth_mechanism", "ntlm", "Valor inválido: valores possíveis: plain, login, cram-md5"),
    ],
)
def test_an_invalid_value_is_refused(client: httpx.Client, field: str, value: object, msg: str) -> None:
    response = client.post(ACCOUNTS, json={**ACCOUNT, field: value})
    assert (response.status_code, response.json()) == (400, invalid(field, msg))
    assert client.get(ACCOUNTS).json() == []


@pytest.mark.parametrize(
    ("content", "errors"),
    [
        (b'{"default": true,}', invalid("body", "O corpo da requisição não é um JSON válido")),
        (b"\xff\xfe", invalid("body", "O corpo da requisição não é um JSON válido")),
        (b"[" * 100_000, invalid("body", "O corpo da requisição não é um JSON válido")),
        (b'["a"]', invalid("body", "Valor inválido")),
        (b"", required("body")),
    ],
    ids=["trailing comma", "not text", "too deep", "a list", "empty"],
)
def test_a_body_that_is_not_an_account_is_refused_in_the_vendors_format(
    client: httpx.Client, content: bytes, errors: dict[str, Any]
) -> None:
    response = client.post(ACCOUNTS, content=content, headers={"Content-Type": "application/json"})
    assert (response.status_code, response.json()) == (400, errors)


def test_a_refused_body_is_not_repeated_in_the_response(client: httpx.Client) -> None:
    response = client.post(ACCOUNTS, json={**ACCOUNT, "password": ["hunter2"], "smtp_port": "hunter2"})
    assert response.status_code == 400
    assert "hunter2" not in response.text


def test_an_unpaired_surrogate_is_not_a_string(client: httpx.Client) -> None:
    content = b'{"default": true, "name": "\\ud800", "email": "a@b", "service": "other", "hash_auth": false}'
    response = client.post(ACCOUNTS, content=content, headers={"Content-Type": "application/json"})
    assert (response.status_code, response.json()) == (
        400,
        invalid("name", "Valor inválido: esperado um texto em Unicode válido"),
    )


@pytest.mark.parametrize("name", ["a\0b", "\u202eevil", "<script>", "\U0001f9ff", "'; DROP TABLE accounts; --", " "])
def test_a_name_is_returned_as_it_was_sent(client: httpx.Client, name: str) -> None:
    account_id = client.post(ACCOUNTS, json={**ACCOUNT, "name": name}).json()["id"]
    assert client.get(f"{ACCOUNTS}/{account_id}").json()["name"] == name


@pytest.mark.parametrize(
    ("method", "path", "allowed"),
    [
        ("PATCH", f"{ACCOUNTS}/1", "DELETE, GET, PUT"),
        ("PUT", ACCOUNTS, "GET, POST"),
        ("GET", f"{ACCOUNTS}/test", "POST"),
        ("POST", "/sandbox/mails", "GET, HEAD"),
    ],
)
def test_an_unsupported_method_gets_405_with_the_supported_ones(
    client: httpx.Client, method: str, path: str, allowed: str
) -> None:
    response = client.request(method, path)
    assert response.status_code == 405
    assert ", ".join(sorted(response.headers["allow"].split(", "))) == allowed
    assert response.json() == invalid("method", "Método não permitido")


def test_an_unknown_path_is_not_found_in_the_vendors_format(client: httpx.Client) -> None:
    response = client.get("/api/email/lists")
    assert (response.status_code, response.json()) == (
        404,
        {"errors": [{"field": "url", "type": "not_found", "msg": "Recurso não encontrado"}]},
    )
