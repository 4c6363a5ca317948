"""The parsers of single values that need more than a type. The schema calls them."""

from __future__ import annotations

import re
from functools import lru_cache
from typing import TYPE_CHECKING, Final, TypeVar

from reconciler.errors import InvalidValueError, Position
from reconciler.manifest.scalars import type_name
from reconciler.model.account import identity
from reconciler.model.display import control_character
from reconciler.model.duration import parse_duration
from reconciler.model.fleet import Selector
from reconciler.model.secret import Secret, SecretReference, secret_text
from reconciler.model.server import is_host_name, parse_ip

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

T = TypeVar("T")

_PLAIN_ADDRESS: Final = re.compile(
    r"(?=.{3,254}\Z)(?=[^@]{1,64}@)[A-Za-z0-9_+-]+(?:\.[A-Za-z0-9_+-]+)*"
    r"@(?:(?:[A-Za-z0-9]{1,32}(?:-[A-Za-z0-9]{1,30})?\.)+[A-Za-z]{2,63}|[A-Za-z][A-Za-z0-9]{0,62})"
)
"""Addresses that are certainly valid. email-validator, which is exact and slow, checks all others."""

_LOCAL_DOMAIN: Final = r"(?i)[@.](?:local|localhost|arpa|test)\Z"
"""Names that only local networks have. email-validator rejects them, but appliances use them."""

_PLACEHOLDER: Final = r"(?s)\$\{[^{}]*\}|\$\{\{.*\}\}|\$[A-Z_][A-Z0-9_]*|\{\{.*\}\}|ENC\[.*\]|\$__\w+\{.*\}|<<[^<>]+>>"
_PLACEHOLDER_STARTS: Final = frozenset("$<{E \t\n")
UNFILLED: Final = "this is a placeholder that nothing has filled in"
PLACEHOLDER_HINT: Final = (
    "refer to a secret with {env: NAME}, {file: path} or {command: [program, argument]}; "
    'a secret that really looks like this is {literal: "…"}; fill other values in before the file is read'
)

VARIABLE: Final = r"[A-Za-z_][A-Za-z0-9_]*"
_VARIABLE_NAME: Final = r"[A-Za-z_][A-Za-z0-9_-]*"
_LABEL_KEY: Final = r"[A-Za-z0-9][A-Za-z0-9_./-]*"
_LABEL_VALUE: Final = r"[^,=]*"
_QUEUE: Final = r"[A-Za-z0-9][A-Za-z0-9_.-]*"
SECRET_SOURCES: Final = ("env", "file", "command")
"""The keys of a reference to a secret."""

_REFERENCE_HINT: Final = "write {env: NAME}, {file: path} or {command: [program, argument]}"
_NOWHERE: Final = Position("")


def is_placeholder(value: object) -> bool:
    """Whether a value is only a placeholder that another tool was meant to fill in."""
    if not isinstance(value, str) or value[:1] not in _PLACEHOLDER_STARTS:
        return False
    return re.fullmatch(_PLACEHOLDER, value.strip()) is not None


def is_unicode(text: str) -> bool:
    """Whether a string can be encoded: unpaired surrogates cannot, and not every parser rejects them."""
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True


def plain_text(value: str) -> str:
    """A string that is neither empty nor a placeholder."""
    if not value:
        raise InvalidValueError("this cannot be empty", "leave the key out, or write a string")
    if is_placeholder(value):
        raise InvalidValueError(UNFILLED, PLACEHOLDER_HINT)
    return value


def display_name(value: str) -> str:
    """A name on one line."""
    if not value.isprintable() and (found := control_character(value)):
        message = f"a name has no line breaks and no other control characters, such as {found}"
        raise InvalidValueError(message, "write the name on one line")
    return plain_text(value)


def address(value: str) -> str:
    """An email address, without the spaces around it and otherwise as written."""
    stripped = value.strip()
    if _PLAIN_ADDRESS.fullmatch(stripped):
        return stripped
    from email_validator import EmailNotValidError, validate_email

    checked = f"{stripped}.example" if re.search(_LOCAL_DOMAIN, stripped) else stripped
    try:
        validate_email(checked, check_deliverability=False, test_environment=True, globally_deliverable=False)
    except EmailNotValidError as error:
        reason = str(error).rstrip(".")  # it becomes part of a sentence
    except UnicodeError:
        reason = "it contains an unpaired surrogate"
    else:
        return stripped
    raise InvalidValueError(
        f"this is not an email address: {reason[:1].lower()}{reason[1:]}", "write it as name@example.com"
    )


@lru_cache(maxsize=1024)  # thousands of accounts share a few hosts
def host(value: str) -> str:
    """A host name or IP address, without scheme and port."""
    if is_host_name(value) or (parse_ip(value) and is_unicode(value)):
        return value
    faults = (*_faults(value), ("this is neither a host name nor an IP address", "write it as smtp.example.com"))
    raise InvalidValueError(*faults[0])


def _faults(text: str) -> Iterator[tuple[str, str]]:
    """What is wrong with a string that is not a host, and what to write instead."""
    scheme, has_scheme, _ = text.lower().partition("://")
    if not text.strip():
        yield "a host name cannot be empty", "write null to clear it, or leave the key out"
    if has_scheme:
        hint = "leave out the scheme, such as smtp://"
        encrypted = scheme in {"smtps", "submissions"}
        yield "a host name has no scheme", hint + (f"; {scheme} is smtp_crypt: ssl-tls" if encrypted else "")
    if "@" in text:
        yield "a host name has no user name", "leave out the @ and what is before it; the login is the account's email"
    if "/" in text:
        yield "a host name has no path", "leave out the slash and what follows it"
    yield from _almost_host(text)


def _almost_host(text: str) -> Iterator[tuple[str, str]]:
    """What is wrong with a host in another notation, and what to write instead."""
    if text.startswith("["):
        bare, _, port = text[1:].partition("]")
        hint = f"write it as {bare}" if parse_ip(bare) and bare.isascii() else "leave out the brackets"
        yield "an IPv6 address has no brackets here", hint + ("; put the port into smtp_port" if port else "")
    name, _, port = text.rpartition(":")
    if port.isdecimal() and is_host_name(identity(name)):
        yield "a host name has no port", "put the port into smtp_port"
    if text.strip() != text:
        yield "a host name has no spaces around it", "leave them out"
    if text.endswith(".") and is_host_name(text[:-1]):
        yield "a host name has no dot at its end here", f"write it as {text[:-1]}"
    if not text.isascii() and is_host_name(a_labels := identity(text)):
        yield "an internationalised name is written in its ASCII form, of A-labels", f"write it as {a_labels}"


def version(value: object) -> int:
    """The format's version."""
    if type(value) is int and value == 1:
        return value
    hint = "write version: 1, without quotes" if value == "1" else "write version: 1"
    raise InvalidValueError("this version of the format is not known", hint)


def label_key(key: str) -> str:
    """The key of a label, which selectors can name."""
    if key == "name":
        raise InvalidValueError("name is always the server's name in a selector", "give the label another key")
    if not re.fullmatch(_LABEL_KEY, key):
        raise InvalidValueError("this is not the key of a label", "letters, digits and . _ / - only")
    return key


def label_value(value: str) -> str:
    """The value of a label, which selectors can name."""
    if not re.fullmatch(_LABEL_VALUE, value) or not value.isprintable():
        raise InvalidValueError("the value of a label has neither , nor =", "leave them out")
    return plain_text(value)


def variable_name(name: str) -> str:
    """The name of a variable of ``vars``."""
    if name == "name":
        raise InvalidValueError("${name} is always the server's name", "give the variable another name")
    if not re.fullmatch(_VARIABLE_NAME, name):
        raise InvalidValueError("this is not the name of a variable", "letters, digits, _ and - only")
    return name


def queue(name: str) -> str:
    """The name of a queue."""
    if not re.fullmatch(_QUEUE, name):
        raise InvalidValueError("this is not the name of a queue", "letters, digits and . _ - only")
    return name


def selector(value: object) -> Selector:
    """A selector of servers."""
    if not isinstance(value, str):
        raise InvalidValueError(f"expected a selector, found {type_name(value)}", "write it as label=value")
    return Selector.parse(value)


def own(patterns: list[str]) -> list[str]:
    """The addresses that a file is responsible for."""
    if patterns:
        return patterns
    raise InvalidValueError("this cannot be empty", "leave the key out if the file is responsible for every address")


def pause(value: object) -> float:
    """A duration that may be zero. It needs a unit: a reviewer cannot tell what a number alone means."""
    seconds = parse_duration(value, allow_zero=True)
    if str(value)[-1] in "smh":
        return seconds
    raise InvalidValueError("a duration has a unit", f"write {value}s for seconds")


def is_own(variable: str) -> bool:
    """Whether a variable is one of this program's own, such as ``RECONCILER_REFRESH_TOKEN``."""
    return variable.upper().startswith("RECONCILER_")


def argument(value: str) -> str:
    """A file name or a command's argument."""
    if "\0" in value or not is_unicode(value):
        raise InvalidValueError("a NUL character or an unpaired surrogate is not allowed here")
    if is_placeholder(value):
        raise InvalidValueError(UNFILLED, PLACEHOLDER_HINT)
    return value


def secret(value: object) -> Secret | SecretReference:
    """A literal secret, or a reference to one, which gets its position later.

    Raises:
        InvalidValueError: It is neither. The message shows nothing of it.
    """
    if isinstance(value, dict):
        if len(value) != 1 or value.keys().isdisjoint(_TARGETS):
            raise InvalidValueError("a secret's reference has exactly one key: env, file or command", _key_hint(value))
        ((key, target),) = value.items()
        return _TARGETS[key](target)
    if isinstance(value, str):
        if is_placeholder(value):
            raise InvalidValueError(UNFILLED, PLACEHOLDER_HINT)
        return _literal(value)
    if isinstance(value, int | float):
        raise InvalidValueError(f"expected a string or a reference, found {type_name(value)}", "put it in quotes")
    raise InvalidValueError(f"expected a reference, found {type_name(value)}", _REFERENCE_HINT)


def _literal(text: str) -> Secret:
    try:
        bare = secret_text(text)
    except InvalidValueError as error:
        raise InvalidValueError(f"the secret {error.message}", error.hint) from None
    if not bare:
        raise InvalidValueError("a secret cannot be empty", "write null to clear it, or leave the key out")
    return Secret(bare)


def _key_hint(reference: dict[str, object]) -> str:
    """What may be meant by the keys of a reference. They are not shown: {hunter2} is a mapping, too."""
    from difflib import get_close_matches

    near = {close for key in reference for close in get_close_matches(key, SECRET_SOURCES, 1)} - reference.keys()
    return f"did you mean {' or '.join(sorted(near))}? {_REFERENCE_HINT}" if near else _REFERENCE_HINT


@lru_cache(maxsize=1024)  # thousands of accounts may share one variable
def _variable(name: str) -> SecretReference:
    if re.fullmatch(VARIABLE, name):
        return SecretReference("env", (name,), _NOWHERE)
    raise InvalidValueError("env takes the name of a variable", "letters, digits and _ only, without a $")


@lru_cache(maxsize=1024)  # as above
def _file(path: str) -> SecretReference:
    return SecretReference("file", (argument(path),), _NOWHERE)


def _command(target: object) -> SecretReference:
    if not isinstance(target, list) or not target:
        hint = "write {command: [program, argument]}; there is no shell"
        raise InvalidValueError(f"command takes a list of a program and its arguments, found {type_name(target)}", hint)
    for number, part in enumerate(target, 1):
        if not isinstance(part, str):
            message = f"part {number} of the command is {type_name(part)}, not a string"
            raise InvalidValueError(message, "put it in quotes")
    return SecretReference("command", tuple(map(argument, target)), _NOWHERE)


def _text_of(key: str, parse: Callable[[str], T]) -> Callable[[object], T]:
    """A parser of the value of a reference's key, which has to be a string."""

    def parse_text(target: object) -> T:
        if isinstance(target, str) and (target or key == "literal"):
            return parse(target)
        found = "an empty one" if target == "" else type_name(target)
        hint = 'write {literal: "…"}, in quotes' if key == "literal" else _REFERENCE_HINT
        raise InvalidValueError(f"{key} takes a string, found {found}", hint)

    return parse_text


_TARGETS: Final[Mapping[str, Callable[[object], Secret | SecretReference]]] = {
    "env": _text_of("env", _variable),
    "file": _text_of("file", _file),
    "command": _command,
    "literal": _text_of("literal", _literal),
}
"""The parsers of references, by their key."""
