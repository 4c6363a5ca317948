"""Accepts what is plainly right without pydantic, whose models take longer to make than most files to check.

The rules come from the shipped JSON Schema, which is generated from the models, and from the functions that the models
have for single values. Whatever this cannot accept for certain, wrong or merely unusual, is left to the models, and
they alone say what is wrong.
"""

from __future__ import annotations

import json
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, TypeAlias

from reconciler.manifest import values
from reconciler.manifest.references import secret
from reconciler.model.desired import DeleteLimit
from reconciler.model.server import normal_url

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from reconciler.manifest.references import Reference
    from reconciler.model.secret import Secret

    Check: TypeAlias = Callable[[Any], Any]

SCHEMA_FILE: Final = Path(__file__).with_name("manifest.schema.json")

JUDGES: Final[Mapping[str, Check]] = {
    **dict.fromkeys(("email", "to_email", "renamed_from"), values.address),
    **dict.fromkeys(("password", "access_token", "refresh_token", "username"), secret),
    **dict.fromkeys(("ca_file", "cert", "key", "protect", "ignore"), values.text),
    "name": values.name,
    "smtp_server": values.host,
    "url": normal_url,
    "max_deletes": DeleteLimit.parse,
    "version": values.version,
}
"""What the models' own functions judge, by the name of the field; the schema cannot say all of it."""

_NOT_TEXT: Final = frozenset({secret, DeleteLimit.parse, values.version})
"""The functions that take any value, and not only a text."""

_UNDERSTOOD: Final = frozenset({"type", "enum", "minLength", "minimum", "maximum", "items", "anyOf"})
_WORDS: Final = frozenset({"title", "description", "examples"})


class DoubtError(ValueError):
    """This is for the models to judge."""


def accepted_header(raw: object) -> dict[str, Any]:
    """The document apart from its accounts, as ``given`` would have it of the models.

    Raises:
        DoubtError: It is not plainly right.
    """
    return _accepted(_checks()[0], raw)


def accepted_entry(raw: object) -> dict[str, Any]:
    """An entry of ``accounts``; otherwise as ``accepted_header``."""
    return _accepted(_checks()[1], raw)


def _accepted(check: Check, raw: object) -> dict[str, Any]:
    try:
        found: dict[str, Any] = check(raw)
    except ValueError:
        failure = DoubtError()
    else:
        return found
    raise failure


@cache
def _checks() -> tuple[Check, Check]:
    schema = json.loads(SCHEMA_FILE.read_bytes())
    return _mapping(schema, schema["$defs"]), _mapping(schema["$defs"]["AccountBlock"], schema["$defs"])


def _mapping(schema: Mapping[str, Any], definitions: Mapping[str, Any]) -> Check:
    checks = {name: _check(name, part, definitions) for name, part in schema["properties"].items()}
    required = frozenset(schema.get("required", ()))

    def check(raw: Any) -> dict[str, Any]:  # noqa: ANN401 - it may be anything
        if raw.__class__ is not dict or not required <= raw.keys() or not raw.keys() <= checks.keys():
            raise DoubtError
        return {name: checks[name](value) for name, value in raw.items()}

    return check


def _check(name: str, schema: Mapping[str, Any], definitions: Mapping[str, Any]) -> Check:
    """How a field's value is checked: it comes back as the models would have it, or as a ``ValueError``."""
    if "$ref" in schema:
        return _mapping(definitions[schema["$ref"].rpartition("/")[2]], definitions)
    options = [one for one in schema.get("anyOf", ()) if one != {"type": "null"}]
    if len(options) < len(schema.get("anyOf", ())):
        inner = _check(name, options[0] if len(options) == 1 else {"anyOf": options}, definitions)
        return lambda value: None if value is None else inner(value)
    if schema.get("type") == "array":
        return _items(_check(name, schema["items"], definitions))
    if name in JUDGES:
        return _judged(JUDGES[name])
    if not schema.keys() - _WORDS <= _UNDERSTOOD or "anyOf" in schema:
        return _doubted
    return _single(schema)


def _single(schema: Mapping[str, Any]) -> Check:
    if "enum" in schema:
        return _choice(schema["enum"])
    if schema["type"] == "boolean":
        return _truth
    if schema["type"] == "integer":
        return _number(schema.get("minimum"), schema.get("maximum"))
    return _text(schema.get("minLength", 0))


def _judged(judge: Check) -> Check:
    if judge is secret:
        return _secret()
    if judge in _NOT_TEXT:
        return judge
    if judge in {values.address, values.name}:
        return lambda value: judge(_unicode(value))  # hardly one stands there twice
    known: dict[str, str] = {}  # the same few hosts stand in thousands of accounts

    def check(value: object) -> str:
        text = _unicode(value)
        if text not in known:
            known[text] = judge(text)
        return known[text]

    return check


def _secret() -> Check:
    known: dict[tuple[object, object], Secret | Reference] = {}  # thousands of accounts may share one reference

    def check(value: object) -> Secret | Reference:
        if type(value) is not dict or len(value) != 1:
            return secret(value)
        ((kind, target),) = value.items()
        if type(target) is not str:
            return secret(value)
        if (kind, target) not in known:
            known[kind, target] = secret(value)
        return known[kind, target]

    return check


def _choice(choices: Sequence[str]) -> Check:
    allowed = {choice: choice for choice in choices}  # one text for all the accounts that have it

    def check(value: object) -> object:
        if value.__class__ is str and value in allowed:
            return allowed[value]
        raise DoubtError

    return check


def _text(shortest: int) -> Check:
    def check(value: object) -> str:
        text = _unicode(value)
        if len(text) < shortest:
            raise DoubtError
        return text

    return check


def _number(least: int | None, most: int | None) -> Check:
    def check(value: object) -> int:
        if type(value) is not int or (least is not None and value < least) or (most is not None and value > most):
            raise DoubtError
        return value

    return check


def _items(check: Check) -> Check:
    def check_all(value: object) -> list[object]:
        if type(value) is not list:
            raise DoubtError
        return [check(one) for one in value]

    return check_all


def _truth(value: object) -> object:
    if value is True or value is False:
        return value
    raise DoubtError


def _unicode(value: object) -> str:
    """A text that the models would take for one; they refuse halves of surrogate pairs."""
    if type(value) is str and (value.isascii() or values.is_unicode(value)):
        return value
    raise DoubtError


def _doubted(_value: object) -> object:
    raise DoubtError
