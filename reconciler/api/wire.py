"""Reads the server's JSON: tolerant of what is unknown or oddly typed, strict where a mistake could lose an account."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any, Final, NamedTuple, Required, TypeVar

from pydantic import BeforeValidator, ConfigDict, Field, TypeAdapter, ValidationError, with_config
from pydantic_core import from_json
from typing_extensions import TypedDict

from reconciler.api.failure import UnreadableError
from reconciler.model.account import FIELDS, Account
from reconciler.model.secret import UNKNOWN, Secret

if TYPE_CHECKING:
    from collections.abc import Mapping

    from reconciler.model.account import Value

T = TypeVar("T")

SPELLINGS: Final = ("hash_auth", "has_auth")
"""How servers spell ``has_auth``: the vendor's examples use the first, its table of fields the second."""

_PLAIN: Final = tuple(name for name in FIELDS if name not in {"has_auth", "password"})
_KNOWN: Final = frozenset({*FIELDS, *SPELLINGS, "id", "created_at", "updated_at"})
_MASK: Final = frozenset("*•")


def _none_where_blank(value: object) -> object:
    return None if isinstance(value, str) and not value.strip() else value


@with_config(ConfigDict(extra="allow", coerce_numbers_to_str=True))
class WireAccount(TypedDict, total=False):
    """An account as the server writes it; what it leaves out is not there."""

    id: Required[Annotated[int, Field(strict=True, ge=0, lt=2**63)]]
    email: Required[str]
    name: str | None
    default: bool | None
    service: str | None
    hash_auth: bool | None
    has_auth: bool | None
    password: str | None
    smtp_server: str | None
    smtp_port: Annotated[int | None, BeforeValidator(_none_where_blank)]
    smtp_crypt: str | None
    smtp_auth_mechanism: str | None


class WireToken(TypedDict, total=False):
    """The answer to a token exchange."""

    access_token: Required[Annotated[str, Field(min_length=1)]]
    refresh_token: str | None
    expires_in: float | None


_LIST: Final = TypeAdapter(list[WireAccount])
_ONE: Final = TypeAdapter(WireAccount)
_TOKEN: Final = TypeAdapter(WireToken)


def read_list(body: bytes) -> list[WireAccount]:
    """The answer of the list call. Raises ``UnreadableError`` for anything but accounts, each with an id of its own."""
    entries = _read(_LIST, body)
    if len({entry["id"] for entry in entries}) != len(entries):
        raise UnreadableError("the answer lists the same id twice")
    return entries


def read_one(body: bytes) -> WireAccount:
    """An answer that is one account. Raises ``UnreadableError``."""
    return _read(_ONE, body)


def read_token(body: bytes) -> WireToken:
    """The answer of a token exchange. Raises ``UnreadableError``."""
    return _read(_TOKEN, body)


def _read(adapter: TypeAdapter[T], body: bytes) -> T:
    if not body.strip():
        raise UnreadableError("the answer is empty")
    try:
        return adapter.validate_json(body)
    except ValidationError as error:
        # Never the input: it may hold a password.
        first = error.errors(include_url=False, include_context=False, include_input=False)[0]
    raise UnreadableError(_complaint(first["type"], first["loc"], first["msg"]))


def _complaint(kind: str, place: tuple[int | str, ...], message: str) -> str:
    if kind == "json_invalid":
        return "the answer is not JSON: is this the right URL?"
    if not place:
        return f"the answer is not what was asked for: {message}"
    entry = f"entry {place[0]}" if isinstance(place[0], int) else "the answer"
    fields = [str(part) for part in place if isinstance(part, str)]
    return f"{entry}: {f'field {fields[0]}: ' if fields else ''}{message}"


def to_account(wire: WireAccount) -> Account:
    """``wire`` in the neutral form; fields that it lacks are absent, passwords that it hides are ``UNKNOWN``.

    Where ``hash_auth`` and ``has_auth`` contradict each other, true wins: then a password that is not shown counts as
    unknown and is never overwritten.
    """
    raw: Mapping[str, Any] = wire
    fields: dict[str, Value] = {name: raw[name] for name in _PLAIN if name in raw}
    spoken = [raw[name] for name in SPELLINGS if name in raw]
    if spoken:
        fields["has_auth"] = any(spoken) or (False if False in spoken else None)
    if "password" in raw or fields.get("has_auth"):
        fields["password"] = _password(raw.get("password"), authenticates=fields.get("has_auth") is True)
    if raw.keys() <= _KNOWN:
        return Account(fields, wire["id"])
    extra = {name: value for name, value in raw.items() if name not in _KNOWN and not _masked(value)}
    return Account(fields, wire["id"], extra)


def _password(value: str | None, *, authenticates: bool) -> Value:
    if _masked(value):
        return UNKNOWN
    if value:
        return Secret(value)
    return UNKNOWN if authenticates else None


def _masked(value: object) -> bool:
    return isinstance(value, str) and value != "" and _MASK.issuperset(value)


class VendorError(NamedTuple):
    """One entry of the vendor's error format; a part that is missing is empty."""

    type: str
    field: str
    msg: str


def read_errors(body: bytes) -> tuple[VendorError, ...]:
    """The entries of ``{"errors": [{"field", "type", "msg"}]}``; empty where the body is anything else."""
    try:
        document = from_json(body)
    except ValueError:
        return ()
    listed = document.get("errors") if isinstance(document, dict) else None
    if not isinstance(listed, list):
        return ()
    entries = (entry for entry in listed if isinstance(entry, dict))
    errors = (VendorError(*(_text(entry.get(part)) for part in VendorError._fields)) for entry in entries)
    return tuple(error for error in errors if any(error))


def _text(value: object) -> str:
    return value if isinstance(value, str) else ""
