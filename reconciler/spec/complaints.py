"""What pydantic found wrong, in words for the author of the YAML."""

from __future__ import annotations

import difflib
from typing import TYPE_CHECKING, Final, TypeAlias, get_args

from reconciler.spec.document import SHAPE
from reconciler.spec.issues import Issue, Path, Spot
from reconciler.spec.shown import escaped, is_secret, shown, shown_key, sort_of
from reconciler.spec.values import BadValueError

if TYPE_CHECKING:
    from collections.abc import Callable

    from pydantic import BaseModel
    from pydantic_core import ErrorDetails

    from reconciler.spec.files import Source

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
_ACCOUNT_ONLY: Final = frozenset({"email", "id", "renamed_from"})


def complaint(error: ErrorDetails, source: Source, base: Path, address: str | None) -> Issue:
    """One error of pydantic as an issue.

    Args:
        error: With input and context.
        source: The file.
        base: What leads to the value that was validated.
        address: The account concerned.
    """
    path = (*base, *error["loc"])
    words = _WORDS.get(error["type"], _other)
    kind, message, hint = words(error, path)
    spot = Spot(source, path, key=error["type"] == "extra_forbidden")
    return Issue(kind=kind, message=message, hint=hint, spot=spot, address=address)


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
        return "unknown_key", f'"{key}" has no default: it belongs to a single account', "move it into the account"
    known = list(_model_at(place).model_fields)
    name = "unknown key" if is_secret(place) else f'unknown key "{shown_key(key)}"'
    return "unknown_key", name, suggestion(key, known) or f"known here: {', '.join(known)}"


def _model_at(place: tuple[str, ...]) -> type[BaseModel]:
    if place in SHAPE:
        return SHAPE[place]
    from reconciler.spec.trust_document import TRUST_SHAPE

    return TRUST_SHAPE[place]


def suggestion(found: str, known: list[str]) -> str:
    """``did you mean …?``, or nothing where nothing is near."""
    near = difflib.get_close_matches(found.casefold(), known, 1)
    return f'did you mean "{near[0]}"?' if near else ""


def _missing_key(_error: ErrorDetails, path: Path) -> Words:
    hints = {"version": "write version: 1", "accounts": "write accounts: [] for a set without accounts"}
    return "missing_key", f'"{path[-1]}" is missing', hints.get(str(path[-1]), "")


def _wrong_type(error: ErrorDetails, path: Path) -> Words:
    value, expected = error["input"], _EXPECTED[error["type"]]
    if value is None:
        hint = "write [] for an empty list" if error["type"] == "list_type" else "leave the key out instead"
        return "wrong_type", f"{label_of(path)} cannot be null: expected {expected}", hint
    # A container's place is where a misindented line, password and all, ends up: its text is not shown.
    hidden = is_secret(path) or error["type"] in _CONTAINERS
    found = sort_of(value) if hidden else shown(value)
    return "wrong_type", f"{label_of(path)}: expected {expected}, found {found}", _type_hint(error["type"], value)


def _type_hint(kind: str, value: object) -> str:
    if kind == "string_type" and isinstance(value, int | float):
        return "put it in quotes"
    if kind == "bool_type" and isinstance(value, str) and value.casefold() in _YES_AND_NO:
        return "write true or false"
    if kind == "int_type" and isinstance(value, str):
        return "write the number without quotes and other characters"
    return ""


def _wrong_choice(error: ErrorDetails, path: Path) -> Words:
    value, allowed = error["input"], list(_allowed(path))
    listed = ", ".join(allowed)
    if value is None:
        return "wrong_type", f"{label_of(path)} cannot be null; allowed: {listed}", "leave the key out instead"
    message = f"{label_of(path)}: {shown(value)} is not allowed; allowed: {listed}"
    if value is False and "off" in allowed:
        return "wrong_value", message, "write off"
    return "wrong_value", message, suggestion(value, allowed) if isinstance(value, str) else "put it in quotes"


def _allowed(path: Path) -> tuple[str, ...]:
    annotation = SHAPE[_names(path[:-1])].model_fields[str(path[-1])].annotation
    parts = get_args(annotation)
    return tuple(part for choice in parts for part in ((choice,) if isinstance(choice, str) else get_args(choice)))


def _empty(_error: ErrorDetails, path: Path) -> Words:
    return "wrong_value", f"{label_of(path)} cannot be empty", "leave the key out, or write a text"


def _out_of_range(error: ErrorDetails, path: Path) -> Words:
    allowed = "from 1 to 65535" if path[-1] == "smtp_port" else "from 0"
    return "wrong_value", f"{label_of(path)}: {shown(error['input'])} is out of range; allowed: {allowed}", ""


def _bad_value(error: ErrorDetails, path: Path) -> Words:
    reason = error["ctx"]["error"]
    if not isinstance(reason, BadValueError):
        return _other(error, path)
    message = escaped(reason.message, 200)
    value = error["input"]
    # A URL or a host with an @ holds a password more often than not.
    is_place = path[-1] in _PLACES or "://" in str(value)
    hidden = is_secret(path) or (is_place and "@" in str(value))
    found = "" if hidden else f", found {shown(value)}"
    return "wrong_value", f"{label_of(path)}: {message}{found}", reason.hint


def _other(_error: ErrorDetails, path: Path) -> Words:
    return "wrong_value", f"{label_of(path)}: this value is not allowed", ""


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
