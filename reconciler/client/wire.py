"""The server's JSON, read and written.

Reading tolerates unknown fields and unexpected types. It refuses anything that could confuse one account with another.
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any, Final, NamedTuple, TypeAlias

from pydantic_core import CoreConfig, SchemaValidator, ValidationError, core_schema, from_json

from reconciler.client.transport import InvalidResponseError
from reconciler.client.unknown_fields import masked_names
from reconciler.model.account import NO_EXTRA, Account
from reconciler.model.fields import FIELDS, SPELLINGS, WIRE_ORDER
from reconciler.model.secret import UNKNOWN, Secret, SecretReference, Unknown, looks_masked
from reconciler.model.server import Passwords

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping

    from pydantic_core import CoreSchema
    from pydantic_core.core_schema import ExtraBehavior

    from reconciler.model.account import Fields, Value

WireAccount: TypeAlias = dict[str, Any]
"""An account as the server writes it: ``id``, ``email``, and whatever else the server sends."""

WireToken: TypeAlias = dict[str, Any]
"""The response to a token exchange: ``access_token``, and perhaps ``refresh_token`` and ``expires_in``."""

_HAS_AUTH: Final = SPELLINGS["has_auth"]
_SAME_NAME: Final = tuple(name for name in FIELDS if name not in {"has_auth", "password"})
"""The fields whose values are taken as they are."""

_KNOWN: Final = frozenset({*FIELDS, *_HAS_AUTH, "id", "created_at", "updated_at"})


def _none_if_blank(value: object) -> object:
    return None if isinstance(value, str) and not value.strip() else value


_TYPES: Final[Mapping[type, CoreSchema]] = {
    str: core_schema.nullable_schema(core_schema.str_schema(coerce_numbers_to_str=True)),
    bool: core_schema.nullable_schema(core_schema.bool_schema()),
    int: core_schema.no_info_before_validator_function(
        _none_if_blank, core_schema.nullable_schema(core_schema.int_schema())
    ),
}


def object_schema(
    required: Mapping[str, CoreSchema], optional: Mapping[str, CoreSchema], *, extra: ExtraBehavior = "ignore"
) -> CoreSchema:
    """What pydantic-core checks of a JSON object.

    Args:
        required: The type of each field that cannot be missing.
        optional: The type of each field that can.
        extra: What becomes of other fields.
    """
    fields = {name: core_schema.typed_dict_field(kind) for name, kind in required.items()}
    fields |= {name: core_schema.typed_dict_field(kind, required=False) for name, kind in optional.items()}
    return core_schema.typed_dict_schema(fields, extra_behavior=extra)


def json_validator(schema: CoreSchema) -> SchemaValidator:
    """A validator whose errors hide their input."""
    return SchemaValidator(schema, CoreConfig(hide_input_in_errors=True))


_ACCOUNT_SCHEMA: Final = object_schema(
    {
        "id": core_schema.int_schema(strict=True, ge=0, lt=2**63),
        "email": core_schema.str_schema(coerce_numbers_to_str=True),
    },
    {spelling: _TYPES[FIELDS[name].type] for name in FIELDS if name != "email" for spelling in SPELLINGS[name]},
    extra="allow",
)
_ACCOUNT: Final = json_validator(_ACCOUNT_SCHEMA)
_ACCOUNTS: Final = json_validator(core_schema.list_schema(_ACCOUNT_SCHEMA))
_TOKEN: Final = json_validator(
    object_schema(
        {"access_token": core_schema.str_schema(min_length=1)},
        {
            "refresh_token": core_schema.nullable_schema(core_schema.str_schema()),
            "expires_in": core_schema.nullable_schema(core_schema.float_schema()),
        },
    )
)


def read_list(body: bytes) -> list[WireAccount]:
    """Reads the response to the list call. Raises ``InvalidResponseError`` unless it is accounts with distinct ids."""
    accounts: list[WireAccount] = _read(_ACCOUNTS, body)
    if len({account["id"] for account in accounts}) != len(accounts):
        raise InvalidResponseError("the response lists the same id twice")
    return accounts


def read_one(body: bytes) -> WireAccount:
    """Reads a response that is one account. Raises ``InvalidResponseError``."""
    account: WireAccount = _read(_ACCOUNT, body)
    return account


def read_token(body: bytes) -> WireToken:
    """Reads the response to a token exchange. Raises ``InvalidResponseError``."""
    token: WireToken = _read(_TOKEN, body)
    return token


def _read(validator: SchemaValidator, body: bytes) -> Any:  # noqa: ANN401 - what the validator returns
    """Validates ``body``. Neither the error nor a cause of it shows the input, which may hold a password."""
    if not body.strip():
        raise InvalidResponseError("the response is empty")
    try:
        found = validator.validate_json(body)
    except ValidationError as error:
        first = error.errors(include_url=False, include_context=False, include_input=False)[0]
    else:
        return found
    raise InvalidResponseError(_explain(first["type"], first["loc"], first["msg"]))


def _explain(kind: str, location: tuple[int | str, ...], message: str) -> str:
    if kind == "json_invalid":
        return "the response is not JSON: is this the right URL?"
    if not location:
        return f"the response is not what was asked for: {message}"
    entry = f"entry {location[0]}" if isinstance(location[0], int) else "the response"
    fields = [str(part) for part in location if isinstance(part, str)]
    return f"{entry}: {f'field {fields[0]}: ' if fields else ''}{message}"


def to_account(wire: WireAccount, passwords: Passwords = Passwords.AUTO) -> Account:
    """Converts ``wire``. Fields that it lacks are absent, and passwords that it hides are ``UNKNOWN``.

    If the two spellings of ``has_auth`` contradict each other, true wins: then a password that is not shown counts as
    unknown and is never overwritten.
    """
    fields: dict[str, Value] = {name: wire[name] for name in _SAME_NAME if name in wire}
    flags = [wire[name] for name in _HAS_AUTH if name in wire]
    if flags:
        fields["has_auth"] = any(flags) or (False if False in flags else None)
    authenticates = fields.get("has_auth") is True
    password, mask = wire.get("password"), None
    if passwords is Passwords.AUTO and password and looks_masked(password):
        fields["password"], mask = UNKNOWN, Secret(password)
    elif authenticates or "password" in wire:
        returned = passwords is Passwords.SHOWN and "password" in wire
        fields["password"] = _password(password, passwords, hides=authenticates and not returned)
    times = (_time(wire.get("created_at")), _time(wire.get("updated_at")))
    if wire.keys() <= _KNOWN:
        return Account(fields, wire["id"], NO_EXTRA, *times, mask)
    extra = {name: value for name, value in wire.items() if name not in _KNOWN}
    masked = () if passwords is Passwords.SHOWN else masked_names(extra)
    kept = {name: value for name, value in extra.items() if name not in masked} if masked else extra
    return Account(fields, wire["id"], kept, *times, mask, masked)


def _time(value: object) -> str | None:
    """A time as the server writes it; ``None`` if it is empty."""
    return None if value is None or value == "" else str(value)


def _password(value: str | None, passwords: Passwords, *, hides: bool) -> Value:
    """A password that is not a mask. ``hides``: an empty one means that the server does not show it."""
    if value:
        return UNKNOWN if passwords is Passwords.HIDDEN else Secret(value)
    return UNKNOWN if hides else None


class Dialect:
    """Writes accounts for a server, with the spelling of ``has_auth`` that the server uses; both until it is known.

    Safe for threads: what is learned is only ever replaced as a whole.
    """

    def __init__(self) -> None:
        self._spellings: tuple[str, ...] = ()

    def learn(self, wires: Collection[WireAccount]) -> None:
        """Remembers the spellings in the server's accounts."""
        known = self._spellings
        self._spellings = tuple(name for name in _HAS_AUTH if name in known or any(name in wire for wire in wires))

    def create_body(self, fields: Fields) -> bytes:
        """The body that creates an account. Fields that are ``None`` are left out."""
        return _json(self._spelled(_without_none(fields)))

    def update_body(self, account: Account) -> bytes:
        """The body that replaces an account. ``None`` clears a field; unknown fields go back as they came."""
        return _json({**self._spelled(account.fields), **account.extra})

    def delivery_test_body(self, fields: Fields, to_email: str) -> bytes:
        """The body that sends a mail to ``to_email`` with the given settings."""
        return _json({**self._spelled(_without_none(fields)), "to_email": to_email})

    def _spelled(self, fields: Fields) -> dict[str, object]:
        body: dict[str, object] = {}
        for name in WIRE_ORDER:
            if name in fields:
                names = (self._spellings or _HAS_AUTH) if name == "has_auth" else (name,)
                body.update(dict.fromkeys(names, _sent_form(name, fields[name])))
        return body


def _without_none(fields: Fields) -> Fields:
    return {name: value for name, value in fields.items() if value is not None}


def _sent_form(name: str, value: Value) -> object:
    if isinstance(value, Secret):
        return value.reveal()
    if isinstance(value, Unknown | SecretReference):
        raise TypeError(f"{name} has no value that could be sent")
    return value


def _json(body: Mapping[str, object]) -> bytes:
    return json.dumps(body).encode()


class VendorError(NamedTuple):
    """One entry of the vendor's error format. A part that is missing is empty."""

    type: str
    field: str
    msg: str


def read_errors(body: bytes) -> tuple[VendorError, ...]:
    """The entries of ``{"errors": [{"field", "type", "msg"}]}``; none if the body is anything else."""
    document = _parsed(body)
    listed = document.get("errors") if isinstance(document, dict) else None
    if not isinstance(listed, list):
        return ()
    entries = (entry for entry in listed if isinstance(entry, dict))
    parts = ((entry.get(part) for part in VendorError._fields) for entry in entries)
    errors = (VendorError(*(part if isinstance(part, str) else "" for part in entry)) for entry in parts)
    return tuple(error for error in errors if any(error))


def is_refusal(body: bytes) -> bool:
    """Whether the body of a response with a success status reports a refusal."""
    document = _parsed(body)
    if isinstance(document, dict):
        return document.get("success") is False or bool(document.get("errors") or document.get("error"))
    return document is False


def _parsed(body: bytes) -> object:
    try:
        return from_json(body)
    except ValueError:
        return None
