"""Sends messages and finds out what became known about each: the half of the engine's client that waits.

What is reported follows from three things alone: the result, the claim, and the heartbeat of the worker that has the
claim. A message whose claim the client took itself was never begun. What a worker has claimed is unknown until the
result is there, and stays so if the worker's heartbeat ends without one.
"""

from __future__ import annotations

import threading
from collections import deque
from dataclasses import dataclass, replace
from queue import SimpleQueue
from typing import TYPE_CHECKING, Any, Final, Generic, Protocol, TypeVar

from reconciler.applying.worker_pool import JobLoop
from reconciler.errors import Kind, Problem, UnreachableError
from reconciler.fleet.leases import BEAT_SECONDS, now
from reconciler.fleet.messages import Mode
from reconciler.report.returned import UnreadableDocumentError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping, Sequence

    from reconciler.fleet.gate import FleetGate
    from reconciler.fleet.leases import ClaimState, Coordination
    from reconciler.fleet.messages import Message

Result = TypeVar("Result")
Returned_co = TypeVar("Returned_co", covariant=True)

BROKER_PATIENCE: Final = 60.0
"""Seconds that the broker may be unreachable before the client gives up."""

_GRACE: Final = 3.0
"""Seconds after which a claim without a heartbeat counts as abandoned: results arrive just before heartbeats end."""

_DATA_LOSS_GRACE: Final = 60.0
"""Seconds for results to arrive after the broker has lost its data. A worker notices at its next write."""

_LOST_AFTER: Final = 20.0
"""Seconds after which a message that is neither in its queue nor claimed counts as lost with a worker."""

_HOLD_SECONDS: Final = 1.0
"""Seconds between two questions whether something may still be written."""

_EXPIRY_FACTOR: Final = 6.0
_LONGEST_EXPIRY: Final = 12 * 3600.0

_POLL: Final = 0.05
_SLOWEST_POLL: Final = 0.5
_CLIENT: Final = "client"


class Transport(Protocol):
    """Delivers messages and results; implemented by ``engine`` with Celery."""

    def send(self, message: Message, queue: str, expires: float) -> str:
        """Sends a message. Returns its identifier.

        Raises:
            UnreachableError: The broker did not confirm it; it may have arrived.
        """

    def results(self, identifiers: Sequence[str]) -> list[dict[str, Any] | None]:
        """The results that have arrived; ``None`` for the others. A message that expired has an empty result."""

    def forget(self, identifiers: Sequence[str]) -> None:
        """Deletes results that were read."""


@dataclass(frozen=True, slots=True, kw_only=True)
class DispatchOptions:
    """How messages are sent.

    Attributes:
        in_flight: The most messages at a time.
        patience: Seconds after which a message is withdrawn that no worker has taken, if its queue does not move.
    """

    in_flight: int = 64
    patience: float = 600.0

    @property
    def expiry(self) -> float:
        """Seconds after which no worker takes a message any more, whatever the client does."""
        return max(self.patience, min(_LONGEST_EXPIRY, _EXPIRY_FACTOR * self.patience))


class Holds(Protocol):
    """Tells which servers must not be written any more."""

    def __call__(self, servers: Iterable[str], /) -> Mapping[str, Problem]:
        """Those of these servers that must not be written, by name, and why. Must not raise."""


@dataclass(frozen=True, slots=True)
class Post:
    """What a dispatcher works with."""

    transport: Transport
    coordination: Coordination
    heartbeat: Heartbeat
    holds: Holds


class Heartbeat:
    """Renews the heartbeat of a run, and notices if the broker loses its data."""

    def __init__(self, coordination: Coordination, run: str) -> None:
        self._coordination = coordination
        self._run = run
        self._ended = threading.Event()
        self._beat = threading.Lock()
        self.stop = False
        self.losses = 0
        """How often the heartbeat was gone when it was renewed."""

    def begin(self) -> None:
        """Starts it. Raises ``UnreachableError``."""
        self._coordination.begin(self._run)
        threading.Thread(target=self._renew, name="heartbeat", daemon=True).start()

    def end(self) -> None:
        """Ends it: workers take no message of the run any more."""
        self._ended.set()
        with self._beat:
            try:
                self._coordination.end(self._run)
            except UnreachableError:
                return  # it expires by itself

    def ask_to_stop(self) -> None:
        """Asks the workers to start no new write."""
        self.stop = True
        self.beat()

    def beat(self) -> None:
        """Renews it now. Raises ``UnreachableError``."""
        with self._beat:
            if self._ended.is_set():
                return
            if not self._coordination.beat(self._run, stop=self.stop):
                self.losses += 1

    def _renew(self) -> None:
        while not self._ended.wait(BEAT_SECONDS):
            try:
                self.beat()
            except UnreachableError:
                continue


class Job(Protocol[Returned_co]):
    """One message, and how its end is reported."""

    message: Message
    queue: str

    def read(self, result: dict[str, Any]) -> Returned_co:
        """What a worker returned. Raises ``UnreadableDocumentError``."""

    def not_started(self, problem: Problem) -> Returned_co:
        """No worker began."""

    def held(self, problem: Problem) -> Returned_co:
        """No worker began, and none may: the server must not be written."""

    def lost(self, problem: Problem) -> Returned_co:
        """A worker began, and nothing is known about the end."""


@dataclass(slots=True)
class _Sent(Generic[Result]):
    """A message that was sent."""

    index: int
    job: Job[Result]
    identifier: str
    sent_at: float
    is_sent: bool = True
    is_started: bool = False
    silent_since: float | None = None
    missing_since: float | None = None
    losses: int = 0
    lost_at: float | None = None
    held: Problem | None = None

    @property
    def writes(self) -> bool:
        """Whether the server may be written."""
        return self.job.message.mode is Mode.APPLY


class MessageDispatcher(Generic[Result]):
    """Sends a message for each job that may start, and waits for the results.

    The main thread decides and sends; another thread looks for results, so that a second signal can end the wait.
    """

    def __init__(
        self, job: Callable[[int], Job[Result] | Result], gate: FleetGate, post: Post, options: DispatchOptions
    ) -> None:
        self._job = job
        self._gate = gate
        self._post = post
        self._options = options
        self._done: SimpleQueue[tuple[int, Result] | BaseException] = SimpleQueue()
        self._sent: deque[_Sent[Result]] = deque()
        self._jobs = JobLoop(options.in_flight, self._start, self._done, gate)
        self._gave_up: Problem | None = None
        self._asked_for_holds_at = float("-inf")
        self._moved_at: dict[str, float] = {}
        self._lengths: dict[str, int] = {}

    def run(self, next_job: Callable[[], int | None], take_result: Callable[[int, Result], None]) -> frozenset[int]:
        """Works until nothing is left to do or the gate ends the wait; see ``JobLoop.run``."""
        ended = threading.Event()
        threading.Thread(target=self._watch, args=(ended,), name="results", daemon=True).start()
        try:
            return self._jobs.run(next_job, take_result)
        finally:
            ended.set()

    def _start(self, index: int) -> None:
        job: Any = self._job(index)
        if not hasattr(job, "message"):
            self._done.put((index, job))
            return
        if self._gave_up:
            self._done.put((index, job.not_started(self._gave_up)))
            return
        sent = _Sent(index, job, "", now(), losses=self._post.heartbeat.losses)
        if sent.writes and (why := self._post.holds([job.message.server]).get(job.message.server)):
            self._done.put((index, job.held(why)))
            return
        try:
            sent.identifier = self._post.transport.send(job.message, job.queue, self._options.expiry)
        except UnreachableError:
            sent.is_sent = False  # it may have arrived: it is withdrawn at the next opportunity
        self._sent.append(sent)

    def _watch(self, ended: threading.Event) -> None:
        pause = _POLL
        last_contact = now()
        while not ended.wait(pause):
            try:
                found = self._look()
                last_contact = now()
                pause = _POLL if found else min(_SLOWEST_POLL, pause * 1.3)
            except UnreachableError as error:
                pause = _SLOWEST_POLL
                if now() - last_contact > BROKER_PATIENCE:
                    self._give_up(error.problems[0])
            except Exception as error:  # noqa: BLE001 - raised again in the thread that waits
                self._done.put(error)
                return

    def _give_up(self, problem: Problem) -> None:
        """The broker has not responded for too long: what was sent is unknown, and nothing more is sent."""
        self._gave_up = replace(problem, message=f"not started: {problem.message}")
        while self._sent:
            sent = self._sent.popleft()
            self._done.put((sent.index, sent.job.lost(problem)))

    def _look(self) -> bool:
        """Looks at all messages that were sent. Returns whether there was anything new."""
        if self._gate.stop.is_set() and not self._post.heartbeat.stop:
            self._post.heartbeat.ask_to_stop()
        waiting = [self._sent.popleft() for _ in range(len(self._sent))]
        left: list[_Sent[Result]] = list(waiting)
        try:
            self._hold([one for one in waiting if one.writes])
            # In this order: if a heartbeat has ended, its result was stored before.
            states = self._post.coordination.claims([one.job.message.key for one in waiting])
            results = self._post.transport.results([one.identifier for one in waiting])
            self._look_for_lost([one for one, state in zip(waiting, states, strict=True) if not state.owner])
            for sent, state, result in zip(waiting, states, results, strict=True):
                end = self._end_of(sent, state, result)
                if end is not None:
                    left.remove(sent)
                    self._done.put((sent.index, end))
        finally:
            self._sent.extendleft(reversed(left))
        read = [one.identifier for one in waiting if one not in left and one.identifier]
        self._post.transport.forget(read)
        return len(left) < len(waiting)

    def _hold(self, writing: Sequence[_Sent[Result]]) -> None:
        """Tells the workers which servers must not be written any more."""
        if not writing or now() - self._asked_for_holds_at < _HOLD_SECONDS:
            return
        found = self._post.holds([one.job.message.server for one in writing])
        for one in writing:
            why = found.get(one.job.message.server)
            if why and not one.held:
                self._post.coordination.hold(one.job.message.key, why.message)
                one.held = why
        self._asked_for_holds_at = now()

    def _look_for_lost(self, unclaimed: Sequence[_Sent[Result]]) -> None:
        """Notes since when messages are missing. A worker takes one when it has a free slot, and claims it at once."""
        queues = sorted({one.job.queue for one in unclaimed})
        lengths = dict(zip(queues, self._post.coordination.lengths(queues) if queues else (), strict=True))
        for queue, length in lengths.items():
            if length < self._lengths.get(queue, 0):
                self._moved_at[queue] = now()
        self._lengths = lengths
        for one in unclaimed:
            if lengths[one.job.queue]:
                one.missing_since = None
            elif one.missing_since is None:
                one.missing_since = now()

    def _end_of(self, sent: _Sent[Result], state: ClaimState, result: dict[str, Any] | None) -> Result | None:
        if result:
            return self._read(sent.job, result)
        if state.is_alive or state.owner not in {"", _CLIENT}:
            if not sent.is_started:
                self._moved_at[sent.job.queue] = now()
            sent.is_started = True
        if sent.is_started:
            return self._after_start(sent, state)
        return self._before_start(sent, is_expired=result is not None)

    @staticmethod
    def _read(job: Job[Result], result: dict[str, Any]) -> Result:
        try:
            if "idle" in result:  # it lost the claim, or saw that the client was gone; it did nothing
                return job.not_started(_problem(f"not started: {result['idle']}"))
            return job.read(result)
        except (UnreadableDocumentError, ValueError, LookupError, TypeError):
            return job.lost(_problem("the worker's result cannot be read", "use the same version everywhere"))

    def _after_start(self, sent: _Sent[Result], state: ClaimState) -> Result | None:
        if state.is_alive:
            sent.silent_since = None
            return None
        sent.silent_since = now() if sent.silent_since is None else sent.silent_since
        has_lost_data = self._post.heartbeat.losses > sent.losses
        if now() - sent.silent_since < (_DATA_LOSS_GRACE if has_lost_data and not state.owner else _GRACE):
            return None
        hint = "look at the worker; the next run waits until its lease has expired, and converges"
        return sent.job.lost(_problem("the worker that had begun no longer responds", hint))

    def _before_start(self, sent: _Sent[Result], *, is_expired: bool) -> Result | None:
        if sent.lost_at is not None:
            return self._after_data_loss(sent)
        if self._post.heartbeat.losses > sent.losses:
            # A worker may have begun, and its claim may be among what was lost. Nobody begins from now on.
            self._post.coordination.claim(sent.job.message.key, _CLIENT, works=False)
            sent.lost_at = now()
            return None
        why = sent.held or self._why_not_started(sent, is_expired=is_expired)
        if why is None or not self._post.coordination.claim(sent.job.message.key, _CLIENT, works=False):
            return None  # if a worker was faster, the next look sees that
        return sent.job.held(why) if sent.held else sent.job.not_started(why)

    def _why_not_started(self, sent: _Sent[Result], *, is_expired: bool) -> Problem | None:
        """Why a message is withdrawn; ``None`` as long as a worker may take it."""
        queue, patience = sent.job.queue, self._options.patience
        if self._gate.stop.is_set():
            return _problem("not started: the run was interrupted", kind=Kind.INTERRUPTED)
        if sent.missing_since is not None and now() - sent.missing_since > _LOST_AFTER:
            return _problem("not started: the worker that took the message ended before it began", "run again")
        if not sent.is_sent:
            return _problem("not started: the broker did not take the message", kind=Kind.BROKER)
        waited = now() - max(sent.sent_at, self._moved_at.get(queue, 0.0))
        if is_expired or waited > patience:
            message = f"not started: no worker of the queue {queue} took it in {patience:g} seconds"
            return _problem(message, f"start one with `reconciler worker --queue {queue}`")
        return None

    def _after_data_loss(self, sent: _Sent[Result]) -> Result | None:
        if sent.lost_at is None or now() - sent.lost_at < _DATA_LOSS_GRACE:
            return None
        message = "the broker lost its data, or this client was suspended: it is not known whether a worker had begun"
        return sent.job.lost(_problem(message, "run again; it converges"))


def _problem(message: str, hint: str = "", *, kind: Kind = Kind.ENGINE) -> Problem:
    return Problem(kind=kind, message=message, hint=hint)
