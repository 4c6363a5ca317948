"""Keeps reports short however much is wrong: equal problems once, a hundred in full, the rest as numbers."""

from __future__ import annotations

import re
from collections import Counter
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Final

from reconciler.errors import Problem, file_order

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping

    from reconciler.manifest.issues import Issue

MOST_SHOWN: Final = 100
_MOST_KEPT: Final = 1000
"""Different issues that are kept, so that the first hundred by place are among them; the others are only counted."""

_MOST_ALONE: Final = 3
"""Up to so many equal issues are reported one by one; of more, so many places are named besides the first."""

_INDEX: Final = re.compile(r"\[[0-9]+\]")


@dataclass(slots=True)
class _Group:
    issues: list[Issue]
    count: int


class IssueLog:
    """Collects issues in bounded memory."""

    def __init__(self, issues: Iterable[Issue] = ()) -> None:
        self._groups: dict[tuple[str, str, str], _Group] = {}
        self.uncounted: Counter[str] = Counter()
        self.extend(issues)

    def extend(self, issues: Iterable[Issue]) -> None:
        """Adds issues."""
        for issue in issues:
            self.append(issue)

    def append(self, issue: Issue) -> None:
        """Adds an issue; one that equals another, apart from its place, is counted with it."""
        key = (issue.kind, _INDEX.sub("[]", issue.message), issue.hint)
        group = self._groups.get(key)
        if group is not None:
            group.count += issue.count
            if len(group.issues) <= _MOST_ALONE:
                group.issues.append(issue)
        elif len(self._groups) < _MOST_KEPT:
            self._groups[key] = _Group([issue], issue.count)
        else:
            self.uncounted[issue.kind] += issue.count

    def count_more(self, kind: str, number: int = 1) -> None:
        """Adds issues of which nothing but the kind is known."""
        self.uncounted[kind] += number

    def add_all(self, other: IssueLog) -> None:
        """Adds what another log has collected."""
        self.extend(other)
        self.uncounted.update(other.uncounted)

    def __iter__(self) -> Iterator[Issue]:
        """The different issues; one that stands for others knows how many."""
        for group in self._groups.values():
            first, *others = group.issues
            if group.count > _MOST_ALONE:
                yield replace(first, count=group.count, also=first.also or tuple(one.spot for one in others))
            else:
                yield from group.issues

    def __len__(self) -> int:
        return len(self._groups) + len(self.uncounted)


def shortened(problems: Iterable[tuple[Problem, int]], uncounted: Mapping[str, int]) -> list[Problem]:
    """The first hundred problems by place, and one more for each kind of the rest, with their number.

    Args:
        problems: Each with how often it occurs.
        uncounted: How many more there are, by kind.
    """
    by_place = sorted(problems, key=lambda one: place_key(one[0]))
    rest = Counter(uncounted)
    for problem, count in by_place[MOST_SHOWN:]:
        rest[problem.kind] += count
    return [
        *(problem for problem, _ in by_place[:MOST_SHOWN]),
        *(
            Problem(kind=kind, message=f"{number} more of the kind {kind} are not shown")
            for kind, number in sorted(rest.items())
        ),
    ]


def place_key(problem: Problem) -> tuple[str, int, int, str]:
    """Sorts problems by file, line and column."""
    return (*file_order(problem), problem.message)
