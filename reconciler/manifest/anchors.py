"""Anchors and aliases, with a bound on what the aliases of a file stand for."""

from __future__ import annotations

from typing import Final

_MOST_EXPANDED: Final = 5_000_000
_FREELY_EXPANDED: Final = 100_000


class Anchors:
    """The anchored values of one document. An alias stands for the value itself, not for a copy."""

    def __init__(self, text_size: int) -> None:
        """Takes the size of the text in bytes: a large file may expand to more than a small one."""
        self._values: dict[str, object] = {}
        self._sizes: dict[int, int] = {}
        self._sized: list[object] = []  # keeps alive what _sizes knows by its id
        self._left = min(_FREELY_EXPANDED + text_size, _MOST_EXPANDED)

    def open(self, name: str) -> None:
        """A container with this anchor begins; until it ends, the name stands for nothing."""
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
            OverflowError: All aliases together stand for too many values.
        """
        value = self._values[name]
        self._left -= self._sizes.get(id(value), 1)
        if self._left < 0:
            raise OverflowError
        return value

    def _size(self, value: object) -> int:
        """How many nodes a value has, with what its aliases stand for."""
        size, waiting = 0, [value]
        while waiting:
            node = waiting.pop()
            size += self._sizes.get(id(node), 1)
            if id(node) not in self._sizes and isinstance(node, dict | list):
                waiting.extend(node.values() if isinstance(node, dict) else node)
        return size
