"""The manifest's types, and the JSON Schema for editors that is generated from them.

``python -m reconciler.manifest.schema`` writes the shipped file.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Final

from reconciler.manifest import values
from reconciler.manifest.blocks import (
    BOOLEAN,
    NOT_EMPTY,
    STRING,
    BlockType,
    Key,
    ValueType,
    checked,
    json_schema,
    list_of,
    mapping_of,
    nullable,
    one_of,
    parsed,
    shape_of,
    whole_number,
)
from reconciler.model import fields
from reconciler.model.desired import PERCENTAGE, Amount, DeleteLimit, DeliveryTestWhen, Policy
from reconciler.model.fleet import ALL_AT_ONCE
from reconciler.model.server import Passwords, normal_url

if TYPE_CHECKING:
    from collections.abc import Mapping

SCHEMA_FILE: Final = Path(__file__).with_name("manifest.schema.json")


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
                "pattern": f"^{values.VARIABLE}$",
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

TEXT: Final = checked(NOT_EMPTY, values.plain_text)
NAME: Final = checked(NOT_EMPTY, values.display_name)
ADDRESS: Final = checked(STRING, values.address, format="email", examples=["certs@example.com"])
HOST: Final = checked(STRING, values.host, examples=["smtp.example.com", "192.0.2.25"])
SECRET: Final = parsed(values.secret, _SECRET_SCHEMA)
"""A ``Secret`` or a ``SecretReference``."""
_AMOUNT_SCHEMA: Final[dict[str, object]] = {
    "anyOf": [{"type": "integer", "minimum": 0}, {"type": "string", "pattern": f"^{PERCENTAGE}$"}],
    "examples": [5, "30%"],
}
MAX_DELETES: Final = parsed(DeleteLimit.parse, _AMOUNT_SCHEMA)
AMOUNT: Final = parsed(Amount.parse, _AMOUNT_SCHEMA)
DURATION: Final = parsed(
    values.pause, {"type": "string", "pattern": "^[0-9]+(\\.[0-9]+)?[smh]$", "examples": ["30s", "5m"]}
)
SELECTOR: Final = parsed(values.selector, {"type": "string", "minLength": 1})
LABELS: Final = mapping_of(checked(STRING, values.label_key), checked(STRING, values.label_value))
VARIABLES: Final = mapping_of(checked(STRING, values.variable_name), STRING)
VERSION: Final = parsed(values.version, {"const": 1, "type": "integer"})

DELIVERY_TEST: Final = BlockType(
    "DeliveryTestBlock",
    "Whether, when and to whom a test mail is sent, through the server's test endpoint.",
    {
        "when": Key(
            one_of(*map(str, DeliveryTestWhen)),
            "When",
            "Never (off), before the account is written, or after it. If neither the account nor the policy says so, "
            "it is off.",
        ),
        "to_email": Key(ADDRESS, "Recipient", "Who receives the mail."),
    },
)

_SPECIAL_TYPES: Final[Mapping[str, ValueType]] = {"email": ADDRESS, "name": NAME, "smtp_server": HOST}
_PLAIN_TYPES: Final[Mapping[type, ValueType]] = {str: STRING, bool: BOOLEAN}


def field_type(name: str) -> ValueType:
    """The type of a field of an account."""
    field = fields.FIELDS[name]
    if field.secret:
        kind = SECRET
    elif field.choices:
        kind = one_of(*field.choices)
    elif field.largest:
        kind = whole_number(field.smallest, field.largest)
    else:
        kind = _SPECIAL_TYPES.get(name) or _PLAIN_TYPES[field.type]
    return nullable(kind) if field.optional else kind


def _account_keys() -> dict[str, Key]:
    """The fields of an account, with every spelling of their names."""
    found = {}
    for name, field in fields.FIELDS.items():
        kind = field_type(name)
        found[name] = Key(kind, field.title, field.description, field.examples)
        others = (spelling for spelling in fields.SPELLINGS[name] if spelling != name)
        found |= {spelling: Key(kind, field.title, f"Another spelling of {name}.") for spelling in others}
    return found | {"test": Key(DELIVERY_TEST.type, "Test", "Overrides policy.test.")}


_ACCOUNT_KEYS: Final = _account_keys()
DEFAULTS: Final = BlockType(
    "DefaultsBlock",
    "The fields of an account, also in defaults. An omitted field is not managed; null clears it.",
    {name: key for name, key in _ACCOUNT_KEYS.items() if name != "email"},
)

ACCOUNT: Final = BlockType(
    "AccountBlock",
    "One email account.",
    {
        **DEFAULTS.keys,
        "email": _ACCOUNT_KEYS["email"]._replace(required=True),
        "id": Key(
            whole_number(0),
            "Pin",
            "The server's id of the account, if several accounts there have this address.",
            examples=(12,),
        ),
        "renamed_from": Key(
            ADDRESS,
            "Former address",
            "The address that the account had before: it is updated in place and keeps its id.",
        ),
        "override": Key(
            BOOLEAN, "Override", "Merge this entry over the one that the base has for the address.", default=False
        ),
        "remove": Key(
            BOOLEAN,
            "Remove",
            "Leave out the entry that the base has for the address. Takes no other key but email.",
            default=False,
        ),
    },
)

AUTH: Final = BlockType(
    "AuthBlock",
    "Credentials: exactly one of access_token, refresh_token, or username with password.",
    {
        "access_token": Key(nullable(SECRET), "Access token", "A token, used as it is."),
        "refresh_token": Key(
            nullable(SECRET),
            "Refresh token",
            "The API key that the server's web interface creates; it is exchanged for access tokens.",
        ),
        "username": Key(nullable(SECRET), "User name", "A login; needs password."),
        "password": Key(nullable(SECRET), "Password", "The password of the login; needs username."),
    },
)

CLIENT_CERT: Final = BlockType(
    "ClientCertBlock",
    "A certificate for servers that ask for one.",
    {
        "cert": Key(TEXT, "Certificate", "PEM file, relative to this YAML file.", examples=("fw.pem",), required=True),
        "key": Key(
            TEXT,
            "Key",
            "PEM file of its key, relative to this YAML file. If it is omitted, the key is in cert.",
            examples=("fw.key",),
        ),
    },
)

SERVER: Final = BlockType(
    "ServerBlock",
    "The server that the accounts are on. Options and environment variables win over it.",
    {
        "name": Key(
            NAME,
            "Name",
            "Its name in reports and for ${name}. If it is omitted, reports show the URL's host.",
            examples=("headquarters",),
        ),
        "url": Key(
            checked(STRING, normal_url),
            "URL",
            "Scheme, host and port. http:// is refused, except to this machine.",
            examples=("https://fw.example.com",),
        ),
        "auth": Key(AUTH.type, "Credentials", "How to log in. Sent only to the URL beside it."),
        "ca_file": Key(
            TEXT,
            "Private CA",
            "PEM file of a private certificate authority, relative to this YAML file.",
            examples=("certs/private-ca.pem",),
        ),
        "client_cert": Key(
            CLIENT_CERT.type,
            "Client certificate",
            "For a server that asks for one. Used only for the URL beside it.",
        ),
        "labels": Key(
            LABELS,
            "Labels",
            "Names and values of your choice, for --select and the canaries.",
            examples=({"region": "south", "ring": "canary"},),
        ),
        "suspended": Key(
            nullable(TEXT),
            "Suspended",
            "Why nothing is written to the server for now; null ends that.",
            examples=("moving to the new data centre until Friday",),
        ),
        "queue": Key(
            checked(STRING, values.queue),
            "Queue",
            "Which workers process the server, with --engine.",
            examples=("south",),
        ),
    },
)

POLICY: Final = BlockType(
    "PolicyBlock",
    "What a plan may do, and which accounts it leaves alone.",
    {
        "prune": Key(BOOLEAN, "Prune", "Whether accounts that are not declared are deleted.", default=Policy().prune),
        "max_deletes": Key(
            MAX_DELETES,
            "Most deletes",
            "A number, or a percentage of the managed accounts. A plan with more deletes is refused. A single delete "
            "is never too many for a percentage, unless it is 0%.",
            default=str(Policy().max_deletes),
        ),
        "protect": Key(
            list_of(TEXT),
            "Protected",
            "Address patterns of accounts that are never deleted.",
            examples=(["certs@*"],),
            default=[],
        ),
        "ignore": Key(
            list_of(TEXT),
            "Ignored",
            "Address patterns of accounts that are managed elsewhere, and never touched.",
            examples=(["legacy-*@example.com"],),
            default=[],
        ),
        "own": Key(
            checked(list_of(TEXT), values.own),
            "Own",
            "Address patterns that this file is responsible for. Everything else on the server is left alone. If it "
            "is omitted, the file is responsible for all addresses.",
            examples=(["*@sales.example.com"],),
        ),
        "passwords": Key(
            one_of(*map(str, Passwords)),
            "Passwords",
            "Whether the server's responses show passwords. auto recognises masks such as ********.",
            default=Passwords.AUTO.value,
        ),
        "test": Key(DELIVERY_TEST.type, "Test", "Whether changed settings are tested with a mail."),
    },
)

ROLLOUT: Final = BlockType(
    "RolloutBlock",
    "How `apply` goes from server to server. Percentages are of the selected servers.",
    {
        "canary": Key(
            SELECTOR,
            "Canary",
            "Selects the servers that come first, as --select does.",
            examples=("ring=canary",),
        ),
        "batches": Key(
            list_of(AMOUNT),
            "Batches",
            "How many servers are done after each batch, canaries included.",
            examples=([1, "5%", "25%", "100%"],),
            default=[str(amount) for amount in ALL_AT_ONCE.batches],
        ),
        "max_failures": Key(
            AMOUNT,
            "Most failures",
            "If more servers than this fail, no further server starts.",
            default=str(ALL_AT_ONCE.max_failures),
        ),
        "max_unreachable": Key(
            AMOUNT,
            "Most unreachable",
            "If more servers than this cannot be reached, no further server starts.",
            default=str(ALL_AT_ONCE.max_unreachable),
        ),
        "pause": Key(DURATION, "Pause", "How long to wait between two batches.", default=f"{ALL_AT_ONCE.pause:g}s"),
    },
)

FLEET: Final = BlockType(
    "FleetBlock",
    "What concerns all servers of a fleet together.",
    {
        "min_servers": Key(
            whole_number(0),
            "Fewest servers",
            "If the files declare fewer servers than this, nothing is planned or applied.",
            examples=(480,),
            default=0,
        ),
        "rollout": Key(ROLLOUT.type, "Rollout", "How `apply` goes from server to server."),
    },
)

MANIFEST: Final = BlockType(
    "Email accounts",
    "The email accounts of a server, as they should be.",
    {
        "version": Key(VERSION, "Version", "The version of this format: 1.", required=True),
        "base": Key(
            BOOLEAN,
            "Base",
            "Whether the file is only there for others to extend, and is no server.",
            default=False,
        ),
        "extends": Key(
            TEXT,
            "Extends",
            "The base that this file builds on, relative to this file.",
            examples=("../common.yaml",),
        ),
        "vars": Key(
            VARIABLES,
            "Variables",
            "Strings to use as ${NAME} in other strings. ${name} is the name of the server.",
            examples=({"domain": "example.com"},),
        ),
        "fleet": Key(FLEET.type, "Fleet", "How changes are rolled out, and how many servers there must be."),
        "server": Key(SERVER.type, "Server", "The server that the accounts are on."),
        "policy": Key(POLICY.type, "Policy", "Limits on deletes, accounts to leave alone, and tests."),
        "defaults": Key(DEFAULTS.type, "Defaults", "Fields for every account in `accounts` that does not have them."),
        "accounts": Key(list_of(ACCOUNT.type), "Accounts", "All accounts of the server; may be empty."),
    },
)

SHAPE: Final = shape_of(MANIFEST)


def needs_accounts(document: Mapping[str, object]) -> bool:
    """Whether a document must declare accounts, as it is neither a base nor built on one."""
    return not (document.keys() & {"extends", "fleet"} or document.get("base") is True)


def manifest_schema() -> dict[str, object]:
    """The JSON Schema, generated from the types."""
    base = {"base": {"title": "Base", "description": "A base need not have accounts.", "const": True}}
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        **json_schema(SHAPE),
        "anyOf": [
            *({"required": [key]} for key in ("accounts", "extends", "fleet")),
            {"required": ["base"], "properties": base},
        ],
    }


def write_schema() -> None:
    """Writes the shipped file."""
    SCHEMA_FILE.write_text(json.dumps(manifest_schema(), indent=2, ensure_ascii=False) + "\n", encoding="utf-8")


if __name__ == "__main__":
    write_schema()
