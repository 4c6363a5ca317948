"""Secrets, references to them, and the password that is not known."""

from __future__ import annotations

import os
import re
import shlex
import unicodedata
from enum import Enum
from functools import cache
from typing import TYPE_CHECKING, Final, Literal, NamedTuple, TypeAlias

from reconciler.errors import InvalidValueError
from reconciler.model.display import control_character

if TYPE_CHECKING:
    from collections.abc import Callable

    from reconciler.errors import Position


@cache
def _compare_digest() -> Callable[[bytes, bytes], bool]:
    from hmac import compare_digest  # takes a while to import, and not every command compares

    return compare_digest


class Secret:
    """A secret value in a type that does not print it.

    ``repr``, ``str``, ``format`` and pickling show nothing. Only ``reveal`` does: it is called to send the value, and
    to mask it in text. Two secrets compare in constant time.
    """

    __slots__ = ("_value", "source")

    def __init__(self, value: str, source: str = "") -> None:
        """Takes the value and its source: ``env NAME``; empty if it is written in the YAML itself."""
        self._value = value
        self.source = source

    def reveal(self) -> str:
        """The value itself: for requests, and for the redactor that keeps it out of all output."""
        return self._value

    def encoded(self) -> bytes:
        """The value as bytes. Never fails: a variable's bytes that are not UTF-8 become unpaired surrogates."""
        return self._value.encode("utf-8", "surrogatepass")

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, Secret):
            return NotImplemented
        return _compare_digest()(self.encoded(), other.encoded())

    def __hash__(self) -> int:
        return hash((Secret, self._value))

    def __bool__(self) -> bool:
        return bool(self._value)

    def __repr__(self) -> str:
        return "Secret(***)"

    __str__ = __repr__

    def __format__(self, _spec: str) -> str:
        return repr(self)

    def __reduce__(self) -> str:
        msg = "a Secret is not pickled"
        raise TypeError(msg)


LARGEST_SECRET: Final = 64 * 1024
"""The most bytes of a file with a secret."""

_BOM: Final = "\ufeff"
_LINE_BREAK: Final = "[\n\r\x85\u2028\u2029]"


def secret_text(value: str) -> str:
    """The secret in a variable, a file, the output of a command, or a YAML string: without one final line ending.

    Raises:
        InvalidValueError: The rest cannot be a secret: a second line, a byte order mark, another control character.
            The message continues a sentence that begins with the source's name, and shows nothing of the string.
    """
    bare = value.removesuffix("\n").removesuffix("\r")
    if bare.isprintable():
        return bare
    if any(unicodedata.category(character) == "Cs" for character in bare):
        raise InvalidValueError("is not valid Unicode", "save it as UTF-8")
    if _BOM in bare:
        message = "contains a byte order mark, which is not part of a secret"
        raise InvalidValueError(message, "save it as UTF-8 without BOM")
    if re.search(_LINE_BREAK, bare):
        raise InvalidValueError("has more than one line, and a secret has one", "leave nothing but the secret in it")
    if found := control_character(bare):
        message = f"contains a control character ({found}), which is not part of a secret"
        raise InvalidValueError(message, "leave nothing but the secret in it")
    return bare


def issued_secret(value: str) -> Secret | None:
    """The secret in a server's response that replaces the present one; ``None`` if it is blank or a mask.

    Raises:
        InvalidValueError: It is neither, and a file that held it could not be read again.
    """
    if not value.strip() or looks_masked(value):
        return None
    text = secret_text(value)
    if len(text.encode()) + len("\r\n") > LARGEST_SECRET:
        raise InvalidValueError(f"has {len(text):,} characters, which is too long")
    return Secret(text)


class Unknown(Enum):
    """The type of ``UNKNOWN``: a value the server has but does not show."""

    UNKNOWN = "unknown"

    def __repr__(self) -> str:
        return "UNKNOWN"


UNKNOWN: Final = Unknown.UNKNOWN
"""The server's password if it is hidden. Never written back; counts as unchanged."""


_HIDING: Final = (
    r"(?:hidden|hide|mask|masked|redacted|secret|protected|private|confidential|sensitive|encrypted|concealed|obscured"
    r"|obfuscated|filtered|removed|omitted|censored|suppressed|undisclosed|unchanged|stored|set"
    r"|ocult[ao]|escondid[ao]|mascarad[ao]|protegid[ao]|secret[ao]|segredo|confidencial|criptografad[ao]|omitid[ao])"
)
"""What servers write in place of a secret, in English and in the vendor's Portuguese."""

_BESIDE: Final = rf"(?:{_HIDING}|password|passwd|passphrase|pass|value|data|text|is|the|for|senha|valor)"

_MASK: Final = rf"""(?ix)
      \S{{0,4}} [*•●·]{{3,}} \S{{0,4}}
    | x{{6,}}
    | [<\[({{«]{{1,3}} [\s_*-]{{0,9}}
      (?:{_BESIDE} [\s_:-]{{1,3}}){{0,3}} {_HIDING} (?:[\s_:-]{{1,3}} {_BESIDE}){{0,3}}
      [\s_*-]{{0,9}} [>\])}}»]{{1,3}}
    """


@cache
def _mask() -> re.Pattern[str]:
    return re.compile(_MASK)  # takes a while, and not every command reads accounts


def looks_masked(text: str) -> bool:
    """Whether a value from the server is a mask for a secret: dots or stars, only x, or a word such as "<hidden>"."""
    return _mask().fullmatch(text.strip()) is not None


SecretSource: TypeAlias = Literal["env", "file", "command", "literal"]


class SecretReference(NamedTuple):
    """Where to find a secret; not the secret.

    Attributes:
        kind: ``env`` (variable name), ``file`` (path relative to the YAML file) or ``command`` (arguments); ``literal``
            is a secret in the YAML itself that is kept out of a plan.
        target: One string for ``env`` and ``file``; the argument list for ``command``.
        position: Where the reference is written.
    """

    kind: SecretSource
    target: tuple[str, ...]
    position: Position

    def __str__(self) -> str:
        return f"{{{self.kind}: {' '.join(self.target)}}}"

    @property
    def folder(self) -> str:
        """The folder of the YAML file: relative paths start there, and commands run there."""
        return os.path.dirname(os.path.abspath(self.position.file))  # noqa: PTH100, PTH120 - names stay as the user wrote them

    @property
    def path(self) -> str:
        """The file that a ``file`` reference names."""
        return os.path.join(self.folder, self.target[0])  # noqa: PTH118 - as above

    @property
    def key(self) -> tuple[object, ...]:
        """A value that is equal for all references to one secret."""
        if self.kind == "file":
            return self.kind, self.path
        return self.kind, self.target, None if self.kind == "env" else self.folder

    @property
    def source(self) -> str:
        """The reference in words, the same wherever the YAML was read: ``env NAME``, ``file PATH``, ``command LINE``.

        Paths are relative to the same folder as the names of the YAML files.
        """
        folder = os.path.dirname(self.position.file)  # noqa: PTH120 - names stay as the user wrote them
        if self.kind == "file":
            return f"file {os.path.normpath(os.path.join(folder, self.target[0]))}"  # noqa: PTH118 - as above
        if self.kind == "command":
            return f"command {shlex.join(self.target)}" + (f" in {os.path.normpath(folder)}" if folder else "")
        return f"{self.kind} {self.target[0]}" if self.target else LITERAL


LITERAL: Final = "a literal"
"""The source of a secret that is written in the YAML itself."""


def source_of(password: object) -> str | None:
    """Where a declared password comes from, in words; ``None`` if none is declared."""
    if isinstance(password, Secret):
        return password.source or LITERAL
    return password.source if isinstance(password, SecretReference) else None
