"""Anchors and aliases of YAML, with a bound on how many values the aliases of a document expand to."""

from __future__ import annotations

from typing import Final

_MOST_EXPANDED: Final = 5_000_000
_FREELY_EXPANDED: Final = 100_000
"""Values that the aliases of even the smallest file may expand to."""


class Anchors:
    """The anchored values of one document. An alias yields the value itself, not a copy."""

    def __init__(self, text_size: int) -> None:
        """Takes the size of the file in bytes: a large file may expand to more than a small one."""
        self._values: dict[str, object] = {}
        self._sizes: dict[int, int] = {}
        self._sized: list[object] = []  # keeps the values alive whose ids are keys of _sizes
        self._left = min(_FREELY_EXPANDED + text_size, _MOST_EXPANDED)

    def open(self, name: str) -> None:
        """A container with this anchor begins; until it ends, the name is undefined."""
        self._values.pop(name, None)

    def set(self, name: str, value: object) -> None:
        """A value with this anchor is complete."""
        self._values[name] = value
        if isinstance(value, dict | list):
            self._sizes[id(value)] = self._size(value)
            self._sized.append(value)

    def __contains__(self, name: object) -> bool:
        return name in self._values

    def expand(self, name: str) -> object:
        """The value of an alias.

        Raises:
            OverflowError: All aliases together expand to too many values.
        """
        value = self._values[name]
        self._left -= self._sizes.get(id(value), 1)
        if self._left < 0:
            raise OverflowError
        return value

    def _size(self, value: object) -> int:
        """How many nodes a value has, with its aliases expanded."""
        size, waiting = 0, [value]
        while waiting:
            node = waiting.pop()
            size += self._sizes.get(id(node), 1)
            if id(node) not in self._sizes and isinstance(node, dict | list):
                waiting.extend(node.values() if isinstance(node, dict) else node)
        return size
