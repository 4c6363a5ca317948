"""The wording of validation errors, for the author of the YAML."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Final, TypeAlias

from reconciler.errors import InvalidValueError, Kind
from reconciler.manifest.issues import Issue, NodeRef, Path
from reconciler.manifest.scalars import EMPTY, describe_key, describe_value, is_secret, type_name
from reconciler.manifest.schema import ACCOUNT, DEFAULTS, DELIVERY_TEST, SHAPE
from reconciler.manifest.suggestions import encryption_hint, key_hint, meant_key, suggestion
from reconciler.manifest.values import PLACEHOLDER_HINT, SECRET_SOURCES, UNFILLED, is_placeholder
from reconciler.model.display import shorten
from reconciler.model.fields import FIELDS
from reconciler.model.server import parse_ip

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence

    from pydantic_core import ErrorDetails

    from reconciler.manifest.blocks import BlockType, Key, Shape
    from reconciler.manifest.files import Source

Message: TypeAlias = tuple[str, str]
"""What is wrong, and a hint."""

_YES_AND_NO: Final = frozenset({"yes", "no", "on", "off", "y", "n", "sim", "não", "nao"})
_EXPECTED: Final = {
    "string_type": "a string",
    "bool_type": "true or false",
    "int_type": "a whole number",
    "list_type": "a list",
    "dict_type": "a mapping",
}
_CONTAINERS: Final = frozenset({"list_type", "dict_type"})
_NO_ADDRESS: Final = frozenset({"url", "smtp_server"})
"""Keys whose values have an ``@`` only after a user name, and usually a password."""

_ADDRESS_SHAPE: Final = r"[\w.+-]*@[\w.-]*"
_LISTS: Final = {
    "protect": '["certs@*"]',
    "ignore": '["legacy-*@example.com"]',
    "own": '["*@sales.example.com"]',
    "batches": "[1, 25%, 100%]",
    "accounts": "[{email: name@example.com, …}]",
}
_REQUIRED: Final = {"name": "a name: write one", "service": "a service: write gmail, outlook or other"}
_HOMES: Final = (("accounts",), ("policy",), ("server",), ("server", "auth"), ())
"""The blocks that a misplaced key may belong to."""

_WHEN: Final = DELIVERY_TEST.keys["when"].type.choices
_MOST_MEANT: Final = 1000
"""Distinct unknown keys for which a known one is looked up, which takes a while."""

_ACCOUNT_ONLY: Final = ACCOUNT.keys.keys() - DEFAULTS.keys.keys()


def is_known_key(key: str) -> bool:
    """Whether a key at the top level is known, or there is a hint about it."""
    return key in SHAPE[()].keys or key_hint(key, "", _homes(SHAPE)) != ""


def _homes(shape: Shape) -> dict[str, Mapping[str, Key]]:
    return {path[-1] if path else "": shape[path].keys for path in _HOMES if path in shape}


def misspelled(errors: Iterable[ErrorDetails], shape: Shape = SHAPE) -> Iterator[Path]:
    """The paths of the keys that the unknown keys most likely stand for, or of those that are in the wrong block.

    That these are missing is a consequence.
    """
    meant: dict[tuple[str, ...], str | None] = {}
    for error in errors:
        names = _names(error["loc"])
        if error["type"] != "extra_forbidden" or (names not in meant and len(meant) == _MOST_MEANT):
            continue
        if names not in meant:
            *block, key = names
            meant[names] = meant_key(key, *_block_and_homes(block, shape))
        if found := meant[names]:
            yield (*error["loc"][:-1], found)
        elif names[-1] in shape[()].keys:
            yield (names[-1],)


def without_consequences(errors: Iterable[ErrorDetails], meant: Iterable[Path]) -> list[ErrorDetails]:
    """The errors, except that a key is missing if a misspelled one stands for it: if its path is one of ``meant``."""
    present = set(meant)
    return [error for error in errors if error["type"] != "missing" or error["loc"] not in present]


def kind_of(error: ErrorDetails) -> Kind:
    """The kind of a validation error. Much faster than ``issue_from``, which also writes the message."""
    value, of = error["input"], error["type"]
    if of == "extra_forbidden":
        return Kind.UNKNOWN_KEY
    if of == "missing":
        return Kind.MISSING_KEY
    if value is EMPTY:
        return Kind.EMPTY_VALUE
    if is_placeholder(value):
        return Kind.PLACEHOLDER
    is_type = of in _EXPECTED or (of == "literal_error" and value is None)
    return Kind.WRONG_TYPE if is_type else Kind.WRONG_VALUE


def issue_from(
    error: ErrorDetails, source: Source, *, shape: Shape = SHAPE, address: str | None = None, port: object = None
) -> Issue:
    """A validation error as an issue.

    Args:
        error: With input and context.
        source: The file.
        shape: The types of the document's blocks.
        address: The account concerned.
        port: The ``smtp_port`` beside the value.
    """
    path: Path = error["loc"]
    kind = kind_of(error)
    of_key = path[-1:] == ("[key]",)  # as pydantic-core writes it
    if of_key:
        path = path[:-1]
        error["loc"] = path
    if kind == Kind.EMPTY_VALUE:
        message, hint = _no_value(path, shape)
    elif kind == Kind.PLACEHOLDER:
        message, hint = f"{label_of(path)}: {UNFILLED}", PLACEHOLDER_HINT
    elif kind == Kind.UNKNOWN_KEY:
        message, hint = _unknown_key(path, shape)
    else:
        message, hint = _MESSAGES.get(error["type"], _other)(error, shape)
    if path[-1:] == ("smtp_crypt",) and kind == Kind.WRONG_VALUE:
        hint = encryption_hint(error["input"], port) or hint
    node = NodeRef(source, path, key=of_key or kind in {Kind.UNKNOWN_KEY, Kind.EMPTY_VALUE})
    return Issue(kind=kind, message=message, hint=hint, node=node, address=address)


def _no_value(path: Path, shape: Shape) -> Message:
    quotes = "a value that begins with # or & needs quotes"
    if isinstance(path[-1], int):
        return f"{label_of(path)} is empty", f"remove the dash, or write something after it; {quotes}"
    block = shape.get(_names(path[:-1]))  # None for a mapping whose keys are the author's
    clearable = block is not None and block.keys[path[-1]].type.nullable
    hint = "give it one, or null to clear it" if clearable else "give it one, or leave the key out"
    if path == ("accounts",):
        hint = "write accounts: [] for a set without accounts"
    return f"{label_of(path)} has no value", f"{hint}; {quotes}"


def label_of(path: Path) -> str:
    """What messages call the value at ``path``: its key, with the index if it is an item."""
    if not path:
        return "the document"
    last = path[-1]
    return f"{label_of(path[:-1])}[{last}]" if isinstance(last, int) else last


def _names(path: Path) -> tuple[str, ...]:
    return tuple(part for part in path if isinstance(part, str))


def _unknown_key(path: Path, shape: Shape) -> Message:
    key, block = str(path[-1]), _names(path[:-1])
    if block == ("defaults",) and key in _ACCOUNT_ONLY:
        return f'"{key}" has no default: it belongs to a single account', "move it into the account"
    name = "unknown key (it may be a secret, and is not shown)"
    if not is_secret(block):
        name = f'unknown key "{describe_key(key)}"'
    last, homes = _block_and_homes(block, shape)
    if hint := key_hint(key, last, homes):
        return name, hint
    if owner := _key_above(key, shape[block]):
        return name, f"indent it below the key that it belongs to, such as {owner}"
    return name, f"known here: {', '.join(homes[last])}"


def _key_above(key: str, block: BlockType) -> str | None:
    """The key of a block that an unknown key beside it belongs to."""
    if key in SECRET_SOURCES:
        return "password" if "password" in block.keys else None
    return next((name for name, it in block.keys.items() if it.type.block and key in it.type.block.keys), None)


def _block_and_homes(block: Sequence[str], shape: Shape) -> tuple[str, dict[str, Mapping[str, Key]]]:
    """What suggestions need: the last key of a block's path, and the known keys of this and the other blocks."""
    last = block[-1] if block else ""
    return last, {**_homes(shape), last: shape[tuple(block)].keys}


def _missing_key(error: ErrorDetails, _shape: Shape) -> Message:
    key = error["loc"][-1]
    hints = {"version": "write version: 1", "accounts": "write accounts: [] for a set without accounts"}
    return f'"{key}" is missing', hints.get(str(key), "")


def _wrong_type(error: ErrorDetails, shape: Shape) -> Message:
    path, value, expected = error["loc"], error["input"], _EXPECTED[error["type"]]
    if value is None:
        return f"{label_of(path)} cannot be null: expected {expected}", _null_hint(path)
    # A misindented line, password included, may end up in place of a container: the value is not shown.
    hidden = is_secret(path) or error["type"] in _CONTAINERS
    found = type_name(value) if hidden else describe_value(value)
    hint = _form_hint(path, value, shape) if error["type"] in _CONTAINERS else _type_hint(error["type"], value)
    return f"{label_of(path)}: expected {expected}, found {found}", hint


def _null_hint(path: Path) -> str:
    if isinstance(path[-1], int):
        return "remove the dash, or write the account after it" if path[0] == "accounts" else "remove it from the list"
    if path[-1] in _REQUIRED and path[0] in {"accounts", "defaults"}:
        return f"every account has {_REQUIRED[path[-1]]}"
    return "write [] for an empty list" if path[-1] in _LISTS else "leave the key out instead"


def _form_hint(path: Path, value: object, shape: Shape) -> str:
    """The expected form of a block or a list, if something else is in its place."""
    key = path[-1] if path else ""
    if key == "" and isinstance(value, list) and shape is SHAPE:
        return "write version: 1 and accounts: above the list; the list belongs to accounts"
    if key == "accounts" and isinstance(value, dict) and value:
        return "begin each account with a dash: - email: name@example.com"
    if key in _LISTS and isinstance(value, str):
        return f"write it as a list: {key}: {_LISTS[str(key)]}"
    return _test_hint(value) if key == "test" and isinstance(value, str | bool) else ""


def _test_hint(value: str | bool) -> str:  # noqa: FBT001 - a value, not a switch
    if isinstance(value, str) and "@" in value:
        return "write test: {to_email: name@example.com}"
    when = "off" if value is False else value
    return f"write test: {{when: {when if when in _WHEN else 'before'}}}"


def _type_hint(kind: str, value: object) -> str:
    if kind == "string_type" and isinstance(value, list) and len(value) == 1 and parse_ip(str(value[0])):
        return f"an IPv6 address has no brackets here: write it as {value[0]}"
    if kind == "string_type" and isinstance(value, int | float):
        return "put it in quotes"
    if kind == "bool_type" and isinstance(value, str):
        word = value.casefold()
        if word in {"true", "false"}:
            return f"write {word}, without quotes"
        return "write true or false" if word in _YES_AND_NO else ""
    if kind == "int_type" and isinstance(value, str):
        return "write the number without quotes and other characters"
    return ""


def _wrong_choice(error: ErrorDetails, shape: Shape) -> Message:
    value, path = error["input"], error["loc"]
    allowed = shape[_names(path[:-1])].keys[str(path[-1])].type.choices
    listed = ", ".join(allowed)
    if value is None:
        return f"{label_of(path)} cannot be null; allowed: {listed}", _null_hint(path)
    message = f"{label_of(path)}: {describe_value(value)} is not allowed; allowed: {listed}"
    if value is False and "off" in allowed:
        return message, "write off"
    return message, suggestion(value, allowed) if isinstance(value, str) else "put it in quotes"


def _empty(error: ErrorDetails, _shape: Shape) -> Message:
    path = error["loc"]
    hint = "leave the key out, or write a string"
    if path[-1] in _REQUIRED and path[0] in {"accounts", "defaults"}:
        hint = f"every account has {_REQUIRED[path[-1]]}"
    return f"{label_of(path)} cannot be empty", hint


def _out_of_range(error: ErrorDetails, _shape: Shape) -> Message:
    field = FIELDS.get(str(error["loc"][-1]))
    allowed = f"from {field.smallest} to {field.largest}" if field else "from 0"
    return f"{label_of(error['loc'])}: {describe_value(error['input'])} is out of range; allowed: {allowed}", ""


def _bad_value(error: ErrorDetails, shape: Shape) -> Message:
    reason = error["ctx"]["error"]
    if not isinstance(reason, InvalidValueError):
        return _other(error, shape)
    message, path, value = shorten(reason.message, 200), error["loc"], error["input"]
    hidden = is_secret(path) or _may_hold_login(path, str(value))
    found = "" if hidden else f", found {describe_value(value)}"
    return f"{label_of(path)}: {message}{found}", reason.hint


def _may_hold_login(path: Path, value: str) -> bool:
    """Whether a value has an ``@`` and may hold a password: any URL or host, and what is more than an address."""
    return "@" in value and (path[-1] in _NO_ADDRESS or re.fullmatch(_ADDRESS_SHAPE, value) is None)


def _other(error: ErrorDetails, _shape: Shape) -> Message:
    return f"{label_of(error['loc'])}: this value is not allowed", ""


_MESSAGES: Final[dict[str, Callable[[ErrorDetails, Shape], Message]]] = {
    "missing": _missing_key,
    **dict.fromkeys(_EXPECTED, _wrong_type),
    "literal_error": _wrong_choice,
    "string_too_short": _empty,
    "greater_than_equal": _out_of_range,
    "less_than_equal": _out_of_range,
    "value_error": _bad_value,
}
