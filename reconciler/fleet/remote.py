"""Dispatches servers to workers elsewhere, and finds out what became known about each: the client of an engine.

What is reported follows from three things alone: the result, the claim, and the heartbeat of the worker that has the
claim. A server whose claim the client took itself was never started. A server that a worker has claimed is unknown
until the result is there, and stays so if the worker's heartbeat ends without one.
"""

from __future__ import annotations

import secrets
import threading
from collections import deque
from dataclasses import dataclass, replace
from queue import Empty, SimpleQueue
from typing import TYPE_CHECKING, Any, Final, Generic, Protocol, TypeVar

from reconciler.applying.worker_pool import Abort
from reconciler.errors import Kind, Problem, UnreachableError
from reconciler.fleet.leases import BEAT_SECONDS, now
from reconciler.fleet.messages import Limits, Message, Mode
from reconciler.manifest.digest import manifest_digest
from reconciler.model.account import NO_GLOBS
from reconciler.model.outcome import Report, ServerStatus
from reconciler.model.plan import Plan
from reconciler.report.formats import PlanInput
from reconciler.report.json import plan_document
from reconciler.report.returned import UnreadableDocumentError, returned_plan, returned_report

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from types import TracebackType
    from typing import Self

    from reconciler.errors import Position
    from reconciler.fleet.gate import FleetGate
    from reconciler.fleet.leases import ClaimState, Coordination
    from reconciler.fleet.runner import Dispatcher
    from reconciler.fleet.server_run import ServerRun
    from reconciler.model.account import Globs
    from reconciler.model.desired import Desired

Result = TypeVar("Result")
Returned_co = TypeVar("Returned_co", covariant=True)

DEFAULT_QUEUE: Final = "reconciler"
BROKER_PATIENCE: Final = 60.0
"""Seconds that the broker may be unreachable before the client gives up."""

_GRACE: Final = 3.0
"""Seconds after which a claim without a heartbeat counts as abandoned: results arrive just before heartbeats end."""

_DATA_LOSS_GRACE: Final = 60.0
"""Seconds for results to arrive after the broker has lost its data. A worker notices at its next write."""

_LOST_AFTER: Final = 20.0
"""Seconds after which a message that is neither in its queue nor claimed counts as lost with a worker."""

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
class EngineOptions:
    """How servers are dispatched.

    Attributes:
        limits: What the user narrows.
        commit: The version of the manifests; empty if it is not known.
        in_flight: The most messages at a time.
        patience: Seconds after which a message that no worker has taken is withdrawn.
    """

    limits: Limits
    commit: str = ""
    in_flight: int = 64
    patience: float = 600.0


class RemoteEngine:
    """Implements ``Engine`` for one run. As a context manager, it keeps the run's heartbeat.

    Attributes:
        run: The run's identifier.
    """

    def __init__(
        self, declared: Sequence[Desired], transport: Transport, coordination: Coordination, options: EngineOptions
    ) -> None:
        self.run = secrets.token_hex(16)
        self._declared = {one.label.name: one for one in declared}
        self._transport = transport
        self._coordination = coordination
        self._options = options
        self._heartbeat = _Heartbeat(coordination, self.run)

    def __enter__(self) -> Self:
        """Starts the heartbeat.

        Raises:
            UnreachableError: The broker does not respond.
        """
        self._heartbeat.begin()
        return self

    def __exit__(
        self, _type: type[BaseException] | None, _error: BaseException | None, _traceback: TracebackType | None
    ) -> None:
        self._heartbeat.end()

    def planning(self, runs: Sequence[ServerRun], gate: FleetGate) -> Dispatcher[Plan]:
        """What plans servers."""

        def job(index: int) -> _Job[Plan]:
            desired = self._declared[runs[index].server.name]
            return _PlanJob(self._message(desired, Mode.PLAN, NO_GLOBS), self._queue(desired), runs[index], desired)

        return self._dispatcher(job, gate)

    def applying(
        self, runs: Sequence[ServerRun], gate: FleetGate, prepare: Callable[[int], tuple[Plan, Globs] | Report]
    ) -> Dispatcher[Report]:
        """What applies plans."""

        def job(index: int) -> _Job[Report] | Report:
            prepared = prepare(index)
            if isinstance(prepared, Report):
                return prepared
            plan, only = prepared
            desired = self._declared[plan.server.name]
            message = replace(self._message(desired, Mode.APPLY, only), plan_digest=digest_of(plan))
            return _ApplyJob(message, self._queue(desired), runs[index], plan, _positions(desired))

        return self._dispatcher(job, gate)

    def _dispatcher(self, job: Callable[[int], _Job[Result] | Result], gate: FleetGate) -> _Dispatcher[Result]:
        return _Dispatcher(job, gate, _Post(self._transport, self._coordination, self._heartbeat), self._options)

    def _message(self, desired: Desired, mode: Mode, only: Globs) -> Message:
        limits = self._options.limits
        return Message(
            run=self.run,
            server=desired.label.name,
            mode=mode,
            commit=self._options.commit,
            manifest_digest=manifest_digest(desired),
            plan_digest="",
            options=replace(limits, only=only.patterns) if only else limits,
        )

    @staticmethod
    def _queue(desired: Desired) -> str:
        return desired.server.queue or DEFAULT_QUEUE


def digest_of(plan: Plan) -> str:
    """The digest of what a plan changes, as an approval names it."""
    from datetime import UTC, datetime

    subject = PlanInput(plans=(plan,), of_fleet=True)
    digest: str = plan_document(subject, created_at=datetime.now(UTC))["digest"]
    return digest


def _positions(desired: Desired) -> dict[str, Position]:
    return {str(one.account.fields["email"]): one.position for one in desired.accounts}


@dataclass(frozen=True, slots=True)
class _Post:
    transport: Transport
    coordination: Coordination
    heartbeat: _Heartbeat


class _Heartbeat:
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
        self._coordination.begin(self._run)
        threading.Thread(target=self._renew, name="heartbeat", daemon=True).start()

    def end(self) -> None:
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


class _Job(Protocol[Returned_co]):
    """One message, and how its end is reported."""

    message: Message
    queue: str

    def read(self, result: dict[str, Any]) -> Returned_co:
        """What a worker returned. Raises ``UnreadableDocumentError``."""

    def not_started(self, problem: Problem) -> Returned_co:
        """No worker began."""

    def lost(self, problem: Problem) -> Returned_co:
        """A worker began, and nothing is known about the end."""


@dataclass(slots=True)
class _PlanJob:
    message: Message
    queue: str
    run: ServerRun
    desired: Desired

    def read(self, result: dict[str, Any]) -> Plan:
        if problem := refusal_in(result):
            return self._failed(problem, ServerStatus(result["status"]))
        self.run.failure = ServerStatus(result["failure"])
        plan = returned_plan(result["document"], self.run.server)
        return replace(plan, suspended=self.desired.server.suspended)

    def not_started(self, problem: Problem) -> Plan:
        return self._failed(problem, ServerStatus.NOT_ATTEMPTED)

    def lost(self, problem: Problem) -> Plan:
        return self._failed(problem, ServerStatus.FAILED)  # nothing was written

    def _failed(self, problem: Problem, status: ServerStatus) -> Plan:
        self.run.failure = status
        return Plan(server=self.run.server, errors=(problem,))


@dataclass(slots=True)
class _ApplyJob:
    message: Message
    queue: str
    run: ServerRun
    plan: Plan
    positions: dict[str, Position]

    def read(self, result: dict[str, Any]) -> Report:
        if problem := refusal_in(result):
            return self.run.ended(self.plan, problem, ServerStatus(result["status"]))
        return returned_report(result["document"], self.run.server, self.positions)

    def not_started(self, problem: Problem) -> Report:
        return self.run.not_started(self.plan, problem)

    def lost(self, problem: Problem) -> Report:
        return self.run.ended(self.plan, problem, ServerStatus.UNKNOWN)


def refusal_in(result: dict[str, Any]) -> Problem | None:
    """Why a worker did nothing, if it did not."""
    refusal = result.get("refused")
    if refusal is None:
        return None
    kind, message, hint = (refusal[name] for name in ("kind", "message", "hint"))
    if not all(isinstance(one, str) for one in (kind, message, hint)):
        raise TypeError
    return Problem(kind=kind, message=message, hint=hint)


@dataclass(slots=True)
class _Sent(Generic[Result]):
    """A message that was sent."""

    index: int
    job: _Job[Result]
    identifier: str
    sent_at: float
    is_started: bool = False
    silent_since: float | None = None
    missing_since: float | None = None
    losses: int = 0
    lost_at: float | None = None


class _Dispatcher(Generic[Result]):
    """Sends a message for each job that may start, and waits for the results. For one use.

    The main thread decides and sends; another thread looks for results, so that a second signal can end the wait.
    """

    def __init__(
        self, job: Callable[[int], _Job[Result] | Result], gate: FleetGate, post: _Post, options: EngineOptions
    ) -> None:
        self._job = job
        self._gate = gate
        self._post = post
        self._options = options
        self._done: SimpleQueue[tuple[int, Result] | BaseException] = SimpleQueue()
        self._sent: deque[_Sent[Result]] = deque()
        self._in_flight: set[int] = set()
        self._ended = threading.Event()
        self._gave_up: Problem | None = None

    def run(self, next_job: Callable[[], int | None], take_result: Callable[[int, Result], None]) -> frozenset[int]:
        """Works until nothing is left to do or the gate ends the wait; see ``WorkerPool.run``."""
        self._ended = threading.Event()
        threading.Thread(target=self._watch, args=(self._ended,), name="results", daemon=True).start()
        try:
            while True:
                while len(self._in_flight) < self._options.in_flight and (index := next_job()) is not None:
                    self._in_flight.add(index)
                    self._start(index)
                if not self._in_flight:
                    break
                try:
                    done = self._gate.wait(self._done)
                except Empty:
                    continue
                if isinstance(done, BaseException):
                    raise done
                take_result(*done)
                self._in_flight.discard(done[0])
        except Abort:
            pass
        finally:
            self._ended.set()
        return frozenset(self._in_flight)

    def _start(self, index: int) -> None:
        job: Any = self._job(index)
        if not hasattr(job, "message"):
            self._done.put((index, job))
            return
        if self._gave_up:
            self._done.put((index, job.not_started(self._gave_up)))
            return
        sent = _Sent(index, job, "", now(), losses=self._post.heartbeat.losses)
        try:
            sent.identifier = self._post.transport.send(job.message, job.queue, self._options.patience)
        except UnreachableError:
            sent.sent_at = -self._options.patience  # it may have arrived: it is withdrawn at the next opportunity
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

    def _look_for_lost(self, unclaimed: Sequence[_Sent[Result]]) -> None:
        """Notes since when messages are missing. A worker takes one when it has a free slot, and claims it at once."""
        queues = sorted({one.job.queue for one in unclaimed})
        lengths = dict(zip(queues, self._post.coordination.lengths(queues) if queues else (), strict=True))
        for one in unclaimed:
            if lengths[one.job.queue]:
                one.missing_since = None
            elif one.missing_since is None:
                one.missing_since = now()

    def _end_of(self, sent: _Sent[Result], state: ClaimState, result: dict[str, Any] | None) -> Result | None:
        if result:
            return self._read(sent.job, result)
        if state.is_alive or state.owner not in {"", _CLIENT}:
            sent.is_started = True
        if sent.is_started:
            return self._after_start(sent, state)
        return self._before_start(sent, is_expired=result is not None)

    @staticmethod
    def _read(job: _Job[Result], result: dict[str, Any]) -> Result:
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
        why = self._why_not_started(sent, is_expired=is_expired)
        if why is None or not self._post.coordination.claim(sent.job.message.key, _CLIENT, works=False):
            return None  # if a worker was faster, the next look sees that
        return sent.job.not_started(why)

    def _why_not_started(self, sent: _Sent[Result], *, is_expired: bool) -> Problem | None:
        """Why a message is withdrawn; ``None`` as long as a worker may take it."""
        queue, patience = sent.job.queue, self._options.patience
        if self._gate.stop.is_set():
            return _problem("not started: the run was interrupted", kind=Kind.INTERRUPTED)
        if sent.missing_since is not None and now() - sent.missing_since > _LOST_AFTER:
            return _problem("not started: the worker that took the message ended before it began", "run again")
        if is_expired or now() - sent.sent_at > patience:
            message = f"not started: no worker of the queue {queue} took it in {patience:g} seconds"
            return _problem(message, f"start one with `reconciler worker --queue {queue}`")
        return None

    def _after_data_loss(self, sent: _Sent[Result]) -> Result | None:
        if sent.lost_at is None or now() - sent.lost_at < _DATA_LOSS_GRACE:
            return None
        message = "the broker lost its data, and with it whether a worker had begun"
        return sent.job.lost(_problem(message, "run again; it converges"))


def _problem(message: str, hint: str = "", *, kind: Kind = Kind.ENGINE) -> Problem:
    return Problem(kind=kind, message=message, hint=hint)
