"""Finds the circles in which changes wait for each other, one after the other, while they are being opened."""

from __future__ import annotations

from typing import TYPE_CHECKING

from reconciler.planning.requirements import Node, gates_of

if TYPE_CHECKING:
    from collections.abc import Sequence

    from reconciler.planning.requirements import Gate


class CycleFinder:
    """The circles of a graph.

    Nodes that wait for nothing are settled, and with them what waits only for them; what is left waits for a circle.
    When one has been opened, the walk goes on from where it was, so that many circles take linear time.
    """

    def __init__(self, nodes: Sequence[Node]) -> None:
        gates = gates_of(nodes)
        nodes_and_gates: list[Node | Gate] = [*gates, *nodes]
        self._waiting: dict[Node | Gate, int] = {gate: len(gate.requires) for gate in gates}
        self._waiting |= {node: len(node.requires) + len(node.gates) for node in nodes}
        self._waited_for: dict[Node | Gate, list[Node | Gate]] = {one: [] for one in nodes_and_gates}
        for gate in gates:
            for required in gate.requires:
                self._waited_for[required].append(gate)
        for node in nodes:
            firsts: list[Node | Gate] = [*node.requires, *node.gates]
            for first in firsts:
                self._waited_for[first].append(node)
        # What is settled never waits again, so that each gate is walked through once.
        self._members = {gate: iter(gate.requires) for gate in gates}
        self._first: dict[Gate, Node] = {}
        self._starts = iter(nodes)
        self._path: list[Node] = []
        self._place: dict[Node, int] = {}
        self._settle([node for node in nodes if not self._waiting[node]])

    def next(self) -> list[Node] | None:
        """Some nodes that require each other in a circle: each requires the next, the last the first."""
        while self._path and self._path[-1] not in self._waiting:
            self._back()
        if not self._path:
            start = next((node for node in self._starts if node in self._waiting), None)
            if start is None:
                return None
            self._forth(start)
        while True:
            last = self._path[-1]
            waited_for = [node for node in last.requires if node in self._waiting]
            waited_for += [self._first_of(gate) for gate in last.gates if gate in self._waiting]
            # By the index of the change, so that the same changes give the same order.
            step = min(waited_for, key=lambda node: node.change)
            if step in self._place:
                return self._path[self._place[step] :]
            self._forth(step)

    def opened(self, node: Node) -> None:
        """A node of the circle that was found last has lost some of its requirements."""
        while self._path[-1] is not node:
            self._back()
        self._waiting[node] = sum(first in self._waiting for first in (*node.requires, *node.gates))
        if not self._waiting[node]:
            self._settle([node])

    def _first_of(self, gate: Gate) -> Node:
        """The first node of a gate that is still waiting."""
        while (first := self._first.get(gate)) not in self._waiting:
            first = self._first[gate] = next(self._members[gate])
        assert first is not None  # noqa: S101 - as None is never waiting
        return first

    def _settle(self, settled: Sequence[Node]) -> None:
        ready: list[Node | Gate] = [*settled]
        while ready:
            one = ready.pop()
            del self._waiting[one]
            for other in self._waited_for[one]:
                # A node that has been opened does not wait for its names any more.
                if one in other.requires or (isinstance(other, Node) and one in other.gates):
                    self._waiting[other] -= 1
                    if not self._waiting[other]:
                        ready.append(other)

    def _forth(self, node: Node) -> None:
        self._place[node] = len(self._path)
        self._path.append(node)

    def _back(self) -> None:
        del self._place[self._path.pop()]
