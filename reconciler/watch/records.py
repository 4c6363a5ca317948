"""What the watcher knows of its servers: as it is stored, and as the page, the API and ``status`` show it.

Nothing in it is a secret. All times are in UTC.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from enum import StrEnum
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Mapping
    from datetime import datetime

    from reconciler.errors import Kind
    from reconciler.model.account import Fields
    from reconciler.report.view import FieldRow


SOURCE_NOTICE: Final = "source_failed"
"""What the notice about the source is called, among those about the watcher."""

BROKER_NOTICE: Final = "broker_failed"
"""What the notice about the broker of the workers is called."""

ROUND_NOTICE: Final = "round_failed"
"""What the notice about a round that failed as a whole is called."""


class ServerState(StrEnum):
    """The state of a server, as it is shown at a glance."""

    SYNCED = "synced"
    PENDING = "pending"
    DRIFTED = "drifted"
    SUSPENDED = "suspended"
    STOPPED = "stopped"
    REFUSED = "refused"
    FAILED = "failed"
    UNREACHABLE = "unreachable"
    UNKNOWN = "unknown"


_NOT_COMPARED: Final = frozenset({ServerState.UNKNOWN, ServerState.UNREACHABLE, ServerState.FAILED})


_HELD: Final = frozenset({ServerState.DRIFTED, ServerState.PENDING})


class Origin(StrEnum):
    """Why an account differs from its declaration: the declaration changed, the server changed, or both did."""

    COMMIT = "commit"
    DRIFT = "drift"
    BOTH = "both"


class SuspendedBy(StrEnum):
    """Who suspended a server: somebody with the command, its manifest, or the watcher itself at the heal limit."""

    COMMAND = "command"
    MANIFEST = "manifest"
    HEAL_LIMIT = "heal_limit"


@dataclass(frozen=True, slots=True, kw_only=True)
class Suspension:
    """Why nothing is written to a server.

    Attributes:
        user: Who suspended it; empty if that is not known.
        since: ``None`` for one in a manifest.
        until: When it ends by itself; ``None`` if it does not.
    """

    reason: str
    by: SuspendedBy
    user: str = ""
    since: datetime | None = None
    until: datetime | None = None

    @property
    def state(self) -> ServerState:
        """The state of a server that is suspended so."""
        return ServerState.STOPPED if self.by is SuspendedBy.HEAL_LIMIT else ServerState.SUSPENDED


@dataclass(frozen=True, slots=True, kw_only=True)
class ChangeRecord:
    """A change of one account, safe to show.

    Attributes:
        action: ``create``, ``update`` or ``delete``.
        rows: The fields that change.
        notes: The reason, and what else a reviewer should know.
        held: Why it was not written; empty if it was, or has yet to be.
        status: Its outcome; empty if it was not written.
        error: Why it failed.
    """

    address: str
    action: str
    origin: Origin
    rows: tuple[FieldRow, ...] = ()
    notes: tuple[str, ...] = ()
    held: str = ""
    status: str = ""
    error: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class RunRecord:
    """One run on a server. Runs that found the same and did nothing are one record.

    Attributes:
        run: The identifier of the round, as in the logs.
        trigger: What began the round: ``start``, ``interval``, ``commit``, ``hook``, ``signal``, ``retry``, ``resume``,
            ``rollout``, ``broker`` or ``once``.
        result: ``unchanged``, ``planned`` (there were changes, and none was written), or a status of a result document.
        started_at: When the first of the runs began.
        finished_at: When the last of them ended.
        count: How many runs the record stands for.
        changes: What the run found and did.
        error: Why it did not succeed; empty if it did.
    """

    run: str
    trigger: str
    commit: str
    result: str
    started_at: datetime
    finished_at: datetime
    count: int = 1
    changes: tuple[ChangeRecord, ...] = ()
    error: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class VerifiedAccount:
    """An account as it was when the server last matched its declaration.

    Attributes:
        declared: Whether it was declared.
        fields: Its fields on the server, without secrets.
        updated_at: When the server says it was last changed; ``None`` if it does not say so.
        password_from: Where the declared password comes from; ``None`` if none is declared.
    """

    declared: bool
    fields: Fields
    updated_at: str | None = None
    password_from: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class ServerRecord:
    """A server as the watcher last saw it.

    Attributes:
        commit: The commit whose manifest is in force on the server; empty if none is yet.
        changes: How it differs from its declaration now.
        changed_since: Since when it differs; ``None`` if it does not.
        last_success: When it was last seen to be as declared, or was made so.
        last_run: When it was last checked.
        next_run: When it is checked next; ``None`` if it is not known.
        failures: How many runs in a row have failed.
        error: Why it is not as declared, or could not be checked; empty if there is no error.
        kinds: The kinds of problems that ``error`` reports, without those that the server names.
        suspended: Why nothing is written to it; ``None`` if it is not suspended.
        verified: Its accounts when they last matched, by their identities; ``None`` before that.
    """

    name: str
    url: str
    labels: Mapping[str, str] = field(default_factory=dict)
    state: ServerState = ServerState.UNKNOWN
    commit: str = ""
    changes: tuple[ChangeRecord, ...] = ()
    changed_since: datetime | None = None
    last_success: datetime | None = None
    last_run: datetime | None = None
    next_run: datetime | None = None
    failures: int = 0
    error: str = ""
    kinds: tuple[Kind, ...] = ()
    suspended: Suspension | None = None
    verified: Mapping[str, VerifiedAccount] | None = None

    def with_suspension(self, found: Suspension | None) -> ServerRecord:
        """The server after a look at the suspensions outside manifests; ``found`` is ``None`` if it has none.

        What the server is like once a suspension has ended, the next round finds out.
        """
        if found:
            return replace(self, state=found.state, suspended=found)
        if self.suspended is None or self.suspended.by is SuspendedBy.MANIFEST:
            return self
        return replace(self, state=ServerState.UNKNOWN, suspended=None)

    @property
    def is_known(self) -> bool:
        """Whether its last run compared it with its declaration: no change then means that nothing differs.

        The state alone does not say it: a suspended server may be one that could not be reached.
        """
        has_failed = self.failures or (self.error and not self.changes)
        return self.last_run is not None and self.state not in _NOT_COMPARED and not has_failed

    @property
    def drift(self) -> int:
        """The number of accounts that were changed on the server."""
        return sum(change.origin is not Origin.COMMIT for change in self.changes)

    @property
    def is_drift_known(self) -> bool:
        """Whether the number is known, if only from an earlier run. If not, it is 0, which does not mean none."""
        return self.is_known or self.drift > 0

    @property
    def held(self) -> tuple[str, ...]:
        """Why nothing is written to a drifted or pending server, each reason once. Other states have their own."""
        if self.state not in _HELD:
            return ()
        return tuple(dict.fromkeys(change.held for change in self.changes if change.held))


@dataclass(frozen=True, slots=True, kw_only=True)
class Overview:
    """The fleet at one moment.

    Attributes:
        source: What the manifests come from.
        commit: The last good commit; empty if there is none yet.
        notices: What is wrong with the watcher or its source, as sentences, by what it is about; ``metrics.CAUSES``
            lists that.
        servers: Sorted by name.
    """

    at: datetime
    source: str
    commit: str
    notices: Mapping[str, str]
    servers: tuple[ServerRecord, ...]
