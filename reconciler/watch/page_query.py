"""What a visitor asked the page of the fleet for: filters, a page of a long list, and whether it refreshes itself."""

from __future__ import annotations

import re
from dataclasses import dataclass, replace
from fnmatch import translate
from typing import TYPE_CHECKING, Final
from urllib.parse import urlencode

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from reconciler.watch.records import ServerRecord

_MOST_PAGES: Final = 100_000
_LONGEST: Final = 200
_MOST_VALUES: Final = 20


@dataclass(frozen=True, slots=True, kw_only=True)
class PageQuery:
    """The parameters of the page's address.

    Attributes:
        states: Only servers in one of these states; all if it is empty.
        labels: Only servers that have all these labels.
        name: Only servers with this in their name; with ``*``, ``?`` or ``[``, a pattern for the whole name.
        page: Counted from 1.
        refreshes: Whether the page refreshes itself.
    """

    states: tuple[str, ...] = ()
    labels: tuple[tuple[str, str], ...] = ()
    name: str = ""
    page: int = 1
    refreshes: bool = True

    @classmethod
    def parse(cls, parameters: Iterable[tuple[str, str]]) -> PageQuery:
        """Reads parameters. What has no meaning is left out."""
        given: dict[str, list[str]] = {"state": [], "label": [], "name": [], "page": [], "refresh": []}
        for key, value in parameters:
            if value and key in given and len(given[key]) < _MOST_VALUES:
                given[key].append(value[:_LONGEST])
        page = given["page"][0] if given["page"] else ""
        is_number = page.isascii() and page.isdecimal()
        labels = (text.partition("=") for text in given["label"])
        return cls(
            states=tuple(dict.fromkeys(given["state"])),
            labels=tuple(dict.fromkeys((key, value) for key, _, value in labels)),
            name=given["name"][0].strip() if given["name"] else "",
            page=min(max(int(page), 1), _MOST_PAGES) if is_number else 1,
            refreshes="0" not in given["refresh"],
        )

    def without_states(self) -> PageQuery:
        """The same for servers in any state, from the first page."""
        return replace(self, states=(), page=1)

    def in_state(self, state: str) -> PageQuery:
        """The same for servers in one state only, from the first page."""
        return replace(self, states=(state,), page=1)

    def with_label(self, key: str, value: str) -> PageQuery:
        """The same for servers with a label, in place of another value of it, from the first page."""
        others = tuple(label for label in self.labels if label[0] != key)
        return replace(self, labels=(*others, (key, value)), page=1)

    def without_label(self, key: str, value: str) -> PageQuery:
        """The same without a label, from the first page."""
        return replace(self, labels=tuple(label for label in self.labels if label != (key, value)), page=1)

    def without_name(self) -> PageQuery:
        """The same for servers of any name, from the first page."""
        return replace(self, name="", page=1)

    def at_page(self, number: int) -> PageQuery:
        """The same, from another page."""
        return replace(self, page=number)

    def with_refresh(self, *, refreshes: bool) -> PageQuery:
        """The same as a page that refreshes itself, or does not."""
        return replace(self, refreshes=refreshes)

    def path(self, base: str = "/") -> str:
        """The address."""
        pairs = [("state", state) for state in self.states]
        pairs += [("label", f"{key}={value}") for key, value in self.labels]
        pairs += [("name", self.name)] if self.name else []
        pairs += [("page", str(self.page))] if self.page > 1 else []
        pairs += [] if self.refreshes else [("refresh", "0")]
        return f"{base}?{urlencode(pairs, errors='surrogatepass')}" if pairs else base

    def select(self, servers: Iterable[ServerRecord]) -> list[ServerRecord]:
        """The servers with these labels and names, in any state."""
        pattern = _pattern(self.name)
        return [one for one in servers if _has_all(one.labels, self.labels) and pattern.search(one.name)]


def _has_all(known: Mapping[str, str], wanted: Sequence[tuple[str, str]]) -> bool:
    return all(known.get(key) == value for key, value in wanted)


def _pattern(name: str) -> re.Pattern[str]:
    is_pattern = any(char in name for char in "*?[")
    return re.compile(rf"\A{translate(name)}" if is_pattern else re.escape(name), re.IGNORECASE)
