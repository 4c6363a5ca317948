"""Issues: problems that have a path into the document, but no line yet."""

from __future__ import annotations

import re
from collections import Counter
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Final, TypeAlias

from reconciler.errors import Problem, file_order

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping

    from reconciler.manifest.files import Source

Path: TypeAlias = tuple[str | int, ...]
"""Keys and indexes that lead to a node of a document; empty for the document itself."""

MOST_SHOWN: Final = 100
_MOST_KEPT: Final = 1000
"""The most distinct issues that are kept. The first hundred by position are among them; others are only counted."""

_MOST_ALONE: Final = 3
"""Up to this many equal issues are reported one by one; if there are more, one lists this many other positions."""

_INDEX: Final = r"\[[0-9]+\]"


@dataclass(frozen=True, slots=True)
class NodeRef:
    """A node of a document: its value, or the key before it.

    Attributes:
        via: If the node is in a base, the node of the file that extends it.
    """

    source: Source
    path: Path
    key: bool = False
    via: NodeRef | None = field(default=None, compare=False)


@dataclass(frozen=True, slots=True, kw_only=True)
class Issue:
    """A problem with a node.

    Attributes:
        message: What is wrong. If there is an ``other`` node, its position is appended in brackets.
        other: The second of two nodes that conflict.
        other_name: What the message calls it.
        count: How often it occurs, if equal ones are grouped.
        also: The first few of their other nodes.
    """

    kind: str
    message: str
    node: NodeRef
    hint: str = ""
    other: NodeRef | None = None
    other_name: str = "the other"
    address: str | None = None
    count: int = 1
    also: tuple[NodeRef, ...] = ()


@dataclass(slots=True)
class _Group:
    issues: list[Issue]
    count: int


class IssueLog:
    """Collects issues in bounded memory.

    Attributes:
        uncounted: How many more there are, by kind.
    """

    def __init__(self, issues: Iterable[Issue] = ()) -> None:
        self._groups: dict[tuple[object, ...], _Group] = {}
        self.uncounted: Counter[str] = Counter()
        self.extend(issues)

    def extend(self, issues: Iterable[Issue]) -> None:
        """Adds issues. One that equals another, apart from its node, is counted with it.

        So is one about the same node of a base, whatever the files that extend it substitute there.
        """
        for issue in issues:
            key: tuple[object, ...] = (issue.kind, re.sub(_INDEX, "[]", issue.message), issue.hint)
            if issue.node.via is not None:
                key = (issue.kind, issue.node)
            group = self._groups.get(key)
            if group is not None:
                group.count += issue.count
                if len(group.issues) <= _MOST_ALONE:
                    group.issues.append(issue)
            elif len(self._groups) < _MOST_KEPT:
                self._groups[key] = _Group([issue], issue.count)
            else:
                self.uncounted[issue.kind] += issue.count

    def add_all(self, other: IssueLog) -> None:
        """Adds what another log has collected."""
        self.extend(other)
        self.uncounted.update(other.uncounted)

    def __iter__(self) -> Iterator[Issue]:
        """The distinct issues; an issue that represents others has their number."""
        for group in self._groups.values():
            first, *others = group.issues
            if first.node.via is not None:
                yield replace(first, count=group.count)
            elif group.count > _MOST_ALONE:
                yield replace(first, count=group.count, also=first.also or tuple(issue.node for issue in others))
            else:
                yield from group.issues

    def __len__(self) -> int:
        return len(self._groups) + len(self.uncounted)


def shortened(problems: Iterable[tuple[Problem, int]], uncounted: Mapping[str, int]) -> list[Problem]:
    """The first hundred problems by position, and a summary for each kind of the rest, with their number.

    Args:
        problems: Each with how often it occurs.
        uncounted: How many more there are, by kind.
    """
    ordered = sorted(problems, key=lambda counted: (*file_order(counted[0]), counted[0].message))
    rest = Counter(uncounted)
    for problem, count in ordered[MOST_SHOWN:]:
        rest[problem.kind] += count
    return [
        *(problem for problem, _ in ordered[:MOST_SHOWN]),
        *(
            Problem(kind=kind, message=f"{number} more of the kind {kind} {'is' if number == 1 else 'are'} not shown")
            for kind, number in sorted(rest.items())
        ),
    ]
