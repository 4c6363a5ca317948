"""In which order the changes of a plan are written.

A step requires those that must have succeeded before it:

    promote the new default   <-  demote, or delete, the old one
    free a name               <-  take it
    free an address           <-  take it

Deletes that nothing waits for come last. A circle that goes through a name is opened by giving one account a temporary
name first; its change is then two steps. A circle of addresses cannot be opened safely and is an error.
"""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass, field
from heapq import heapify, heappop, heappush
from typing import TYPE_CHECKING

from reconciler.errors import Problem
from reconciler.model.change import Action, Change, Step

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterable, Sequence


@dataclass(frozen=True, slots=True)
class Order:
    """The steps of a plan, each after those it requires.

    Attributes:
        temporary_names: By index of the change, the name it goes through.
        errors: Circles that cannot be opened; then ``steps`` is empty.
    """

    steps: tuple[Step, ...]
    temporary_names: dict[int, str]
    errors: tuple[Problem, ...] = ()


def order(changes: Sequence[Change], names: Collection[str]) -> Order:
    """Orders changes into steps.

    Args:
        changes: What is to be done, sorted; the order of steps that do not depend on each other follows it.
        names: Every account name in use on the server, so that a temporary one is not among them.
    """
    graph = _Graph(changes)
    used = {*map(_fold, names), *(_fold(change.after.name) for change in changes if change.after)}
    while circle := graph.circle():
        taker = graph.name_taker(circle)
        if taker is None:
            return Order((), {}, (_circle_error([changes[node.change] for node in circle]),))
        graph.open(taker, _temporary_name(changes[taker.change], used))
    return Order(graph.steps(), graph.temporary_names)


@dataclass(slots=True, eq=False)
class _Node:
    """A step under construction. ``names`` are the requirements that exist only because of a name."""

    change: int
    temporary: str | None = None
    requires: set[_Node] = field(default_factory=set)
    names: set[_Node] = field(default_factory=set)


class _Graph:
    def __init__(self, changes: Sequence[Change]) -> None:
        self.changes = changes
        self.temporary_names: dict[int, str] = {}
        self.nodes = [_Node(index) for index in range(len(changes))]
        self._require_default()
        self._require_freed(lambda account: account.key, names=False)
        self._require_freed(lambda account: _fold(account.name), names=True)

    def _require_default(self) -> None:
        """The new default is promoted before the old one is demoted or deleted."""
        promoting, demoting = [], []
        for node, change in zip(self.nodes, self.changes, strict=True):
            was = change.before is not None and change.before.is_default
            will = change.after is not None and change.after.is_default
            if will and not was:
                promoting.append(node)
            elif was and not will:
                demoting.append(node)
        for node in demoting:
            node.requires.update(promoting)

    def _require_freed(self, value_of: Callable[..., str], *, names: bool) -> None:
        """Whoever frees a value goes before whoever takes it."""
        freeing: defaultdict[str, list[_Node]] = defaultdict(list)
        taking: list[tuple[str, _Node]] = []
        for node, change in zip(self.nodes, self.changes, strict=True):
            before = value_of(change.before) if change.before else None
            after = value_of(change.after) if change.after else None
            if before != after:
                if before is not None:
                    freeing[before].append(node)
                if after is not None:
                    taking.append((after, node))
        for value, node in taking:
            holders = freeing.get(value, ())
            if names:
                node.names.update(holder for holder in holders if holder not in node.requires)
            node.requires.update(holders)

    def circle(self) -> list[_Node] | None:
        """Some nodes that require each other in a circle: each requires the next, the last the first."""
        waiting = {node: len(node.requires) for node in self.nodes}
        ready = [node for node, count in waiting.items() if not count]
        waited_for = self._waited_for()
        while ready:
            node = ready.pop()
            del waiting[node]
            for other in waited_for[node]:
                waiting[other] -= 1
                if not waiting[other]:
                    ready.append(other)
        if not waiting:
            return None
        path = [next(iter(waiting))]
        while (step := self._first(node for node in path[-1].requires if node in waiting)) not in path:
            path.append(step)
        return path[path.index(step) :]

    def name_taker(self, circle: Sequence[_Node]) -> _Node | None:
        """A node of the circle that requires the next one only because of a name."""
        following = [*circle[1:], circle[0]]
        takers = [node for node, required in zip(circle, following, strict=True) if required in node.names]
        return self._first(takers) if takers else None

    def open(self, node: _Node, temporary: str) -> None:
        """Splits a node: first everything but the name, which is a temporary one; then the name."""
        self.temporary_names[node.change] = temporary
        final = _Node(node.change, None, {node, *node.names}, set(node.names))
        node.temporary = temporary
        node.requires -= node.names
        node.names = set()
        self.nodes.append(final)

    def steps(self) -> tuple[Step, ...]:
        """The nodes as steps; those that could run at the same time are in the order of their changes."""
        needed = {required for node in self.nodes for required in node.requires}
        last = {node for node in self.nodes if self.changes[node.change].action is Action.DELETE and node not in needed}
        waiting = {node: len(node.requires) for node in self.nodes}
        waited_for = self._waited_for()
        key = {node: (node in last, node.change, place) for place, node in enumerate(self.nodes)}
        ready = [(key[node], node) for node, count in waiting.items() if not count]
        heapify(ready)
        position: dict[_Node, int] = {}
        while ready:
            _, node = heappop(ready)
            position[node] = len(position)
            for other in waited_for[node]:
                waiting[other] -= 1
                if not waiting[other]:
                    heappush(ready, (key[other], other))
        return tuple(
            Step(
                node.change,
                {} if node.temporary is None else {"name": node.temporary},
                frozenset(position[required] for required in node.requires),
                node in last,
            )
            for node in position
        )

    def _waited_for(self) -> dict[_Node, list[_Node]]:
        waited_for: dict[_Node, list[_Node]] = {node: [] for node in self.nodes}
        for node in self.nodes:
            for required in node.requires:
                waited_for[required].append(node)
        return waited_for

    @staticmethod
    def _first(nodes: Iterable[_Node]) -> _Node:
        return min(nodes, key=lambda node: node.change)


def _temporary_name(change: Change, used: set[str]) -> str:
    name = (change.after.name if change.after else None) or ""
    candidate, count = f"{name} (moving)", 1
    while _fold(candidate) in used:
        count += 1
        candidate = f"{name} (moving {count})"
    used.add(_fold(candidate))
    return candidate


def _fold(name: str | None) -> str:
    """A name as a strict server might compare it."""
    return (name or "").strip().casefold()


def _circle_error(circle: Sequence[Change]) -> Problem:
    members = " → ".join(change.address for change in (*circle, circle[0]))
    return Problem(
        kind="order_circle",
        message=f"these accounts take each other's addresses, so that none can go first: {members}",
        hint="move one of them to a free address in an apply of its own",
        address=circle[0].address,
    )
