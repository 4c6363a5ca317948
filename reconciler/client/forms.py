"""The server's JSON as pydantic models: the contract, and what says what is wrong with an answer."""

from __future__ import annotations

from typing import Annotated, Final, Required, TypeVar

from pydantic import BeforeValidator, ConfigDict, Field, TypeAdapter, ValidationError, with_config
from typing_extensions import TypedDict

from reconciler.client.failure import UnreadableError

T = TypeVar("T")


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


LIST: Final = TypeAdapter(list[WireAccount])
ONE: Final = TypeAdapter(WireAccount)
TOKEN: Final = TypeAdapter(WireToken)


def read(adapter: TypeAdapter[T], body: bytes) -> T:
    """``body`` as the model has it. Raises ``UnreadableError``, which never shows the input: it may hold a password."""
    if not body.strip():
        raise UnreadableError("the answer is empty")
    try:
        return adapter.validate_json(body)
    except ValidationError as error:
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
