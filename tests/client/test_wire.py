from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest
from pydantic_core import ValidationError

from reconciler.client import wire
from reconciler.client.transport import InvalidResponseError
from reconciler.client.wire import Dialect, VendorError, read_errors, read_list, read_one, read_token, to_account
from reconciler.model.secret import UNKNOWN, Secret
from reconciler.model.server import Passwords

if TYPE_CHECKING:
    from reconciler.model.account import Account


def account_of(passwords: Passwords = Passwords.AUTO, /, **given: object) -> Account:
    return to_account(read_one(json.dumps({"id": 1, "email": "a@example.com", **given}).encode()), passwords)


def fields_of(passwords: Passwords = Passwords.AUTO, /, **given: object) -> dict[str, object]:
    account = account_of(passwords, **given)
    return {name: value for name, value in account.fields.items() if name != "email"}


@pytest.mark.parametrize(
    ("given", "fields"),
    [
        ({}, {}),
        ({"password": "seen"}, {"password": Secret("seen")}),
        ({"password": ""}, {"password": None}),
        ({"password": None}, {"password": None}),
        ({"password": "***"}, {"password": UNKNOWN}),
        ({"password": 12345}, {"password": Secret("12345")}),
        ({"has_auth": False}, {"has_auth": False}),
        ({"has_auth": None}, {"has_auth": None}),
        ({"has_auth": False, "password": "•••"}, {"has_auth": False, "password": UNKNOWN}),
        ({"has_auth": False, "password": ""}, {"has_auth": False, "password": None}),
        ({"has_auth": True}, {"has_auth": True, "password": UNKNOWN}),
        ({"hash_auth": True, "password": None}, {"has_auth": True, "password": UNKNOWN}),
        ({"hash_auth": True, "password": ""}, {"has_auth": True, "password": UNKNOWN}),
        ({"hash_auth": True, "password": "*•*"}, {"has_auth": True, "password": UNKNOWN}),
        ({"hash_auth": True, "password": "a*"}, {"has_auth": True, "password": Secret("a*")}),
        ({"hash_auth": 1, "password": "p"}, {"has_auth": True, "password": Secret("p")}),
    ],
)
def test_a_password_that_must_exist_but_is_not_shown_is_unknown(
    given: dict[str, object], fields: dict[str, object]
) -> None:
    assert fields_of(**given) == fields


@pytest.mark.parametrize(
    ("passwords", "given", "expected"),
    [
        (Passwords.SHOWN, {"has_auth": True, "password": "****"}, Secret("****")),
        (Passwords.SHOWN, {"has_auth": True, "password": "<hidden>"}, Secret("<hidden>")),
        (Passwords.SHOWN, {"has_auth": True, "password": ""}, None),
        (Passwords.SHOWN, {"has_auth": True, "password": None}, None),
        (Passwords.SHOWN, {"has_auth": True}, UNKNOWN),
        (Passwords.HIDDEN, {"has_auth": True, "password": "hunter2"}, UNKNOWN),
        (Passwords.HIDDEN, {"has_auth": True, "password": "****"}, UNKNOWN),
        (Passwords.HIDDEN, {"has_auth": True, "password": ""}, UNKNOWN),
        (Passwords.HIDDEN, {"has_auth": True}, UNKNOWN),
        (Passwords.HIDDEN, {"has_auth": False, "password": "hunter2"}, UNKNOWN),
        (Passwords.HIDDEN, {"has_auth": False, "password": None}, None),
    ],
)
def test_the_policy_decides_whether_passwords_are_shown(
    passwords: Passwords, given: dict[str, object], expected: object
) -> None:
    account = account_of(passwords, **given)
    assert (account.fields["password"], account.mask) == (expected, None)


def test_a_mask_is_kept_beside_the_unknown_password() -> None:
    account = account_of(has_auth=True, password="ce******")
    assert (account.fields["password"], account.mask) == (UNKNOWN, Secret("ce******"))


def test_a_mask_inside_an_unknown_field_is_not_sent_back() -> None:
    given = {"oauth": {"id": "x", "keys": ["a", "●●●●"]}, "note": "xxxxxxxx\n", "list": ["a"]}
    found = account_of(**given)
    assert (found.extra, found.masked_extra) == ({"list": ["a"]}, ("oauth", "note"))
    shown = account_of(Passwords.SHOWN, **given)
    assert (shown.extra, shown.masked_extra) == (given, ())


@pytest.mark.parametrize(("hash_auth", "has_auth"), [(True, False), (False, True), (None, True)])
def test_true_wins_if_two_spellings_contradict_each_other(hash_auth: object, has_auth: object) -> None:
    assert fields_of(hash_auth=hash_auth, has_auth=has_auth) == {"has_auth": True, "password": UNKNOWN}


def test_a_flag_that_is_false_in_one_spelling_and_null_is_false() -> None:
    assert fields_of(hash_auth=None, has_auth=False) == {"has_auth": False}


@pytest.mark.parametrize(("given", "port"), [(587, 587), ("587", 587), (" ", None), ("", None), (None, None)], ids=repr)
def test_a_port_is_read_from_a_number_or_a_string(given: object, port: int | None) -> None:
    assert fields_of(smtp_port=given) == {"smtp_port": port}


def test_values_of_odd_types_are_converted() -> None:
    read = fields_of(name=7, service="sendgrid", default="true", smtp_server=None, smtp_crypt="none")
    assert read == {"name": "7", "service": "sendgrid", "default": True, "smtp_server": None, "smtp_crypt": "none"}


def test_unknown_fields_are_kept_except_times() -> None:
    given = {"zone": {"a": [1]}, "note": "", "created_at": "x", "updated_at": "y", "none": None}
    account = to_account(read_one(json.dumps({"id": 5, "email": "a@example.com", **given}).encode()))
    assert (account.id, account.extra) == (5, {"zone": {"a": [1]}, "note": "", "none": None})


@pytest.mark.parametrize(
    ("body", "message"),
    [
        (b"", "the response is empty"),
        (b" \n", "the response is empty"),
        (b"<html>", "the response is not JSON: is this the right URL?"),
        (b'[{"id": 1,', "the response is not JSON: is this the right URL?"),
        (b"\xff\xfe", "the response is not JSON: is this the right URL?"),
        (b"[" * 500, "the response is not JSON: is this the right URL?"),
        (b'[{"id": 1, "email": "\\ud800"}]', "the response is not JSON: is this the right URL?"),
        (b"{}", "the response is not what was asked for: Input should be a valid array"),
        (b"null", "the response is not what was asked for: Input should be a valid array"),
        (b'{"accounts": []}', "the response is not what was asked for: Input should be a valid array"),
        (b"[3]", "entry 0: Input should be an object"),
        (b'[{"id": 1, "email": "a"}, {"email": "b"}]', "entry 1: field id: Field required"),
        (b'[{"id": "1", "email": "a"}]', "entry 0: field id: Input should be a valid integer"),
        (b'[{"id": true, "email": "a"}]', "entry 0: field id: Input should be a valid integer"),
        (b'[{"id": 1.0, "email": "a"}]', "entry 0: field id: Input should be a valid integer"),
        (b'[{"id": -1, "email": "a"}]', "entry 0: field id: Input should be greater than or equal to 0"),
        (b'[{"id": 1}]', "entry 0: field email: Field required"),
        (b'[{"id": 1, "email": null}]', "entry 0: field email: Input should be a valid string"),
        (
            b'[{"id": 1, "email": "a", "password": ["hunter22"]}]',
            "entry 0: field password: Input should be a valid string",
        ),
        (
            b'[{"id": 1, "email": "a", "smtp_port": "x"}]',
            "entry 0: field smtp_port: Input should be a valid integer, unable to parse string as an integer",
        ),
        (b'[{"id": 1, "email": "a"}, {"id": 1, "email": "b"}]', "the response lists the same id twice"),
    ],
)
def test_anything_but_a_list_of_accounts_is_refused_with_a_reason(body: bytes, message: str) -> None:
    with pytest.raises(InvalidResponseError) as caught:
        read_list(body)
    assert str(caught.value) == message
    assert (caught.value.__cause__, caught.value.__context__) == (None, None)  # the validator's error holds the input


def test_a_validation_error_of_an_account_hides_its_input() -> None:
    with pytest.raises(ValidationError) as caught:
        wire._ACCOUNTS.validate_json(b'[{"id": 1, "email": "a", "password": ["hunter2"]}]')
    assert "hunter2" not in str(caught.value)


def test_an_invalid_account_is_refused_with_the_name_of_the_field() -> None:
    with pytest.raises(InvalidResponseError) as caught:
        read_one(b'{"id": [], "email": "a"}')
    assert str(caught.value) == "the response: field id: Input should be a valid integer"


@pytest.mark.parametrize("body", [b"{}", b'{"access_token": ""}', b'{"access_token": null}', b"[]"])
def test_a_token_response_without_a_token_is_refused(body: bytes) -> None:
    with pytest.raises(InvalidResponseError):
        read_token(body)


@pytest.mark.parametrize(
    ("body", "errors"),
    [
        (b"", ()),
        (b"\xff", ()),
        (b"[]", ()),
        (b'{"errors": {}}', ()),
        (b'{"errors": [1, {}, {"type": 3}]}', ()),
        (b'{"errors": [{"field": "a", "type": "required", "msg": "x"}]}', (VendorError("required", "a", "x"),)),
        (b'{"errors": [{"field": null, "msg": "x"}]}', (VendorError("", "", "x"),)),
    ],
)
def test_only_the_vendors_error_format_is_read(body: bytes, errors: tuple[Any, ...]) -> None:
    assert read_errors(body) == errors


@pytest.mark.parametrize(
    ("value", "expected"),
    [("2026-01-02T03:04:05Z", "2026-01-02T03:04:05Z"), (1767322800, "1767322800"), ("", None), (None, None)],
)
def test_times_are_kept_apart_from_the_fields_and_never_sent(value: object, expected: str | None) -> None:
    body = json.dumps({"id": 1, "email": "a@x", "created_at": value, "updated_at": value}).encode()
    account = to_account(read_one(body))
    assert (account.created_at, account.updated_at, account.extra) == (expected, expected, {})
    assert account.with_fields({"name": "B"}).updated_at == expected
    assert json.loads(Dialect().update_body(account)) == {"email": "a@x"}
