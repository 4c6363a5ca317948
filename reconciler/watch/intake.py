"""Takes in new versions of the manifests: fetches, loads and checks them, whole or not at all."""

from __future__ import annotations

import threading
import time
from dataclasses import dataclass, replace
from pathlib import Path
from queue import Empty, SimpleQueue
from typing import TYPE_CHECKING, TypeAlias

from reconciler import reconcile
from reconciler.errors import ReconcilerError

if TYPE_CHECKING:
    from collections.abc import Callable

    from reconciler.model.desired import Desired
    from reconciler.model.fleet import Fleet
    from reconciler.reconcile import RunContext
    from reconciler.source.revision import Revision, Source

_Status: TypeAlias = tuple[int, int, int]


@dataclass(frozen=True, slots=True)
class Manifests:
    """A version of the manifests that has loaded without errors."""

    revision: Revision
    fleet: Fleet


@dataclass(frozen=True, slots=True)
class Look:
    """What a look at the source has found.

    Attributes:
        manifests: A good version that is to be in force from now on; ``None`` if there is none.
        problem: Why the newest version is not in force; empty if it is.
        commit: The version that is not in force, if it is known.
        triggers: What asked for the look; empty if nothing did.
    """

    manifests: Manifests | None = None
    problem: str = ""
    commit: str = ""
    triggers: frozenset[str] = frozenset()


class Intake:
    """Looks at the source, and takes in what is new and good.

    Args:
        source: Where manifests come from.
        context: What loading takes from outside.
        trust_file: The trust file, which is read again with each version; ``None`` if there is none.
    """

    def __init__(self, source: Source, context: RunContext, trust_file: str | None = None) -> None:
        self.source = source
        self._context = context
        self._trust_file = trust_file
        self._rejected = Look()
        self._rejected_with: _Status | None = None  # of the trust file, before the version was loaded
        self._has_manifests = False

    def look(self, *, again: bool = False) -> Look:
        """Looks at the source once. Never raises.

        Args:
            again: Whether to load a version again that was rejected before: what it refers to may have changed. If the
                trust file has changed, that is done in any case.
        """
        try:
            return self._look(again=again)
        except Exception as error:  # noqa: BLE001 - the loop goes on, whatever is wrong with the source
            return self._rejection(error, None)

    def _look(self, *, again: bool) -> Look:
        revision: Revision | None = None
        trust = _status(self._trust_file)
        try:
            revision = self.source.fetch()
            if revision is None:
                self._rejected = Look()
            elif again or revision.commit != self._rejected.commit or trust != self._rejected_with:
                return self._take(revision)
        except Exception as error:  # noqa: BLE001 - whatever is wrong with a version, the loop goes on with the former
            if revision is None or self.source.is_intact(revision):
                self._rejected, self._rejected_with = self._rejection(error, revision), trust
                if not self._has_manifests:
                    return replace(self._rejected, manifests=self._last_good())
        return self._rejected

    def _last_good(self) -> Manifests | None:
        """The last good version of an earlier process, if it still loads."""
        revision = self.source.last_good()
        if revision is None:
            return None
        try:
            manifests = Manifests(revision, self._load(revision))
        except ReconcilerError:
            return None
        self._has_manifests = True
        return manifests

    def _take(self, revision: Revision) -> Look:
        manifests = Manifests(revision, self._load(revision))
        if not self.source.accept(revision):  # it was changed while it was being read
            return self._rejected
        self._rejected, self._has_manifests = Look(), True
        return Look(manifests)

    def _load(self, revision: Revision) -> Fleet:
        """Loads a version.

        Raises:
            ReconcilerError: It must not be used.
        """
        context = self.context(revision)
        fleet = reconcile.load_fleet(*revision.paths, context=context)
        fleet.check_min_servers()
        if len(fleet.servers) > 1:
            return fleet
        return replace(fleet, servers=tuple(_named(one, context) for one in fleet.servers))

    def _rejection(self, error: Exception, revision: Revision | None) -> Look:
        if isinstance(error, ReconcilerError):
            problems = [one.redacted(self._context.redactor.redact) for one in error.problems]
            hints = {one.hint for one in problems}
            shared = hints.pop() if len(hints) == 1 else None  # several would not be read in one sentence
            reason = "; ".join(filter(None, (*map(str, problems), shared)))
        else:
            reason = self._context.explain_bug(error)
        return Look(problem=revision.shorten(reason), commit=revision.commit) if revision else Look(problem=reason)

    def context(self, revision: Revision) -> RunContext:
        """The context for a version, with the trust file as it is now. No file may be outside a version's own folder.

        Raises:
            ManifestError: The trust file cannot be read.
        """
        context = replace(self._context, within=revision.root or None)
        if self._trust_file is None:
            return context
        return replace(context, trust=reconcile.read_trust(self._trust_file))


def _status(path: str | None) -> _Status | None:
    """What differs if a file was written or replaced; ``None`` if there is none."""
    try:
        found = Path(path).stat() if path else None
    except OSError:
        return None
    return (found.st_mtime_ns, found.st_size, found.st_ino) if found else None


def _named(desired: Desired, context: RunContext) -> Desired:
    """The only server, which may be named by the environment, with its name.

    Raises:
        ApiError: Nothing names it.
    """
    name = reconcile.server_of(desired, context).name
    return replace(desired, server=replace(desired.server, name=name))


class Poller(threading.Thread):
    """Looks at the source from time to time, so that a long round cannot hide a new version.

    Args:
        intake: Looks at the source.
        pause: Seconds between two looks.
        found: Called with each look that found something or that was asked for; from this thread.
    """

    def __init__(self, intake: Intake, pause: float, found: Callable[[Look], None]) -> None:
        super().__init__(name="poller", daemon=True)
        self._intake = intake
        self._pause = pause
        self._found = found
        self._asked: SimpleQueue[str] = SimpleQueue()

    def ask(self, trigger: str) -> None:
        """Asks for a look now. A signal handler may call it."""
        self._asked.put(trigger)

    def run(self) -> None:
        """Looks until the process ends."""
        last = Look()
        while True:
            triggers = self._wait()
            look = self._intake.look(again=bool(triggers))
            if look.manifests or triggers or look != last:
                self._found(replace(look, triggers=triggers))
            last = replace(look, manifests=None)

    def _wait(self) -> frozenset[str]:
        """Waits for the next look. Returns what asked for it."""
        end = time.monotonic() + self._pause
        triggers: set[str] = set()
        while not triggers and (left := end - time.monotonic()) > 0:
            try:
                triggers.add(self._asked.get(timeout=left))
            except Empty:
                break
        while not self._asked.empty():
            triggers.add(self._asked.get())
        return frozenset(triggers)
