"""A fleet of sandboxes that is watched, one round at a time, by watchers that share a state directory."""

from __future__ import annotations

import io
import json
from contextlib import closing, contextmanager
from dataclasses import dataclass, field, replace
from itertools import count
from typing import TYPE_CHECKING, Any, TextIO

from reconciler.fleet.server_run import ServerRunOptions
from reconciler.reconcile import RunContext
from reconciler.source.paths import PathsSource
from reconciler.watch.fleet_status import FleetStatus
from reconciler.watch.heal import HealLimit
from reconciler.watch.intake import Intake
from reconciler.watch.log import EventLog, LogFormat
from reconciler.watch.loop import Watcher
from reconciler.watch.rounds import WatchOptions
from reconciler.watch.server_check import Switches
from reconciler.watch.state import WatchState
from tests.support.pauses import short_pauses

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence
    from pathlib import Path

    from reconciler.watch.records import Overview, ServerRecord
    from reconciler.watch.round import ServerResult
    from tests.fleet.conftest import FleetOfSandboxes


@dataclass
class RecordingListener:
    """Remembers what happened."""

    results: list[str] = field(default_factory=list)
    overviews: list[Overview] = field(default_factory=list)

    def server_done(self, result: str, seconds: float) -> None:
        assert seconds >= 0
        self.results.append(result)

    def round_ended(self, overview: Overview, results: Sequence[ServerResult]) -> None:  # noqa: ARG002 - the interface's
        self.overviews.append(overview)


@dataclass
class Round:
    """What one round did.

    Attributes:
        results: By server.
        events: The log.
    """

    results: Mapping[str, ServerResult]
    overview: Overview
    notices: Mapping[str, str]
    events: Sequence[Mapping[str, Any]]

    def record(self, server: str) -> ServerRecord:
        return next(one for one in self.overview.servers if one.name == server)

    def states(self) -> dict[str, str]:
        return {one.name: one.state.value for one in self.overview.servers}

    def changes(self, server: str) -> list[str]:
        """The changes of the round in short: action, address, origin, and the outcome or why there is none."""
        return [
            f"{one.action} {one.address} {one.origin}: {one.status or one.held}"
            for one in self.results[server].run.changes
        ]


@dataclass
class WatchedFleet:
    """Sandboxes, their manifests, and a state directory."""

    fleet: FleetOfSandboxes
    state: Path
    environ: dict[str, str] = field(default_factory=dict)

    def once(
        self,
        *,
        commits: bool = True,
        drift: bool = True,
        heal_limit: str = "3/1h",
        trust: str | None = None,
        parallelism: int = 10,
    ) -> Round:
        """One round of a new watcher on the same state."""
        stream = io.StringIO()
        options = self.options(switches=Switches(commits=commits, drift=drift), heal_limit=HealLimit.parse(heal_limit))
        options = replace(options, run=replace(options.run, parallelism=parallelism))
        with self.watcher(options, trust=trust, stream=stream) as watcher:
            results = watcher.run_once()
            overview, notices = watcher.overview(), dict(watcher.status.notices)
        events = [json.loads(line) for line in stream.getvalue().splitlines()]
        return Round({one.record.name: one for one in results}, overview, notices, events)

    @property
    def context(self) -> RunContext:
        return RunContext(environ={**self.fleet.context.environ, **self.environ})

    def options(self, **options: Any) -> WatchOptions:  # noqa: ANN401 - those of WatchOptions
        return WatchOptions(run=ServerRunOptions(paths=(), context=self.context), **options)

    @contextmanager
    def watcher(
        self,
        options: WatchOptions,
        *,
        trust: str | None = None,
        stream: TextIO | None = None,
        listener: RecordingListener | None = None,
    ) -> Iterator[Watcher]:
        """A watcher that has not begun."""
        log = EventLog(LogFormat.JSON, str, stream or io.StringIO())
        clock = count()
        source = PathsSource([str(self.fleet.folder)], lambda: float(next(clock)))
        with closing(WatchState(self.state)) as state, state.lock(), short_pauses():
            status = FleetStatus(state, source.name, log)
            yield Watcher(Intake(source, self.context, trust), status, options, log, listener or RecordingListener())

    def edit(self, server: str, address: str, **fields: Any) -> None:  # noqa: ANN401 - the fields' own types
        """Somebody changes an account in the server's interface."""
        box = self.fleet.boxes[server]
        box.change_account(next(one["id"] for one in box.accounts() if one["email"] == address), **fields)

    def replace(self, server: str, old: str, new: str) -> None:
        """A commit changes the file of a server."""
        path = self.fleet.folder / f"{server}.yaml"
        text = path.read_text()
        assert old in text
        path.write_text(text.replace(old, new))

    def value(self, server: str, address: str, name: str) -> Any:  # noqa: ANN401 - the fields' own types
        found = [one for one in self.fleet.boxes[server].accounts() if one["email"] == address]
        return found[0][name] if found else None
