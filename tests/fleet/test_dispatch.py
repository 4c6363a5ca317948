"""What a client concludes about messages, with a broker that says what the tests want it to."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, cast

from reconciler.errors import Kind, Problem, UnreachableError
from reconciler.fleet.dispatch import DispatchOptions, Heartbeat, MessageDispatcher, Post
from reconciler.fleet.gate import FleetGate
from reconciler.fleet.leases import ClaimState, Coordination
from reconciler.fleet.messages import Limits, Message, Mode

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping, Sequence

    import pytest

SUSPENDED = Problem(kind=Kind.SUSPENDED, message="by hand now")


def message(server: str) -> Message:
    return Message(
        run="a" * 32,
        server=server,
        mode=Mode.APPLY,
        commit="",
        manifest_digest="b" * 64,
        plan_digest="c" * 64,
        options=Limits(),
    )


@dataclass
class Job:
    """Reports each end as a word with the reason."""

    message: Message
    queue: str = "reconciler"

    def read(self, result: dict[str, Any]) -> str:
        return f"read {result['document']}"

    def not_started(self, problem: Problem) -> str:
        return f"not started ({problem.kind}): {problem.message}"

    def held(self, problem: Problem) -> str:
        return f"held: {problem.message}"

    def lost(self, problem: Problem) -> str:
        return f"lost: {problem.message}"


@dataclass
class Broker:
    """A broker and its workers: each look finds the next length of the queue, and nobody takes anything but ``taken``.

    Attributes:
        owners: Who has claimed a message.
    """

    lengths_to_find: list[int] = field(default_factory=lambda: [1])
    refuses: bool = False
    owners: dict[str, str] = field(default_factory=dict)
    sent: list[str] = field(default_factory=list)
    holds: dict[str, str] = field(default_factory=dict)
    results_of: dict[str, dict[str, Any]] = field(default_factory=dict)

    def send(self, message: Message, queue: str, expires: float) -> str:  # noqa: ARG002 - the interface's
        if self.refuses:
            raise UnreachableError(Problem(kind=Kind.BROKER, message="took no message"))
        self.sent.append(message.server)
        return message.server

    def results(self, identifiers: Sequence[str]) -> list[dict[str, Any] | None]:
        return [self.results_of.get(one) for one in identifiers]

    def forget(self, identifiers: Sequence[str]) -> None:
        pass

    def claims(self, keys: Sequence[str]) -> list[ClaimState]:
        return [ClaimState(self.owners.get(key, ""), key in self.owners) for key in keys]

    def claim(self, key: str, owner: str, *, works: bool) -> bool:  # noqa: ARG002 - the interface's
        return self.owners.setdefault(key, owner) == owner

    def lengths(self, queues: Sequence[str]) -> list[int]:
        found = self.lengths_to_find
        return [found.pop(0) if len(found) > 1 else found[0]] * len(queues)

    def hold(self, key: str, why: str) -> None:
        self.holds[key] = why
        if key in self.owners:
            self.results_of["b001"] = {"document": "what was left"}


def dispatched(
    broker: Broker, held: Callable[[Iterable[str]], Mapping[str, Problem]], patience: float = 0.1
) -> list[str]:
    coordination = cast("Coordination", broker)
    post = Post(broker, coordination, Heartbeat(coordination, "a" * 32), held)
    options = DispatchOptions(patience=patience)
    jobs, ends = iter([0]), []
    dispatcher = MessageDispatcher[str](lambda _index: Job(message("b001")), FleetGate(), post, options)
    dispatcher.run(lambda: next(jobs, None), lambda _index, end: ends.append(end))
    return ends


def nothing_is_held(_servers: Iterable[str]) -> Mapping[str, Problem]:
    return {}


def test_a_server_that_is_held_is_not_sent() -> None:
    broker = Broker()
    assert dispatched(broker, lambda _servers: {"b001": SUSPENDED}) == ["held: by hand now"]
    assert broker.sent == []


def test_a_message_that_waits_is_withdrawn_when_its_server_is_held() -> None:
    broker, answers = Broker(), [{}, {"b001": SUSPENDED}]
    assert dispatched(broker, lambda _servers: answers.pop(0) if answers else {}, 60) == ["held: by hand now"]
    assert set(broker.owners.values()) == {"client"}


def test_a_worker_that_has_begun_is_told_and_its_report_counts() -> None:
    key = message("b001").key
    broker, answers = Broker(owners={key: "worker"}), [{}, {"b001": SUSPENDED}]
    assert dispatched(broker, lambda _servers: answers.pop(0) if answers else {}, 60) == ["read what was left"]
    assert broker.holds == {key: "by hand now"}


def test_a_message_that_nobody_takes_is_withdrawn() -> None:
    (end,) = dispatched(Broker(), nothing_is_held)
    assert end == "not started (engine): not started: no worker of the queue reconciler took it in 0.1 seconds"


def test_a_queue_that_moves_keeps_a_message_waiting() -> None:
    broker = Broker(lengths_to_find=[9, 8, 7, 6, 5])
    dispatched(broker, nothing_is_held, 0.3)
    assert broker.lengths_to_find == [5]


def test_a_message_that_the_broker_does_not_take_is_about_the_broker() -> None:
    (end,) = dispatched(Broker(refuses=True), nothing_is_held, 60)
    assert end == "not started (broker): not started: the broker did not take the message"


def test_what_has_arrived_is_taken_although_a_second_signal_ends_the_wait(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("reconciler.fleet.gate._PATIENCE", 0.0)
    coordination, gate = cast("Coordination", Broker()), FleetGate()
    post = Post(Broker(), coordination, Heartbeat(coordination, "a" * 32), nothing_is_held)
    jobs, ends = iter([0, 1, 2]), []

    def take(_index: int, end: str) -> None:
        gate.end()
        ends.append(end)

    dispatcher = MessageDispatcher[str](lambda index: f"report {index}", gate, post, DispatchOptions())
    assert dispatcher.run(lambda: next(jobs, None), take) == frozenset()
    assert ends == ["report 0", "report 1", "report 2"]
