"""What pydantic found wrong, in words for the author of the YAML."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, TypeAlias, get_args

from reconciler.errors import InvalidValueError, Kind
from reconciler.manifest.document import SHAPE
from reconciler.manifest.issues import Issue, NodeRef, Path
from reconciler.manifest.scalars import EMPTY
from reconciler.manifest.shown import describe_key, is_secret, shown, type_name
from reconciler.manifest.suggestions import encryption_hint, key_hint, suggestion
from reconciler.manifest.values import PLACEHOLDER_HINT, UNFILLED, is_placeholder
from reconciler.model.display import shorten
from reconciler.model.server import parse_ip

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from pydantic import BaseModel
    from pydantic_core import ErrorDetails

    from reconciler.manifest.files import Source

Words: TypeAlias = tuple[str, str, str]
"""Kind, message, hint."""

_YES_AND_NO: Final = frozenset({"yes", "no", "on", "off", "y", "n"})
_EXPECTED: Final = {
    "string_type": "a text",
    "bool_type": "true or false",
    "int_type": "a whole number",
    "list_type": "a list",
    "model_type": "a mapping",
}
_PLACES: Final = frozenset({"url", "smtp_server"})
_CONTAINERS: Final = frozenset({"list_type", "model_type"})
_LISTS: Final = {
    "protect": '["certs@*"]',
    "ignore": '["legacy-*@example.com"]',
    "accounts": "[{email: name@example.com, …}]",
}
_WHEN: Final = ("off", "before", "after")
_REQUIRED: Final = {"name": "a name: write one", "service": "a service: write gmail, outlook or other"}
_HOMES: Final[Mapping[tuple[str, ...], type[BaseModel]]] = {
    place: SHAPE[place] for place in (("accounts",), ("policy",), ("server",), ("server", "auth"), ())
}
"""Where a key that is in the wrong block may belong."""

_ACCOUNT_ONLY: Final = frozenset({"email", "id", "renamed_from"})


def means_something(key: str) -> bool:
    """Whether a key at the top level is known, or there is a hint as to what may be meant."""
    homes = {place[-1] if place else "": model.model_fields for place, model in _HOMES.items()}
    return key in homes[""] or key_hint(key, "", homes) != ""


def issue_from(
    error: ErrorDetails, source: Source, base: Path = (), *, address: str | None = None, port: object = None
) -> Issue:
    """One error of pydantic as an issue.

    Args:
        error: With input and context.
        source: The file.
        base: What leads to the value that was validated.
        address: The account concerned.
        port: The ``smtp_port`` beside the value.
    """
    path = (*base, *error["loc"])
    kind, message, hint = _words(error, path)
    if path[-1:] == ("smtp_crypt",) and kind == "wrong_value":
        hint = encryption_hint(error["input"], port) or hint
    spot = NodeRef(source, path, key=error["type"] == "extra_forbidden" or kind == Kind.EMPTY_VALUE)
    return Issue(kind=kind, message=message, hint=hint, spot=spot, address=address)


def _words(error: ErrorDetails, path: Path) -> Words:
    if error["type"] not in {"extra_forbidden", "missing"}:
        if error["input"] is EMPTY:
            return _no_value(path)
        if is_placeholder(error["input"]):
            return Kind.PLACEHOLDER, f"{label_of(path)}: {UNFILLED}", PLACEHOLDER_HINT
    return _WORDS.get(error["type"], _other)(error, path)


def _no_value(path: Path) -> Words:
    hint = "a # begins a comment and a & an anchor: put a value that begins with one of them in quotes"
    if isinstance(path[-1], int):
        return Kind.EMPTY_VALUE, f"{label_of(path)} is empty", f"remove the dash, or write something after it; {hint}"
    field = _model_at(_names(path[:-1])).model_fields[path[-1]]
    otherwise = "write null to clear it" if type(None) in get_args(field.annotation) else "leave the key out"
    if path == ("accounts",):
        otherwise = "write accounts: [] for a set without accounts"
    return Kind.EMPTY_VALUE, f"{label_of(path)} has no value", f"{hint}; {otherwise}"


def label_of(path: Path) -> str:
    """How messages call what is at ``path``: its key, with the index where it is an item."""
    if not path:
        return "the document"
    last = path[-1]
    return f"{label_of(path[:-1])}[{last}]" if isinstance(last, int) else last


def _names(path: Path) -> tuple[str, ...]:
    return tuple(part for part in path if isinstance(part, str))


def _unknown_key(_error: ErrorDetails, path: Path) -> Words:
    key = str(path[-1])
    place = _names(path[:-1])
    if place == ("defaults",) and key in _ACCOUNT_ONLY:
        return Kind.UNKNOWN_KEY, f'"{key}" has no default: it belongs to a single account', "move it into the account"
    known = list(_model_at(place).model_fields)
    name = "unknown key" if is_secret(place) else f'unknown key "{describe_key(key)}"'
    homes = {one[-1] if one else "": model.model_fields for one, model in _HOMES.items()} if place in SHAPE else {}
    block = place[-1] if place else ""
    homes[block] = _model_at(place).model_fields
    return Kind.UNKNOWN_KEY, name, key_hint(key, block, homes) or f"known here: {', '.join(known)}"


def _model_at(place: tuple[str, ...]) -> type[BaseModel]:
    if place in SHAPE:
        return SHAPE[place]
    from reconciler.manifest.trust_document import TRUST_SHAPE

    return TRUST_SHAPE[place]


def _missing_key(_error: ErrorDetails, path: Path) -> Words:
    hints = {"version": "write version: 1", "accounts": "write accounts: [] for a set without accounts"}
    return Kind.MISSING_KEY, f'"{path[-1]}" is missing', hints.get(str(path[-1]), "")


def _wrong_type(error: ErrorDetails, path: Path) -> Words:
    value, expected = error["input"], _EXPECTED[error["type"]]
    if value is None:
        return Kind.WRONG_TYPE, f"{label_of(path)} cannot be null: expected {expected}", _null_hint(path)
    # A container's place is where a misindented line, password and all, ends up: its text is not shown.
    hidden = is_secret(path) or error["type"] in _CONTAINERS
    found = type_name(value) if hidden else shown(value)
    hint = _form_hint(path, value) if error["type"] in _CONTAINERS else _type_hint(error["type"], value)
    return Kind.WRONG_TYPE, f"{label_of(path)}: expected {expected}, found {found}", hint


def _null_hint(path: Path) -> str:
    if isinstance(path[-1], int):
        return "remove the dash, or write the account after it" if path[0] == "accounts" else "remove it from the list"
    if path[-1] in _REQUIRED and path[0] in {"accounts", "defaults"}:
        return f"every account has {_REQUIRED[path[-1]]}"
    return "write [] for an empty list" if path[-1] in _LISTS else "leave the key out instead"


def _form_hint(path: Path, value: object) -> str:
    """The form of a block or a list, if something else is in its place."""
    key = path[-1] if path else ""
    if key == "" and isinstance(value, list):
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
        return f"write {word}, without quotes" if word in {"true", "false"} else _truth_hint(word)
    if kind == "int_type" and isinstance(value, str):
        return "write the number without quotes and other characters"
    return ""


def _truth_hint(word: str) -> str:
    return "write true or false" if word in _YES_AND_NO else ""


def _wrong_choice(error: ErrorDetails, path: Path) -> Words:
    value, allowed = error["input"], list(_allowed(path))
    listed = ", ".join(allowed)
    if value is None:
        return Kind.WRONG_TYPE, f"{label_of(path)} cannot be null; allowed: {listed}", _null_hint(path)
    message = f"{label_of(path)}: {shown(value)} is not allowed; allowed: {listed}"
    if value is False and "off" in allowed:
        return Kind.WRONG_VALUE, message, "write off"
    return Kind.WRONG_VALUE, message, suggestion(value, allowed) if isinstance(value, str) else "put it in quotes"


def _allowed(path: Path) -> tuple[str, ...]:
    annotation = SHAPE[_names(path[:-1])].model_fields[str(path[-1])].annotation
    parts = get_args(annotation)
    return tuple(part for choice in parts for part in ((choice,) if isinstance(choice, str) else get_args(choice)))


def _empty(_error: ErrorDetails, path: Path) -> Words:
    hint = "leave the key out, or write a text"
    if path[-1] in _REQUIRED and path[0] in {"accounts", "defaults"}:
        hint = f"every account has {_REQUIRED[path[-1]]}"
    return Kind.WRONG_VALUE, f"{label_of(path)} cannot be empty", hint


def _out_of_range(error: ErrorDetails, path: Path) -> Words:
    allowed = "from 1 to 65535" if path[-1] == "smtp_port" else "from 0"
    return Kind.WRONG_VALUE, f"{label_of(path)}: {shown(error['input'])} is out of range; allowed: {allowed}", ""


def _bad_value(error: ErrorDetails, path: Path) -> Words:
    reason = error["ctx"]["error"]
    if not isinstance(reason, InvalidValueError):
        return _other(error, path)
    message = shorten(reason.message, 200)
    value = error["input"]
    # A URL or a host with an @ holds a password more often than not.
    is_place = path[-1] in _PLACES or "://" in str(value)
    hidden = is_secret(path) or (is_place and "@" in str(value))
    found = "" if hidden else f", found {shown(value)}"
    return Kind.WRONG_VALUE, f"{label_of(path)}: {message}{found}", reason.hint


def _other(_error: ErrorDetails, path: Path) -> Words:
    return Kind.WRONG_VALUE, f"{label_of(path)}: this value is not allowed", ""


_WORDS: Final[dict[str, Callable[[ErrorDetails, Path], Words]]] = {
    "extra_forbidden": _unknown_key,
    "missing": _missing_key,
    **dict.fromkeys(_EXPECTED, _wrong_type),
    "literal_error": _wrong_choice,
    "string_too_short": _empty,
    "greater_than_equal": _out_of_range,
    "less_than_equal": _out_of_range,
    "value_error": _bad_value,
}
