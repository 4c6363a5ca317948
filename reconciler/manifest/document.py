"""The YAML's shape, as pydantic models; the JSON Schema for editors is generated from them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Final, Literal, TypeAlias, cast

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, PlainValidator, StringConstraints, WithJsonSchema

from reconciler.manifest import values
from reconciler.manifest.references import SECRET_SCHEMA, Reference, secret
from reconciler.model.desired import DeleteLimit
from reconciler.model.secret import Secret
from reconciler.model.server import normal_url

if TYPE_CHECKING:
    from collections.abc import Mapping

Text: TypeAlias = Annotated[str, StringConstraints(min_length=1), AfterValidator(values.text)]
Name: TypeAlias = Annotated[str, StringConstraints(min_length=1), AfterValidator(values.name)]
Address: TypeAlias = Annotated[
    str, AfterValidator(values.address), Field(json_schema_extra={"format": "email", "examples": ["certs@example.com"]})
]
Host: TypeAlias = Annotated[
    str, AfterValidator(values.host), Field(json_schema_extra={"examples": ["smtp.example.com", "192.0.2.25"]})
]
SecretValue: TypeAlias = Annotated[Secret | Reference, PlainValidator(secret), WithJsonSchema(SECRET_SCHEMA)]
MaxDeletes: TypeAlias = Annotated[
    DeleteLimit,
    PlainValidator(DeleteLimit.parse),
    WithJsonSchema(
        {
            "anyOf": [{"type": "integer", "minimum": 0}, {"type": "string", "pattern": "^(100|[0-9]{1,2}) ?%$"}],
            "examples": [5, "30%"],
        }
    ),
]
Version: TypeAlias = Annotated[
    Literal[1], PlainValidator(values.version), WithJsonSchema({"const": 1, "type": "integer"})
]


class _Model(BaseModel):
    model_config = ConfigDict(extra="forbid", strict=True, hide_input_in_errors=True, arbitrary_types_allowed=True)


class DeliveryTestBlock(_Model):
    """Whether, when and to whom the settings are tried through the server's test endpoint."""

    __test__ = False

    when: Literal["off", "before", "after"] = Field(
        "off", title="When", description="Never (off), before the account is written, or after it."
    )
    to_email: Address = Field("", title="Recipient", description="Who gets the mail.")


_UNSAID: Final = cast("DeliveryTestBlock", None)
"""Stands for an omitted block. Only given keys count, and pydantic would deep-copy a real one for every account."""


class DefaultsBlock(_Model):
    """What may stand in an account and in defaults. An omitted field is not managed; null clears it."""

    name: Name = Field("", title="Name", description="Display name.", examples=["Certificates"])
    default: bool = Field(
        False,  # noqa: FBT003 - what the schema shows; only fields that are given count
        title="Default account",
        description="Whether this is the server's default account; at most one is.",
    )
    service: Literal["gmail", "outlook", "other"] = Field(
        "other", title="Service", description="Kind of provider; other needs smtp_server."
    )
    has_auth: bool = Field(
        False,  # noqa: FBT003 - as above
        title="Authenticates",
        description="Whether the account logs in. Omitted, it is true where a password is declared.",
    )
    hash_auth: bool = Field(
        False,  # noqa: FBT003 - as above
        title="Authenticates",
        description="Another spelling of has_auth.",
    )
    password: SecretValue | None = Field(None, title="Password", description="SMTP password, best as a reference.")
    smtp_server: Host | None = Field(None, title="SMTP server", description="Host name or IP address, without a port.")
    smtp_port: Annotated[int, Field(ge=1, le=65535)] | None = Field(
        None,
        title="SMTP port",
        description="Usually 587 for starttls, 465 for ssl-tls, 25 for none.",
        examples=[587, 465],
    )
    smtp_crypt: Literal["none", "ssl-tls", "starttls"] | None = Field(
        None, title="Encryption", description="How the way to the SMTP server is protected."
    )
    smtp_auth_mechanism: Literal["plain", "login", "cram-md5"] | None = Field(
        None, title="Mechanism", description="How the account logs in."
    )
    test: DeliveryTestBlock = Field(_UNSAID, title="Test", description="Overrides policy.test.")


class AccountBlock(DefaultsBlock):
    """One email account."""

    email: Address = Field(title="Address", description="The identity of the account, however it is spelled.")
    id: Annotated[int, Field(ge=0)] = Field(
        0, title="Pin", description="The server's id, for when it holds the same address twice.", examples=[12]
    )
    renamed_from: Address = Field(
        "", title="Former address", description="The same account, new address: updated in place, its id survives."
    )


class Auth(_Model):
    """Credentials: exactly one of access_token, refresh_token, or username with password."""

    access_token: SecretValue | None = Field(None, title="Access token", description="Used as it is.")
    refresh_token: SecretValue | None = Field(
        None, title="Refresh token", description="The integrator's key, exchanged for access tokens."
    )
    username: SecretValue | None = Field(None, title="User name", description="With password.")
    password: SecretValue | None = Field(None, title="Password", description="With username.")


class ClientCertEntry(_Model):
    """A certificate for servers that ask for one."""

    cert: Text = Field(title="Certificate", description="PEM file, relative to this YAML file.", examples=["fw.pem"])
    key: Text = Field(
        "", title="Key", description="PEM file of its key; where omitted, the key is in cert.", examples=["fw.key"]
    )


_UNSAID_CERT: Final = cast("ClientCertEntry", None)
"""As ``_UNSAID``: there is no certificate unless one is named."""


class ServerBlock(_Model):
    """The server that the accounts are on; flags and environment variables win over it."""

    name: Name = Field(
        "", title="Name", description="Label in reports; the URL's host where omitted.", examples=["headquarters"]
    )
    url: Annotated[str, AfterValidator(normal_url)] = Field(
        "", title="URL", description="Scheme, host and port.", examples=["https://fw.example.com"]
    )
    auth: Auth = Field(Auth(), title="Credentials", description="Only ever sent to the URL beside it.")
    ca_file: Text = Field(
        "", title="Private CA", description="PEM file, relative to this YAML file.", examples=["certs/private-ca.pem"]
    )
    client_cert: ClientCertEntry = Field(
        _UNSAID_CERT, title="Client certificate", description="Only ever shown to the URL beside it."
    )


class PolicyBlock(_Model):
    """How the declared set is to be treated."""

    prune: bool = Field(
        True,  # noqa: FBT003 - what the schema shows
        title="Prune",
        description="Delete what is not declared; true unless said otherwise.",
    )
    max_deletes: MaxDeletes = Field(
        DeleteLimit(30, percent=True),
        title="Most deletes",
        description="Number, or percentage of the managed accounts; 30% unless said otherwise.",
    )
    protect: list[Text] = Field(
        [], title="Protected", description="Address globs that are never deleted.", examples=[["certs@*"]]
    )
    ignore: list[Text] = Field(
        [], title="Ignored", description="Address globs that are never touched.", examples=[["legacy-*@example.com"]]
    )
    passwords: Literal["auto", "shown", "hidden"] = Field(
        "auto",
        title="Passwords",
        description="Whether the server's responses show passwords. auto recognises masks such as ********.",
    )
    test: DeliveryTestBlock = Field(
        DeliveryTestBlock(), title="Test", description="How settings are tried when they are written."
    )


class Document(_Model):
    """The email accounts of a server, as they should be."""

    version: Version = Field(title="Version", description="Version of this format: 1.")
    server: ServerBlock = Field(ServerBlock(), title="Server", description="Which server; optional.")
    policy: PolicyBlock = Field(PolicyBlock(), title="Policy", description="How the set is to be treated.")
    defaults: DefaultsBlock = Field(DefaultsBlock(), title="Defaults", description="Merged under every account.")
    accounts: list[AccountBlock] = Field(title="Accounts", description="The whole set; may be empty.")


SHAPE: Final[Mapping[tuple[str, ...], type[BaseModel]]] = {
    (): Document,
    ("server",): ServerBlock,
    ("server", "auth"): Auth,
    ("server", "client_cert"): ClientCertEntry,
    ("policy",): PolicyBlock,
    ("policy", "test"): DeliveryTestBlock,
    ("defaults",): DefaultsBlock,
    ("defaults", "test"): DeliveryTestBlock,
    ("accounts",): AccountBlock,
    ("accounts", "test"): DeliveryTestBlock,
}
"""Which model stands at which keys; indexes left out."""
