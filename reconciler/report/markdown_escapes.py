"""Text in Markdown that stays text, whatever it contains.

GitHub and GitLab interpret more than Markdown: mentions, references to issues and commits, addresses, bare links. They
leave ``<code>`` alone, so everything that is not plainly a word goes there. Every character with a meaning in Markdown
or HTML becomes a character reference, which no table or inline rule treats as syntax.
"""

from __future__ import annotations

import re

from reconciler.model.display import display_sentence

_WORD = re.compile(r"\(?[^\W\d_]+(?:'[^\W\d_]+)?[).,;:!?]*")
_NUMBER = re.compile(r"\(?\d{1,6}%?[).,;]*|[–—→]")  # noqa: RUF001 - dashes are meant
"""Harmless, but not as the first word: ``1.`` begins a list."""

_HEXADECIMAL = re.compile(r"[0-9a-fA-F]{7,}\W*")
"""What GitHub and GitLab may link as a commit."""

_MEANINGFUL = re.compile(r"[!#$&*<>@\[\\\]_`|~]|(?<=[wW]{3})\.|:(?=//)")
_HARMLESS = re.compile(r"(?:[A-Za-z0-9 (),;]|(?<=[A-Za-z0-9])_(?=[A-Za-z0-9]))*")
"""Words and names of variables; an underscore inside a name has no meaning."""

_QUOTED = re.compile(r"`([^`]+)`")
"""What our own messages mark as code. Text from outside may contain the same marks; it only becomes code."""

_BREAK = "&#64;<wbr>"


def code_span(text: str) -> str:
    """Escaped text as code."""
    return f"<code>{_references(text)}</code>"


def escape_text(text: str) -> str:
    """A sentence that may contain text from outside; each word that may have a meaning becomes code."""
    pieces = _QUOTED.split(display_sentence(text.strip()))
    return "".join(code_span(piece) if place % 2 else _words(piece) for place, piece in enumerate(pieces))


def secret_words(text: str) -> str:
    """The description of a secret; its source is text from outside."""
    return text if _HARMLESS.fullmatch(text) else escape_text(text)


def _words(text: str) -> str:
    first, *others = text.split(" ")
    return " ".join((_word(first), *(word if _NUMBER.fullmatch(word) else _word(word) for word in others)))


def _word(word: str) -> str:
    if not word or (_WORD.fullmatch(word) and not _HEXADECIMAL.fullmatch(word)):
        return word
    opening = "(" if word.startswith("(") else ""
    core = word[len(opening) :].rstrip(",;)" if opening else ",;")
    return opening + (code_span(core) if core else "") + word[len(opening) + len(core) :]


def _references(text: str) -> str:
    # An address becomes a link even if its @ is a reference; an invisible line break opportunity prevents that.
    return _MEANINGFUL.sub(lambda found: f"&#{ord(found[0])};", text).replace("&#64;", _BREAK)
