"""The door to PyYAML: its events, and its failures in words that show nothing of the text."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any, Final, Protocol, Self, cast

from yaml import SafeLoader, YAMLError
from yaml.error import MarkedYAMLError
from yaml.reader import ReaderError

from reconciler.errors import Kind
from reconciler.manifest.causes import likely_cause
from reconciler.manifest.issues import Place
from reconciler.model.display import shorten

try:
    from yaml._yaml import CParser
except ImportError:  # PyYAML built without libyaml: slower, and the same otherwise
    CParser = None  # type: ignore[assignment,misc]

if TYPE_CHECKING:
    from yaml import Event

PURE: Final = CParser is None
"""Whether libyaml is missing."""

DEEPEST: Final = 64
"""Levels of nesting; accounts need five."""

_BOM: Final = b"\xef\xbb\xbf"
_UTF_16: Final = (b"\xff\xfe", b"\xfe\xff")
_UNPRINTABLE: Final = r"[^\t\n\r\x20-\x7e\x85\xa0-\ud7ff\ue000-\ufefe\uff00-\ufffd\U00010000-\U0010ffff]"
"""What libyaml does not take unescaped. Compiled where it is needed, because that takes a while."""

_HINTS: Final = (
    ("cannot start any token", "put a text that begins with a special character in quotes"),
    ("mapping values", "a text with a colon and a blank in it needs quotes; otherwise check the indentation"),
    ("expected <block end>", "check the indentation: entries of one mapping or list start in the same column"),
    ("expected key", "check the indentation: the keys of one account start in the same column"),
    ("expected '-' indicator", "begin an account with a dash, or indent the key as the others of its account"),
    ("could not find expected ':'", "a key needs a colon and a blank after it"),
    ("unknown escape", "a backslash is special in double quotes: double it, or use single quotes"),
    ("end of stream", "a quote or bracket is not closed"),
)


_TOO_DEEP: Final = "exceeded maximum nesting depth"
"""What libyaml says past 1,000 levels, before it hands out the events of the first ones (since libyaml 0.2.6)."""

_QUOTES: Final = r""", but (?:found|got) .*|(?<=character)(?: '.*'| ".*")|(?<=handle)(?: '.*'| ".*")"""
"""Where the parser in Python quotes the text; libyaml never does."""


class Events(Protocol):
    """A parser of PyYAML."""

    def get_event(self) -> Event:
        """The next event."""


class UnreadableError(Exception):
    """A text that cannot be read as YAML; carries one problem's parts."""

    def __init__(self, kind: str, message: str, hint: str = "", place: Place | None = None) -> None:
        super().__init__(message)
        self.kind = kind
        self.message = message
        self.hint = hint
        self.place = place

    @staticmethod
    def too_deep(place: Place | None) -> UnreadableError:
        """The failure of a text that is nested more than ``DEEPEST`` levels deep."""
        return UnreadableError(
            Kind.TOO_DEEP, f"nested more than {DEEPEST} levels deep", "accounts need five levels at most", place
        )

    @classmethod
    def at(cls, event: Event, kind: str, message: str, hint: str = "") -> Self:
        """The failure at an event."""
        return cls(kind, message, hint, place_of(event))


def place_of(event: Event) -> Place:
    """Where an event starts."""
    mark: Any = event.start_mark  # every event of a parser has one; the stubs doubt it
    return Place(mark.line + 1, mark.column + 1)


def open_events(data: bytes, *, pure: bool | None = None) -> Events:
    """A parser over UTF-8 text, with or without a byte order mark.

    Args:
        data: The text.
        pure: Use the parser in Python; ``None`` uses it where there is no libyaml.

    Raises:
        UnreadableError: The bytes are not UTF-8.
    """
    if data.startswith(_UTF_16):
        raise UnreadableError(Kind.ENCODING, "the file is UTF-16", "save it as UTF-8")
    try:
        text = data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        failure = _not_utf_8(data, error.start)
    else:
        return cast(
            "Events", SafeLoader(text) if (PURE if pure is None else pure) else CParser(data.removeprefix(_BOM))
        )
    raise failure


def unreadable(error: YAMLError, data: bytes) -> UnreadableError:
    """A failure of PyYAML in our words.

    The parser quotes pieces of the text in some of its messages. They may be pieces of a password, and are left out.
    """
    if isinstance(error, ReaderError):
        return _unprintable(data)
    place = None
    message = "this is not YAML"
    lines = data.decode("utf-8-sig").splitlines()
    if isinstance(error, MarkedYAMLError):
        opened = "simple key" in (error.context or "") or "quoted scalar" in (error.context or "")
        mark = (error.context_mark if opened else None) or error.problem_mark or error.context_mark
        place = Place(mark.line + 1, mark.column + 1) if mark else None
        if error.problem == _TOO_DEEP:
            return UnreadableError.too_deep(place)
        parts = (_without_quotes(part) for part in (error.problem, error.context) if part)
        message = ": ".join(("this is not YAML", ", ".join(parts)))
    if cause := likely_cause(lines, place):
        return UnreadableError(Kind.SYNTAX, f"this is not YAML: {cause.message}", cause.hint, cause.place)
    return UnreadableError(Kind.SYNTAX, message, _hint(message, data, place), place)


def _without_quotes(text: str) -> str:
    return shorten(re.sub(_QUOTES, "", text), 100).strip()


def _hint(message: str, data: bytes, place: Place | None) -> str:
    lines = data.removeprefix(_BOM).splitlines()
    if place and place.line <= len(lines) and re.match(rb" *\t", lines[place.line - 1]):
        return "indent with blanks, not with tabs"
    return next((hint for word, hint in _HINTS if word in message), "")


def _not_utf_8(data: bytes, offset: int) -> UnreadableError:
    before = data[:offset]
    line_start = before.rfind(b"\n") + 1
    place = Place(before.count(b"\n") + 1, len(before[line_start:].decode("utf-8", "replace")) + 1)
    if b"\0" in data:
        message = f"this is a binary file (byte {offset} is not UTF-8)"
        return UnreadableError(Kind.BINARY_FILE, message, "name a YAML file", place)
    return UnreadableError(
        Kind.ENCODING, f"byte {offset} (0x{data[offset]:02x}) is not UTF-8", "save the file as UTF-8", place
    )


def _unprintable(data: bytes) -> UnreadableError:
    text = data.decode("utf-8-sig")
    match = re.search(_UNPRINTABLE, text)
    if match is None:
        return UnreadableError(
            Kind.CONTROL_CHARACTER, "the file holds a character that YAML does not allow", "remove it"
        )
    before = text[: match.start()]
    place = Place(before.count("\n") + 1, len(before) - before.rfind("\n"))
    code = f"\\u{ord(match[0]):04x}"
    if match[0] == "\0":
        message = f"this is a binary file (byte {len(before.encode())} is NUL)"
        return UnreadableError(Kind.BINARY_FILE, message, "name a YAML file", place)
    message = f"the character {code} is not allowed in YAML"
    return UnreadableError(
        Kind.CONTROL_CHARACTER, message, f'remove it, or write it in double quotes as "{code}"', place
    )
