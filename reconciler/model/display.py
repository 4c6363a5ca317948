"""Makes strings safe to show: on one line, escaped, shortened."""

from __future__ import annotations

import json
import os
import re
import unicodedata
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from reconciler.model.account import Value
    from reconciler.model.redaction import Redactor

LONGEST: Final = 200
"""The most characters of a value that are shown. A note after it gives the whole length."""

LONGEST_SENTENCE: Final = 5 * LONGEST
"""The most characters of a sentence that are shown."""

SHORT_COMMIT: Final = 8
"""The characters of a commit that people see; programs get all of them."""

EXCERPT: Final = 200
"""The most characters of a string from the server that a message shows."""

_UNSAFE: Final = frozenset({"Cc", "Cf", "Co", "Cs", "Cn", "Zl", "Zp"})
"""Unicode categories that are escaped: control, format (right-to-left marks), unassigned, line separators."""

_COMMAND: Final = "##"
"""Build servers read ``##[error]`` and ``##vso[...]`` as a command anywhere in a log line."""

_ORDINARY_ADDRESS: Final = re.compile(
    r"(?:[\w+]|\$\{[\w-]+\})[\w.+%=&*/'!?$^{}~#-]*@(?:[\w.\[\]:-]|\$\{[\w-]+\})+(#\d+)?"
)
"""The domain may contain variables: ``alerts@${domain}``."""

_SHORTEST_KEY: Final = 32
_FILE_CONTENT: Final = r"[\n\r{]|: "
_READ_AHEAD: Final = 10


def escape(text: str) -> str:
    r"""``text`` on one line: each character that could forge a line, or hide something, becomes ``\\uXXXX``."""
    if _COMMAND in text:
        text = text.replace(_COMMAND, "#\\u0023")
    if text.isascii() and text.isprintable():
        return text
    return "".join(escape_character(char) if unicodedata.category(char) in _UNSAFE else char for char in text)


def control_character(text: str) -> str | None:
    """The first control character of a string, as ``U+000A``; ``None`` if there is none."""
    return next((f"U+{ord(char):04X}" for char in text if unicodedata.category(char) == "Cc"), None)


def escape_character(char: str) -> str:
    r"""A character as ``\\uXXXX`` or ``\\UXXXXXXXX``."""
    code = ord(char)
    return f"\\u{code:04x}" if code <= 0xFFFF else f"\\U{code:08x}"  # noqa: PLR2004 - the end of the basic plane


def shorten(text: str, longest: int) -> str:
    """``text`` escaped, and cut to about ``longest`` characters."""
    return escape(text if len(text) <= longest else text[: longest - 1] + "…")


def display_address(address: str) -> str:
    """An account's address within a sentence; in quotes if it could be read as something else."""
    if len(address) <= LONGEST and _ORDINARY_ADDRESS.fullmatch(address):
        return escape(address)
    return display_value(address)


def display_sentence(text: str) -> str:
    """A sentence that may contain text from outside, escaped, and cut if it is far too long."""
    if len(text) <= LONGEST_SENTENCE:
        return escape(text)
    return f"{escape(text[:LONGEST_SENTENCE])}... ({len(text):,} characters)"


def display_value(value: Value, start: int = 0) -> str:
    """A value that is not a secret, as YAML and JSON would write it.

    Args:
        value: The value.
        start: Of a string that is too long to show, the first character to show.
    """
    if not isinstance(value, str):
        return json.dumps(value)
    if len(value) <= LONGEST:
        return escape(json.dumps(value, ensure_ascii=False))
    part = escape(json.dumps(value[start : start + LONGEST], ensure_ascii=False))
    end = "..." if start + LONGEST < len(value) else ""
    return f"{'...' if start else ''}{part}{end} ({len(value):,} characters)"


def display_pair(before: Value, after: Value) -> tuple[str, str]:
    """A field's two values; of long strings, the part that holds the first difference."""
    start = 0
    if isinstance(before, str) and isinstance(after, str) and max(len(before), len(after)) > LONGEST:
        start = max(0, common_prefix(before, after) - LONGEST // 4)
    return display_value(before, start), display_value(after, start)


def common_prefix(one: str, other: str) -> int:
    """The number of characters with which both strings begin."""
    pairs = zip(one, other, strict=False)
    return next((index for index, (left, right) in enumerate(pairs) if left != right), min(len(one), len(other)))


def display_path(name: str) -> str:
    """A path that the user gave, unless it is something else, such as a key or the content of a file.

    An option that takes the name of a file may get its content by mistake, and that may be a secret.
    """
    longest = max(map(len, name.split("/")))
    if os.path.lexists(name) or not (longest >= _SHORTEST_KEY or re.search(_FILE_CONTENT, name)):
        return name
    return f"(a string of {len(name)} characters that is not shown here)"


def sanitize(text: str, redactor: Redactor, limit: int = EXCERPT) -> str:
    """A server's string for a message: redacted, then escaped, then cut, so that a cut cannot leave part of a secret.

    Line breaks become spaces.
    """
    from reconciler.model.redaction import without_labelled

    # Most of the string may be white space, so more than the limit is read.
    joined = " ".join(without_labelled(redactor.redact(text, _READ_AHEAD * limit)).split())
    escaped = escape(joined)
    is_whole = len(escaped) <= limit and len(text) <= _READ_AHEAD * limit
    return escaped if is_whole else escaped[: limit - 1] + "…"
