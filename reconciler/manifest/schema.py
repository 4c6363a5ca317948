"""The manifest's types, and the JSON Schema for editors that is generated from them.

``python -m reconciler.manifest.schema`` writes the shipped file.
"""

# No `from __future__ import annotations` here: pydantic would have to evaluate each annotation again.

import json
from collections.abc import Mapping
from functools import cache
from pathlib import Path
from typing import Annotated, Any, Final, Literal, NotRequired, TypeAlias, get_args

from pydantic import AfterValidator, ConfigDict, Field, PlainValidator, StringConstraints, WithJsonSchema, with_config
from typing_extensions import TypedDict, get_type_hints

from reconciler.manifest import values
from reconciler.model import fields
from reconciler.model.desired import Amount, DeleteLimit
from reconciler.model.fleet import Selector
from reconciler.model.server import normal_url

SCHEMA_FILE: Final = Path(__file__).with_name("manifest.schema.json")

CONFIG: Final = ConfigDict(extra="forbid", strict=True, hide_input_in_errors=True, arbitrary_types_allowed=True)
"""Applies to a block and to all blocks inside it."""


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
            "The secret is what a command prints. Needs --allow-commands.",
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
            "The secret itself, whatever it looks like; earns a warning.",
            {
                "type": "string",
                "minLength": 1,
                "title": "Literal",
                "description": "The secret itself.",
                "examples": ["${not a placeholder}"],
            },
        ),
        {"title": "Literal", "description": "The secret itself; earns a warning.", "type": "string", "minLength": 1},
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
    str, AfterValidator(values.address), Field(json_schema_extra={"format": "email", "examples": ["certs@example.com"]})
]
Host: TypeAlias = Annotated[
    str, AfterValidator(values.host), Field(json_schema_extra={"examples": ["smtp.example.com", "192.0.2.25"]})
]
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
    Field(json_schema_extra={"examples": [{"region": "south", "ring": "canary"}]}),
]
Variables: TypeAlias = Annotated[
    dict[Annotated[str, AfterValidator(values.variable_name)], str],
    Field(json_schema_extra={"examples": [{"domain": "example.com"}]}),
]
Version: TypeAlias = Annotated[
    Literal[1], PlainValidator(values.version), WithJsonSchema({"const": 1, "type": "integer"})
]


class DeliveryTestBlock(TypedDict):
    """Whether, when and to whom the settings are tried through the server's test endpoint."""

    when: NotRequired[
        Annotated[
            Literal["off", "before", "after"],
            Field(title="When", description="Never (off), before the account is written, or after it."),
        ]
    ]
    to_email: NotRequired[Annotated[Address, Field(title="Recipient", description="Who gets the mail.")]]


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
        about = Field(title=field.title, description=field.description, examples=list(field.examples) or None)
        found[name] = NotRequired[Annotated[field_type(name), about]]
        for spelling in set(fields.SPELLINGS[name]) - {name}:
            about = Field(title=field.title, description=f"Another spelling of {name}.")
            found[spelling] = NotRequired[Annotated[field_type(name), about]]
    test = Annotated[DeliveryTestBlock, Field(title="Test", description="Overrides policy.test.")]
    return {**found, "test": NotRequired[test]}


DefaultsBlock: Any = TypedDict("DefaultsBlock", _account_fields())  # type: ignore[misc]
DefaultsBlock.__doc__ = "What may stand in an account and in defaults. An omitted field is not managed; null clears it."


class AccountBlock(DefaultsBlock):
    """One email account."""

    email: Annotated[Address, Field(title="Address", description="The identity of the account, however it is spelled.")]
    id: NotRequired[
        Annotated[
            int,
            Field(
                ge=0,
                title="Pin",
                description="The server's id, for when it holds the same address twice.",
                examples=[12],
            ),
        ]
    ]
    renamed_from: NotRequired[
        Annotated[
            Address,
            Field(
                title="Former address", description="The same account, new address: updated in place, its id survives."
            ),
        ]
    ]
    override: NotRequired[
        Annotated[bool, Field(title="Override", description="Merge this over the entry that the base has.")]
    ]
    remove: NotRequired[
        Annotated[bool, Field(title="Remove", description="Leave out the entry that the base has; only with email.")]
    ]


class AuthBlock(TypedDict):
    """Credentials: exactly one of access_token, refresh_token, or username with password."""

    access_token: NotRequired[Annotated[SecretValue | None, Field(title="Access token", description="Used as it is.")]]
    refresh_token: NotRequired[
        Annotated[
            SecretValue | None,
            Field(title="Refresh token", description="The integrator's key, exchanged for access tokens."),
        ]
    ]
    username: NotRequired[Annotated[SecretValue | None, Field(title="User name", description="With password.")]]
    password: NotRequired[Annotated[SecretValue | None, Field(title="Password", description="With username.")]]


class ClientCertBlock(TypedDict):
    """A certificate for servers that ask for one."""

    cert: Annotated[
        Text,
        Field(title="Certificate", description="PEM file, relative to this YAML file.", examples=["fw.pem"]),
    ]
    key: NotRequired[
        Annotated[
            Text,
            Field(
                title="Key",
                description="PEM file of its key; where omitted, the key is in cert.",
                examples=["fw.key"],
            ),
        ]
    ]


class ServerBlock(TypedDict):
    """The server that the accounts are on; flags and environment variables win over it."""

    name: NotRequired[
        Annotated[
            Name,
            Field(
                title="Name", description="Label in reports; the URL's host where omitted.", examples=["headquarters"]
            ),
        ]
    ]
    url: NotRequired[
        Annotated[
            str,
            AfterValidator(normal_url),
            Field(title="URL", description="Scheme, host and port.", examples=["https://fw.example.com"]),
        ]
    ]
    auth: NotRequired[
        Annotated[AuthBlock, Field(title="Credentials", description="Only ever sent to the URL beside it.")]
    ]
    ca_file: NotRequired[
        Annotated[
            Text,
            Field(
                title="Private CA",
                description="PEM file, relative to this YAML file.",
                examples=["certs/private-ca.pem"],
            ),
        ]
    ]
    client_cert: NotRequired[
        Annotated[
            ClientCertBlock,
            Field(title="Client certificate", description="Only ever shown to the URL beside it."),
        ]
    ]
    labels: NotRequired[Annotated[Labels, Field(title="Labels", description="For --select and the rollout.")]]
    suspended: NotRequired[
        Annotated[
            Text | None,
            Field(
                title="Suspended",
                description="Why nothing is written to the server for now; null if that is over.",
                examples=["moving to the new data centre until Friday"],
            ),
        ]
    ]
    queue: NotRequired[
        Annotated[
            str,
            AfterValidator(values.queue),
            Field(title="Queue", description="The workers that process the server.", examples=["south"]),
        ]
    ]


class PolicyBlock(TypedDict):
    """How the declared set is to be treated."""

    prune: NotRequired[
        Annotated[bool, Field(title="Prune", description="Delete what is not declared; true unless said otherwise.")]
    ]
    max_deletes: NotRequired[
        Annotated[
            MaxDeletes,
            Field(
                title="Most deletes",
                description="Number, or percentage of the managed accounts; 30% unless said otherwise.",
            ),
        ]
    ]
    protect: NotRequired[
        Annotated[
            list[Text],
            Field(title="Protected", description="Address globs that are never deleted.", examples=[["certs@*"]]),
        ]
    ]
    ignore: NotRequired[
        Annotated[
            list[Text],
            Field(
                title="Ignored",
                description="Address globs that are never touched.",
                examples=[["legacy-*@example.com"]],
            ),
        ]
    ]
    own: NotRequired[
        Annotated[
            list[Text],
            AfterValidator(values.own),
            Field(
                title="Own",
                description="Address globs that this file is responsible for; everything else on the server is left "
                "alone.",
                examples=[["*@sales.example.com"]],
            ),
        ]
    ]
    passwords: NotRequired[
        Annotated[
            Literal["auto", "shown", "hidden"],
            Field(
                title="Passwords",
                description="Whether the server's responses show passwords. auto recognises masks such as ********.",
            ),
        ]
    ]
    test: NotRequired[
        Annotated[DeliveryTestBlock, Field(title="Test", description="How settings are tried when they are written.")]
    ]


class RolloutBlock(TypedDict):
    """How changes reach the servers of a fleet. Percentages are of the selected servers."""

    canary: NotRequired[
        Annotated[
            SelectorValue,
            Field(title="Canary", description="The servers that come first.", examples=["ring=canary"]),
        ]
    ]
    batches: NotRequired[
        Annotated[
            list[AmountValue],
            Field(
                title="Batches",
                description="How many servers are done after each batch, canaries included.",
                examples=[[1, "5%", "25%", "100%"]],
            ),
        ]
    ]
    max_failures: NotRequired[
        Annotated[AmountValue, Field(title="Most failures", description="More failed servers stop the rollout.")]
    ]
    max_unreachable: NotRequired[
        Annotated[
            AmountValue, Field(title="Most unreachable", description="More unreachable servers stop the rollout.")
        ]
    ]
    pause: NotRequired[Annotated[Duration, Field(title="Pause", description="Wait between two batches.")]]


class FleetBlock(TypedDict):
    """What concerns all servers together."""

    min_servers: NotRequired[
        Annotated[
            int,
            Field(
                ge=0,
                title="Fewest servers",
                description="With fewer declared servers, nothing is done.",
                examples=[480],
            ),
        ]
    ]
    rollout: NotRequired[
        Annotated[RolloutBlock, Field(title="Rollout", description="All servers at once where omitted.")]
    ]


@with_config(CONFIG)
class Manifest(TypedDict):
    """The email accounts of a server, as they should be."""

    version: Annotated[Version, Field(title="Version", description="Version of this format: 1.")]
    base: NotRequired[Annotated[bool, Field(title="Base", description="For extends alone; never a server itself.")]]
    extends: NotRequired[
        Annotated[
            Text,
            Field(
                title="Extends",
                description="The base that this builds on, relative to it.",
                examples=["../common.yaml"],
            ),
        ]
    ]
    vars: NotRequired[
        Annotated[Variables, Field(title="Variables", description="Strings that ${NAME} stands for in other strings.")]
    ]
    fleet: NotRequired[Annotated[FleetBlock, Field(title="Fleet", description="How all servers are treated.")]]
    server: NotRequired[Annotated[ServerBlock, Field(title="Server", description="Which server; optional.")]]
    policy: NotRequired[Annotated[PolicyBlock, Field(title="Policy", description="How the set is to be treated.")]]
    defaults: NotRequired[Annotated[DefaultsBlock, Field(title="Defaults", description="Merged under every account.")]]
    accounts: NotRequired[
        Annotated[list[AccountBlock], Field(title="Accounts", description="The whole set; may be empty.")]
    ]


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
