"""Foreign text in Markdown, so that it stays text on GitHub and on GitLab.

Forges turn more than Markdown into something else: mentions, references to issues and commits, addresses, bare links.
They leave ``<code>`` alone, so every word that is not plainly a word goes there, with all that has a meaning in
Markdown or HTML as a character reference, which neither a table nor an inline rule takes for itself.
"""

from __future__ import annotations

import re

from reconciler.model.display import display_sentence

_WORD = re.compile(r"\(?[^\W\d_]+(?:'[^\W\d_]+)?[).,;:!?]*")
_NUMBER = re.compile(r"\(?\d{1,6}%?[).,;]*|[–—→]")  # noqa: RUF001 - dashes are meant
"""Harmless, but not in the first place: ``1.`` begins a list."""

_HEXADECIMAL = re.compile(r"[0-9a-fA-F]{7,}\W*")
"""What a forge may take for a commit."""

_MEANINGFUL = re.compile(r"[!#$&*<>@\[\\\]_`|~]|(?<=[wW]{3})\.|:(?=//)")
_HARMLESS = re.compile(r"(?:[A-Za-z0-9 (),;]|(?<=[A-Za-z0-9])_(?=[A-Za-z0-9]))*")
"""Words and names of variables; an underscore inside a name has no meaning."""

_QUOTED = re.compile(r"`([^`]+)`")
"""What our own sentences mark as code. Foreign text may do so too, and gets no more than that."""

_BREAK = "&#64;<wbr>"


def code(text: str) -> str:
    """Text that is safe to show already, as code."""
    return f"<code>{_references(text)}</code>"


def prose(text: str) -> str:
    """A sentence that may hold foreign words, each of which becomes code of its own."""
    pieces = _QUOTED.split(display_sentence(text.strip()))
    return "".join(code(piece) if place % 2 else _words(piece) for place, piece in enumerate(pieces))


def said(text: str) -> str:
    """What is said about a secret: a few words, and where it comes from, which is foreign."""
    return text if _HARMLESS.fullmatch(text) else prose(text)


def _words(text: str) -> str:
    first, *others = text.split(" ")
    return " ".join((_word(first), *(word if _NUMBER.fullmatch(word) else _word(word) for word in others)))


def _word(word: str) -> str:
    if not word or (_WORD.fullmatch(word) and not _HEXADECIMAL.fullmatch(word)):
        return word
    opening = "(" if word.startswith("(") else ""
    core = word[len(opening) :].rstrip(",;)" if opening else ",;")
    return opening + (code(core) if core else "") + word[len(opening) + len(core) :]


def _references(text: str) -> str:
    # An address is a link even as a reference; a place for a line break in it is not shown, and keeps it text.
    return _MEANINGFUL.sub(lambda found: f"&#{ord(found[0])};", text).replace("&#64;", _BREAK)
