"""Keeps secrets out of texts that others wrote: server errors, exception messages, log lines."""

from __future__ import annotations

import re
import threading
from collections import defaultdict
from typing import TYPE_CHECKING, Final

from reconciler.model.encodings import decodings, pattern_of

if TYPE_CHECKING:
    from collections.abc import Iterator

    from reconciler.model.secret import Secret

MASK: Final = "***"
_MASKS: Final = re.compile(r"(?:\*\*\*){2,}")
_SHORT: Final = 6
"""A shorter secret is masked only where it stands as a word: masking every ``p`` would leave no readable text."""

_LONG: Final = 200
_PIECE: Final = 100
"""A secret of more than ``_LONG`` characters, such as a key file, is masked in pieces: a server may repeat a part."""

_GRAM: Final = 4
_RUN: Final = re.compile(r"[0-9A-Za-z]+")

_QUOTED: Final = re.compile(
    r"""((?:passw|senha|secret|token|api_?key|authorization)\w*\\*["']?\s{0,3}[:=]\s{0,3}\\*["'])(?:[^"'\\]|\\(?!["']))+""",
    re.IGNORECASE,
)
_GIVEN: Final = re.compile(
    r"((?:(?:passw|senha|secret|token|api_?key)\w*=|\b(?:Bearer|Basic|AUTH (?:PLAIN|LOGIN)) +))[^\s&\"'<>*]{6,}",
    re.IGNORECASE,
)


def without_labelled(text: str) -> str:
    """``text`` without what it calls a password or a token itself: secrets that this run has never seen."""
    return _GIVEN.sub(rf"\1{MASK}", _QUOTED.sub(rf"\1{MASK}", text))


class Redactor:
    """Knows every secret of this run and masks it, plain or encoded, in free text.

    Our own reports are built from types that do not print secrets; this is for text of foreign origin. Thousands of
    secrets cost next to nothing until there is a text to be masked, and then a text costs what its own length does:
    each secret is filed under four of its letters and digits, which hardly any encoding changes, and looked at only
    where those occur.
    """

    def __init__(self) -> None:
        self._waiting: list[str] = []
        self._known: set[str] = set()
        self._filed: dict[str, list[tuple[str, str]]] = defaultdict(list)
        self._unfiled: list[str] = []
        self._patterns: dict[str, re.Pattern[str]] = {}
        self._lock = threading.Lock()

    def add(self, secret: Secret) -> None:
        """From now on ``secret`` is masked."""
        if value := secret.reveal():
            with self._lock:
                self._waiting.append(value)

    def redact(self, text: str) -> str:
        """``text`` with every known secret as ``***``, also where it is encoded.

        Known are the encodings of URLs, JSON, HTML, Python and, also within something longer, of base64 and
        hexadecimal digits; each also twice over, and of longer secrets also in other letter case.
        """
        with self._lock:
            self._file_waiting()
            if not self._known or not text:
                return text
            for start, end, encoded in reversed(list(decodings(text))):
                if any(len(secret) >= _SHORT and self._pattern(secret).search(encoded) for secret in self._in(encoded)):
                    text = text[:start] + MASK + text[end:]
            masked = text
            # The longest first, so that no part of one is left beside a mask.
            for secret in sorted(self._in(text), key=lambda each: (-len(each), each)):
                masked = self._pattern(secret).sub(MASK, masked)
            return _MASKS.sub(MASK, masked)

    def _file_waiting(self) -> None:
        for value in self._waiting:
            for piece in _pieces(value):
                if piece not in self._known:
                    self._known.add(piece)
                    self._file(piece)
        self._waiting.clear()

    def _file(self, secret: str) -> None:
        """Files under the four characters that file the fewest others: many passwords begin with the same word."""
        runs = _RUN.findall(secret.lower())
        grams = [run[start : start + _GRAM] for run in runs for start in range(len(run) - _GRAM + 1)]
        if grams:
            gram = min(grams, key=lambda gram: len(self._filed.get(gram, ())))
            self._filed[gram].append((secret, max(runs, key=len)))
        else:
            self._unfiled.append(secret)

    def _in(self, text: str) -> Iterator[str]:
        """The secrets that may be in ``text``."""
        yield from self._unfiled
        lowered = text.lower()
        present = {lowered[start : start + _GRAM] for start in range(len(lowered) - _GRAM + 1)}
        for gram in present & self._filed.keys():
            yield from (secret for secret, run in self._filed[gram] if run in lowered)

    def _pattern(self, secret: str) -> re.Pattern[str]:
        if secret not in self._patterns:
            written = pattern_of(secret)
            if len(secret) < _SHORT:
                written = rf"(?<!\w)(?:{written})(?!\w)"
            self._patterns[secret] = re.compile(written, re.IGNORECASE if len(secret) >= 2 * _GRAM else re.NOFLAG)
        return self._patterns[secret]


def _pieces(secret: str) -> Iterator[str]:
    if len(secret) <= _LONG:
        yield secret
        return
    last = len(secret) - len(secret) % _PIECE - _PIECE
    for start in range(0, last, _PIECE):
        yield secret[start : start + _PIECE]
    yield secret[last:]
