"""Finds the circles in which changes wait for each other, one after the other, while they are being opened."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence

    from reconciler.plan.requirements import Node


class Circles:
    """The circles of a graph.

    Nodes that wait for nothing are settled, and with them what waits only for them; what is left waits for a circle.
    When one has been opened, the walk goes on from where it was, so that many circles take linear time.
    """

    def __init__(self, nodes: Sequence[Node]) -> None:
        self._waiting = {node: len(node.requires) for node in nodes}
        self._waited_for: dict[Node, list[Node]] = {node: [] for node in nodes}
        for node in nodes:
            for required in node.requires:
                self._waited_for[required].append(node)
        self._starts = iter(nodes)
        self._path: list[Node] = []
        self._place: dict[Node, int] = {}
        self._settle([node for node in nodes if not node.requires])

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
            waited_for = (node for node in self._path[-1].requires if node in self._waiting)
            # By the index of the change, so that the same changes give the same order.
            step = min(waited_for, key=lambda node: node.change)
            if step in self._place:
                return self._path[self._place[step] :]
            self._forth(step)

    def opened(self, node: Node) -> None:
        """A node of the circle that was found last has lost some of its requirements."""
        while self._path[-1] is not node:
            self._back()
        self._waiting[node] = sum(required in self._waiting for required in node.requires)
        if not self._waiting[node]:
            self._settle([node])

    def _settle(self, ready: list[Node]) -> None:
        while ready:
            node = ready.pop()
            del self._waiting[node]
            for other in self._waited_for[node]:
                if node in other.requires:
                    self._waiting[other] -= 1
                    if not self._waiting[other]:
                        ready.append(other)

    def _forth(self, node: Node) -> None:
        self._place[node] = len(self._path)
        self._path.append(node)

    def _back(self) -> None:
        del self._place[self._path.pop()]
