"""The shape of a trust file, as pydantic models."""

from __future__ import annotations

import re
import shlex
from typing import TYPE_CHECKING, Annotated, Final

from pydantic import AfterValidator, BaseModel, Field

from reconciler.errors import InvalidValueError
from reconciler.manifest.document import MaxDeletes, Text, Version, _Model
from reconciler.manifest.values import argument
from reconciler.model.trust import is_url_pattern

if TYPE_CHECKING:
    from collections.abc import Mapping

_VARIABLE: Final = re.compile(r"[A-Za-z0-9_*?]+")
_HOST: Final = re.compile(r"[A-Za-z0-9_.:*?-]+")
_DOLLAR: Final = re.compile(r"\$\{(?!name\})")


def _url(text: str) -> str:
    if is_url_pattern(text):
        return text
    hint = "write scheme, host and port, such as https://*.fw.example.com; * stays within the host, or the port"
    raise InvalidValueError("this is not a pattern of a server's URL", hint)


def _variable(text: str) -> str:
    if _VARIABLE.fullmatch(text):
        return text
    raise InvalidValueError(
        "this is not a pattern of a variable's name", "letters, digits, _, * and ? only, without a $"
    )


def _file(text: str) -> str:
    if _DOLLAR.search(text):
        raise InvalidValueError(
            "a pattern of files takes no variable but ${name}", "write ${name} for the server's name"
        )
    if ".." in text.split("/") or text.startswith("~"):
        raise InvalidValueError("a pattern of files takes neither .. nor ~", "write the path from / on")
    return argument(text)


def _command(text: str) -> str:
    try:
        words = shlex.split(text)
    except ValueError:
        words = []
    if words:
        return argument(text)
    raise InvalidValueError("this is not a command line", "write it as for a shell, with every quote closed")


def _smtp_server(text: str) -> str:
    if _HOST.fullmatch(text):
        return text
    raise InvalidValueError("this is not a pattern of a host", "write it as smtp.example.com, without scheme and path")


def _recipient(text: str) -> str:
    if "@" in text or text == "*":
        return text
    raise InvalidValueError("a pattern of addresses has an @-sign", "write it as *@example.com")


class TrustedServerEntry(_Model):
    """A server that credentials and passwords may be sent to."""

    url: Annotated[str, AfterValidator(_url)] = Field()
    env: list[Annotated[str, AfterValidator(_variable)]] = Field([])
    files: list[Annotated[Text, AfterValidator(_file)]] = Field([])


class LimitsEntry(_Model):
    """What the manifests' policy cannot exceed."""

    max_deletes: MaxDeletes | None = None
    protect: list[Annotated[str, AfterValidator(_recipient)]] = Field([])


class TrustDocument(_Model):
    """What the manifests may do with secrets; a key that is left out allows nothing, apart from limits."""

    version: Version
    servers: list[TrustedServerEntry] = Field([])
    commands: list[Annotated[str, AfterValidator(_command)]] = Field([])
    smtp_servers: list[Annotated[str, AfterValidator(_smtp_server)]] = Field([])
    recipients: list[Annotated[str, AfterValidator(_recipient)]] = Field([])
    limits: LimitsEntry = LimitsEntry()


TRUST_SHAPE: Final[Mapping[tuple[str, ...], type[BaseModel]]] = {
    ("trust",): TrustDocument,
    ("trust", "servers"): TrustedServerEntry,
    ("trust", "limits"): LimitsEntry,
}
"""Which model stands at which keys of a trust file, below a root of their own."""
