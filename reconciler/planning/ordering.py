"""The order in which the changes of a plan are written.

A step comes after those that it requires. A cycle that goes through a name is broken by giving one account a temporary
name first; its change is then two steps. A cycle of addresses cannot be broken safely and is an error. Deletes that
nothing waits for come last.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from graphlib import TopologicalSorter
from heapq import heappop, heappush
from typing import TYPE_CHECKING

from reconciler.errors import Kind, Problem
from reconciler.model.account import name_key
from reconciler.model.plan import Action, Change, Step
from reconciler.planning.graph import CycleFinder, Node, build_graph, gates_of

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator, Mapping, Sequence

    from reconciler.planning.graph import Vertex


@dataclass(frozen=True, slots=True)
class Order:
    """The steps of a plan, each after those that it requires.

    Attributes:
        changes: The changes; those that go through a temporary name have a note about it.
        errors: A cycle that cannot be broken; then ``steps`` is empty.
    """

    changes: tuple[Change, ...]
    steps: tuple[Step, ...]
    errors: tuple[Problem, ...] = ()


def order(changes: Sequence[Change], names: Collection[str]) -> Order:
    """Orders changes into steps.

    Args:
        changes: Sorted; steps that do not depend on each other keep this order.
        names: The names of all accounts on the server, one each; a temporary name is never one of them.
    """
    nodes = build_graph(changes, server_is_empty=not names)
    used: set[str] = set()
    changes = list(changes)
    final_nodes: list[Node] = []
    cycles = CycleFinder(nodes)
    while cycle := cycles.next_cycle():
        taker = _name_taker(cycle)
        if taker is None:
            return Order(tuple(changes), (), (_cycle_error([changes[node.index] for node in cycle]),))
        change = changes[taker.index]
        used = used or {*map(name_key, names), *(name_key(change.after.name) for change in changes if change.after)}
        name = _temporary_name(change, used)
        note = f"goes through the temporary name {name!r}, because accounts exchange names"
        changes[taker.index] = replace(change, notes=(*change.notes, note))
        final_nodes.append(taker.split(name))
        cycles.mark_broken(taker)
    return Order(tuple(changes), _steps([*nodes, *final_nodes], changes))


def _name_taker(cycle: Sequence[Node]) -> Node | None:
    """The first node of the cycle that requires the next one only because of a name."""
    following = [*cycle[1:], cycle[0]]
    takers = [node for node, required in zip(cycle, following, strict=True) if node.requires_for_name(required)]
    return min(takers, key=lambda node: node.index, default=None)


def _steps(nodes: Sequence[Node], changes: Sequence[Change]) -> tuple[Step, ...]:
    gates = gates_of(nodes)
    needed = {required for node in nodes for required in node.requires}
    needed.update(*(gate.requires for gate in gates))
    last = {node for node in nodes if changes[node.index].action is Action.DELETE and node not in needed}
    key: dict[Vertex, tuple[bool, int, int]] = {gate: (False, -1, place) for place, gate in enumerate(gates)}
    key |= {node: (node in last, node.index, place) for place, node in enumerate(nodes)}
    ordered = [vertex for vertex in _sorted(key) if isinstance(vertex, Node)]
    position = {node: place for place, node in enumerate(ordered)}
    shared = {gate: frozenset(position[node] for node in gate.requires) for gate in gates}
    return tuple(
        Step(
            change=changes[node.index],
            fields={} if node.temporary is None else {"name": node.temporary},
            requires=frozenset(position[required] for required in node.requires),
            last=node in last,
            after=frozenset(position[earlier] for earlier in node.after),
            shared=tuple(shared[gate] for gate in node.gates),
        )
        for node in ordered
    )


def _sorted(key: Mapping[Vertex, tuple[bool, int, int]]) -> Iterator[Vertex]:
    """The vertices, each after those that go first; otherwise by their keys."""
    sorter: TopologicalSorter[Vertex] = TopologicalSorter()
    for vertex in key:
        others: tuple[Vertex, ...] = (*vertex.after, *vertex.gates) if isinstance(vertex, Node) else ()
        sorter.add(vertex, *vertex.requires, *others)
    sorter.prepare()
    ready: list[tuple[tuple[bool, int, int], Vertex]] = []
    while sorter.is_active():
        for vertex in sorter.get_ready():
            heappush(ready, (key[vertex], vertex))
        _, vertex = heappop(ready)
        yield vertex
        sorter.done(vertex)


def _temporary_name(change: Change, used: set[str]) -> str:
    name = change.account.name or ""
    candidate, count = f"{name} (moving)", 1
    while name_key(candidate) in used:
        count += 1
        candidate = f"{name} (moving {count})"
    used.add(name_key(candidate))
    return candidate


def _cycle_error(cycle: Sequence[Change]) -> Problem:
    members = " → ".join(change.address for change in (*cycle, cycle[0]))
    why = "these accounts take each other's addresses"
    if any(change.demotes for change in cycle):
        why = "an address is taken over from the default account, which may only go once its successor is the default"
    return Problem(
        kind=Kind.ORDER_CYCLE,
        message=f"{why}, so that none can go first: {members}",
        hint="move one of them to a free address in an apply of its own",
        address=cycle[0].address,
    )
