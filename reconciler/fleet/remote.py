"""Lets workers elsewhere plan and apply servers: what is sent to them for each, and how results are read."""

from __future__ import annotations

import secrets
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any, Final, TypeVar

from reconciler.errors import Kind, ReconcilerError
from reconciler.fleet.dispatch import DispatchOptions, Heartbeat, Job, MessageDispatcher, Post
from reconciler.fleet.messages import Limits, Message, Mode
from reconciler.manifest.digest import manifest_digest
from reconciler.model.account import NO_GLOBS, Addresses
from reconciler.model.outcome import Report, ServerStatus
from reconciler.model.plan import Plan
from reconciler.report.formats import PlanInput
from reconciler.report.json import plan_document
from reconciler.report.listed_accounts import with_plan_accounts, with_report_accounts
from reconciler.report.returned import returned_plan, returned_problem, returned_report

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from types import TracebackType
    from typing import Self

    from reconciler.errors import Position, Problem
    from reconciler.fleet.dispatch import Holds, Transport
    from reconciler.fleet.gate import FleetGate
    from reconciler.fleet.leases import Coordination
    from reconciler.fleet.runner import Dispatcher
    from reconciler.fleet.server_run import ServerRun
    from reconciler.model.account import Globs
    from reconciler.model.desired import Desired

Result = TypeVar("Result")
Returned_co = TypeVar("Returned_co", covariant=True)

DEFAULT_QUEUE: Final = "reconciler"


@dataclass(frozen=True, slots=True, kw_only=True)
class EngineOptions:
    """How servers are dispatched.

    Attributes:
        limits: What the user narrows.
        commit: The version of the manifests; empty if it is not known.
        dispatch: How messages are sent.
        holds: Which servers must not be written any more; asked again and again.
    """

    limits: Limits
    commit: str = ""
    dispatch: DispatchOptions = field(default_factory=DispatchOptions)
    holds: Holds = lambda _servers: {}


class Workers:
    """The connection to the workers of a broker, for many runs. Threads may share it."""

    def __init__(self, transport: Transport, coordination: Coordination, options: EngineOptions) -> None:
        self._transport = transport
        self._coordination = coordination
        self._options = options

    def engine(self, declared: Sequence[Desired], commit: str = "") -> RemoteEngine:
        """What processes these servers in one run.

        Raises:
            ReconcilerError: The manifests leave the URL of a server to the command line or the environment.
        """
        return RemoteEngine(declared, self._transport, self._coordination, replace(self._options, commit=commit))

    def check(self) -> None:
        """Makes sure that the broker responds.

        Raises:
            UnreachableError: It does not.
        """
        self._coordination.check()


class RemoteEngine:
    """Implements ``Engine`` for one run. As a context manager, it keeps the run's heartbeat.

    Raises ``ReconcilerError`` if the manifests leave the URL of a server to the command line or the environment.

    Attributes:
        run: The run's identifier.
    """

    def __init__(
        self, declared: Sequence[Desired], transport: Transport, coordination: Coordination, options: EngineOptions
    ) -> None:
        self.run = secrets.token_hex(16)
        self._declared = {one.named_server.name: one for one in declared}
        unnamed = [one for one in declared if one.server.url is None]
        if unnamed:
            message = "with --engine, the manifests must name the URL of each server"
            raise ReconcilerError.of(message, kind=Kind.NO_SERVER, hint="set server.url")
        self._transport = transport
        self._coordination = coordination
        self._options = options
        self._heartbeat = Heartbeat(coordination, self.run)

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

        def job(index: int) -> Job[Plan]:
            desired = self._declared[runs[index].server.name]
            return _PlanJob(self._message(desired, Mode.PLAN, NO_GLOBS), self._queue(desired), runs[index])

        return self._dispatcher(job, gate)

    def applying(
        self, runs: Sequence[ServerRun], gate: FleetGate, prepare: Callable[[int], tuple[Plan, Globs] | Report]
    ) -> Dispatcher[Report]:
        """What applies plans."""

        def job(index: int) -> Job[Report] | Report:
            prepared = prepare(index)
            if isinstance(prepared, Report):
                return prepared
            plan, only = prepared
            desired = self._declared[plan.server.name]
            message = replace(self._message(desired, Mode.APPLY, only), plan_digest=digest_of(plan))
            return _ReportJob(message, self._queue(desired), runs[index], plan, _positions(desired))

        return self._dispatcher(job, gate)

    def testing(self, runs: Sequence[ServerRun], gate: FleetGate) -> Dispatcher[Report]:
        """What runs the delivery tests of servers."""

        def job(index: int) -> Job[Report]:
            desired = self._declared[runs[index].server.name]
            message = self._message(desired, Mode.TEST, NO_GLOBS)
            plan = Plan(server=runs[index].server)
            return _ReportJob(message, self._queue(desired), runs[index], plan, _positions(desired))

        return self._dispatcher(job, gate)

    def _dispatcher(self, job: Callable[[int], Job[Result] | Result], gate: FleetGate) -> MessageDispatcher[Result]:
        post = Post(self._transport, self._coordination, self._heartbeat, self._options.holds)
        return MessageDispatcher(job, gate, post, self._options.dispatch)

    def _message(self, desired: Desired, mode: Mode, only: Globs) -> Message:
        limits = self._options.limits
        return Message(
            run=self.run,
            server=desired.named_server.name,
            mode=mode,
            commit=self._options.commit,
            manifest_digest=manifest_digest(desired),
            plan_digest="",
            options=_narrowed(limits, only),
        )

    @staticmethod
    def _queue(desired: Desired) -> str:
        return desired.server.queue or DEFAULT_QUEUE


def _narrowed(limits: Limits, only: Globs) -> Limits:
    if isinstance(only, Addresses):
        return replace(limits, addresses=only.patterns)
    return replace(limits, only=only.patterns) if only else limits


def digest_of(plan: Plan) -> str:
    """The digest of what a plan changes, as an approval names it."""
    from datetime import UTC, datetime

    subject = PlanInput(plans=(plan,), of_fleet=True)
    digest: str = plan_document(subject, created_at=datetime.now(UTC))["digest"]
    return digest


def _positions(desired: Desired) -> dict[str, Position]:
    return {str(one.account.fields["email"]): one.position for one in desired.accounts}


@dataclass(slots=True)
class _PlanJob:
    message: Message
    queue: str
    run: ServerRun

    def read(self, result: dict[str, Any]) -> Plan:
        if problem := refusal_in(result):
            return self._failed(problem, ServerStatus(result["status"]))
        self.run.failure = ServerStatus(result["failure"])
        plan = returned_plan(result["document"], self.run.server)
        if self.message.options.lists_accounts:
            plan = with_plan_accounts(plan, result["accounts"])
        return replace(plan, suspended=self.run.suspended)

    def not_started(self, problem: Problem) -> Plan:
        return self._failed(problem, ServerStatus.NOT_ATTEMPTED)

    def held(self, problem: Problem) -> Plan:
        return self._failed(problem, ServerStatus.REFUSED)

    def lost(self, problem: Problem) -> Plan:
        return self._failed(problem, ServerStatus.FAILED)  # nothing was written

    def _failed(self, problem: Problem, status: ServerStatus) -> Plan:
        self.run.failure = status
        return Plan(server=self.run.server, errors=(problem,))


@dataclass(slots=True)
class _ReportJob:
    message: Message
    queue: str
    run: ServerRun
    plan: Plan
    positions: dict[str, Position]

    def read(self, result: dict[str, Any]) -> Report:
        if problem := refusal_in(result):
            return self.run.ended(self.plan, problem, ServerStatus(result["status"]))
        report = returned_report(result["document"], self.run.server, self.positions)
        return with_report_accounts(report, result["accounts"]) if self.message.options.lists_accounts else report

    def not_started(self, problem: Problem) -> Report:
        return self.run.not_started(self.plan, problem)

    def held(self, problem: Problem) -> Report:
        return self.run.refused(self.plan, problem)

    def lost(self, problem: Problem) -> Report:
        return self.run.ended(self.plan, problem, ServerStatus.UNKNOWN)


def refusal_in(result: dict[str, Any]) -> Problem | None:
    """Why a worker did nothing, if it did not."""
    refusal = result.get("refused")
    return None if refusal is None else returned_problem(refusal)
