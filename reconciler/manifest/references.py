"""The forms in which the YAML gives a secret: a literal, or where to find it. No message shows what was found."""

from __future__ import annotations

import re
import unicodedata
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final, Literal, TypeAlias

from reconciler.errors import InvalidValueError, Kind, Problem, SecretError
from reconciler.manifest.scalars import EMPTY
from reconciler.manifest.shown import type_name
from reconciler.manifest.values import (
    PLACEHOLDER_HINT,
    UNFILLED,
    argument,
    environment_name,
    is_placeholder,
    is_unicode,
)
from reconciler.model.secret import Secret, SecretReference

if TYPE_CHECKING:
    from reconciler.errors import Position

SecretSource: TypeAlias = Literal["env", "file", "command"]

_KINDS: Final[tuple[SecretSource, ...]] = ("env", "file", "command")
_HINT: Final = "write {env: NAME}, {file: path} or {command: [program, argument]}"

_BOM: Final = "\ufeff"
_LINE_BREAK: Final = re.compile("[\n\r\x85\u2028\u2029]")

SECRET_SCHEMA: Final[dict[str, object]] = {
    "anyOf": [
        {
            "title": "Environment variable",
            "description": "The secret is in an environment variable.",
            "type": "object",
            "properties": {
                "env": {
                    "type": "string",
                    "pattern": "^[A-Za-z_][A-Za-z0-9_]*$",
                    "title": "Variable",
                    "description": "Name of the variable.",
                    "examples": ["SMTP_PASSWORD"],
                }
            },
            "required": ["env"],
            "additionalProperties": False,
        },
        {
            "title": "File",
            "description": "The secret is the content of a file; one newline at its end does not count.",
            "type": "object",
            "properties": {
                "file": {
                    "type": "string",
                    "minLength": 1,
                    "title": "Path",
                    "description": "Path relative to this YAML file.",
                    "examples": ["secrets/smtp.txt"],
                }
            },
            "required": ["file"],
            "additionalProperties": False,
        },
        {
            "title": "Command",
            "description": "The secret is what a command prints. Needs --allow-commands.",
            "type": "object",
            "properties": {
                "command": {
                    "type": "array",
                    "items": {"type": "string"},
                    "minItems": 1,
                    "title": "Program and arguments",
                    "description": "Program and arguments, without a shell; run in the folder of this YAML file.",
                    "examples": [["pass", "show", "smtp"]],
                }
            },
            "required": ["command"],
            "additionalProperties": False,
        },
        {
            "title": "Literal that looks like a placeholder",
            "description": "The secret itself, whatever it looks like; earns a warning.",
            "type": "object",
            "properties": {
                "literal": {
                    "type": "string",
                    "minLength": 1,
                    "title": "Literal",
                    "description": "The secret itself.",
                    "examples": ["${not a placeholder}"],
                }
            },
            "required": ["literal"],
            "additionalProperties": False,
        },
        {"title": "Literal", "description": "The secret itself; earns a warning.", "type": "string", "minLength": 1},
    ],
    "examples": [
        {"env": "SMTP_PASSWORD"},
        {"file": "secrets/smtp.txt"},
        {"command": ["sops", "-d", "--extract", '["smtp"]', "secrets.yaml"]},
    ],
}
"""Stands in the JSON Schema where the YAML takes a secret."""


@dataclass(frozen=True, slots=True)
class Reference:
    """A reference that does not know yet in which file it stands."""

    kind: SecretSource
    target: tuple[str, ...]

    def at(self, position: Position) -> SecretReference:
        """The reference as written at ``position``."""
        return SecretReference(self.kind, self.target, position)


def secret_text(text: str) -> str:
    """The secret in a variable, a file, the output of a command, or a YAML text: without one final line ending.

    Raises:
        InvalidValueError: What is left cannot be a secret: a second line, a byte order mark, another control
            character. The message fits behind the name of the place, and shows nothing of the text.
    """
    bare = text.removesuffix("\n").removesuffix("\r")
    if bare.isprintable():
        return bare
    if not is_unicode(bare):
        raise InvalidValueError("is not valid Unicode", "save it as UTF-8")
    if _BOM in bare:
        raise InvalidValueError(
            "holds a byte order mark, which is not part of a secret", "save it as UTF-8 without BOM"
        )
    if _LINE_BREAK.search(bare):
        raise InvalidValueError("has more than one line, and a secret has one", "leave nothing but the secret in it")
    found = next((character for character in bare if unicodedata.category(character) == "Cc"), None)
    if found is not None:
        message = f"holds a control character (U+{ord(found):04X}), which is not part of a secret"
        raise InvalidValueError(message, "leave nothing but the secret in it")
    return bare


def given_secret(name: str, text: str) -> Secret:
    """The secret in a variable or a file that the user names, by the rules of ``secret_text``.

    Args:
        name: What messages call it.
        text: What is in it.

    Raises:
        SecretError: It cannot be a secret, or is empty.
    """
    try:
        bare = secret_text(text)
    except InvalidValueError as error:
        raise SecretError(Problem(kind=Kind.BAD_SECRET, message=f"{name} {error.message}", hint=error.hint)) from None
    if not bare:
        raise SecretError(Problem(kind=Kind.SECRET_EMPTY, message=f"{name} is empty", hint="put the secret into it"))
    return Secret(bare)


def secret(value: object) -> Secret | Reference:
    """Reads a secret's literal or reference.

    Raises:
        InvalidValueError: It is neither.
    """
    if isinstance(value, str):
        if is_placeholder(value):
            raise InvalidValueError(UNFILLED, PLACEHOLDER_HINT)
        return _literal(value)
    if isinstance(value, int | float):
        raise InvalidValueError(f"expected a text or a reference, found {type_name(value)}", "put it in quotes")
    if not isinstance(value, dict):
        raise InvalidValueError(f"expected a reference, found {type_name(value)}", _HINT)
    return _reference(value)


def _literal(text: str) -> Secret:
    try:
        bare = secret_text(text)
    except InvalidValueError as error:
        raise InvalidValueError(f"the secret {error.message}", error.hint) from None
    if not bare:
        raise InvalidValueError("a secret cannot be empty", "write null to clear it, or leave the key out")
    return Secret(bare)


def _reference(value: dict[str, object]) -> Secret | Reference:
    if value.keys() == {"literal"}:
        if isinstance(target := value["literal"], str):
            return _literal(target)
        raise InvalidValueError(f"literal takes a text, found {type_name(target)}", 'write {literal: "…"}, in quotes')
    kinds = [kind for kind in _KINDS if kind in value]
    if len(value) != 1 or not kinds:
        # Keys are not shown: {hunter2} is a mapping too.
        from difflib import get_close_matches

        near = {close for key in value for close in get_close_matches(key, _KINDS, 1)} - set(kinds)
        hint = f"did you mean {' or '.join(sorted(near))}? {_HINT}" if near else _HINT
        raise InvalidValueError("a secret's reference has exactly one key: env, file or command", hint)
    kind = kinds[0]
    target = value[kind]
    if target is EMPTY:
        raise InvalidValueError(f"{kind} has no value", _HINT)
    if kind == "command":
        return Reference(kind, _arguments(target))
    if not isinstance(target, str) or not target:
        raise InvalidValueError(
            f"{kind} takes a text, found {type_name(target) if target != '' else 'an empty one'}", _HINT
        )
    return Reference(kind, (environment_name(target) if kind == "env" else argument(target),))


def _arguments(target: object) -> tuple[str, ...]:
    if not isinstance(target, list) or not target:
        hint = "write {command: [program, argument]}; there is no shell"
        raise InvalidValueError(f"command takes a list of a program and its arguments, found {type_name(target)}", hint)
    for position, part in enumerate(target, 1):
        if not isinstance(part, str):
            raise InvalidValueError(
                f"part {position} of the command is {type_name(part)}, not a text", "put it in quotes"
            )
    return tuple(argument(part) for part in target)
