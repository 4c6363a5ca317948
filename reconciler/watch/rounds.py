"""Runs rounds one after another: makes them, ends them early, and records what they found and did."""

from __future__ import annotations

import gc
import secrets
import time
from collections import Counter
from contextlib import nullcontext
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Final, Protocol

from reconciler.errors import Kind, ReconcilerError, UnreachableError
from reconciler.fleet.gate import FleetGate
from reconciler.model.display import display_sentence
from reconciler.model.duration import format_duration
from reconciler.watch.heal import Corrections, HealLimit
from reconciler.watch.log import log_result
from reconciler.watch.records import BROKER_NOTICE, ROUND_NOTICE, SuspendedBy, Suspension
from reconciler.watch.rollout_memory import RolloutMemory, waits_for_turn
from reconciler.watch.round import Round, RoundInput, RoundObserver
from reconciler.watch.server_check import Switches

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Sequence
    from contextlib import AbstractContextManager

    from reconciler.fleet.remote import RemoteEngine, Workers
    from reconciler.fleet.server_run import ServerRunOptions
    from reconciler.model.desired import Desired
    from reconciler.model.outcome import Report
    from reconciler.model.plan import Plan
    from reconciler.watch.fleet_status import FleetStatus
    from reconciler.watch.heal import Correction
    from reconciler.watch.intake import Intake, Manifests
    from reconciler.watch.log import EventLog
    from reconciler.watch.records import Overview, ServerRecord
    from reconciler.watch.round import ServerResult
    from reconciler.watch.schedule import Schedule


ONCE: Final = "once"
"""The trigger of a round after which the process ends."""


@dataclass(frozen=True, slots=True, kw_only=True)
class WatchOptions:
    """How the watcher works.

    Attributes:
        interval: Seconds between two rounds.
        poll: Seconds between two looks at the source.
        run: How each server is processed; paths, context and observer are set for each round.
        server_parallelism: Servers side by side.
        workers: Those that process the servers elsewhere; ``None`` if this process does.
    """

    run: ServerRunOptions
    interval: float = 300.0
    poll: float = 300.0
    switches: Switches = field(default_factory=Switches)
    heal_limit: HealLimit = field(default_factory=lambda: HealLimit(3, 3600.0))
    server_parallelism: int = 16
    workers: Workers | None = None


class WatchListener(Protocol):
    """Learns what happens, from the thread of the loop. Must not raise."""

    def server_done(self, result: str, seconds: float) -> None:
        """A server was processed, with this result of ``RunRecord``."""

    def round_ended(self, overview: Overview, results: Sequence[ServerResult]) -> None:
        """A round has ended, or servers or notices have changed between rounds; then there are no results."""


class Rounds:
    """The rounds of a watcher, one at a time.

    Args:
        intake: Knows the context of the manifests.
        status: What is known of the fleet.
        schedule: When servers are due.
        options: How the watcher works.
        log: The log.
        listener: Learns what happens.

    Attributes:
        count: How many rounds have ended.
    """

    def __init__(
        self,
        intake: Intake,
        status: FleetStatus,
        schedule: Schedule,
        options: WatchOptions,
        log: EventLog,
        listener: WatchListener,
    ) -> None:
        self.count = 0
        self._intake = intake
        self._status = status
        self._schedule = schedule
        self._options = options
        self._log = log
        self._listener = listener
        self._corrections = Corrections(options.heal_limit, status.corrections())
        self._rollout = RolloutMemory()
        self._is_new = True
        self._gate: FleetGate | None = None
        self._try_gates: set[FleetGate] = set()
        self._stops = 0
        self._newest = ""
        self._notified: tuple[object, object] = (None, None)
        self._progress_at = time.monotonic()

    # What other threads and signal handlers call.

    def stop(self) -> None:
        """Ends the round after the writes in flight, and begins no other; a second call does not wait for those."""
        self._stops += 1
        self._stop_tries()
        if gate := self._gate:
            if self._stops == 1:
                gate.stop.set()
            else:
                gate.end()

    def supersede(self, commit: str) -> None:
        """A newer commit is there: no round on a former one starts anything any more; writes in flight finish."""
        self._newest = commit  # before the look at the gate, as ``run`` does both the other way round
        if gate := self._gate:
            self._log.event("superseded", "a newer commit is there; writes in flight finish", newer=commit)
            gate.stop.set()

    @property
    def is_stopping(self) -> bool:
        """Whether ``stop`` was called."""
        return self._stops > 0

    @property
    def idle_seconds(self) -> float:
        """Seconds since there was any progress."""
        return time.monotonic() - self._progress_at

    # What the loop calls.

    def note_progress(self) -> None:
        """The loop, or a round, makes progress."""
        self._progress_at = time.monotonic()

    @property
    def rollout_seconds_left(self) -> float | None:
        """Seconds until the pause of the rollout is over; ``None`` if there is none."""
        return self._rollout.seconds_left

    def rollout_goes_on(self) -> bool:
        """Whether a pause of the rollout has ended since the last call."""
        return self._rollout.goes_on()

    def new_commit(self, commit: str) -> None:
        """A commit is rolled out from now on. A new process goes on with what an earlier one began."""
        self._stop_tries()
        if self._is_new:
            self._rollout.resume(self._status.rollout(commit))
        else:
            self._rollout.restart()
        self._is_new = False
        self._status.withdraw("rollout_stopped")

    def resumed(self, server: str) -> None:
        """People have decided: the heal limit counts from zero."""
        self._corrections.forget(server)

    def run(self, manifests: Manifests, servers: Sequence[Desired], trigger: str) -> tuple[ServerResult, ...] | None:
        """Runs one round. Whatever goes wrong in it, the loop goes on.

        Returns:
            What was found and done; ``None`` if the round ended before everything was planned.
        """
        self._log.run = run = secrets.token_hex(4)
        self._log.event("round_started", trigger=trigger, servers=len(servers))
        began = time.monotonic()
        self._gate = gate = FleetGate()
        if self._stops or (self._newest and self._newest != manifests.revision.commit):
            gate.stop.set()
        results: tuple[ServerResult, ...] | None = ()
        written: set[str] = set()

        def record_written(result: ServerResult) -> None:
            written.add(result.record.name)
            self.record([result])

        try:
            with self._engine(manifests, servers) as engine:
                made = self._make(manifests, servers, run, trigger, engine)
                results = made.run(gate, _Progress(self.note_progress, record_written))
        except KeyboardInterrupt:
            results = None
        except Exception as error:  # noqa: BLE001 - nothing may end the loop
            is_broker = isinstance(error, UnreachableError) and error.problems[0].kind == Kind.BROKER
            if is_broker:
                self._status.notice(BROKER_NOTICE, self._explain(error))
            else:
                self._status.notice(ROUND_NOTICE, self._explain(error))
            self._status.lose_sight([one.named_server.name for one in servers])
        else:
            self._status.withdraw(ROUND_NOTICE)
        finally:
            self._gate = None
        if results is not None:
            self._take(results, written, manifests)
        counts = Counter(result.run.result for result in results or ())
        seconds = round(time.monotonic() - began, 3)
        self._log.event(
            "round_abandoned" if results is None else "round_finished", seconds=seconds, results=dict(counts)
        )
        self.notify(results or ())
        self._log.run = ""
        self._collect_garbage()
        return results

    def _collect_garbage(self) -> None:
        """Python's own collections are too rare for a process that goes on: the command line asks for that."""
        gc.collect()
        if self.count == 1:
            gc.freeze()  # modules and manifests stay, and need not be searched again

    def try_failing(
        self, manifests: Manifests, servers: Sequence[Desired], responded: Callable[[str], None]
    ) -> tuple[ServerResult, ...]:
        """Plans servers that fail, beside the rounds. Nothing is written or recorded.

        Args:
            manifests: The manifests in force.
            servers: What is declared for the servers.
            responded: Takes the name of each server that could be planned, at once.
        """
        gate = FleetGate()
        self._try_gates.add(gate)
        if self._stops:
            gate.stop.set()
        try:
            with self._engine(manifests, servers) as engine:
                made = self._make(manifests, servers, secrets.token_hex(4), "retry", engine)
                return made.run(gate, _Responses(responded), write=False)
        except KeyboardInterrupt:  # the watcher ends, or a newer commit is there
            return ()
        except Exception as error:  # noqa: BLE001 - nothing may end the loop
            self._log.event("retry_failed", self._explain(error), level="error")
            return ()
        finally:
            self._try_gates.discard(gate)

    def _stop_tries(self) -> None:
        for gate in list(self._try_gates):  # other threads add and remove theirs
            gate.stop.set()

    def record(self, results: Sequence[ServerResult]) -> None:
        """Counts, schedules, stops what must be stopped, and stores."""
        records: list[ServerRecord] = []
        corrections: list[Correction] = []
        now = self._status.suspended_meanwhile([one.record for one in results])
        for shown, result in zip(now, results, strict=True):
            record, run = shown, result.run
            self._schedule.ended(record.name, record.failures)
            log_result(self._log, record, run, self._status.records.get(record.name))
            if stopped := self._heal_limit_reached(result):
                self._status.suspend(record.name, stopped)
                self._log.event("heal_limit_reached", stopped.reason, server=record.name, level="warning")
                record = record.with_suspension(stopped)
            due = timedelta(seconds=self._schedule.seconds_left(record.name))
            records.append(replace(record, next_run=datetime.now(UTC) + due))
            corrections += result.corrections
            self._listener.server_done(run.result, (run.finished_at - run.started_at).total_seconds())
        self._rollout.note(results)
        self._status.remember_rollout(self._status.commit, self._rollout.stored())
        self._status.update(records, {one.record.name: one.run for one in results}, corrections)

    def notify(self, results: Sequence[ServerResult] = ()) -> None:
        """Passes on what has happened, if anything has."""
        (notices, records), status = self._notified, self._status
        if results or notices is not status.notices or records is not status.records:
            self._notified = status.notices, status.records
            self._listener.round_ended(self._status.overview(), results)

    def _engine(self, manifests: Manifests, servers: Sequence[Desired]) -> AbstractContextManager[RemoteEngine | None]:
        """What processes the servers, if that is not this process."""
        workers = self._options.workers
        return workers.engine(servers, manifests.revision.commit) if workers else nullcontext()

    def _make(
        self, manifests: Manifests, servers: Sequence[Desired], run: str, trigger: str, engine: RemoteEngine | None
    ) -> Round:
        revision, fleet, options = manifests.revision, manifests.fleet, self._options
        records, names = self._status.records, {one.named_server.name for one in servers}
        continuation = self._rollout.continuation(records, revision.commit, names)
        given = RoundInput(
            run=run,
            trigger=trigger,
            commit=revision.commit,
            servers=servers,
            rollout=fleet.rollout,
            continuation=replace(continuation, waits=trigger == ONCE),
            records=records,
            suspensions=self._status.suspensions(),
            shorten=revision.shorten,
        )
        run_options = replace(
            options.run,
            paths=revision.paths,
            context=replace(
                self._intake.context(revision), fence=lambda server: self._status.check_writable(server.name)
            ),
            in_fleet=engine is not None or len(fleet.servers) > 1,
        )
        switches = options.switches
        if self._rollout.is_pausing:
            pause = format_duration(fleet.rollout.pause)
            switches = replace(switches, pause=f"the rollout pauses for {pause} before the next batch")
        return Round(given, run_options, switches, server_parallelism=options.server_parallelism, engine=engine)

    def _take(self, results: Sequence[ServerResult], written: Collection[str], manifests: Manifests) -> None:
        """Takes in what a round found and did; what it has written is recorded already."""
        if results:
            self._rollout.end_round(results, manifests.fleet.rollout.pause)
            self.record([one for one in results if one.record.name not in written])
        self.count += 1
        if self._rollout.stopped:
            reason = self._rollout.stopped.removeprefix("not started: ")
            self._status.notice("rollout_stopped", f"the rollout has stopped: {reason}")
        elif results and not self._others_wait(results):
            self._status.withdraw("rollout_stopped")

    def _others_wait(self, results: Sequence[ServerResult]) -> bool:
        """Whether servers outside a round wait for their turn, so that the round says nothing about the rollout."""
        names, commit = {one.record.name for one in results}, self._status.commit
        others = (one for name, one in self._status.records.items() if name not in names)
        return any(waits_for_turn(one, commit) for one in others)

    def _heal_limit_reached(self, result: ServerResult) -> Suspension | None:
        """The suspension of a server on which a field was corrected too often."""
        reached = [correction for correction in result.corrections if self._corrections.count(correction)]
        if not reached:
            return None
        what = f"{reached[0].field} of {reached[0].account}" if reached[0].field else reached[0].account
        reason = (
            f"{display_sentence(what)} was corrected as often as --heal-limit {self._options.heal_limit} allows:"
            " somebody else changes it"
        )
        return Suspension(reason=reason, by=SuspendedBy.HEAL_LIMIT, since=datetime.now(UTC))

    def _explain(self, error: Exception) -> str:
        if isinstance(error, ReconcilerError):
            return "; ".join(map(str, error.problems))
        return self._options.run.context.explain_bug(error)


class _Progress(RoundObserver):
    """Notes that a round makes progress, and records what it has written."""

    def __init__(self, note: Callable[[], None], record: Callable[[ServerResult], None]) -> None:
        self._note = note
        self._record = record

    def planned(self, plan: Plan) -> None:  # noqa: ARG002 - the interface's
        self._note()

    def finished(self, report: Report) -> None:  # noqa: ARG002 - the interface's
        self._note()

    def written(self, result: ServerResult) -> None:
        self._record(result)


class _Responses(RoundObserver):
    """Passes on which servers could be planned."""

    def __init__(self, responded: Callable[[str], None]) -> None:
        self._responded = responded

    def planned(self, plan: Plan) -> None:
        if not plan.errors:
            self._responded(plan.server.name)
