"""The interface to PyYAML: returns its events, and converts its errors to ours.

Some PyYAML errors quote the document. A quote may contain part of a password, so it is left out.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, Final, Protocol, Self, TypeAlias, cast

from yaml import SafeLoader
from yaml.error import MarkedYAMLError
from yaml.reader import ReaderError

from reconciler.errors import Kind, Position, Problem
from reconciler.model.display import shorten
from reconciler.model.fields import FIELDS

try:
    from yaml._yaml import CParser
except ImportError:  # PyYAML built without libyaml: slower, otherwise the same
    CParser = None  # type: ignore[assignment,misc]

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from yaml import Event, YAMLError

PURE: Final = CParser is None
"""Whether libyaml is missing."""

_UTF_16: Final = (b"\xff\xfe", b"\xfe\xff")

DEEPEST: Final = 64
"""The maximum number of nesting levels; accounts need five."""

_BOM: Final = b"\xef\xbb\xbf"
_UNPRINTABLE: Final = r"[^\t\n\r\x20-\x7e\x85\xa0-\ud7ff\ue000-\ufefe\uff00-\ufffd\U00010000-\U0010ffff]"
"""Characters that libyaml does not accept unescaped."""

_HINTS: Final = (
    ("cannot start any token", "put a string that begins with a special character in quotes"),
    ("mapping values", "a string with a colon and a space in it needs quotes; otherwise check the indentation"),
    ("expected <block end>", "check the indentation: entries of one mapping or list start in the same column"),
    ("expected key", "check the indentation: the keys of one account start in the same column"),
    ("expected '-' indicator", "begin an account with a dash, or indent the key as the others of its account"),
    ("could not find expected ':'", "a key needs a colon and a space after it"),
    ("unknown escape", "a backslash is special in double quotes: double it, or use single quotes"),
    ("end of stream", "a quote or bracket is not closed"),
)


_TOO_DEEP: Final = "exceeded maximum nesting depth"
"""libyaml's error for more than 1,000 levels, raised before the events of the first ones (since libyaml 0.2.6)."""

_QUOTES: Final = r""", but (?:found|got) .*|(?<=character)(?: '.*'| ".*")|(?<=handle)(?: '.*'| ".*")"""
"""How the Python parser quotes the document; libyaml never does."""


_CONFLICT: Final = r"(?:<{7}|={7}|>{7}|\|{7})(?:[ \t].*)?\Z"
_ODD_SPACE: Final = "[\N{NO-BREAK SPACE}\N{NARROW NO-BREAK SPACE}\N{IDEOGRAPHIC SPACE}]"
_OPEN_QUOTE: Final = r"""\s*(?:-\s+)*[\w-]+:\s+(?P<quote>["'])(?:(?<=")(?:[^"\\]|\\.)*|(?<=')(?:[^']|'')*)\\?\Z"""
_CLOSING: Final = {'"': re.compile(r'(?:[^"\\]|\\.)*"'), "'": re.compile(r"(?:[^']|'')*'(?!')")}
_AFTER_QUOTE: Final = re.compile(r"\s*(?:\s#|[,}\]]|\Z)")
_BRACKETED: Final = r":\s+(?:\w+://)?(\[[0-9A-Fa-f.:]*:[0-9A-Fa-f.:]*\])"
_TEMPLATE: Final = r":\s+(?:\{\{|\$\{|\$__)|[{,]\s*\w+:\s+\$\{"
_KEYS: Final = "|".join((*FIELDS, "hash_auth", "id", "version", "accounts", "defaults", "server", "policy", "url"))
_NO_SPACE_AFTER_COLON: Final = re.compile(rf" *(?:- +)*(?:{_KEYS}):(?=[^\s/:])(?!.*:\s)")
_NO_SPACE_AFTER_DASH: Final = re.compile(rf" *(?:- +)*-(?=(?:{_KEYS}):(?:\s|\Z))")
_ENTRY: Final = re.compile(r"(?P<indent> *(?:- +)*)[\w-]+:\s+(?P<value>[^\s#{\[\"'|>&*!])?")
_BLOCK_ENTRY: Final = re.compile(r"(?P<indent> *)(?:- |[\w-]+:(?:\s|\Z))")
_BRACKETS: Final = {"flow mapping": ("a brace", "}"), "flow sequence": ("a square bracket", "]")}


class YamlError(Exception):
    """The input cannot be read as YAML.

    Attributes:
        position: In a file that is not named yet; ``None`` for the file as a whole.
    """

    def __init__(self, kind: Kind, message: str, hint: str = "", position: Position | None = None) -> None:
        super().__init__(message)
        self.kind = kind
        self.message = message
        self.hint = hint
        self.position = position

    @classmethod
    def too_deep(cls, position: Position | None) -> Self:
        """The document is nested more than ``DEEPEST`` levels deep."""
        message, hint = f"nested more than {DEEPEST} levels deep", "accounts need five levels at most"
        return cls(Kind.TOO_DEEP, message, hint, position)

    def problem(self, file: str) -> Problem:
        """The problem of the file with this error."""
        position = self.position._replace(file=file) if self.position else Position(file)
        return Problem(kind=self.kind, message=self.message, hint=self.hint, position=position)


Place: TypeAlias = int
"""Line and column of a value, from 0, in one number: a fleet has many, and few of them are ever shown."""

_COLUMN_BITS: Final = 32


def place_of(event: Any) -> Place:  # noqa: ANN401 - every event of a parser has a mark; the stubs declare it optional
    """Where an event starts."""
    mark = event.start_mark
    place: int = mark.line << _COLUMN_BITS | mark.column
    return place


def position_at(place: Place, file: str) -> Position:
    """A place in a file, for a reader."""
    return Position(file, (place >> _COLUMN_BITS) + 1, (place & (1 << _COLUMN_BITS) - 1) + 1)


def position_of(event: Event, file: str = "") -> Position:
    """Where an event starts, for a reader."""
    return position_at(place_of(event), file)


class Positions(Mapping[str, Position]):
    """The positions of places in one file, by their keys. Each is made when it is asked for, which is rare."""

    __slots__ = ("_file", "_places")

    def __init__(self, file: str, places: Mapping[str, Place]) -> None:
        self._file = file
        self._places = places

    def __reduce__(self) -> tuple[object, ...]:
        return Positions, (self._file, self._places)

    def __getitem__(self, key: str) -> Position:
        return position_at(self._places[key], self._file)

    def get(self, key: str, default: Any = None) -> Any:  # noqa: ANN401 - as in Mapping
        """As in any mapping; this is faster."""
        place = self._places.get(key)
        return default if place is None else position_at(place, self._file)

    def __iter__(self) -> Iterator[str]:
        return iter(self._places)

    def __len__(self) -> int:
        return len(self._places)


class Events(Protocol):
    """A parser of PyYAML."""

    def get_event(self) -> Event:
        """The next event."""


def open_events(data: bytes, *, pure: bool | None = None) -> Events:
    """A parser of UTF-8 input, with or without a byte order mark.

    Args:
        data: The input.
        pure: Use the Python parser; ``None`` uses it if libyaml is missing.

    Raises:
        YamlError: The bytes are not UTF-8.
    """
    if data.startswith(_UTF_16):
        raise YamlError(Kind.ENCODING, "the file is UTF-16", "save it as UTF-8")
    is_pure = PURE if pure is None else pure
    if data.isascii() and not is_pure:
        return cast("Events", CParser(data))
    try:
        text = data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        failure = _not_utf_8(data, error.start)
    else:
        return cast("Events", SafeLoader(text) if is_pure else CParser(data.removeprefix(_BOM)))
    raise failure


def converted(error: YAMLError, data: bytes) -> YamlError:
    """Converts an error of PyYAML to one of ours."""
    if isinstance(error, ReaderError):
        return _unprintable(data)
    position = None
    message = "this is not YAML"
    lines = data.decode("utf-8-sig").splitlines()
    if isinstance(error, MarkedYAMLError):
        opened = "simple key" in (error.context or "") or "quoted scalar" in (error.context or "")
        mark = (error.context_mark if opened else None) or error.problem_mark or error.context_mark
        position = Position("", mark.line + 1, mark.column + 1) if mark else None
        if error.problem == _TOO_DEEP:
            return YamlError.too_deep(position)
        parts = (_without_quotes(part) for part in (error.problem, error.context) if part)
        message = ": ".join(("this is not YAML", ", ".join(parts)))
    if cause := _likely_cause(lines, position) or _open_bracket(error, lines) or _misplaced(lines, position):
        return cause
    return YamlError(Kind.SYNTAX, message, _hint(message, lines, position), position)


def _without_quotes(text: str) -> str:
    return shorten(re.sub(_QUOTES, "", text), 100).strip()


def _hint(message: str, lines: Sequence[str], position: Position | None) -> str:
    if position and position.line and position.line <= len(lines) and re.match(r" *\t", lines[position.line - 1]):
        return "indent with spaces, not with tabs"
    return next((hint for word, hint in _HINTS if word in message), "")


def _not_utf_8(data: bytes, offset: int) -> YamlError:
    before = data[:offset]
    line_start = before.rfind(b"\n") + 1
    position = Position("", before.count(b"\n") + 1, len(before[line_start:].decode("utf-8", "replace")) + 1)
    if b"\0" in data:
        message = f"this is a binary file (byte {offset} is not UTF-8)"
        return YamlError(Kind.BINARY_FILE, message, "name a YAML file", position)
    return YamlError(
        Kind.ENCODING, f"byte {offset} (0x{data[offset]:02x}) is not UTF-8", "save the file as UTF-8", position
    )


def _unprintable(data: bytes) -> YamlError:
    text = data.decode("utf-8-sig")
    match = re.search(_UNPRINTABLE, text)
    if match is None:
        return YamlError(Kind.CONTROL_CHARACTER, "the file holds a character that YAML does not allow", "remove it")
    before = text[: match.start()]
    position = Position("", before.count("\n") + 1, len(before) - before.rfind("\n"))
    code = f"\\u{ord(match[0]):04x}"
    if match[0] == "\0":
        message = f"this is a binary file (byte {len(before.encode())} is NUL)"
        return YamlError(Kind.BINARY_FILE, message, "name a YAML file", position)
    message = f"the character {code} is not allowed in YAML"
    return YamlError(Kind.CONTROL_CHARACTER, message, f'remove it, or write it in double quotes as "{code}"', position)


def _syntax_error(message: str, hint: str, line: int, column: int) -> YamlError:
    return YamlError(Kind.SYNTAX, f"this is not YAML: {message}", hint, Position("", line, column))


def _likely_cause(lines: Sequence[str], position: Position | None) -> YamlError | None:
    """A better explanation of a syntax error that the parser reports at ``position``, if the lines suggest one."""
    for number, line in enumerate(lines, 1):
        if re.match(_CONFLICT, line):
            hint = "resolve the conflict, and remove the lines with <<<<<<<, ======= and >>>>>>>"
            return _syntax_error("a merge conflict was left in the file", hint, number, 1)
    last = min(position.line, len(lines)) if position and position.line else len(lines)
    for number in range(max(1, last - 2), last + 1):
        line = lines[number - 1]
        if space := re.search(_ODD_SPACE, line):
            hint = "use ordinary spaces; editors and web pages insert others"
            return _syntax_error("a no-break space (U+00A0) is not a space in YAML", hint, number, space.start() + 1)
        if template := re.search(_TEMPLATE, line):
            hint = "refer to a secret with {env: NAME}, {file: path} or {command: [program, argument]}"
            return _syntax_error("this is a placeholder that nothing has filled in", hint, number, template.start() + 1)
        if address := re.search(_BRACKETED, line):
            hint = "quote the value; smtp_server takes an IPv6 address without brackets"
            return _syntax_error("a square bracket begins a list in YAML", hint, number, address.start(1) + 1)
    return _open_quote(lines[:last])


def _open_bracket(error: YAMLError, lines: Sequence[str]) -> YamlError | None:
    """The bracket of a mapping or list in one line, if the file ends before it is closed, or goes on in block form."""
    if not isinstance(error, MarkedYAMLError) or error.context_mark is None or error.problem_mark is None:
        return None
    opened, found = error.context_mark, error.problem_mark
    if opened.line == found.line:
        return None
    if found.line < len(lines):
        entry, indent = _BLOCK_ENTRY.match(lines[found.line]), _BLOCK_ENTRY.match(lines[opened.line])
        if not (entry and indent and len(entry["indent"]) <= len(indent["indent"])):
            return None
    for what, (bracket, closing) in _BRACKETS.items():
        if what in (error.context or ""):
            hint = f"close it with {closing} where it ends, and separate what is in it with commas"
            return _syntax_error(f"{bracket} is opened here and not closed", hint, opened.line + 1, opened.column + 1)
    return None


def _misplaced(lines: Sequence[str], position: Position | None) -> YamlError | None:
    """A missing space or a wrong indentation, in the line with the error or in the one before it."""
    number = position.line if position and position.line else 0
    if not 0 < number <= len(lines):
        return None
    before = next((one for one in range(number - 1, 0, -1) if lines[one - 1].strip()), 0)
    for one in filter(None, (before, number)):
        for what, pattern in (("dash", _NO_SPACE_AFTER_DASH), ("colon", _NO_SPACE_AFTER_COLON)):
            if found := pattern.match(lines[one - 1]):
                message = f"a {what} needs a space after it"
                return _syntax_error(message, f"put a space after the {what}", one, found.end() + 1)
    above, entry = (_ENTRY.match(lines[one - 1]) if one else None for one in (before, number))
    if above and entry and above["value"] and len(above["indent"]) < len(entry["indent"]):
        hint = "the keys of one account start in the same column; a string that goes on in a further line needs quotes"
        return _syntax_error("this is indented deeper than the key above it", hint, number, entry.end("indent") + 1)
    return None


def _open_quote(lines: Sequence[str]) -> YamlError | None:
    """The first quote that no later line plausibly closes: a quoted value may span several lines."""
    closing = None  # finds the end of the quoted value that is open
    for number, line in enumerate(lines, 1):
        if closing is None:
            if not (opened := re.fullmatch(_OPEN_QUOTE, line.rstrip())):
                continue
            opening = number, opened.start("quote") + 1
            closing = _CLOSING[opened["quote"]]
        elif closed := closing.match(line):
            if not _AFTER_QUOTE.match(line, closed.end()):
                break
            closing = None
    if closing is None:
        return None
    return _syntax_error("a quote is opened here and not closed", "close the quote on this line", *opening)
