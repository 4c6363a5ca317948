"""Variables: what ``${name}`` and the entries of ``vars`` stand for in the strings of a manifest."""

from __future__ import annotations

import re
from functools import lru_cache
from typing import TYPE_CHECKING, Any, Final

from reconciler.manifest.loader import REFERENCE_KEYS

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from reconciler.manifest.issues import Path

START: Final = "${"
NAME: Final = "name"
"""The variable that is always the server's name."""

LONGEST: Final = 16_384
"""Characters of a string after substitution. Without a limit, a small file could use up all memory."""

_TOKEN: Final = re.compile(r"\$\$\{|\$\{([A-Za-z_][A-Za-z0-9_-]*)\}|\$\{")
_SERVER_NAME: Final = re.compile(r"[A-Za-z0-9-]+")


def is_usable_name(name: object) -> bool:
    """Whether a server's name can be inserted anywhere: it cannot be a path, or more than one label of a host."""
    return isinstance(name, str) and _SERVER_NAME.fullmatch(name) is not None


def is_literal_secret(key: object, value: object) -> bool:
    """Whether an entry of a mapping is a literal secret. Nothing is ever substituted in one."""
    return key == "literal" or (key in REFERENCE_KEYS and isinstance(value, str))


@lru_cache(maxsize=4096)  # thousands of files have the same few
def _template(text: str) -> tuple[tuple[str, str | None], ...]:
    """The parts of a string: what stands before a variable, and its name; ``None`` after the last one."""
    parts: list[tuple[str, str | None]] = []
    before, end = "", 0
    for token in _TOKEN.finditer(text):
        before += text[end : token.start()]
        end = token.end()
        if token[0] == "$${":
            before += START
        else:
            parts.append((before, token[1] or ""))
            before = ""
    parts.append((before + text[end:], None))
    return tuple(parts)


def escaped(text: str) -> str:
    """A string in which nothing is substituted."""
    return text.replace(START, "$${")


class Substitution:
    """Substitutes variables."""

    __slots__ = ("_report", "_report_long", "values")

    def __init__(
        self,
        values: Mapping[str, str],
        report: Callable[[str, str, Path], str],
        report_long: Callable[[Path], None] = lambda _path: None,
    ) -> None:
        """Takes the values, and what reports problems.

        ``report`` is called with each other variable, its string and its path, and returns a value to insert;
        ``report_long`` with the path of a string that is too long to be substituted.
        """
        self.values = values
        self._report = report
        self._report_long = report_long

    def text(self, text: str, path: Path) -> str:
        """A string with its variables replaced."""
        found: list[str] = []
        for before, name in _template(text):
            found.append(before)
            if name is not None:
                value = self.values.get(name)
                found.append(self._report(name, text, path) if value is None else value)
        if sum(map(len, found)) > LONGEST:
            self._report_long(path)
            return found[0][:100] or "x"  # so that the checks can go on
        return "".join(found)

    def value(self, value: Any, path: Path) -> Any:  # noqa: ANN401 - it may be anything
        """A value in whose strings the variables are replaced. What has none is not copied."""
        kind = value.__class__
        if kind is str:
            return self.text(value, path) if START in value else value
        if kind is dict:
            return self._mapping(value, path)
        if kind is list:
            found = [self.value(item, (*path, index)) for index, item in enumerate(value)]
            return found if any(new is not item for new, item in zip(found, value, strict=True)) else value
        return value

    def _mapping(self, value: dict[str, Any], path: Path) -> dict[str, Any]:
        changed: dict[str, Any] | None = None
        for key, item in value.items():
            if item.__class__ is bool or item.__class__ is int or is_literal_secret(key, item):
                continue
            new = self.value(item, (*path, key))
            if new is not item:
                changed = dict(value) if changed is None else changed
                changed[key] = new
        return value if changed is None else changed
