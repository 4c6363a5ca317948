"""Masks secrets in text from outside: server errors, exception messages, log lines.

The text is decoded, then searched for all secrets in one pass: at each position, a few characters determine which
secrets may begin there. So the time depends on the length of the text, and hardly on the number of secrets.
"""

from __future__ import annotations

import re
import threading
from bisect import bisect_right
from collections import defaultdict
from typing import TYPE_CHECKING, Final

from reconciler.model.encodings import Span, encoded_texts, layers, plain_form

if TYPE_CHECKING:
    from reconciler.model.secret import Secret

MASK: Final = "***"
_MASKS: Final = r"(?:\*\*\*){2,}"
SHORTEST: Final = 6
"""A shorter secret is masked only if it is a word of its own: masking every ``p`` would make text unreadable."""

_CASELESS: Final = 8
"""From this length on, letter case is ignored."""

_ANCHOR: Final = 4
"""The number of characters that determine which secrets may begin at a position."""

_LONG: Final = 24
_BLOCK: Final = 8
_PART: Final = 20
"""In a secret of ``_LONG`` characters or more, such as a token or a key, a part of ``_PART`` is masked too."""

_MOST_POSITIONS: Final = 4
"""The most positions in long secrets that are kept for each block: a secret may repeat a single letter."""

_ENCODED_LENGTH: Final = 16
"""Roughly the most characters that encodings make of one."""

_MOST_HIDDEN: Final = 3
"""The depth of encodings within encodings, such as base64 of base64."""

_QUOTED: Final = (
    r"""(?i)((?:passw|senha|secret|token|api_?key|authorization)\w*\\*["']?\s{0,3}[:=]\s{0,3}\\*["'])"""
    r"""(?:[^"'\\]|\\(?!["']))+"""
)
_GIVEN: Final = (
    r"(?i)((?:(?:passw|senha|secret|token|api_?key)\w*=|\b(?:Bearer|Basic|AUTH (?:PLAIN|LOGIN)) +))"
    r"[^\s&\"'<>*]{6,}"
)


def without_labelled(text: str) -> str:
    """``text`` without the values that it labels as password or token: secrets that this run does not know."""
    return re.sub(_GIVEN, rf"\1{MASK}", re.sub(_QUOTED, rf"\1{MASK}", text))


class Redactor:
    """Knows the secrets of one run against one server, and masks them, plain or encoded, in free text.

    Our own reports consist of types that do not print secrets; this is for text from outside. Each secret is indexed
    once, when the first text is masked. Thread-safe.
    """

    def __init__(self) -> None:
        self._waiting: list[str] = []
        self._index = _Index()
        self._lock = threading.Lock()

    def add(self, *secrets: Secret) -> None:
        """Masks ``secrets`` from now on."""
        values = [value for secret in secrets if (value := secret.reveal())]
        with self._lock:
            self._waiting += values

    def redact(self, text: str, size: int | None = None) -> str:
        """``text`` with every secret replaced by ``***``, even if it is encoded.

        It recognises the escapes of URLs, JSON, HTML, Python and C, for any character; base64 and hexadecimal digits,
        also as part of something longer; each of them within another; and, for longer secrets, other letter case and a
        part of the secret.

        Args:
            text: Text from outside.
            size: How many of its characters are needed, which bounds the time. ``None`` for all.
        """
        with self._lock:
            for value in self._waiting:
                self._index.add(value)
            self._waiting.clear()
            # A secret that crosses the end must be read whole.
            searched = text if size is None else text[: size + _ENCODED_LENGTH * self._index.longest]
            return _masked(text[:size], self._index.spans(searched)) if self._index else text[:size]


class _Index:
    """Secrets by their first characters."""

    def __init__(self) -> None:
        self.longest = _LONG
        self._values: set[str] = set()
        self._exact: set[str] = set()
        self._lowered: dict[int, dict[str, set[int]]] = defaultdict(lambda: defaultdict(set))
        """For each length of an anchor, for each anchor: the lengths of the forms that begin with it."""
        self._forms: set[str] = set()
        self._long: list[str] = []
        self._blocks: dict[str, list[tuple[int, int]]] = defaultdict(list)

    def __bool__(self) -> bool:
        return bool(self._values)

    def add(self, value: str) -> None:
        """Indexes a secret, and each line of it: servers quote single lines of a key."""
        if value in self._values:
            return
        self._values.add(value)
        lines = [line.strip() for line in value.splitlines()] if "\n" in value else []
        for part in (value, *(line for line in lines if len(line) >= SHORTEST)):
            for form in _forms(part):
                self._add_form(form)

    def _add_form(self, form: str) -> None:
        lowered = _lowered(form)
        anchor = lowered[:_ANCHOR]
        self._exact.add(form)
        self._forms.add(lowered)
        self._lowered[len(anchor)][anchor].add(len(lowered))
        if len(lowered) >= _LONG:
            self.longest = max(self.longest, len(lowered))
            self._long.append(lowered)
            for start in range(0, len(lowered) - _BLOCK + 1, _BLOCK):
                positions = self._blocks[lowered[start : start + _BLOCK]]
                if len(positions) < _MOST_POSITIONS:
                    positions.append((len(self._long) - 1, start))

    def spans(self, text: str, depth: int = 0) -> list[Span]:
        """The parts of ``text`` that are secrets, or that encode text with secrets."""
        found: list[Span] = []
        for layer in layers(text):
            # A few letters may occur by chance in the bytes that ordinary words decode to.
            spans = [(start, end) for start, end in self._in_plain(layer.text) if depth == 0 or end - start >= _ANCHOR]
            if depth < _MOST_HIDDEN:
                spans += self._hidden(layer.text, depth)
            found += [layer.original(*span) for span in spans]
        return found

    def _hidden(self, text: str, depth: int) -> list[Span]:
        """The runs of base64 and hexadecimal digits that encode a secret."""
        positions, starts, texts, length = [], [], [], 0
        for position, hidden in encoded_texts(text):
            positions.append(position)
            starts.append(length)
            texts.append(hidden)
            length += len(hidden) + 1
        if not texts:
            return []
        # All of them are searched at once, as there may be thousands.
        joined = "\0".join(texts)
        return list({positions[bisect_right(starts, start) - 1] for start, _end in self.spans(joined, depth + 1)})

    def _in_plain(self, text: str) -> list[Span]:
        lowered = _lowered(text)
        found: list[Span] = []
        for size, anchors in self._lowered.items():
            starts = range(len(lowered) - size + 1)
            for start in [start for start in starts if lowered[start : start + size] in anchors]:
                lengths = anchors[lowered[start : start + size]]
                if length := self._longest_at(text, lowered, start, lengths):
                    found.append((start, start + length))
        return found + self._parts_in(lowered) if self._blocks else found

    def _longest_at(self, text: str, lowered: str, start: int, lengths: set[int]) -> int:
        """The length of the longest secret that begins at ``start``; 0 if there is none."""
        fitting = [
            length
            for length in lengths
            if start + length <= len(text)
            and lowered[start : start + length] in self._forms
            and self._counts(text, start, start + length)
        ]
        return max(fitting, default=0)

    def _counts(self, text: str, start: int, end: int) -> bool:
        """Whether a match counts: a short one must have the same letter case, and a very short one must be a word."""
        if end - start >= _CASELESS:
            return True
        if text[start:end] not in self._exact:
            return False
        return end - start >= SHORTEST or not (_is_word(text[start - 1 : start]) or _is_word(text[end : end + 1]))

    def _parts_in(self, lowered: str) -> list[Span]:
        """The spans that are parts of long secrets."""
        found: list[Span] = []
        done = 0
        blocks = self._blocks
        starts = range(len(lowered) - _BLOCK + 1)
        for start in [start for start in starts if lowered[start : start + _BLOCK] in blocks]:
            if start + _BLOCK > done:
                positions = blocks[lowered[start : start + _BLOCK]]
                parts = [_grown(lowered, start, self._long[number], position) for number, position in positions]
                first, last = max(parts, key=lambda part: part[1] - part[0])
                if last - first >= _PART:
                    found.append((first, last))
                    done = last
        return found


def _grown(text: str, start: int, secret: str, position: int) -> Span:
    """The part of ``text`` around ``start`` that matches ``secret`` around ``position``."""
    end, after = start + _BLOCK, position + _BLOCK
    while end < len(text) and after < len(secret) and text[end] == secret[after]:
        end, after = end + 1, after + 1
    while start and position and text[start - 1] == secret[position - 1]:
        start, position = start - 1, position - 1
    return start, end


def _forms(secret: str) -> set[str]:
    """The ways to write a secret without escapes."""
    forms = {secret}
    if not secret.isascii():
        raw = secret.encode("utf-8", "surrogatepass")
        # UTF-8 read as Latin-1, and Latin-1 read as UTF-8
        forms |= {raw.decode("latin-1"), "".join(char if char.isascii() else "\ufffd" for char in secret)}
    forms |= {plain for form in tuple(forms) if len(plain := plain_form(form)) >= _ANCHOR}
    return forms | {form.replace(" ", "+") for form in forms if " " in form.strip()}


def _lowered(text: str) -> str:
    """``text`` in lower case, character by character, so that all positions stay the same."""
    # The lower case of İ has another length; that of Σ depends on the next character.
    return text.replace("\u0130", "i").replace("\u03a3", "\u03c3").lower()


def _is_word(char: str) -> bool:
    return char.isalnum() or char == "_"


def _masked(text: str, spans: list[Span]) -> str:
    pieces, done = [], 0
    for start, end in sorted(spans):
        if done <= start < len(text):
            pieces += [text[done:start], MASK]
        done = max(done, end)
    return re.sub(_MASKS, MASK, "".join(pieces) + text[done:])
