"""Processes messages on a worker: decides whether to, claims, leases, and runs what a local run would."""

from __future__ import annotations

import secrets
import threading
from contextlib import suppress
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, Final, Protocol

from reconciler.errors import (
    Kind,
    LockedError,
    Problem,
    ReconcilerError,
    RejectedError,
    UnreachableError,
    WithheldError,
)
from reconciler.fleet.leases import BEAT_SECONDS, LEASE_SECONDS, Lease, now
from reconciler.fleet.messages import InvalidMessageError, Message, Mode
from reconciler.fleet.server_run import ServerRun
from reconciler.model.account import Addresses, Globs
from reconciler.model.display import display_sentence
from reconciler.model.outcome import ServerStatus
from reconciler.report.formats import PlanInput, ReportInput
from reconciler.report.json import Document, digest, plan_document, problem_document, report_document
from reconciler.report.listed_accounts import plan_accounts, report_accounts

if TYPE_CHECKING:
    from collections.abc import Callable

    from reconciler.fleet.leases import Coordination
    from reconciler.fleet.server_run import ServerRunOptions
    from reconciler.model.desired import Desired
    from reconciler.model.outcome import Report
    from reconciler.model.plan import Plan
    from reconciler.planning.planner import PlanOptions
    from reconciler.reconcile import RunContext

_BROKER_PAUSE: Final = 0.5
_LONGEST_SILENCE: Final = LEASE_SECONDS - 3.0
"""Seconds without a heartbeat after which work that has no lease yet is not begun: as long as a lease lasts."""


@dataclass(frozen=True, slots=True)
class Declared:
    """What the worker's own manifests declare for a server.

    Attributes:
        context: What the run takes from outside, with the trust file as it was when the manifests were loaded.
        shorten: Writes a sentence without the folder of the manifests.
    """

    desired: Desired
    context: RunContext
    shorten: Callable[[str], str] = str


class Declarations(Protocol):
    """The worker's own manifests."""

    def find(self, server: str, manifest_digest: str) -> Declared:
        """What is declared for a server, after a look for a newer version if the digest differs.

        Raises:
            ReconcilerError: There is no such server, or it is declared otherwise than the client has it.
        """


class EventSink(Protocol):
    """Where the worker logs; implemented by ``watch.log``."""

    def event(self, event: str, message: str = "", *, server: str = "", level: str = "info", **details: object) -> None:
        """Writes one event."""


@dataclass(slots=True)
class _Work:
    """A message that is being processed."""

    message: Message
    stop: threading.Event = field(default_factory=threading.Event)
    lease: Lease | None = None
    beat_at: float = field(default_factory=now)
    """When its last heartbeat was sent."""

    @property
    def is_abandoned(self) -> bool:
        """Whether it was silent for so long, as while this process was suspended, that nobody counts on it any more."""
        return now() - self.beat_at >= _LONGEST_SILENCE


class Worker:
    """Processes messages, several at a time.

    Attributes:
        name: What claims of this worker are marked with.
    """

    def __init__(
        self, coordination: Coordination, declarations: Declarations, options: ServerRunOptions, log: EventSink
    ) -> None:
        self.name = secrets.token_hex(16)
        self._coordination = coordination
        self._declarations = declarations
        self._options = options
        self._log = log
        self._under_way: dict[str, _Work] = {}
        self._ended = threading.Event()

    def start(self) -> None:
        """Starts the heartbeats of what is being processed."""
        threading.Thread(target=self._beat, name="heartbeats", daemon=True).start()

    def end(self) -> None:
        """Ends the heartbeats."""
        self._ended.set()

    def process(self, received: object) -> dict[str, Any]:
        """Processes one message; returns its result, without a secret. Never raises."""
        try:
            message = Message.parse(received)
        except InvalidMessageError as error:
            self._log.event("message_refused", str(error), level="warning")
            return _refused(Problem(kind=Kind.BAD_MESSAGE, message=f"the worker refuses the message: {error}"))
        try:
            return self._process(message)
        except UnreachableError as error:
            problem = replace(error.problems[0], kind=Kind.ENGINE, message=f"from the worker, {error.reason}")
            self._log.event("message_failed", error.reason, server=message.server, level="warning")
            return _refused(problem, ServerStatus.FAILED)
        except ReconcilerError as error:
            problem = error.problems[0]
            self._log.event("message_refused", problem.message, server=message.server, level="warning")
            return _refused(problem, ServerStatus.FAILED if isinstance(error, LockedError) else ServerStatus.REFUSED)
        except Exception as error:  # noqa: BLE001 - a message must not end the worker
            text = self._options.context.explain_bug(error)
            self._log.event("message_failed", text, server=message.server, level="error")
            return {"failed": True}

    def _process(self, message: Message) -> dict[str, Any]:
        is_alive, is_stopping = self._coordination.run_state(message.run)
        if not is_alive or is_stopping:
            return {"idle": "the run was interrupted" if is_alive else "the client's heartbeat has stopped"}
        declared = self._declarations.find(message.server, message.manifest_digest)
        if not self._coordination.claim(message.key, self.name, works=True):
            return {"idle": "the claim was taken"}
        work = self._under_way[message.key] = _Work(message)
        started_at = datetime.now(UTC)
        try:
            result, status = self._carry_out(work, declared)
        finally:
            # The heartbeat of the claim goes on by itself for some seconds: the result is stored meanwhile.
            del self._under_way[message.key]
        seconds = (datetime.now(UTC) - started_at).total_seconds()
        self._log.event(
            "server_done", server=message.server, mode=message.mode.value, status=status, seconds=round(seconds, 3)
        )
        return result

    def _carry_out(self, work: _Work, declared: Declared) -> tuple[dict[str, Any], str]:
        message = work.message
        if message.mode is Mode.PLAN:
            run = ServerRun(declared.desired, self._run_options(work, declared), work.stop)
            plan = run.plan()
            run.close()
            result: dict[str, Any] = {"document": _shown_plan(plan, declared), "failure": run.failure.value}
            if message.options.lists_accounts:
                result["accounts"] = plan_accounts(plan)
            return result, plan.status.value
        if message.mode is Mode.TEST:
            report = ServerRun(declared.desired, self._run_options(work, declared), work.stop).test()
            return {"document": _shown_report(report)}, report.status.value
        lease = work.lease = Lease(self._coordination, declared.desired.named_server.url, work.stop.set)
        lease.acquire(message.options.lock_timeout, work.stop)
        try:
            if work.is_abandoned:  # from here on, the lease notices
                text = "not begun: this worker was suspended after it had taken the server"
                raise RejectedError(Problem(kind=Kind.LEASE_LOST, message=text, hint="run again; it converges"))
            run = ServerRun(declared.desired, self._run_options(work, declared), work.stop)
            report = run.apply_approved(lambda plan: self._disapproval(plan, message, declared))
        finally:
            lease.release()
        result = {"document": _shown_report(report)}
        if message.options.lists_accounts:
            result["accounts"] = report_accounts(report)
        return result, report.status.value

    def _disapproval(self, plan: Plan, message: Message, declared: Declared) -> Problem | None:
        if _shown_plan(plan, declared)["digest"] == message.plan_digest:
            return None
        text = "the server has changed since the plan was made, or the worker plans otherwise; nothing was written"
        return Problem(kind=Kind.STALE_PLAN, message=text, hint="plan and review again")

    def _run_options(self, work: _Work, declared: Declared) -> ServerRunOptions:
        """The worker's own options, narrowed by what the message allows."""
        own, limits, lease = self._options, work.message.options, work.lease
        server = declared.context.server
        context = replace(
            declared.context,
            server=replace(server, timeout=min(server.timeout, limits.timeout) or server.timeout),
            fence=(lambda _server: _fence(lease, work.message, self._coordination)) if lease else None,
        )
        return replace(
            own,
            context=context,
            planning=_narrowed(own.planning, work.message),
            parallelism=min(own.parallelism, limits.parallelism),
            lock_timeout=limits.lock_timeout,
            on_failure=limits.on_failure,
            keep_unchanged=limits.lists_accounts,
        )

    def _beat(self) -> None:
        """Renews the heartbeats of what is being processed, and notices if clients ask to stop."""
        while not self._ended.wait(BEAT_SECONDS):
            works = list(self._under_way.copy().values())  # a copy is made at once, whatever other threads do
            try:
                for work in works:
                    asked_at = now()
                    if work.is_abandoned:
                        work.stop.set()
                        continue
                    self._coordination.keep_alive(work.message.key, self.name)
                    work.beat_at = asked_at
                for run in {work.message.run for work in works}:
                    _, is_stopping = self._coordination.run_state(run)
                    for work in works:
                        if is_stopping and work.message.run == run:
                            work.stop.set()
            except UnreachableError:
                self._ended.wait(_BROKER_PAUSE)


def _fence(lease: Lease, message: Message, coordination: Coordination) -> None:
    """Keeps a server from being written without the lease, or if the client no longer wants it.

    Raises:
        WithheldError: It must not be written.
    """
    found = None
    while found is None:
        lease.check()  # waits for a broker that does not respond, as long as the lease lasts
        with suppress(UnreachableError):
            found = coordination.may_write(message.run, message.key)
    is_alive, why = found
    if why:
        raise WithheldError(Problem(kind=Kind.SUSPENDED, message=display_sentence(why)))
    if not is_alive and message.options.needs_client:
        text = "the client that approved it no longer responds"
        raise WithheldError(Problem(kind=Kind.ENGINE, message=text, hint="its next run converges"))
    lease.check_clock()


def _narrowed(planning: PlanOptions, message: Message) -> PlanOptions:
    limits = message.options
    only = Addresses(limits.addresses) if limits.addresses else Globs(limits.only)
    return replace(planning, only=only, prune=False if limits.no_prune else planning.prune)


def _shown_plan(plan: Plan, declared: Declared) -> Document:
    """The plan document. Its digest is the same on workers whose manifests are in different folders."""
    document = plan_document(PlanInput(plans=(plan,), of_fleet=True), created_at=datetime.now(UTC))
    for change in document["resource_changes"]:
        for name in {"password_from", "reason"} & set(change):
            change[name] = declared.shorten(change[name])
    return {**document, "digest": digest(document["resource_changes"])}


def _shown_report(report: Report) -> Document:
    subject = ReportInput(reports=(report,), of_fleet=True)
    return report_document(subject, started_at=report.started_at, finished_at=report.finished_at)


def _refused(problem: Problem, status: ServerStatus = ServerStatus.REFUSED) -> dict[str, Any]:
    return {"status": status.value, "refused": problem_document(problem)}
