"""What the watcher knows of its fleet at this moment: in memory for the page, and stored for the next start."""

from __future__ import annotations

import threading
from contextlib import suppress
from dataclasses import replace
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from reconciler.errors import Kind, Problem, StateError, WithheldError
from reconciler.watch.records import Overview, ServerRecord, ServerState, SuspendedBy

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from reconciler.model.server import Server
    from reconciler.watch.heal import Correction
    from reconciler.watch.log import EventLog
    from reconciler.watch.records import RunRecord, Suspension
    from reconciler.watch.state import WatchState


class FleetStatus:
    """The servers, and what is wrong with the watcher itself. Any thread may read it; one writes.

    If the state cannot be stored, it goes on in memory, says so, and stores everything once that is possible again.

    Args:
        state: The state directory.
        source: What the manifests come from.
        log: The log.
    """

    def __init__(self, state: WatchState, source: str, log: EventLog) -> None:
        self._state = state
        self._source = source
        self._log = log
        self._lock = threading.Lock()
        self._notices: dict[str, str] = {}
        self._storing = threading.Lock()
        self._stored_notices: Mapping[str, str] | None = None  # those of an earlier process hold until the first look
        self._unsaved: set[str] = set()
        self._commit = state.commit()
        self._records: Mapping[str, ServerRecord] = state.records()
        self._suspensions: Mapping[str, Suspension] = state.suspensions(datetime.now(UTC))
        self._own: dict[str, Suspension] = {}
        self._rollout: dict[str, Any] = {}
        if state.lost:
            self.notice("state_lost", f"what was remembered is lost, suspensions by command included: {state.lost}")

    @property
    def records(self) -> Mapping[str, ServerRecord]:
        """The servers by name, as they were last seen. Another object after each change."""
        return self._records

    @property
    def commit(self) -> str:
        """The last good commit; empty if there is none."""
        return self._commit

    @property
    def notices(self) -> Mapping[str, str]:
        """What is wrong with the watcher or its source, by what it is about. Another object after each change."""
        return self._notices

    def notice(self, about: str, sentence: str) -> None:
        """Shows that something is wrong. It is logged once."""
        with self._lock:
            if self._notices.get(about) == sentence:
                return
            self._notices = {**self._notices, about: sentence}
        self._store_notices()
        self._log.event(about, sentence, level="warning")

    def withdraw(self, about: str) -> None:
        """What was wrong is right again."""
        with self._lock:
            if about not in self._notices:
                return
            self._notices = {name: sentence for name, sentence in self._notices.items() if name != about}
        self._store_notices()
        self._log.event(f"{about}_ended")

    def _store_notices(self) -> None:
        """Stores the notices if they have changed. If that fails, the next round tries again."""
        with self._storing, suppress(StateError):
            notices = self._notices
            if notices is not self._stored_notices:
                self._state.save_notices(notices)
                self._stored_notices = notices

    def overview(self) -> Overview:
        """The fleet at this moment."""
        with self._lock:
            records, notices, commit = self._records, self._notices, self._commit
        servers = tuple(records[name] for name in sorted(records))
        return Overview(
            at=datetime.now(UTC),
            source=self._source,
            commit=commit,
            notices=notices,
            servers=servers,
        )

    def corrections(self) -> tuple[Correction, ...]:
        """The corrections of drift that earlier processes made."""
        return self._state.corrections()

    def runs(self, server: str) -> tuple[RunRecord, ...]:
        """The runs of a server, newest first; none if they cannot be read."""
        try:
            return self._state.runs(server)
        except StateError as error:
            self.notice("history_not_read", f"the history cannot be read: {error.reason}")
            return ()

    def declare(self, servers: Iterable[Server], commit: str) -> None:
        """A commit is in force from now on: other servers than these are forgotten.

        A server is known by its URL. So what is known of it, and its suspension, stay if it is renamed; and what is
        known of a name says nothing about another machine.
        """
        known, suspensions = {one.url: one for one in self._records.values()}, self.suspensions()
        records = {}
        for server in servers:
            former = known.get(server.url) or ServerRecord(name=server.name, url=server.url)
            records[server.name] = replace(former, name=server.name, labels=server.labels)
            suspension = suspensions.get(former.name)
            if suspension and server.name not in suspensions:
                self.suspend(server.name, suspension)
        with self._lock:
            self._records, self._commit = records, commit
        self._unsaved.update(records)
        self._store({}, ())

    def update(
        self, records: Iterable[ServerRecord], runs: Mapping[str, RunRecord], corrections: Sequence[Correction]
    ) -> None:
        """Servers were processed."""
        found = {record.name: record for record in records if record.name in self._records}
        with self._lock:
            self._records = {**self._records, **found}
        self._unsaved.update(found)
        self._store({name: run for name, run in runs.items() if name in found}, corrections)

    def _store(self, runs: Mapping[str, RunRecord], corrections: Sequence[Correction]) -> None:
        records = [self._records[name] for name in self._unsaved if name in self._records]
        try:
            stored = self._state.suspensions(datetime.now(UTC)) if self._own else {}
            for name, suspension in tuple(self._own.items()):
                if name not in stored:  # a person's suspension, made meanwhile, wins
                    self._state.suspend(name, suspension)
                del self._own[name]
            self._state.save(
                commit=self._commit,
                rollout=self._rollout,
                records=records,
                runs=runs,
                corrections=corrections,
                keep=self._records.keys(),
            )
        except StateError as error:
            self.notice("state_not_saved", f"the state cannot be saved: {error.reason}")
        else:
            self._unsaved.clear()
            self.withdraw("state_not_saved")
            self._store_notices()

    def rollout(self, commit: str) -> Mapping[str, Any]:
        """What is stored of the rollout of a commit; empty if nothing is."""
        with suppress(StateError):
            stored = self._state.rollout()
            if stored.get("commit") == commit:
                return stored
        return {}

    def remember_rollout(self, commit: str, progress: Mapping[str, Any]) -> None:
        """How far the rollout of a commit is. It is stored with the round."""
        self._rollout = {"commit": commit, **progress}

    def suspend(self, server: str, suspension: Suspension) -> None:
        """Suspends a server, even if that cannot be stored."""
        self._own[server] = suspension

    def suspensions(self) -> Mapping[str, Suspension]:
        """The suspensions that are not in manifests, by server. If they cannot be read, those that were read last."""
        try:
            self._suspensions = self._state.suspensions(datetime.now(UTC))
        except StateError as error:
            self.notice("state_not_read", f"suspensions cannot be read, so nothing is written: {error.reason}")
        else:
            self.withdraw("state_not_read")
        return {**self._suspensions, **self._own}

    def unwritable(self, servers: Iterable[str]) -> Mapping[str, Problem]:
        """Those of these servers that were suspended in the meantime, and why; all of them if nobody can tell."""
        try:
            found = {**self._state.suspensions(datetime.now(UTC)), **self._own}
        except StateError as error:
            message = f"suspensions cannot be read ({error.reason})"
            return dict.fromkeys(servers, Problem(kind=Kind.SUSPENDED, message=message))
        reasons = {name: found[name].reason for name in servers if name in found}
        return {
            name: Problem(kind=Kind.SUSPENDED, message=f"the server was suspended in the meantime ({reason})")
            for name, reason in reasons.items()
        }

    def check_writable(self, server: str) -> None:
        """Raises ``WithheldError`` if the server was suspended in the meantime, or if nobody can tell."""
        if problem := self.unwritable([server]).get(server):
            raise WithheldError(problem)

    def keep_lock(self) -> None:
        """Makes sure that no other watcher can use the state directory, even if it was deleted and is there again.

        Raises:
            LockedError: Another watcher uses it.
        """
        with suppress(StateError):  # shown when the state is stored next
            if self._state.keep_lock():
                what = "the state directory was deleted or replaced; its lock was taken again"
                self._log.event("state_locked_again", what, level="warning")

    def show_suspensions(self) -> frozenset[str]:
        """Shows suspensions that were made since the last round.

        Returns:
            The servers whose suspension has ended, so that they have to be checked.
        """
        suspensions, changed, ended = self.suspensions(), [], set()
        for name, record in self._records.items():
            known, found = record.suspended, suspensions.get(name)
            if known == found or (known and known.by is SuspendedBy.MANIFEST):
                continue
            if found:
                self._log_suspended(name, found)
            else:
                ended.add(name)
                self._log.event("suspension_ended", server=name)
            changed.append(record.with_suspension(found))
        if changed:
            self.update(changed, {}, ())
        return frozenset(ended)

    def lose_sight(self, servers: Iterable[str]) -> None:
        """These servers could not be checked. What was known of them is not shown as if it held."""
        known = [self._records[name] for name in servers if name in self._records]
        seen = [one for one in known if not one.suspended and one.state is not ServerState.UNKNOWN]
        if seen:
            self.update([replace(one, state=ServerState.UNKNOWN) for one in seen], {}, ())

    def suspended_meanwhile(self, records: Iterable[ServerRecord]) -> list[ServerRecord]:
        """The records after a round, which shows servers as failed if they were suspended while it ran."""
        suspensions, now = self.suspensions(), []
        for record in records:
            found = None if record.suspended else suspensions.get(record.name)
            if found:
                self._log_suspended(record.name, found)
            now.append(record.with_suspension(found) if found else record)
        return now

    def _log_suspended(self, server: str, found: Suspension) -> None:
        self._log.event("suspended", found.reason, server=server, by=found.by.value, user=found.user)
