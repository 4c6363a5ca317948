"""What is wrong with a string that is neither a host name nor an IP address."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from reconciler.model.account import identity
from reconciler.model.server import is_host_name, parse_ip

if TYPE_CHECKING:
    from collections.abc import Callable

    Fault = Callable[[str], tuple[str, str] | None]


def fault(text: str) -> tuple[str, str]:
    """What is wrong with a text that is no host, and what to write instead."""
    found = next(filter(None, (judge(text) for judge in _FAULTS)), None)
    return found or ("this is neither a host name nor an IP address", "write it as smtp.example.com")


def _empty(text: str) -> tuple[str, str] | None:
    return None if text.strip() else ("a host name cannot be empty", "write null to clear it, or leave the key out")


def _scheme(text: str) -> tuple[str, str] | None:
    scheme, separator, _ = text.partition("://")
    if not separator:
        return None
    hint = "leave out what stands before the name, such as smtp://"
    if scheme.lower() in {"smtps", "submissions"}:
        hint += f"; {scheme.lower()} is smtp_crypt: ssl-tls"
    return "a host name has no scheme", hint


def _user(text: str) -> tuple[str, str] | None:
    hint = "leave out the @ and what is before it; the login is the account's email"
    return ("a host name has no user name", hint) if "@" in text else None


def _path(text: str) -> tuple[str, str] | None:
    return ("a host name has no path", "leave out the slash and what follows it") if "/" in text else None


def _brackets(text: str) -> tuple[str, str] | None:
    if not text.startswith("["):
        return None
    bare, _, port = text[1:].partition("]")
    hint = f"write it as {bare}" if parse_ip(bare) and bare.isascii() else "leave out the brackets"
    return "an IPv6 address has no brackets here", hint + ("; put the port into smtp_port" if port else "")


def _port(text: str) -> tuple[str, str] | None:
    name, colon, port = text.rpartition(":")
    wrong = colon and port.isdecimal() and is_host_name(identity(name))
    return ("a host name has no port", "put the port into smtp_port") if wrong else None


def _spaces(text: str) -> tuple[str, str] | None:
    return ("a host name has no spaces around it", "leave them out") if text.strip() != text else None


def _dot(text: str) -> tuple[str, str] | None:
    wrong = text.endswith(".") and is_host_name(text[:-1])
    return ("a host name has no dot at its end here", f"write it as {text[:-1]}") if wrong else None


def _international(text: str) -> tuple[str, str] | None:
    if text.isascii() or not is_host_name(a_labels := identity(text)):
        return None
    return "an internationalised name is written in its ASCII form, of A-labels", f"write it as {a_labels}"


_FAULTS: Final[tuple[Fault, ...]] = (
    _empty,
    _scheme,
    _user,
    _path,
    _brackets,
    _port,
    _spaces,
    _dot,
    _international,
)
