"""Strings in which what is special to one server is written as ``${variable}``, so that servers can be compared.

A string that contains ``$`` itself is not changed, except that ``${`` becomes ``$${``, as in a manifest. Nor is one
that is too long to be shown whole. So putting the values back always gives the server's own string.
"""

from __future__ import annotations

import re
from itertools import zip_longest
from typing import TYPE_CHECKING, Any, Final
from urllib.parse import urlsplit

from reconciler.model.display import LONGEST, LONGEST_SENTENCE

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from reconciler.errors import Position
    from reconciler.model.server import Server

SHORTEST: Final = 3
"""Characters of a value; a shorter one occurs by chance."""

_SHORT_NAME: Final = r"[A-Za-z][0-9]"
"""A short name that is replaced nevertheless, as a whole word."""

_ID: Final = r" \(id \d+\)"
"""How messages show the id of an account, which is different on each server."""

_PLACEHOLDER: Final = r"\$\$\{|\$\{([^{}]+)\}"


class Template:
    """Writes strings of one server as all servers share them.

    Attributes:
        server: The server.
        values: The values that are special to the server, by the names of their variables.
    """

    __slots__ = ("_core", "_order", "server", "values")

    def __init__(self, server: Server) -> None:
        """Takes the manifests' variables, the server's name, and its URL and host, which occur in messages."""
        self.server = server
        known = {"name": server.name, **dict(sorted(server.variables.items()))}
        known = {**known, "host": urlsplit(server.url).hostname or "", "url": server.url, **known}
        by_value: dict[str, str] = {}
        for name, value in known.items():
            if (len(value) >= SHORTEST or (name == "name" and re.fullmatch(_SHORT_NAME, value))) and "$" not in value:
                by_value.setdefault(value, name)
        self.values: Mapping[str, str] = {name: value for value, name in by_value.items()}
        self._order = [(value, f"${{{by_value[value]}}}") for value in sorted(by_value, key=len, reverse=True)]
        shortest = min(by_value, key=len, default="")
        # Usually the name is in every value; most strings are without it.
        self._core = shortest if all(shortest in value for value in by_value) else ""

    def write(self, text: str, longest: int = LONGEST) -> str:
        """A string with variables."""
        if "$" in text or len(text) > longest:
            return text.replace("${", "$${")
        return _write(text, self._order, 0) if self._core in text else text

    def position(self, position: Position) -> Position:
        """A position whose file is written with variables."""
        return position._replace(file=self.write(position.file, LONGEST_SENTENCE))


class Writer:
    """Writes the strings of one server as its group shows them.

    Attributes:
        keeps_ids: Whether ids are shown.
        keeps_position: Whether the position of a declaration is shown.
    """

    __slots__ = ("_shared", "_template", "keeps_ids", "keeps_position")

    def __init__(
        self,
        template: Template | None,
        shared: Mapping[str, str] | None = None,
        *,
        keeps_ids: bool = False,
        keeps_position: bool = False,
    ) -> None:
        """Takes the server's template, ``None`` to change nothing, and the variables that are not needed."""
        self.keeps_ids = keeps_ids
        self.keeps_position = keeps_position
        self._template = template
        self._shared = shared

    def value(self, value: Any, longest: int = LONGEST) -> Any:  # noqa: ANN401 - a string stays one, and all else as it is
        """A value, or an address."""
        if self._template is None or not isinstance(value, str):
            return value
        written = self._template.write(value, longest)
        return fill(written, self._shared) if self._shared else written

    def sentence(self, text: str, position: Position | None = None) -> str:
        """A sentence that may contain ids, and a position.

        What is before and after them is written by itself, so that it is the same with them and without.
        """
        if self._template is None:
            return text
        if "$" in text or len(text) > LONGEST_SENTENCE:
            return self._template.write(text, 0)
        parts = text.split(f" ({position})") if position else [text]
        kept = self.position(position)
        return (f" ({kept})" if kept else "").join(map(self._without_ids, parts))

    def position(self, position: Position | None) -> Position | None:
        """A position, if it is shown."""
        if position is None or not self.keeps_position:
            return None
        return position._replace(file=self.value(position.file, LONGEST_SENTENCE))

    def _without_ids(self, text: str) -> str:
        parts: list[str] = [self.value(part, LONGEST_SENTENCE) for part in re.split(_ID, text)]
        ids = ids_in(text) if self.keeps_ids else ()
        return "".join(part + found for part, found in zip_longest(parts, ids, fillvalue=""))


def ids_in(text: str) -> tuple[str, ...]:
    """The ids in a sentence."""
    return tuple(re.findall(_ID, text)) if " (id " in text else ()


def _write(text: str, order: Sequence[tuple[str, str]], start: int) -> str:
    """The longest values first, and never within a variable that was written before."""
    for index in range(start, len(order)):
        value, variable = order[index]
        if value in text:
            parts = text.split(value) if len(value) >= SHORTEST else _split_at_word(text, value)
            return variable.join(_write(part, order, index + 1) for part in parts)
    return text


def _split_at_word(text: str, word: str) -> Sequence[str]:
    return re.split(rf"(?<![A-Za-z0-9]){re.escape(word)}(?![A-Za-z0-9])", text)


def fill(text: str, values: Mapping[str, str]) -> str:
    """Puts the values of some variables back. An escaped ``$${`` stays escaped."""
    if not values or "${" not in text:
        return text
    return re.sub(_PLACEHOLDER, lambda found: values.get(found[1], found[0]) if found[1] else found[0], text)


def shared_values(templates: Iterable[Template]) -> Mapping[str, str]:
    """The variables that have the same value on several servers."""
    first, *others = templates
    shared = first.values
    for other in others:
        if not shared:
            break
        shared = {name: value for name, value in shared.items() if other.values.get(name) == value}
    return shared
