"""The loop: decides when rounds happen, and on which servers.

The main thread runs the rounds, one at a time. The poller looks at the source, so that a long round hides no commit.
Servers that fail are tried in threads of their own, so that one that does not respond holds nobody up; once they
respond, they take part in rounds again.
"""

from __future__ import annotations

import threading
import time
from dataclasses import dataclass, field
from queue import Empty, SimpleQueue
from typing import TYPE_CHECKING, Final

from reconciler.model.display import SHORT_COMMIT
from reconciler.report.server_names import count_phrase
from reconciler.watch.broker_check import BrokerCheck
from reconciler.watch.intake import Look, Poller
from reconciler.watch.records import ROUND_NOTICE, SOURCE_NOTICE, ServerState
from reconciler.watch.rounds import ONCE, Rounds
from reconciler.watch.schedule import Schedule

if TYPE_CHECKING:
    from collections.abc import Collection, Sequence

    from reconciler.model.desired import Desired
    from reconciler.watch.fleet_status import FleetStatus
    from reconciler.watch.intake import Intake, Manifests
    from reconciler.watch.log import EventLog
    from reconciler.watch.records import Overview, RunRecord
    from reconciler.watch.round import ServerResult
    from reconciler.watch.rounds import WatchListener, WatchOptions

_GLANCE: Final = 2.0
"""Seconds between two looks at suspensions, which other processes make."""

_SETTLING: Final = 0.1
"""Seconds between two looks at a source that has not offered anything yet."""

_CLOCK_JUMP: Final = 60.0
"""Seconds by which the time of day may drift from the monotonic clock between two looks."""

_HANGING: Final = 900.0
"""Seconds without any progress after which the loop counts as hanging."""

_MANY_FAILURES: Final = 10
_MOST_TRIES: Final = 8
"""Tries side by side, each of all servers that are due when it begins."""

_UNSETTLED: Final = frozenset({ServerState.PENDING, ServerState.DRIFTED, ServerState.REFUSED, ServerState.UNKNOWN})


@dataclass(slots=True, eq=False)
class _Try:
    """A try of servers that failed.

    Attributes:
        servers: Those that have not taken part in a round since.
        responded: The servers that have responded; the thread that tries them adds to it.
        results: Of all servers, once it has ended; those without a result failed in a new way.
    """

    servers: frozenset[str]
    responded: set[str] = field(default_factory=set)
    results: Sequence[ServerResult] = ()


class Watcher:
    """Reconciles a fleet repeatedly.

    Args:
        intake: Takes in new versions of the manifests.
        status: What is known of the fleet.
        options: How the watcher works.
        log: The log.
        listener: Learns what happens.
    """

    def __init__(
        self, intake: Intake, status: FleetStatus, options: WatchOptions, log: EventLog, listener: WatchListener
    ) -> None:
        self.status = status
        self._intake = intake
        self._log = log
        self._schedule = Schedule(options.interval)
        self._rounds = Rounds(intake, status, self._schedule, options, log, listener)
        self._events: SimpleQueue[Look | _Try | None] = SimpleQueue()
        self._poller = Poller(intake, options.poll, self._found)
        self._manifests: Manifests | None = None
        self._declared: dict[str, Desired] = {}
        self._pending: dict[str, str] = {}
        """Servers that are due before the next interval, and why."""
        self._broker = BrokerCheck(options.workers, status) if options.workers else None
        self._asked = ""
        self._tries: set[_Try] = set()
        self._clock_offset = time.time() - time.monotonic()

    # What other threads and signal handlers call.

    def stop(self) -> None:
        """Ends the loop after the writes in flight; a second call does not wait for those. For signal handlers."""
        self._rounds.stop()
        self._events.put(None)

    @property
    def is_stopping(self) -> bool:
        """Whether ``stop`` was called."""
        return self._rounds.is_stopping

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
        return self._rounds.idle_seconds < _HANGING

    def is_ready(self) -> bool:
        """Whether manifests have loaded and a round has ended."""
        return self._rounds.count > 0

    def _found(self, look: Look) -> None:
        """Takes what the poller has found."""
        if look.manifests:  # before the loop can take it: no round on it may be superseded by the one before it
            self._rounds.supersede(look.manifests.revision.commit)
        self._events.put(look)

    # The loop.

    def run(self) -> None:
        """Reconciles until ``stop`` is called.

        Raises:
            LockedError: The state directory was deleted, and another watcher uses the new one.
        """
        self._log.event("started", f"watching {self._intake.source.name}")
        self._poller.ask("start")
        self._poller.start()
        while not self.is_stopping:
            self._wait()
            self._glance()
            if self._broker and self._broker.is_down:
                self._wait_for_broker(self._broker)
            elif self._manifests and not self.is_stopping:
                self._try_failing(self._manifests)
                self._next_round(self._manifests)
            self._rounds.notify()
        self._intake.source.close()
        self._log.event("stopped")

    def run_once(self) -> tuple[ServerResult, ...]:
        """Looks at the source until it has offered something, and runs one round on all servers.

        Returns:
            The results; none if there are no manifests. What is wrong with the source is in ``status.notices``.
        """
        threading.Thread(target=self._look_first, name="source", daemon=True).start()
        look = self._events.get()
        if isinstance(look, Look):
            self._take(look)
        else:  # a signal: a remote that does not respond must not delay the end
            self._intake.source.close()
        if self.is_stopping or not self._manifests:
            self._rounds.notify()
            return ()
        return self._rounds.run(self._manifests, list(self._declared.values()), ONCE) or ()

    def _look_first(self) -> None:
        """Looks at the source until it has offered something."""
        look = self._intake.look()
        while not (look.manifests or look.problem or self.is_stopping):
            time.sleep(_SETTLING)
            look = self._intake.look()
        self._events.put(look)

    def _wait(self) -> None:
        """Waits until something is due or has happened, and takes what has happened."""
        timeout = _GLANCE
        is_down = self._broker and self._broker.is_down
        if self._manifests and not is_down:
            can_try = len(self._tries) < _MOST_TRIES  # otherwise the end of a try, which is an event, ends the wait
            left = self._schedule.seconds_left(retries=can_try)
            timeout = min(timeout, left, self._rounds.rollout_seconds_left or timeout)
        try:
            event = self._events.get(timeout=timeout)
            while True:
                if isinstance(event, Look):
                    self._take(event)
                elif isinstance(event, _Try):
                    self._take_tried(event)
                event = self._events.get_nowait()
        except Empty:
            self._rounds.note_progress()

    def _glance(self) -> None:
        """Looks at the clock, at the broker and at suspensions."""
        offset = time.time() - time.monotonic()
        jump, self._clock_offset = offset - self._clock_offset, offset
        if abs(jump) > _CLOCK_JUMP:
            message = "the clock was set, or the machine slept"
            self._log.event("clock_jumped", message, level="warning", seconds=round(jump))
            self._schedule.start_round_now()
        self.status.keep_lock()
        if self._broker and self._broker.look():
            self._schedule.retry_now()
            self._schedule.start_round_now()
            self._asked = self._asked or "broker"
        for name in self.status.show_suspensions():
            self._rounds.resumed(name)
            self._schedule.retry_now(name)
            self._pending[name] = "resume"

    def _take(self, look: Look) -> None:
        """Takes a look at the source into account."""
        if look.manifests:
            self._adopt(look.manifests)
        if look.problem:
            what = f"commit {look.commit[:SHORT_COMMIT]} is not in force: " if look.commit else ""
            self.status.notice(SOURCE_NOTICE, what + look.problem)
        else:
            self.status.withdraw(SOURCE_NOTICE)
        if look.triggers:
            self._schedule.retry_now()
            self._schedule.start_round_now()
            self._asked = min(look.triggers)

    def _adopt(self, manifests: Manifests) -> None:
        """A new version is in force from now on."""
        commit, former = manifests.revision.commit, self._declared
        self._manifests = manifests
        self._declared = {one.named_server.name: one for one in manifests.fleet.servers}
        changed = {name for name, one in self._declared.items() if former.get(name) != one}
        self._log.commit = commit
        self._log.event("commit_accepted", f"{count_phrase(len(self._declared))}, {len(changed)} changed")
        for name in former.keys() - self._declared.keys():
            self._log.event("server_removed", "no manifest declares it any more; nothing on it is deleted", server=name)
        self._rounds.new_commit(commit)
        self.status.declare([one.named_server for one in manifests.fleet.servers], commit)
        unsettled = {name for name, one in self.status.records.items() if one.state in _UNSETTLED}
        self._pending = dict.fromkeys(changed | unsettled, "commit")
        unseen = {name for name, one in self.status.records.items() if one.last_run is None}
        self._schedule.keep(self._declared.keys() - unseen)  # failures at a former URL say nothing
        self._tries.clear()  # they say nothing about the new declaration: all are due again
        self._schedule.retry_now()

    def _wait_for_broker(self, broker: BrokerCheck) -> None:
        """No round can begin. What was seen before one was due holds until then."""
        if broker.is_shown and self._schedule.round_is_due():
            self.status.lose_sight(self._declared)

    def _next_round(self, manifests: Manifests) -> None:
        """Runs the round that is due, if there is one. Servers that fail are not part of it."""
        if self._rounds.rollout_goes_on():
            waiting = (name for name, one in self.status.records.items() if one.state is ServerState.PENDING)
            self._pending = {**dict.fromkeys(waiting, "rollout"), **self._pending}
        is_due = self._schedule.round_is_due()
        if is_due:
            self._take_responses()
        names: Collection[str] = self._declared.keys() - self._schedule.failing()
        if is_due:
            trigger, self._asked = self._asked or "interval", ""
            self._schedule.round_began()
        else:
            names = names & self._pending.keys()
            trigger = min((self._pending[name] for name in names), default="")
        if not names:
            return
        if self._run_round(manifests, names, trigger):
            for name in names:
                self._pending.pop(name, None)
        elif is_due:
            self._asked = trigger
            self._schedule.start_round_now()

    def _run_round(self, manifests: Manifests, names: Collection[str], trigger: str) -> bool:
        """Runs a round on some servers. Returns whether everything was planned, or nothing could be."""
        had_failed = ROUND_NOTICE in self.status.notices
        results = self._rounds.run(manifests, [self._declared[name] for name in sorted(names)], trigger)
        if had_failed and ROUND_NOTICE not in self.status.notices:
            self._schedule.retry_now()  # what made rounds fail made tries fail, too
        return results is not None

    # Servers that fail.

    def _try_failing(self, manifests: Manifests) -> None:
        """Begins to try the servers that failed and are due."""
        due = self._schedule.due_retries() & self._declared.keys()
        if not due or len(self._tries) >= _MOST_TRIES:
            return
        begun = _Try(due)
        self._tries.add(begun)
        self._schedule.try_began(due)
        servers = [self._declared[name] for name in sorted(due)]

        def work() -> None:
            begun.results = self._rounds.try_failing(manifests, servers, begun.responded.add)
            self._events.put(begun)

        threading.Thread(target=work, name="retries", daemon=True).start()

    def _take_tried(self, tried: _Try) -> None:
        """Records the servers that still fail; the others take part in the next round, which begins now."""
        if tried not in self._tries:  # a newer commit is in force
            return
        self._tries.remove(tried)
        results = {one.record.name: one for one in tried.results if one.record.name in tried.servers}
        if failed := [one for one in results.values() if one.record.failures]:
            self._rounds.record(failed)
        for name in tried.servers - results.keys():
            self._schedule.ended(name, _MANY_FAILURES)
        self._rejoin([name for name, one in results.items() if not one.record.failures])

    def _take_responses(self) -> None:
        """Servers that have responded do not wait for the others of their try."""
        for tried in self._tries:
            names = [name for name in tried.servers if name in tried.responded]
            tried.servers = tried.servers.difference(names)
            self._rejoin(names)

    def _rejoin(self, names: Collection[str]) -> None:
        """Servers no longer fail."""
        for name in names:
            self._schedule.ended(name, failures=0)
        self._pending |= dict.fromkeys(names, "retry")
