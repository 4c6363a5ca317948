"""The types of a trust file."""

from __future__ import annotations

import re
import shlex
from typing import Annotated, Final, NotRequired

from pydantic import AfterValidator, with_config
from typing_extensions import TypedDict

from reconciler.errors import InvalidValueError
from reconciler.manifest.schema import CONFIG, MaxDeletes, Shape, Text, Version
from reconciler.manifest.values import argument
from reconciler.model.trust import is_url_pattern

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


class TrustedServerBlock(TypedDict):
    """A server that credentials and passwords may be sent to."""

    url: Annotated[str, AfterValidator(_url)]
    env: NotRequired[list[Annotated[str, AfterValidator(_variable)]]]
    files: NotRequired[list[Annotated[Text, AfterValidator(_file)]]]


class LimitsBlock(TypedDict):
    """What the manifests' policy cannot exceed."""

    max_deletes: NotRequired[MaxDeletes | None]
    protect: NotRequired[list[Annotated[str, AfterValidator(_recipient)]]]


@with_config(CONFIG)
class TrustDocument(TypedDict):
    """What the manifests may do with secrets; an omitted key allows nothing, apart from limits."""

    version: Version
    servers: NotRequired[list[TrustedServerBlock]]
    commands: NotRequired[list[Annotated[str, AfterValidator(_command)]]]
    smtp_servers: NotRequired[list[Annotated[str, AfterValidator(_smtp_server)]]]
    recipients: NotRequired[list[Annotated[str, AfterValidator(_recipient)]]]
    limits: NotRequired[LimitsBlock]


TRUST_SHAPE: Final[Shape] = {
    (): TrustDocument,
    ("servers",): TrustedServerBlock,
    ("limits",): LimitsBlock,
}
