"""In which order the changes of a plan are written.

A step comes after those that it requires. Deletes that nothing waits for come last. A circle that goes through a name
is opened by giving one account a temporary name first; its change is then two steps. A circle of addresses cannot be
opened safely and is an error.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from heapq import heapify, heappop, heappush
from typing import TYPE_CHECKING

from reconciler.errors import Kind, Problem
from reconciler.model.plan import Action, Change, Step
from reconciler.planning.circles import CycleFinder
from reconciler.planning.requirements import Gate, Node, folded, gates_of, nodes_of

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence


@dataclass(frozen=True, slots=True)
class Order:
    """The steps of a plan, each after those it requires.

    Attributes:
        changes: The changes, those that go through a temporary name with a note of it.
        errors: Cycles that cannot be broken; then ``steps`` is empty.
    """

    changes: tuple[Change, ...]
    steps: tuple[Step, ...]
    errors: tuple[Problem, ...] = ()


def order(changes: Sequence[Change], names: Collection[str]) -> Order:
    """Orders changes into steps.

    Args:
        changes: What is to be done, sorted; the order of steps that do not depend on each other follows it.
        names: The names of all accounts on the server, one each, so that a temporary one is not among them.
    """
    nodes = nodes_of(changes, empty=not names)
    used = {*map(folded, names), *(folded(change.after.name) for change in changes if change.after)}
    changes = list(changes)
    finals: list[Node] = []
    circles = CycleFinder(nodes)
    while circle := circles.next():
        taker = _name_taker(circle)
        if taker is None:
            return Order(tuple(changes), (), (_circle_error([changes[node.change] for node in circle]),))
        change = changes[taker.change]
        name = _temporary_name(change, used)
        note = f"goes through the temporary name {name!r}, because accounts exchange names"
        changes[taker.change] = replace(change, notes=(*change.notes, note))
        finals.append(taker.open(name))
        circles.opened(taker)
    return Order(tuple(changes), _steps([*nodes, *finals], changes))


def _name_taker(circle: Sequence[Node]) -> Node | None:
    """The first node of the circle that requires the next one only because of a name."""
    following = [*circle[1:], circle[0]]
    takers = [node for node, required in zip(circle, following, strict=True) if node.requires_for_name(required)]
    return min(takers, key=lambda node: node.change, default=None)


def _steps(nodes: Sequence[Node], changes: Sequence[Change]) -> tuple[Step, ...]:
    """The nodes as steps; those that could run at the same time are in the order of their changes."""
    gates = gates_of(nodes)
    needed = {required for node in nodes for required in node.requires}
    needed.update(*(gate.requires for gate in gates))
    last = {node for node in nodes if changes[node.change].action is Action.DELETE and node not in needed}
    key = {node: (node in last, node.change, place) for place, node in enumerate(nodes)}
    position: dict[Node, int] = {}
    for node in _sorted(nodes, gates, key):
        position[node] = len(position)
    shared = {gate: frozenset(position[node] for node in gate.requires) for gate in gates}
    return tuple(_step(node, changes[node.change], position, shared, last=node in last) for node in position)


def _sorted(nodes: Sequence[Node], gates: Sequence[Gate], key: Mapping[Node, tuple[bool, int, int]]) -> Iterator[Node]:
    """The nodes, each after those that go first; otherwise by their keys."""
    before: dict[Node | Gate, Collection[Node | Gate]] = {gate: gate.requires for gate in gates}
    before |= {node: [*(node.requires | node.after), *node.gates] for node in nodes}
    waiting = {one: len(first) for one, first in before.items()}
    waited_for: dict[Node | Gate, list[Node | Gate]] = {one: [] for one in before}
    for one, first in before.items():
        for other in first:
            waited_for[other].append(one)
    ready = [(key[node], node) for node in nodes if not waiting[node]]
    heapify(ready)
    while ready:
        _, node = heappop(ready)
        yield node
        done: list[Node | Gate] = [node]
        while done:
            for other in waited_for[done.pop()]:
                waiting[other] -= 1
                if not waiting[other] and isinstance(other, Node):
                    heappush(ready, (key[other], other))
                elif not waiting[other]:
                    done.append(other)


def _step(
    node: Node, change: Change, position: dict[Node, int], shared: Mapping[Gate, frozenset[int]], *, last: bool
) -> Step:
    def places(nodes: Iterable[Node]) -> frozenset[int]:
        return frozenset(position[one] for one in nodes)

    fields = {} if node.temporary is None else {"name": node.temporary}
    gates = tuple(shared[gate] for gate in node.gates)
    return Step(change, fields, places(node.requires), last, places(node.after), gates)


def _temporary_name(change: Change, used: set[str]) -> str:
    name = (change.after.name if change.after else None) or ""
    candidate, count = f"{name} (moving)", 1
    while folded(candidate) in used:
        count += 1
        candidate = f"{name} (moving {count})"
    used.add(folded(candidate))
    return candidate


def _circle_error(circle: Sequence[Change]) -> Problem:
    members = " → ".join(change.address for change in (*circle, circle[0]))
    why = "these accounts take each other's addresses"
    if any(change.before and change.before.is_default and not _stays_default(change) for change in circle):
        why = "an address is taken over from the default account, which may only go once its successor is the default"
    return Problem(
        kind=Kind.ORDER_CYCLE,
        message=f"{why}, so that none can go first: {members}",
        hint="move one of them to a free address in an apply of its own",
        address=circle[0].address,
    )


def _stays_default(change: Change) -> bool:
    return change.after is not None and change.after.is_default
