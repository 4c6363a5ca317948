"""Every option for behaviour that the vendor's pages do not describe."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from tests.sandbox.conftest import ACCOUNTS
from tests.support.vendor_page import ACCOUNT

if TYPE_CHECKING:
    import httpx

    from tests.conftest import MakeSandbox
    from tests.sandbox.conftest import Connect

OTHER = {**ACCOUNT, "default": False, "name": "Alertas", "email": "alerts@itflex.com.br"}


def errors_of(response: httpx.Response) -> tuple[int, list[Any]]:
    return response.status_code, [tuple(error.values()) for error in response.json()["errors"]]


@pytest.mark.parametrize(
    ("auth_field", "shown"),
    [
        ("hash_auth", {"hash_auth": True}),
        ("has_auth", {"has_auth": True}),
        ("both", {"hash_auth": True, "has_auth": True}),
    ],
)
def test_responses_spell_has_auth_as_configured(
    make_sandbox: MakeSandbox, connect: Connect, auth_field: str, shown: dict[str, bool]
) -> None:
    client = connect(make_sandbox(auth_field=auth_field))
    client.post(ACCOUNTS, json=ACCOUNT)
    account = client.get(ACCOUNTS).json()[0]
    assert {name: value for name, value in account.items() if name.endswith("_auth")} == shown


def test_a_missing_has_auth_is_reported_in_the_servers_spelling(make_sandbox: MakeSandbox, connect: Connect) -> None:
    body = {key: value for key, value in ACCOUNT.items() if key != "hash_auth"}
    response = connect(make_sandbox(auth_field="has_auth")).post(ACCOUNTS, json=body)
    assert errors_of(response) == (400, [("has_auth", "required", "Campo obrigatório")])


@pytest.mark.parametrize(
    ("passwords", "with_password", "without_password"),
    [
        ("shown", {"password": "certs"}, {"password": None}),
        ("absent", {}, {}),
        ("null", {"password": None}, {"password": None}),
        ("empty", {"password": ""}, {"password": ""}),
        ("mask", {"password": "********"}, {"password": None}),
    ],
)
def test_responses_show_passwords_as_configured(
    make_sandbox: MakeSandbox,
    connect: Connect,
    passwords: str,
    with_password: dict[str, Any],
    without_password: dict[str, Any],
) -> None:
    client = connect(make_sandbox(passwords=passwords))
    for password, shown in (("certs", with_password), (None, without_password)):
        account = client.post(ACCOUNTS, json={**ACCOUNT, "password": password}).json()
        assert {name: value for name, value in account.items() if name == "password"} == shown
        assert client.get(f"{ACCOUNTS}/{account['id']}").json() == account


def test_names_and_addresses_need_not_be_unique(client: httpx.Client) -> None:
    assert [client.post(ACCOUNTS, json=ACCOUNT).status_code for _ in range(2)] == [200, 200]


def test_unique_addresses_ignore_case_in_any_alphabet(make_sandbox: MakeSandbox, connect: Connect) -> None:
    client = connect(make_sandbox(unique_emails=True))
    addresses = ["jos\u00e9@example.com", "JOS\u00c9@example.com", "jose\u0301@example.com"]
    codes = [client.post(ACCOUNTS, json={**ACCOUNT, "email": one}).status_code for one in addresses]
    assert codes == [200, 409, 200]


@pytest.mark.parametrize(
    ("option", "change", "error"),
    [
        ("unique_names", {"email": "x@y.z"}, ("name", "nome", "Contas envio de certificados")),
        ("unique_emails", {"name": "n", "email": "CERTS@itflex.com.br"}, ("email", "email", "CERTS@itflex.com.br")),
    ],
)
def test_a_duplicate_value_is_refused_if_it_must_be_unique(
    make_sandbox: MakeSandbox, connect: Connect, option: str, change: dict[str, str], error: tuple[str, str, str]
) -> None:
    client = connect(make_sandbox(**{option: True}))
    client.post(ACCOUNTS, json=ACCOUNT)
    client.post(ACCOUNTS, json=OTHER)
    field, label, value = error
    expected = (409, [(field, "duplicated", f"Já existe um item com o {label} '{value}'")])
    assert errors_of(client.post(ACCOUNTS, json={**ACCOUNT, **change})) == expected
    assert errors_of(client.put(f"{ACCOUNTS}/2", json={**ACCOUNT, **change})) == expected
    assert client.put(f"{ACCOUNTS}/1", json=ACCOUNT).status_code == 200
    assert [account["name"] for account in client.get(ACCOUNTS).json()] == [ACCOUNT["name"], OTHER["name"]]


@pytest.mark.parametrize(("single_default", "flags"), [(True, [False, False, True]), (False, [True, False, True])])
def test_a_new_default_account_clears_the_others_only_if_configured(
    make_sandbox: MakeSandbox, connect: Connect, single_default: bool, flags: list[bool]
) -> None:
    client = connect(make_sandbox(single_default=single_default))
    for body in (ACCOUNT, OTHER, OTHER):
        client.post(ACCOUNTS, json=body)
    client.put(f"{ACCOUNTS}/3", json={**OTHER, "default": True})
    assert [account["default"] for account in client.get(ACCOUNTS).json()] == flags


def test_the_default_account_is_kept_if_configured(make_sandbox: MakeSandbox, connect: Connect) -> None:
    client = connect(make_sandbox(keep_default=True, single_default=True))
    client.post(ACCOUNTS, json=ACCOUNT)
    client.post(ACCOUNTS, json=OTHER)
    assert errors_of(client.delete(f"{ACCOUNTS}/1")) == (
        409,
        [("default", "rule", "A conta padrão não pode ser removida")],
    )
    assert errors_of(client.put(f"{ACCOUNTS}/1", json={**ACCOUNT, "default": False})) == (
        409,
        [("default", "rule", "A conta padrão não pode deixar de ser a padrão")],
    )
    assert client.put(f"{ACCOUNTS}/1", json={**ACCOUNT, "name": "n"}).status_code == 200
    assert client.put(f"{ACCOUNTS}/2", json={**OTHER, "default": True}).status_code == 200
    assert client.delete(f"{ACCOUNTS}/1").status_code == 200


def test_the_default_account_can_be_deleted_unless_configured(client: httpx.Client) -> None:
    client.post(ACCOUNTS, json=ACCOUNT)
    assert client.put(f"{ACCOUNTS}/1", json={**ACCOUNT, "default": False}).status_code == 200
    client.put(f"{ACCOUNTS}/1", json=ACCOUNT)
    assert client.delete(f"{ACCOUNTS}/1").status_code == 200


@pytest.mark.parametrize(
    ("options", "response"),
    [
        ({"deleted_body": "true"}, (200, "true", "application/json")),
        ({"deleted_status": 204, "deleted_body": "true"}, (204, "", None)),
    ],
)
def test_creates_and_deletes_respond_as_configured(
    make_sandbox: MakeSandbox, connect: Connect, options: dict[str, Any], response: tuple[int, str, str | None]
) -> None:
    client = connect(make_sandbox(created_status=201, **options))
    assert client.post(ACCOUNTS, json=ACCOUNT).status_code == 201
    deleted = client.delete(f"{ACCOUNTS}/1")
    assert (deleted.status_code, deleted.text, deleted.headers.get("content-type")) == response
