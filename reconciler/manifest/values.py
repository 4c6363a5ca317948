"""What single values have to be, beyond their type. No third party is needed unless an address is unusual."""

from __future__ import annotations

import re
import unicodedata
from typing import Final

from reconciler.errors import InvalidValueError
from reconciler.manifest import hosts
from reconciler.model.server import is_host_name, parse_ip

_PLAIN_ADDRESS: Final = re.compile(
    r"(?=.{3,254}\Z)(?=[^@]{1,64}@)[A-Za-z0-9_+-]+(?:\.[A-Za-z0-9_+-]+)*"
    r"@(?:(?:[A-Za-z0-9]{1,32}(?:-[A-Za-z0-9]{1,30})?\.)+[A-Za-z]{2,63}|[A-Za-z][A-Za-z0-9]{0,62})"
)
"""Addresses that need no second look; email-validator, which is exact and slow, judges all others."""

_LOCAL_DOMAIN: Final = re.compile(r"[@.](?:local|localhost|arpa|test)\Z", re.IGNORECASE)
"""Names that only local networks have. email-validator refuses them, but appliances use them."""

_PLACEHOLDER: Final = re.compile(
    r"\$\{[^{}]*\}|\$\{\{.*\}\}|\$[A-Z_][A-Z0-9_]*|\{\{.*\}\}|ENC\[.*\]|\$__\w+\{.*\}|<<[^<>]+>>", re.DOTALL
)
_PLACEHOLDER_STARTS: Final = frozenset("$<{E \t\n")
UNFILLED: Final = "this is a placeholder that nothing has filled in"
PLACEHOLDER_HINT: Final = (
    "refer to a secret with {env: NAME}, {file: path} or {command: [program, argument]}; "
    'a secret that really looks like this is {literal: "…"}; fill other values in before the file is read'
)

_ENV_NAME: Final = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")


def is_placeholder(value: object) -> bool:
    """Whether a value is nothing but a placeholder that something else was meant to fill in."""
    if not isinstance(value, str) or value[:1] not in _PLACEHOLDER_STARTS:
        return False
    return _PLACEHOLDER.fullmatch(value.strip()) is not None


def text(value: str) -> str:
    """A text that is no placeholder."""
    if not value:
        raise InvalidValueError("this cannot be empty", "leave the key out, or write a text")
    if is_placeholder(value):
        raise InvalidValueError(UNFILLED, PLACEHOLDER_HINT)
    return value


def name(value: str) -> str:
    """A display name: on one line."""
    if not value.isprintable():
        found = next((one for one in value if unicodedata.category(one) == "Cc"), None)
        if found is not None:
            message = f"a name has no line breaks and no other control characters, such as U+{ord(found):04X}"
            raise InvalidValueError(message, "write the name on one line")
    return text(value)


def address(text: str) -> str:
    """An email address, without the blanks around it and otherwise as written."""
    stripped = text.strip()
    if _PLAIN_ADDRESS.fullmatch(stripped):
        return stripped
    from email_validator import EmailNotValidError, validate_email

    judged = f"{stripped}.example" if _LOCAL_DOMAIN.search(stripped) else stripped
    try:
        validate_email(judged, check_deliverability=False, test_environment=True, globally_deliverable=False)
    except EmailNotValidError as error:
        reason = str(error).rstrip(".")  # it becomes part of a sentence
    else:
        return stripped
    raise InvalidValueError(
        f"this is not an email address: {reason[:1].lower()}{reason[1:]}", "write it as name@example.com"
    )


def host(text: str) -> str:
    """A host name or IP address, without scheme and port."""
    if is_host_name(text) or parse_ip(text) is not None:
        return text
    raise InvalidValueError(*hosts.fault(text))


def version(value: object) -> int:
    """The format's version."""
    if type(value) is int and value == 1:
        return value
    raise InvalidValueError("this version of the format is not known", "write version: 1")


def environment_name(text: str) -> str:
    """The name of an environment variable."""
    if _ENV_NAME.fullmatch(text):
        return text
    raise InvalidValueError("env takes the name of a variable", "letters, digits and _ only, without a $")


def is_own(variable: str) -> bool:
    """Whether a variable is one of this program's own, such as ``RECONCILER_REFRESH_TOKEN``."""
    return variable.upper().startswith("RECONCILER_")


def argument(text: str) -> str:
    """A file name or a command's argument."""
    if "\0" in text or not is_unicode(text):
        raise InvalidValueError("a NUL character or half a character cannot stand here")
    if is_placeholder(text):
        raise InvalidValueError(UNFILLED, PLACEHOLDER_HINT)
    return text


def is_unicode(text: str) -> bool:
    """Whether the text can be encoded: halves of surrogate pairs cannot, and not every parser refuses them."""
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True
