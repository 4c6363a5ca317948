"""The bodies of requests and answers, as the vendor's pages show them; the OpenAPI document is made from these."""

# No `from __future__ import annotations` here: pydantic reads the annotations while the classes are made.
from typing import Annotated, Any, Final, Literal, TypeAlias

from pydantic import AliasChoices, BaseModel, BeforeValidator, ConfigDict, Field

from reconciler.sandbox.refusal import FaultType
from reconciler.sandbox.settings import Settings

Address: TypeAlias = Annotated[str, Field(pattern=r"^[^@\s]+@[^@\s]+$", description="An email address")]
Service: TypeAlias = Literal["gmail", "outlook", "other"]
Crypt: TypeAlias = Literal["none", "ssl-tls", "starttls"]
Mechanism: TypeAlias = Literal["plain", "login", "cram-md5"]


def _to_int(value: object) -> object:
    """JSON does not tell 587.0 from 587, and neither does JSON Schema."""
    return int(value) if isinstance(value, float) and value.is_integer() else value


Port: TypeAlias = Annotated[int, Field(ge=1, le=65535), BeforeValidator(_to_int)]

_SPELLINGS: Final = ("hash_auth", "has_auth")


def _allow_either_spelling(schema: dict[str, Any]) -> None:
    """Says in the JSON schema what ``AliasChoices`` does: ``hash_auth`` counts, ``has_auth`` where that is absent."""
    flag = schema["properties"].pop("hash_auth")
    schema["required"].remove("hash_auth")
    schema["anyOf"] = [
        {"required": ["hash_auth"], "properties": {"hash_auth": flag}},
        {"required": ["has_auth"], "properties": {"has_auth": flag}, "not": {"required": ["hash_auth"]}},
    ]


class AccountBody(BaseModel):
    """An account as a request carries it: without ``id`` and times, which are ignored like any unknown field."""

    model_config = ConfigDict(strict=True, hide_input_in_errors=True, json_schema_extra=_allow_either_spelling)

    default: bool
    name: Annotated[str, Field(min_length=1)]
    email: Address
    service: Service
    has_auth: Annotated[bool, Field(validation_alias=AliasChoices(*_SPELLINGS), description="Does it authenticate")]
    password: str | None = None
    smtp_server: str | None = None
    smtp_port: Port | None = None
    smtp_crypt: Crypt | None = None
    smtp_auth_mechanism: Mechanism | None = None

    def settings(self) -> Settings:
        """The body as the store and the mailer take it."""
        return Settings(
            default=self.default,
            name=self.name,
            email=self.email,
            service=self.service,
            has_auth=self.has_auth,
            password=self.password,
            smtp_server=self.smtp_server,
            smtp_port=self.smtp_port,
            smtp_crypt=self.smtp_crypt,
            smtp_auth_mechanism=self.smtp_auth_mechanism,
        )


class DeliveryTestBody(AccountBody):
    """The settings to try, and who is to get the mail."""

    __test__ = False

    to_email: Address


class AccountAnswer(BaseModel):
    """An account as an answer carries it. Which of the optional fields are there depends on the sandbox's options."""

    model_config = ConfigDict(extra="forbid")

    id: int
    default: bool
    name: str
    email: str
    service: Service
    hash_auth: bool
    has_auth: bool
    password: str | None
    smtp_server: str | None
    smtp_port: Port | None
    smtp_crypt: Crypt | None
    smtp_auth_mechanism: Mechanism | None
    created_at: Annotated[str, Field(json_schema_extra={"format": "date-time"})]
    updated_at: Annotated[str, Field(json_schema_extra={"format": "date-time"})]


class RefreshGrant(BaseModel):
    """Asks for an access token with the integrator's key."""

    model_config = ConfigDict(strict=True, hide_input_in_errors=True)

    grant_type: Literal["refresh_token"]
    refresh_token: str


class PasswordGrant(BaseModel):
    """Asks for an access token with a user's name and password."""

    model_config = ConfigDict(strict=True, hide_input_in_errors=True)

    grant_type: Literal["password"]
    username: str
    password: str


Grant: TypeAlias = Annotated[RefreshGrant | PasswordGrant, Field(discriminator="grant_type")]


class TokenAnswer(BaseModel):
    """The access token, and how many seconds it is good for."""

    refresh_token: str
    access_token: str
    expires_in: int


class FaultAnswer(BaseModel):
    """One thing that is wrong with the request."""

    field: str
    type: FaultType
    msg: str


class ErrorAnswer(BaseModel):
    """What every 4XX answer carries."""

    errors: Annotated[list[FaultAnswer], Field(min_length=1)]
