"""The loop: decides when rounds happen, and on which servers.

The main thread runs the rounds, one at a time. The poller looks at the source, so that a long round hides no commit.
Servers that fail are tried in a thread of their own, so that one that does not respond holds nobody up; once they
respond, they take part in rounds again.
"""

from __future__ import annotations

import secrets
import threading
import time
from collections import Counter
from contextlib import suppress
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from queue import Empty, SimpleQueue
from typing import TYPE_CHECKING, Final, Protocol

from reconciler.errors import ReconcilerError, internal_error
from reconciler.fleet.gate import FleetGate
from reconciler.model.display import display_sentence
from reconciler.model.ports import FleetObserver
from reconciler.watch.heal import Corrections, HealLimit
from reconciler.watch.intake import Look, Poller
from reconciler.watch.log import log_result
from reconciler.watch.records import ServerState, SuspendedBy, Suspension
from reconciler.watch.rollout_memory import RolloutMemory
from reconciler.watch.round import Round, RoundInput, SuspensionGuard
from reconciler.watch.schedule import Schedule
from reconciler.watch.server_check import Switches

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from reconciler.fleet.server_run import ServerRunOptions
    from reconciler.model.desired import Desired
    from reconciler.model.outcome import Report
    from reconciler.model.plan import Plan
    from reconciler.watch.fleet_status import FleetStatus
    from reconciler.watch.heal import Correction
    from reconciler.watch.intake import Intake, Manifests
    from reconciler.watch.log import EventLog
    from reconciler.watch.records import Overview, RunRecord, ServerRecord
    from reconciler.watch.round import ServerResult

_GLANCE: Final = 2.0
"""Seconds between two looks at suspensions, which other processes make."""

_CLOCK_JUMP: Final = 60.0
"""Seconds by which the time of day may drift from the monotonic clock between two looks."""

_MOST_DOUBLINGS: Final = 10
_UNSETTLED: Final = frozenset({ServerState.PENDING, ServerState.DRIFTED, ServerState.REFUSED, ServerState.UNKNOWN})

_HANGING: Final = 900.0
"""Seconds without any progress after which the loop counts as hanging."""


@dataclass(frozen=True, slots=True, kw_only=True)
class WatchOptions:
    """How the watcher works.

    Attributes:
        interval: Seconds between two rounds.
        poll: Seconds between two looks at the source.
        server_parallelism: Servers side by side.
    """

    interval: float = 300.0
    poll: float = 300.0
    switches: Switches = field(default_factory=Switches)
    heal_limit: HealLimit = field(default_factory=lambda: HealLimit(3, 3600.0))
    server_parallelism: int = 16


class WatchListener(Protocol):
    """Learns what happens, from the thread of the loop. Must not raise."""

    def server_done(self, result: str, seconds: float) -> None:
        """A server was processed, with this result of ``RunRecord``."""

    def round_ended(self, overview: Overview, results: Sequence[ServerResult]) -> None:
        """A round has ended, or the watcher's notices have changed; then there are no results."""


@dataclass(frozen=True, slots=True)
class _Tried:
    """The end of a try of servers that failed; those without a result failed in a new way."""

    servers: frozenset[str]
    results: Sequence[ServerResult]


class Watcher:
    """Reconciles a fleet repeatedly.

    Args:
        intake: Takes in new versions of the manifests.
        status: What is known of the fleet.
        run_options: How each server is processed; paths, context and observer are set for each round.
        options: How the watcher works.
        log: The log.
        listener: Learns what happens.
    """

    def __init__(
        self,
        intake: Intake,
        status: FleetStatus,
        run_options: ServerRunOptions,
        options: WatchOptions,
        log: EventLog,
        listener: WatchListener,
    ) -> None:
        self.status = status
        self._intake = intake
        self._run_options = run_options
        self._options = options
        self._log = log
        self._listener = listener
        self._corrections = Corrections(options.heal_limit, status.corrections())
        self._schedule = Schedule(options.interval)
        self._rollout = RolloutMemory()
        self._events: SimpleQueue[Look | _Tried | None] = SimpleQueue()
        self._poller = Poller(intake, options.poll, self._found)
        self._manifests: Manifests | None = None
        self._declared: dict[str, Desired] = {}
        self._pending: dict[str, str] = {}
        """Servers that are due before the next interval, and why."""
        self._asked = ""
        self._trying: frozenset[str] = frozenset()
        self._gate: FleetGate | None = None
        self._stops = 0
        self._rounds = 0
        self._notified: object = None
        self._progress_at = time.monotonic()
        self._clock_offset = time.time() - time.monotonic()

    # What other threads and signal handlers call.

    def stop(self) -> None:
        """Ends the loop after the writes in flight; a second call does not wait for those. For signal handlers."""
        self._stops += 1
        if self._stops == 1:
            if gate := self._gate:
                gate.stop.set()
            self._events.put(None)
        elif gate := self._gate:
            gate.end()

    @property
    def is_stopping(self) -> bool:
        """Whether ``stop`` was called."""
        return self._stops > 0

    def trigger(self, reason: str = "hook") -> None:
        """Asks for a look at the source and a round on all servers, now."""
        self._poller.ask(reason)

    def overview(self) -> Overview:
        """The fleet at this moment."""
        return self.status.overview()

    def runs(self, server: str) -> tuple[RunRecord, ...]:
        """The runs of a server, newest first; none if they cannot be read."""
        return self.status.runs(server)

    def is_alive(self) -> bool:
        """Whether the loop makes progress."""
        return time.monotonic() - self._progress_at < _HANGING

    def is_ready(self) -> bool:
        """Whether manifests have loaded and a round has ended."""
        return self._rounds > 0

    def _found(self, look: Look) -> None:
        """Takes what the poller has found. A round on an older commit starts nothing any more."""
        self._events.put(look)
        if look.manifests and look.manifests is not self._manifests and (gate := self._gate):
            self._log.event(
                "superseded", "a newer commit is there; writes in flight finish", newer=look.manifests.revision.commit
            )
            gate.stop.set()

    # The loop.

    def run(self) -> None:
        """Reconciles until ``stop`` is called."""
        self._log.event("started", f"watching {self._intake.source.name}")
        self._poller.ask("start")
        self._poller.start()
        while not self._stops:
            self._wait()
            self._glance()
            if self._manifests and not self._stops:
                self._try_failing()
                self._next_round()
            self._notify(())
        self._intake.source.close()
        self._log.event("stopped")

    def run_once(self) -> tuple[ServerResult, ...]:
        """Looks at the source until it has offered something, and runs one round on all servers.

        Returns:
            The results; none if there are no manifests. What is wrong with the source is in ``status.notices``.
        """
        look = self._intake.look()
        while not (look.manifests or look.problem or self._stops):
            with suppress(Empty):
                self._events.get(timeout=0.1)
            look = self._intake.look()
        self._take(replace(look, triggers=frozenset({"start"})))
        if self._stops or not self._manifests:
            return ()
        return self._round(list(self._declared.values()), "once")

    def _wait(self) -> None:
        """Waits until something is due or has happened, and takes what has happened."""
        timeout = min(_GLANCE, self._schedule.seconds_left()) if self._manifests else _GLANCE
        try:
            event = self._events.get(timeout=timeout)
            while True:
                if isinstance(event, Look):
                    self._take(event)
                elif isinstance(event, _Tried):
                    self._take_tried(event)
                event = self._events.get_nowait()
        except Empty:
            self._progress_at = time.monotonic()

    def _glance(self) -> None:
        """Looks at the clock and at suspensions."""
        offset = time.time() - time.monotonic()
        if abs(offset - self._clock_offset) > _CLOCK_JUMP:
            self._log.event(
                "clock_jumped",
                "the clock was set, or the machine slept",
                level="warning",
                seconds=round(offset - self._clock_offset),
            )
            self._schedule.start_round_now()
        self._clock_offset = offset
        for name in self.status.show_suspensions():
            self._corrections.forget(name)
            self._pending[name] = "resume"

    def _take(self, look: Look) -> None:
        """Takes a look at the source into account."""
        manifests = look.manifests
        if manifests is None and self._manifests is None and look.problem:
            manifests = self._intake.last_good()
        if manifests:
            self._adopt(manifests)
        if look.problem:
            what = f"commit {look.commit[:12]} is not in force: " if look.commit else ""
            self.status.notice("source_failed", what + look.problem)
        else:
            self.status.withdraw("source_failed")
        if look.triggers:
            self._schedule.retry_now()
            self._schedule.start_round_now()
            self._asked = min(look.triggers)

    def _adopt(self, manifests: Manifests) -> None:
        """A new version is in force from now on."""
        commit, former = manifests.revision.commit, self._declared
        self._declared = {one.label.name: one for one in manifests.fleet.servers}
        changed = {name for name, one in self._declared.items() if former.get(name) != one}
        self._log.commit = commit
        self._log.event("commit_accepted", f"{len(self._declared)} servers, {len(changed)} changed")
        for name in former.keys() - self._declared.keys():
            self._log.event("server_removed", "no manifest declares it any more; nothing on it is deleted", server=name)
        self._manifests = manifests
        self._rollout.restart()
        self.status.withdraw("rollout_stopped")
        self.status.declare([one.label for one in manifests.fleet.servers], commit)
        unsettled = {name for name, one in self.status.records.items() if one.state in _UNSETTLED}
        self._pending = dict.fromkeys(changed | unsettled, "commit")
        self._schedule.keep(self._declared.keys())
        self._schedule.retry_now()

    def _next_round(self) -> None:
        """Runs the round that is due, if there is one. Servers that fail are not part of it."""
        available = self._declared.keys() - self._schedule.failing() - self._trying
        if self._schedule.round_is_due():
            trigger, self._asked = self._asked or "interval", ""
            self._schedule.round_began()
            names = available
        else:
            names = available & self._pending.keys()
            trigger = min((self._pending[name] for name in names), default="")
        if names:
            self._round([self._declared[name] for name in sorted(names)], trigger)

    def _round(self, servers: Sequence[Desired], trigger: str) -> tuple[ServerResult, ...]:
        """Runs one round. Whatever goes wrong in it, the loop goes on."""
        self._log.run = run = secrets.token_hex(4)
        self._log.event("round_started", trigger=trigger, servers=len(servers))
        began = time.monotonic()
        self._gate = gate = FleetGate()
        if self._stops:
            gate.stop.set()
        results: tuple[ServerResult, ...] = ()
        try:
            results = self._make_round(servers, run, trigger).run(gate, _Progress(self._made_progress))
        except KeyboardInterrupt:
            self._log.event("round_abandoned", "the run ended before everything was planned; nothing was written")
        except Exception as error:  # noqa: BLE001 - nothing may end the loop
            for one in servers:
                self._pending.pop(one.label.name, None)
            self.status.notice("round_failed", self._explain(error))
        else:
            self.status.withdraw("round_failed")
        finally:
            self._gate = None
        self._take_results(results)
        self._rounds += 1
        self._rollout.take(results)
        if self._rollout.stopped:
            self.status.notice("rollout_stopped", self._rollout.stopped)
        elif results:
            self.status.withdraw("rollout_stopped")
        counts = Counter(result.run.result for result in results)
        self._log.event("round_finished", seconds=round(time.monotonic() - began, 3), results=dict(counts))
        self._notify(results)
        self._log.run = ""
        return results

    def _make_round(self, servers: Sequence[Desired], run: str, trigger: str) -> Round:
        if self._manifests is None:
            raise RuntimeError("there are no manifests yet")
        revision, fleet = self._manifests.revision, self._manifests.fleet
        records, names = self.status.records, {one.label.name for one in servers}
        given = RoundInput(
            run=run,
            trigger=trigger,
            commit=revision.commit,
            servers=servers,
            rollout=fleet.rollout,
            earlier=self._rollout.earlier(records, revision.commit, names),
            records=records,
            suspensions=self.status.suspensions(),
            shorten=revision.shorten,
        )
        options = replace(
            self._run_options,
            paths=revision.paths,
            context=self._intake.context(revision),
            in_fleet=len(self._declared) > 1,
            observer=lambda plan: SuspensionGuard(plan.server.name, self.status.check_writable),
        )
        parallelism = self._options.server_parallelism
        return Round(given, options, self._options.switches, server_parallelism=parallelism)

    def _take_results(self, results: Sequence[ServerResult]) -> None:
        """Counts, schedules, stops what must be stopped, and stores."""
        records: list[ServerRecord] = []
        corrections: list[Correction] = []
        for result in results:
            record, run = result.record, result.run
            self._pending.pop(record.name, None)
            self._schedule.ended(record.name, record.failures)
            stopped = self._heal_limit_reached(result)
            if stopped:
                self.status.suspend(record.name, stopped)
                self._log.event("heal_limit_reached", stopped.reason, server=record.name, level="warning")
                record = replace(record, state=ServerState.STOPPED, suspended=stopped)
            due = timedelta(seconds=self._schedule.seconds_left(record.name))
            records.append(replace(record, next_run=datetime.now(UTC) + due))
            corrections += result.corrections
            self._listener.server_done(run.result, (run.finished_at - run.started_at).total_seconds())
            former = self.status.records.get(record.name)
            log_result(self._log, records[-1], run, former.changes if former else ())
        if results:
            self.status.update(records, {one.record.name: one.run for one in results}, corrections)

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

    # Servers that fail.

    def _try_failing(self) -> None:
        due = self._schedule.due_retries() & self._declared.keys()
        if not due or self._trying:
            return
        self._trying = due
        servers = [self._declared[name] for name in sorted(due)]
        threading.Thread(target=self._try, args=(servers, secrets.token_hex(4)), name="retries", daemon=True).start()

    def _try(self, servers: Sequence[Desired], run: str) -> None:
        results: tuple[ServerResult, ...] = ()
        try:
            results = self._make_round(servers, run, "retry").run(FleetGate(), write=False)
        except Exception as error:  # noqa: BLE001 - nothing may end the loop
            self._log.event("retry_failed", self._explain(error), level="error")
        self._events.put(_Tried(frozenset(one.label.name for one in servers), results))

    def _take_tried(self, tried: _Tried) -> None:
        """Records the servers that still fail; the others take part in the next round, which begins now."""
        self._trying = frozenset()
        results = {one.record.name: one for one in tried.results if one.record.name in self._declared}
        self._take_results([one for one in results.values() if one.record.failures])
        for name in tried.servers & self._declared.keys():
            if name not in results:
                self._schedule.ended(name, _MOST_DOUBLINGS)
            elif not results[name].record.failures:
                self._schedule.ended(name, failures=0)
                self._pending[name] = "retry"

    def _notify(self, results: Sequence[ServerResult]) -> None:
        """Notifies people if anything has happened."""
        notices = self.status.notices
        if results or notices is not self._notified:
            self._notified = notices
            self._listener.round_ended(self.status.overview(), results)

    def _made_progress(self) -> None:
        self._progress_at = time.monotonic()

    def _explain(self, error: Exception) -> str:
        if isinstance(error, ReconcilerError):
            return "; ".join(map(str, error.problems))
        return (self._run_options.context.explain_bug or internal_error)(error)


class _Progress(FleetObserver):
    """Notes that a round makes progress."""

    def __init__(self, note: Callable[[], None]) -> None:
        self._note = note

    def planned(self, plan: Plan) -> None:  # noqa: ARG002 - the interface's
        self._note()

    def finished(self, report: Report) -> None:  # noqa: ARG002 - the interface's
        self._note()
