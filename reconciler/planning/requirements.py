"""What must have happened before what: the changes of a plan as nodes of a graph.

The left must have succeeded before the right::

promote the new default   <-  demote, or delete, the old one
free a name               <-  take it
free an address           <-  take it
"""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from reconciler.model.account import nfc
from reconciler.model.plan import Action

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence

    from reconciler.model.account import Account
    from reconciler.model.plan import Change


@dataclass(slots=True, eq=False)
class Gate:
    """The nodes that free a value which several others take: each of these waits for the gate, not for all of those.

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
        change: Index of the change.
        temporary: The name that this step gives instead of the final one.
        requires: The nodes that must have succeeded before.
        names: Those of ``requires`` that are there only because of a name.
        after: The nodes that go first, whatever becomes of them.
        gates: The gates whose nodes must have succeeded before.
    """

    change: int
    temporary: str | None = None
    requires: set[Node] = field(default_factory=set)
    names: set[Node] = field(default_factory=set)
    after: set[Node] = field(default_factory=set)
    gates: list[Gate] = field(default_factory=list)

    def open(self, temporary: str) -> Node:
        """Splits the node: it does everything but the name, which is a temporary one; the returned one sets the name.

        Nothing ever requires the returned node: what others wait for is done by the first one.
        """
        of_names = [gate for gate in self.gates if gate.of_name]
        final = Node(self.change, None, {self, *self.names}, set(self.names), gates=of_names)
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


def nodes_of(changes: Sequence[Change], *, empty: bool) -> list[Node]:
    """One node for each change, in their order, with its requirements.

    Args:
        changes: What is to be done.
        empty: Whether the server has no account yet; it may make the first one the default by itself.
    """
    nodes = [Node(index) for index in range(len(changes))]
    _require_default(nodes, changes, empty=empty)
    _require_freed(nodes, changes, lambda account: account.key, names=False)
    _require_freed(nodes, changes, lambda account: folded(account.name), names=True)
    return nodes


def gates_of(nodes: Iterable[Node]) -> list[Gate]:
    """The gates that the nodes wait for, each once."""
    return list({id(gate): gate for node in nodes for gate in node.gates}.values())


def folded(name: str | None) -> str:
    """A name as a strict server might compare it: more names are alike than are the same."""
    return nfc(nfc(name or "").strip().casefold())


def _require_default(nodes: Sequence[Node], changes: Sequence[Change], *, empty: bool) -> None:
    """The new default is promoted before the old one is demoted or deleted."""
    promoting, demoting, others = [], [], []
    for node, change in zip(nodes, changes, strict=True):
        was = change.before is not None and change.before.is_default
        will = change.after is not None and change.after.is_default
        if will and not was:
            promoting.append(node)
        elif was and not will:
            demoting.append(node)
        elif empty and change.action is Action.CREATE:
            others.append(node)
    for node in demoting:
        node.requires.update(promoting)
    for node in others:
        node.after.update(promoting)


def _require_freed(
    nodes: Sequence[Node], changes: Sequence[Change], value_of: Callable[[Account], str], *, names: bool
) -> None:
    """Whoever frees a value goes before whoever takes it. No value is nothing that could be free or taken."""
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
