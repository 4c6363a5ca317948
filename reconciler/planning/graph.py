"""What must happen before what in a plan: a graph of its steps, and the cycles in it.

The left must succeed before the right::

    promote the new default   <-  demote, or delete, the former one
    free a name               <-  take it
    free an address           <-  take it
"""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, TypeAlias

from reconciler.model.account import name_key
from reconciler.model.plan import Action

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterable, Sequence

    from reconciler.model.account import Account
    from reconciler.model.plan import Change


@dataclass(slots=True, eq=False)
class Gate:
    """The nodes that free a value that several others take. The others wait for the gate, which keeps edges few.

    Attributes:
        requires: The nodes that free the value, by the index of their change.
        of_name: Whether the value is a name.
    """

    requires: dict[Node, None]
    of_name: bool


@dataclass(slots=True, eq=False)
class Node:
    """A step under construction.

    Attributes:
        index: Index of the change.
        temporary: The name that this step gives instead of the final one.
        requires: The nodes that must succeed first.
        names: Those of ``requires`` that are there only because of a name.
        after: The nodes that go first, whether they succeed or not.
        gates: The gates whose nodes must succeed first.
    """

    index: int
    temporary: str | None = None
    requires: set[Node] = field(default_factory=set)
    names: set[Node] = field(default_factory=set)
    after: set[Node] = field(default_factory=set)
    gates: list[Gate] = field(default_factory=list)

    def split(self, temporary: str) -> Node:
        """Makes this node do everything but set the name, which is temporary; returns the node that sets the name.

        No node requires the returned one: this node does everything that others wait for.
        """
        of_names = [gate for gate in self.gates if gate.of_name]
        final = Node(self.index, None, {self, *self.names}, set(self.names), gates=of_names)
        self.temporary = temporary
        self.requires -= self.names
        self.names = set()
        self.gates = [gate for gate in self.gates if not gate.of_name]
        return final

    def requires_for_name(self, other: Node) -> bool:
        """Whether this node waits for another one only because of a name."""
        if other in self.requires:
            return other in self.names
        gates = [gate for gate in self.gates if other in gate.requires]
        return bool(gates) and all(gate.of_name for gate in gates)


Vertex: TypeAlias = Node | Gate


def build_graph(changes: Sequence[Change], *, server_is_empty: bool) -> list[Node]:
    """One node for each change, in their order. An empty server may make its first account the default by itself."""
    nodes = [Node(index) for index in range(len(changes))]
    promoting, demoting, creating = [], [], []
    for node, change in zip(nodes, changes, strict=True):
        if change.promotes:
            promoting.append(node)
        elif change.demotes:
            demoting.append(node)
        elif server_is_empty and change.action is Action.CREATE:
            creating.append(node)
    for node in demoting:
        node.requires.update(promoting)
    for node in creating:
        node.after.update(promoting)
    _require_freed(nodes, changes, lambda account: account.key, names=False)
    _require_freed(nodes, changes, lambda account: name_key(account.name), names=True)
    return nodes


def _require_freed(
    nodes: Sequence[Node], changes: Sequence[Change], value_of: Callable[[Account], str], *, names: bool
) -> None:
    """Makes the nodes that take a value wait for those that free it; an empty value is neither taken nor freed."""
    freeing: defaultdict[str, list[Node]] = defaultdict(list)
    taking: defaultdict[str, list[Node]] = defaultdict(list)
    for node, change in zip(nodes, changes, strict=True):
        before = value_of(change.before) if change.before else ""
        after = value_of(change.after) if change.after else ""
        if before != after:
            if before:
                freeing[before].append(node)
            if after:
                taking[after].append(node)
    for value, takers in taking.items():
        holders = freeing.get(value, [])
        _let_wait(takers, holders, names=names)


def _let_wait(takers: Sequence[Node], holders: Sequence[Node], *, names: bool) -> None:
    if len(takers) > 1 and len(holders) > 1:
        gate = Gate(dict.fromkeys(holders), names)
        for node in takers:
            node.gates.append(gate)
        return
    for node in takers:
        if names:
            node.names.update(holder for holder in holders if holder not in node.requires)
        node.requires.update(holders)


def gates_of(nodes: Iterable[Node]) -> list[Gate]:
    """The gates that the nodes wait for, each once."""
    return list({id(gate): gate for node in nodes for gate in node.gates}.values())


class CycleFinder:
    """Finds the cycles of a graph one by one, while the caller breaks them.

    Nodes that wait for nothing are settled, and so are those that wait only for settled ones; the rest wait for a
    cycle. After one is broken, the walk continues from where it was, so that many cycles take linear time. graphlib
    would pass over the whole graph for each.
    """

    def __init__(self, nodes: Sequence[Node]) -> None:
        gates = gates_of(nodes)
        first: dict[Vertex, Collection[Vertex]] = {gate: gate.requires for gate in gates}
        first |= {node: [*node.requires, *node.gates] for node in nodes}
        self._waiting = {vertex: len(required) for vertex, required in first.items()}
        self._dependents: dict[Vertex, list[Vertex]] = {vertex: [] for vertex in first}
        for vertex, required in first.items():
            for other in required:
                self._dependents[other].append(vertex)
        # A settled node never waits again, so each gate is walked through once.
        self._members = {gate: iter(gate.requires) for gate in gates}
        self._first_waiting: dict[Gate, Node] = {}
        self._starts = iter(nodes)
        self._path: list[Node] = []
        self._position: dict[Node, int] = {}
        self._settle([node for node in nodes if not self._waiting[node]])

    def next_cycle(self) -> list[Node] | None:
        """A cycle of nodes: each requires the next, and the last the first. ``None`` if there is none left."""
        while self._path and self._path[-1] not in self._waiting:
            self._step_back()
        if not self._path:
            start = next((node for node in self._starts if node in self._waiting), None)
            if start is None:
                return None
            self._step_to(start)
        while True:
            last = self._path[-1]
            required = [node for node in last.requires if node in self._waiting]
            required += [self._member_of(gate) for gate in last.gates if gate in self._waiting]
            # By the index of the change, so that the same changes give the same order.
            following = min(required, key=lambda node: node.index)
            if following in self._position:
                return self._path[self._position[following] :]
            self._step_to(following)

    def mark_broken(self, node: Node) -> None:
        """Notes that a node of the last cycle has lost some of its requirements."""
        while self._path[-1] is not node:
            self._step_back()
        self._waiting[node] = sum(first in self._waiting for first in (*node.requires, *node.gates))
        if not self._waiting[node]:
            self._settle([node])

    def _member_of(self, gate: Gate) -> Node:
        """The first node of a gate that is still waiting."""
        while (first := self._first_waiting.get(gate)) not in self._waiting:
            first = self._first_waiting[gate] = next(self._members[gate])
        assert first is not None  # noqa: S101 - None is never waiting
        return first

    def _settle(self, settled: Sequence[Vertex]) -> None:
        ready = [*settled]
        while ready:
            vertex = ready.pop()
            del self._waiting[vertex]
            for other in self._dependents[vertex]:
                # A node that was split no longer waits for its names.
                if vertex in other.requires or (isinstance(other, Node) and vertex in other.gates):
                    self._waiting[other] -= 1
                    if not self._waiting[other]:
                        ready.append(other)

    def _step_to(self, node: Node) -> None:
        self._position[node] = len(self._path)
        self._path.append(node)

    def _step_back(self) -> None:
        del self._position[self._path.pop()]
