"""What single values have to be, beyond their type. No third party is needed unless an address is unusual."""

from __future__ import annotations

import ipaddress
import re
from typing import TYPE_CHECKING, Final
from urllib.parse import urlsplit

from reconciler.model.desired import DeleteLimit

if TYPE_CHECKING:
    from urllib.parse import SplitResult

_PLAIN_ADDRESS: Final = re.compile(
    r"(?=.{3,254}\Z)(?=[^@]{1,64}@)[A-Za-z0-9_+-]+(?:\.[A-Za-z0-9_+-]+)*"
    r"@(?:(?:[A-Za-z0-9]{1,32}(?:-[A-Za-z0-9]{1,30})?\.)+[A-Za-z]{2,63}|localhost)"
)
"""Addresses that need no second look; email-validator, which is exact and slow, judges all others."""

_LABEL: Final = r"[A-Za-z0-9_](?:[A-Za-z0-9_-]{0,61}[A-Za-z0-9_])?"
_HOST: Final = re.compile(rf"(?=.{{1,253}}\Z){_LABEL}(?:\.{_LABEL})*\.?")
_ENV_NAME: Final = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")
_LIMIT: Final = re.compile(r"([0-9]{1,3})\s?%")
_DEFAULT_PORTS: Final = {"http": 80, "https": 443}


class BadValueError(ValueError):
    """A value of the right type that does not do.

    Attributes:
        message: What is wrong, without the value.
        hint: What to write instead.
    """

    def __init__(self, message: str, hint: str = "") -> None:
        super().__init__(message)
        self.message = message
        self.hint = hint


def address(text: str) -> str:
    """An email address, without the blanks around it and otherwise as written."""
    stripped = text.strip()
    if _PLAIN_ADDRESS.fullmatch(stripped):
        return stripped
    from email_validator import EmailNotValidError, validate_email

    try:
        validate_email(stripped, check_deliverability=False, test_environment=True)
    except EmailNotValidError as error:
        reason = str(error)
    else:
        return stripped
    raise BadValueError(f"this is not an email address: {reason}", "write it as name@example.com")


def host(text: str) -> str:
    """A host name or IP address, without scheme and port."""
    if _HOST.fullmatch(text) or _is_ip(text):
        return text
    if "://" in text:
        raise BadValueError("a host name has no scheme", "leave out what stands before the name, such as smtp://")
    name, colon, port = text.rpartition(":")
    if colon and port.isdecimal() and _HOST.fullmatch(name):
        raise BadValueError("a host name has no port", "put the port into smtp_port")
    raise BadValueError("this is neither a host name nor an IP address", "write it as smtp.example.com")


def _is_ip(text: str) -> bool:
    try:
        ipaddress.ip_address(text)
    except ValueError:
        return False
    return True


def server_url(text: str) -> str:
    """A server's URL in one spelling: lower case, without the scheme's own port and without a trailing slash."""
    hint = "write it as https://fw.example.com"
    try:
        parts = urlsplit(text)
        port, name = parts.port, parts.hostname or ""
    except ValueError:
        raise BadValueError("this is not a URL", hint) from None
    if parts.scheme not in _DEFAULT_PORTS:
        raise BadValueError("the URL has to begin with https:// or http://", hint)
    if "@" in parts.netloc:
        raise BadValueError("a URL holds no user name or password", "give them under server.auth")
    extra = "path" if parts.path not in {"", "/"} else "query" if "?" in text else "fragment" if "#" in text else None
    if extra and name:
        raise BadValueError(f"the URL contains a {extra}", f"end it after host and port: {_origin(parts, port)}")
    if not text.isprintable() or " " in text or not (_is_ip(name) or _HOST.fullmatch(name)) or port == 0:
        raise BadValueError("this is not the URL of a host", hint)
    return _origin(parts, port)


def _origin(parts: SplitResult, port: int | None) -> str:
    name = parts.hostname or ""
    shown_host = f"[{name}]" if ":" in name else name
    return f"{parts.scheme}://{shown_host}" + ("" if port in {None, _DEFAULT_PORTS[parts.scheme]} else f":{port}")


def version(value: object) -> int:
    """The format's version."""
    if type(value) is int and value == 1:
        return value
    raise BadValueError("this version of the format is not known", "write version: 1")


def environment_name(text: str) -> str:
    """The name of an environment variable."""
    if _ENV_NAME.fullmatch(text):
        return text
    raise BadValueError("env takes the name of a variable", "letters, digits and _ only, without a $")


def is_own(variable: str) -> bool:
    """Whether a variable is one of this program's own, such as ``RECONCILER_REFRESH_TOKEN``."""
    return variable.upper().startswith("RECONCILER_")


def argument(text: str) -> str:
    """A file name or a command's argument."""
    if "\0" in text or not is_unicode(text):
        raise BadValueError("a NUL character or half a character cannot stand here")
    return text


def is_unicode(text: str) -> bool:
    """Whether the text can be encoded: halves of surrogate pairs cannot, and not every parser refuses them."""
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True


def delete_limit(value: object) -> DeleteLimit:
    """``policy.max_deletes``: a number, or a percentage up to 100."""
    if isinstance(value, int) and not isinstance(value, bool) and value >= 0:
        return DeleteLimit(value, percent=False)
    match = _LIMIT.fullmatch(value) if isinstance(value, str) else None
    if match and int(match[1]) <= 100:  # noqa: PLR2004 - a percentage
        return DeleteLimit(int(match[1]), percent=True)
    raise BadValueError("expected a number from 0, or a percentage from 0% to 100%", "write it as 5 or as 30%")
