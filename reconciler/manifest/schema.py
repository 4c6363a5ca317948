"""The manifest's types, and the JSON Schema for editors that is generated from them.

``python -m reconciler.manifest.schema`` writes the shipped file.
"""

# No `from __future__ import annotations` here: pydantic would have to evaluate each annotation again.

import json
from collections.abc import Callable, Mapping
from functools import cache
from pathlib import Path
from typing import Annotated, Any, Final, Literal, Required, TypeAlias, get_args

from pydantic import (
    AfterValidator,
    ConfigDict,
    Field,
    JsonValue,
    PlainValidator,
    StringConstraints,
    WithJsonSchema,
    with_config,
)
from typing_extensions import TypedDict, get_type_hints

from reconciler.manifest import values
from reconciler.model import fields
from reconciler.model.desired import Amount, DeleteLimit, Policy
from reconciler.model.fleet import ALL_AT_ONCE, Selector
from reconciler.model.server import Passwords, normal_url

SCHEMA_FILE: Final = Path(__file__).with_name("manifest.schema.json")

CONFIG: Final = ConfigDict(extra="forbid", strict=True, hide_input_in_errors=True, arbitrary_types_allowed=True)
"""Applies to a block and to all blocks inside it."""


class About:
    """What the JSON Schema says about a value, such as its title. Validators do not look at it.

    A ``default`` is what an omitted key means: a key that is given and one that is not are different things.
    """

    __slots__ = ("_words",)

    def __init__(self, title: str | None = None, description: str | None = None, **words: JsonValue) -> None:
        given: dict[str, JsonValue] = {"title": title, "description": description, **words}
        self._words = {key: value for key, value in given.items() if value is not None}

    def __get_pydantic_json_schema__(self, schema: Any, handler: Callable[[Any], dict[str, Any]]) -> dict[str, Any]:  # noqa: ANN401 - pydantic's own
        return {**handler(schema), **self._words}


def _reference_schema(key: str, title: str, description: str, target: dict[str, object]) -> dict[str, object]:
    return {
        "title": title,
        "description": description,
        "type": "object",
        "properties": {key: target},
        "required": [key],
        "additionalProperties": False,
    }


_SECRET_SCHEMA: Final[dict[str, object]] = {
    "anyOf": [
        _reference_schema(
            "env",
            "Environment variable",
            "The secret is in an environment variable.",
            {
                "type": "string",
                "pattern": "^[A-Za-z_][A-Za-z0-9_]*$",
                "title": "Variable",
                "description": "Name of the variable.",
                "examples": ["SMTP_PASSWORD"],
            },
        ),
        _reference_schema(
            "file",
            "File",
            "The secret is the content of a file; one newline at its end does not count.",
            {
                "type": "string",
                "minLength": 1,
                "title": "Path",
                "description": "Path relative to this YAML file.",
                "examples": ["secrets/smtp.txt"],
            },
        ),
        _reference_schema(
            "command",
            "Command",
            "The secret is what a command prints. Needs --allow-commands, or a trust file that lists the command.",
            {
                "type": "array",
                "items": {"type": "string"},
                "minItems": 1,
                "title": "Program and arguments",
                "description": "Program and arguments, without a shell; run in the folder of this YAML file.",
                "examples": [["pass", "show", "smtp"]],
            },
        ),
        _reference_schema(
            "literal",
            "Literal that looks like a placeholder",
            "The secret itself, whatever it looks like. It gets a warning.",
            {
                "type": "string",
                "minLength": 1,
                "title": "Literal",
                "description": "The secret itself.",
                "examples": ["${not a placeholder}"],
            },
        ),
        {"title": "Literal", "description": "The secret itself. It gets a warning.", "type": "string", "minLength": 1},
    ],
    "examples": [
        {"env": "SMTP_PASSWORD"},
        {"file": "secrets/smtp.txt"},
        {"command": ["sops", "-d", "--extract", '["smtp"]', "secrets.yaml"]},
    ],
}

Text: TypeAlias = Annotated[str, StringConstraints(min_length=1), AfterValidator(values.plain_text)]
Name: TypeAlias = Annotated[str, StringConstraints(min_length=1), AfterValidator(values.display_name)]
Address: TypeAlias = Annotated[
    str, AfterValidator(values.address), About(format="email", examples=["certs@example.com"])
]
Host: TypeAlias = Annotated[str, AfterValidator(values.host), About(examples=["smtp.example.com", "192.0.2.25"])]
SecretValue: TypeAlias = Annotated[Any, PlainValidator(values.secret), WithJsonSchema(_SECRET_SCHEMA)]
"""A ``Secret`` or a ``SecretReference``."""
_AMOUNT_SCHEMA: Final = WithJsonSchema(
    {
        "anyOf": [{"type": "integer", "minimum": 0}, {"type": "string", "pattern": "^(100|[0-9]{1,2}) ?%$"}],
        "examples": [5, "30%"],
    }
)
MaxDeletes: TypeAlias = Annotated[DeleteLimit, PlainValidator(DeleteLimit.parse), _AMOUNT_SCHEMA]
AmountValue: TypeAlias = Annotated[Amount, PlainValidator(Amount.parse), _AMOUNT_SCHEMA]
Duration: TypeAlias = Annotated[
    float,
    PlainValidator(values.pause),
    WithJsonSchema({"type": "string", "pattern": "^[0-9]+(\\.[0-9]+)?[smh]$", "examples": ["30s", "5m"]}),
]
SelectorValue: TypeAlias = Annotated[
    Selector, PlainValidator(values.selector), WithJsonSchema({"type": "string", "minLength": 1})
]
Labels: TypeAlias = Annotated[
    dict[Annotated[str, AfterValidator(values.label_key)], Annotated[str, AfterValidator(values.label_value)]],
    About(examples=[{"region": "south", "ring": "canary"}]),
]
Variables: TypeAlias = Annotated[
    dict[Annotated[str, AfterValidator(values.variable_name)], str], About(examples=[{"domain": "example.com"}])
]
Version: TypeAlias = Annotated[
    Literal[1], PlainValidator(values.version), WithJsonSchema({"const": 1, "type": "integer"})
]


class DeliveryTestBlock(TypedDict, total=False):
    """Whether, when and to whom a test mail is sent, through the server's test endpoint."""

    when: Annotated[
        Literal["off", "before", "after"],
        About(
            "When",
            "Never (off), before the account is written, or after it. If neither the account nor the "
            "policy says so, it is off.",
        ),
    ]
    to_email: Annotated[Address, About("Recipient", "Who receives the mail.")]


_SPECIAL_TYPES: Final[Mapping[str, object]] = {"email": Address, "name": Name, "smtp_server": Host}


def field_type(name: str) -> Any:  # noqa: ANN401 - a type, or an annotated one
    """The type of a field of an account."""
    field = fields.FIELDS[name]
    kind: Any = _SPECIAL_TYPES.get(name, SecretValue if field.secret else field.type)
    if field.choices:
        kind = Literal[field.choices]
    elif field.largest:
        kind = Annotated[kind, Field(ge=field.smallest, le=field.largest)]
    return kind | None if field.optional else kind


def _account_fields() -> dict[str, Any]:
    """The fields of an account, apart from its address, with every spelling of their names."""
    found = {}
    for name, field in fields.FIELDS.items():
        if name == "email":
            continue
        about = About(field.title, field.description, examples=list(field.examples) or None)
        found[name] = Annotated[field_type(name), about]
        for spelling in set(fields.SPELLINGS[name]) - {name}:
            about = About(field.title, f"Another spelling of {name}.")
            found[spelling] = Annotated[field_type(name), about]
    test = Annotated[DeliveryTestBlock, About("Test", "Overrides policy.test.")]
    return {**found, "test": test}


DefaultsBlock: Any = TypedDict("DefaultsBlock", _account_fields(), total=False)  # type: ignore[misc]
DefaultsBlock.__doc__ = "The fields of an account, also in defaults. An omitted field is not managed; null clears it."


class AccountBlock(DefaultsBlock, total=False):
    """One email account."""

    email: Required[Annotated[Address, About("Address", "The identity of the account, in any spelling.")]]
    id: Annotated[
        int,
        Field(ge=0),
        About("Pin", "The server's id of the account, if several accounts there have this address.", examples=[12]),
    ]
    renamed_from: Annotated[
        Address,
        About("Former address", "The address that the account had before: it is updated in place and keeps its id."),
    ]
    override: Annotated[
        bool, About("Override", "Merge this entry over the one that the base has for the address.", default=False)
    ]
    remove: Annotated[
        bool,
        About(
            "Remove",
            "Leave out the entry that the base has for the address. Takes no other key but email.",
            default=False,
        ),
    ]


class AuthBlock(TypedDict, total=False):
    """Credentials: exactly one of access_token, refresh_token, or username with password."""

    access_token: Annotated[SecretValue | None, About("Access token", "A token, used as it is.")]
    refresh_token: Annotated[
        SecretValue | None,
        About(
            "Refresh token", "The API key that the server's web interface creates; it is exchanged for access tokens."
        ),
    ]
    username: Annotated[SecretValue | None, About("User name", "A login; needs password.")]
    password: Annotated[SecretValue | None, About("Password", "The password of the login; needs username.")]


class ClientCertBlock(TypedDict, total=False):
    """A certificate for servers that ask for one."""

    cert: Required[Annotated[Text, About("Certificate", "PEM file, relative to this YAML file.", examples=["fw.pem"])]]
    key: Annotated[
        Text,
        About(
            "Key",
            "PEM file of its key, relative to this YAML file. If it is omitted, the key is in cert.",
            examples=["fw.key"],
        ),
    ]


class ServerBlock(TypedDict, total=False):
    """The server that the accounts are on. Options and environment variables win over it."""

    name: Annotated[
        Name,
        About(
            "Name",
            "Its name in reports and for ${name}. If it is omitted, reports show the URL's host.",
            examples=["headquarters"],
        ),
    ]
    url: Annotated[
        str,
        AfterValidator(normal_url),
        About(
            "URL",
            "Scheme, host and port. http:// is refused, except to this machine.",
            examples=["https://fw.example.com"],
        ),
    ]
    auth: Annotated[AuthBlock, About("Credentials", "How to log in. Sent only to the URL beside it.")]
    ca_file: Annotated[
        Text,
        About(
            "Private CA",
            "PEM file of a private certificate authority, relative to this YAML file.",
            examples=["certs/private-ca.pem"],
        ),
    ]
    client_cert: Annotated[
        ClientCertBlock, About("Client certificate", "For a server that asks for one. Used only for the URL beside it.")
    ]
    labels: Annotated[Labels, About("Labels", "Names and values of your choice, for --select and the canaries.")]
    suspended: Annotated[
        Text | None,
        About(
            "Suspended",
            "Why nothing is written to the server for now; null ends that.",
            examples=["moving to the new data centre until Friday"],
        ),
    ]
    queue: Annotated[
        str,
        AfterValidator(values.queue),
        About("Queue", "Which workers process the server, with --engine.", examples=["south"]),
    ]


class PolicyBlock(TypedDict, total=False):
    """What a plan may do, and which accounts it leaves alone."""

    prune: Annotated[
        bool, About("Prune", "Whether accounts that are not declared are deleted.", default=Policy().prune)
    ]
    max_deletes: Annotated[
        MaxDeletes,
        About(
            "Most deletes",
            (
                "A number, or a percentage of the managed accounts. A plan with more deletes is refused. A single"
                " delete is never too many for a percentage, unless it is 0%."
            ),
            default=str(Policy().max_deletes),
        ),
    ]
    protect: Annotated[
        list[Text],
        About("Protected", "Address patterns of accounts that are never deleted.", examples=[["certs@*"]], default=[]),
    ]
    ignore: Annotated[
        list[Text],
        About(
            "Ignored",
            "Address patterns of accounts that are managed elsewhere, and never touched.",
            examples=[["legacy-*@example.com"]],
            default=[],
        ),
    ]
    own: Annotated[
        list[Text],
        AfterValidator(values.own),
        About(
            "Own",
            "Address patterns that this file is responsible for. Everything else on the server is left "
            "alone. If it is omitted, the file is responsible for all addresses.",
            examples=[["*@sales.example.com"]],
        ),
    ]
    passwords: Annotated[
        Literal["auto", "shown", "hidden"],
        About(
            "Passwords",
            "Whether the server's responses show passwords. auto recognises masks such as ********.",
            default=Passwords.AUTO.value,
        ),
    ]
    test: Annotated[DeliveryTestBlock, About("Test", "Whether changed settings are tested with a mail.")]


class RolloutBlock(TypedDict, total=False):
    """How `apply` goes from server to server. Percentages are of the selected servers."""

    canary: Annotated[
        SelectorValue,
        About("Canary", "Selects the servers that come first, as --select does.", examples=["ring=canary"]),
    ]
    batches: Annotated[
        list[AmountValue],
        About(
            "Batches",
            "How many servers are done after each batch, canaries included.",
            examples=[[1, "5%", "25%", "100%"]],
            default=[str(amount) for amount in ALL_AT_ONCE.batches],
        ),
    ]
    max_failures: Annotated[
        AmountValue,
        About(
            "Most failures",
            "If more servers than this fail, no further server starts.",
            default=str(ALL_AT_ONCE.max_failures),
        ),
    ]
    max_unreachable: Annotated[
        AmountValue,
        About(
            "Most unreachable",
            "If more servers than this cannot be reached, no further server starts.",
            default=str(ALL_AT_ONCE.max_unreachable),
        ),
    ]
    pause: Annotated[
        Duration, About("Pause", "How long to wait between two batches.", default=f"{ALL_AT_ONCE.pause:g}s")
    ]


class FleetBlock(TypedDict, total=False):
    """What concerns all servers of a fleet together."""

    min_servers: Annotated[
        int,
        Field(ge=0),
        About(
            "Fewest servers",
            "If the files declare fewer servers than this, nothing is planned or applied.",
            examples=[480],
            default=0,
        ),
    ]
    rollout: Annotated[RolloutBlock, About("Rollout", "How `apply` goes from server to server.")]


@with_config(CONFIG)
class Manifest(TypedDict, total=False):
    """The email accounts of a server, as they should be."""

    version: Required[Annotated[Version, About("Version", "The version of this format: 1.")]]
    base: Annotated[
        bool, About("Base", "Whether the file is only there for others to extend, and is no server.", default=False)
    ]
    extends: Annotated[
        Text, About("Extends", "The base that this file builds on, relative to this file.", examples=["../common.yaml"])
    ]
    vars: Annotated[
        Variables, About("Variables", "Strings to use as ${NAME} in other strings. ${name} is the name of the server.")
    ]
    fleet: Annotated[FleetBlock, About("Fleet", "How changes are rolled out, and how many servers there must be.")]
    server: Annotated[ServerBlock, About("Server", "The server that the accounts are on.")]
    policy: Annotated[PolicyBlock, About("Policy", "Limits on deletes, accounts to leave alone, and tests.")]
    defaults: Annotated[
        DefaultsBlock, About("Defaults", "Fields for every account in `accounts` that does not have them.")
    ]
    accounts: Annotated[list[AccountBlock], About("Accounts", "All accounts of the server; may be empty.")]


def needs_accounts(document: Mapping[str, object]) -> bool:
    """Whether a document must declare accounts, as it is neither a base nor built on one."""
    return not (document.keys() & {"extends", "fleet"} or document.get("base") is True)


Shape: TypeAlias = Mapping[tuple[str, ...], Any]
"""The types of a document's blocks, by the keys that lead to them; indexes are left out."""

SHAPE: Final[Shape] = {
    (): Manifest,
    ("server",): ServerBlock,
    ("server", "auth"): AuthBlock,
    ("server", "client_cert"): ClientCertBlock,
    ("fleet",): FleetBlock,
    ("fleet", "rollout"): RolloutBlock,
    ("policy",): PolicyBlock,
    ("policy", "test"): DeliveryTestBlock,
    ("defaults",): DefaultsBlock,
    ("defaults", "test"): DeliveryTestBlock,
    ("accounts",): AccountBlock,
    ("accounts", "test"): DeliveryTestBlock,
}


@cache
def types_of(block: Any) -> Mapping[str, Any]:  # noqa: ANN401 - as in Shape
    """The type of each key of a block, without its annotations."""
    return get_type_hints(block)


def choices_of(kind: object) -> tuple[str, ...]:
    """The strings that a type allows, if it allows nothing else but null."""
    return tuple(choice for part in get_args(kind) for choice in ([part] if isinstance(part, str) else get_args(part)))


def manifest_schema() -> dict[str, object]:
    """The JSON Schema, generated from the types."""
    from pydantic import TypeAdapter

    generated = TypeAdapter(Manifest).json_schema()
    base = {"base": {"title": "Base", "description": "A base need not have accounts.", "const": True}}
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        **generated,
        "anyOf": [
            *({"required": [key]} for key in ("accounts", "extends", "fleet")),
            {"required": ["base"], "properties": base},
        ],
        "title": "Email accounts",
    }


def write_schema() -> None:
    """Writes the shipped file."""
    SCHEMA_FILE.write_text(json.dumps(manifest_schema(), indent=2, ensure_ascii=False) + "\n", encoding="utf-8")


if __name__ == "__main__":
    write_schema()
