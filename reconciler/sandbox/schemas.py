"""The JSON on the vendor's pages: bodies of requests, responses and errors, built from the table of fields."""

# No `from __future__ import annotations` here: pydantic reads the annotations while the classes are made.
import re
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from http import HTTPStatus
from typing import Annotated, Any, Final, Literal, TypeAlias

from pydantic import AliasChoices, BaseModel, BeforeValidator, ConfigDict, Field, create_model
from pydantic_core import ErrorDetails

from reconciler.model import fields
from reconciler.sandbox import SandboxOptions

AccountFields: TypeAlias = Mapping[str, Any]
"""An account's values by field name, without what the server adds to them."""

ErrorType: TypeAlias = Literal["invalid", "required", "duplicated", "not_found", "rule"]
Address: TypeAlias = Annotated[str, Field(pattern=r"^[^@\s]+@[^@\s]+$", description="An email address")]
Time: TypeAlias = Annotated[str, Field(json_schema_extra={"format": "date-time"})]

FIELDS: Final = {name: fields.FIELDS[name] for name in ("default", "name", "email", *fields.FIELDS)}
"""The table of fields, in the order of the vendor's page."""

_STRINGS: Final[dict[str, Any]] = {"email": Address, "name": Annotated[str, Field(min_length=1)]}
"""The types of strings that restrict their values."""


def response_names(name: str, options: SandboxOptions) -> tuple[str, ...]:
    """The names of a field in responses: two if they have both spellings, none if they leave the field out."""
    field = FIELDS[name]
    if field.secret and options.passwords == "absent":
        return ()
    if field.spellings and options.auth_field != "both":
        return (options.auth_field,)
    return field.spellings or (name,)


def _to_int(value: object) -> object:
    """JSON does not distinguish 587.0 from 587, and neither does JSON Schema."""
    return int(value) if isinstance(value, float) and value.is_integer() else value


def _type(name: str) -> Any:  # noqa: ANN401 - a type or a special form of typing
    field = FIELDS[name]
    kind: Any = _STRINGS.get(name, field.type)
    if field.choices:
        kind = Literal[field.choices]
    elif field.type is int:
        kind = Annotated[int, Field(ge=field.smallest, le=field.largest), BeforeValidator(_to_int)]
    return kind | None if field.optional else kind


def _body_field(name: str) -> Any:  # noqa: ANN401 - a type and its default
    field = FIELDS[name]
    alias = AliasChoices(*field.spellings) if field.spellings else None
    return _type(name), Field(None if field.optional else ..., validation_alias=alias)


def _allow_either_spelling(schema: dict[str, Any]) -> None:
    """Describes ``AliasChoices`` in the JSON Schema: ``hash_auth`` counts, or ``has_auth`` if that is absent."""
    first, second = FIELDS["has_auth"].spellings
    flag = schema["properties"].pop(first)
    schema["required"].remove(first)
    schema["anyOf"] = [
        {"required": [first], "properties": {first: flag}},
        {"required": [second], "properties": {second: flag}, "not": {"required": [first]}},
    ]


class _Request(BaseModel):
    model_config = ConfigDict(strict=True, hide_input_in_errors=True)


_BodyFields = create_model("_BodyFields", __base__=_Request, **{name: _body_field(name) for name in FIELDS})
_ResponseFields = create_model(
    "_ResponseFields",
    **{spelling: _type(name) for name, field in FIELDS.items() for spelling in field.spellings or (name,)},
)


class AccountBody(_BodyFields):
    """An account in a request. Unknown fields are ignored, and so are the id and the times."""

    model_config = ConfigDict(json_schema_extra=_allow_either_spelling)


class DeliveryTestBody(AccountBody):
    """The settings to test, and the recipient."""

    __test__ = False

    to_email: Address


class AccountResponse(_ResponseFields):
    """An account in a response. Which of the optional fields it has depends on the sandbox's options."""

    model_config = ConfigDict(extra="forbid")

    id: int
    created_at: Time
    updated_at: Time


class RefreshGrant(_Request):
    """Requests an access token with the API key."""

    grant_type: Literal["refresh_token"]
    refresh_token: str


class PasswordGrant(_Request):
    """Requests an access token with a user's name and password."""

    grant_type: Literal["password"]
    username: str
    password: str


Grant: TypeAlias = Annotated[RefreshGrant | PasswordGrant, Field(discriminator="grant_type")]


class TokenResponse(BaseModel):
    """The access token, its lifetime in seconds, and the refresh token for the next exchange."""

    refresh_token: str
    access_token: str
    expires_in: int


@dataclass(frozen=True, slots=True)
class ErrorEntry:
    """One thing that is wrong with a request; ``msg`` is in Portuguese, like the vendor's."""

    field: str
    type: ErrorType
    msg: str


class ErrorBody(BaseModel):
    """The body of every 4XX response."""

    errors: Annotated[list[ErrorEntry], Field(min_length=1)]


class ErrorResponse(Exception):  # noqa: N818 - a response, not a failure of the sandbox
    """Ends a request with a 4XX response in the vendor's format."""

    def __init__(self, status: int, *entries: ErrorEntry) -> None:
        super().__init__("; ".join(entry.msg for entry in entries))
        self.status = status
        self.entries = entries

    @property
    def body(self) -> dict[str, list[dict[str, str]]]:
        """The response's JSON."""
        return {"errors": [asdict(entry) for entry in self.entries]}


NO_SUCH_ACCOUNT: Final = ErrorEntry("id", "not_found", "Conta de email não encontrada")

_INVALID: Final = "Valor inválido"
_OUT_OF_RANGE: Final = "esperado um número entre {0.smallest} e {0.largest}".format(FIELDS["smtp_port"])
_REASONS: Final = {
    "union_tag_invalid": "valores possíveis: refresh_token, password",
    "bool_type": "esperado um booleano",
    "string_type": "esperado um texto",
    "string_unicode": "esperado um texto em Unicode válido",
    "string_too_short": "não pode ser vazio",
    "int_type": "esperado um número inteiro",
    "greater_than_equal": _OUT_OF_RANGE,
    "less_than_equal": _OUT_OF_RANGE,
}
_MESSAGES: Final = {
    "missing": "Campo obrigatório",
    "union_tag_not_found": "Campo obrigatório",
    "json_invalid": "O corpo da requisição não é um JSON válido",
    "string_pattern_mismatch": "Endereço de email inválido",
    **{kind: f"{_INVALID}: {reason}" for kind, reason in _REASONS.items()},
}
_STATUSES: Final = {
    HTTPStatus.NOT_FOUND: ErrorEntry("url", "not_found", "Recurso não encontrado"),
    HTTPStatus.METHOD_NOT_ALLOWED: ErrorEntry("method", "invalid", "Método não permitido"),
}


def error_from_status(status: int) -> ErrorResponse:
    """The response to a request that no handler takes, or whose body cannot be read."""
    unreadable = ErrorEntry("body", "invalid", _MESSAGES["json_invalid"])
    return ErrorResponse(status, _STATUSES.get(HTTPStatus(status), unreadable))


def error_from_validation(errors: Sequence[ErrorDetails], options: SandboxOptions) -> ErrorResponse:
    """The response to a request that does not fit the schema. It never repeats the input, which may be a password."""
    if any(error["loc"][0] == "path" for error in errors):
        return ErrorResponse(HTTPStatus.NOT_FOUND, NO_SUCH_ACCOUNT)
    return ErrorResponse(HTTPStatus.BAD_REQUEST, *(_entry(error, options) for error in errors))


def _entry(error: ErrorDetails, options: SandboxOptions) -> ErrorEntry:
    kind = error["type"]
    missing = kind in {"missing", "union_tag_not_found"}
    field = "grant_type" if kind.startswith("union_tag") else _path(error["loc"][1:])
    if missing and field in FIELDS["has_auth"].spellings:
        field = response_names("has_auth", options)[0]
    message = _MESSAGES.get(kind, _INVALID)
    if kind == "literal_error":
        choices = re.findall("'([^']*)'", error["ctx"]["expected"])
        message = f"{_INVALID}: valores possíveis: {', '.join(choices)}"
    return ErrorEntry(field, "required" if missing else "invalid", message)


def _path(location: Sequence[str | int]) -> str:
    """A field's path as the vendor writes it: ``data_list[1].value``."""
    if len(location) > 1 and location[0] in ("refresh_token", "password"):
        location = location[1:]  # the kind of grant
    names = "".join(f"[{part}]" if isinstance(part, int) else f".{part}" for part in location).removeprefix(".")
    return "body" if not names or names.startswith("[") else names
