"""What a round found on one server and did there, as a record of it.

A change that is held is shown, with the reason, and not written.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final

from reconciler.errors import Kind
from reconciler.model.account import Addresses
from reconciler.model.outcome import FailureKind, ServerStatus, Status
from reconciler.report.view import view_changes
from reconciler.watch.heal import Correction
from reconciler.watch.origin import Difference, after_write, difference, verified_accounts
from reconciler.watch.records import ChangeRecord, Origin, ServerRecord, ServerState

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence
    from datetime import datetime

    from reconciler.model.desired import Desired
    from reconciler.model.outcome import Outcome, Report
    from reconciler.model.plan import Change, Plan
    from reconciler.watch.records import Suspension, VerifiedAccount

_FAILURES: Final = {
    ServerStatus.FAILED: ServerState.FAILED,
    ServerStatus.UNREACHABLE: ServerState.UNREACHABLE,
    ServerStatus.UNKNOWN: ServerState.FAILED,
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Switches:
    """What the watcher writes by itself.

    Attributes:
        commits: Whether it applies what changed in the declaration.
        drift: Whether it corrects what changed on a server.
        pause: Why commits wait for now, as a sentence; empty if they do not.
    """

    commits: bool = True
    drift: bool = True
    pause: str = ""

    def held(self, origin: Origin) -> str:
        """Why a change is not written; empty if it is."""
        if origin is not Origin.DRIFT and not self.commits:
            return "commits are only planned (--on-commit plan)"
        if origin is not Origin.DRIFT and self.pause:
            return self.pause
        if origin is not Origin.COMMIT and not self.drift:
            return "drift is only reported (--on-drift report)"
        return ""


@dataclass(frozen=True, slots=True)
class CheckedChange:
    """A planned change, why the account differs, and why the change is not written (empty if it is)."""

    change: Change
    difference: Difference
    held: str

    @property
    def address(self) -> str:
        """The account's own address; reports may show it with an id."""
        return self.change.account.email


@dataclass(frozen=True, slots=True)
class ServerCheck:
    """A server that was planned.

    Attributes:
        former: The server as it was last seen.
    """

    desired: Desired
    plan: Plan
    former: ServerRecord
    suspension: Suspension | None
    changes: Sequence[CheckedChange] = field(default=())

    @classmethod
    def of(
        cls, desired: Desired, plan: Plan, former: ServerRecord, suspension: Suspension | None, switches: Switches
    ) -> ServerCheck:
        """Tells drift from commits, and decides what is held."""
        origins = {change.key: difference(change, former.verified) for change in plan.changes}
        if suspension:
            held = dict.fromkeys(origins, f"{suspension.state}: {suspension.reason}")
        else:
            held = {key: why for key, found in origins.items() if (why := switches.held(found.origin))}
            held = _with_dependents(plan, held)
        changes = [CheckedChange(one, origins[one.key], held.get(one.key, "")) for one in plan.changes]
        return cls(desired, plan, former, suspension, changes)

    @property
    def permitted(self) -> Addresses:
        """The addresses that may be written. If one of two changes of an address is held, so is the other."""
        held = {one.address for one in self.changes if one.held}
        return Addresses(one.address for one in self.changes if one.address not in held)

    @property
    def has_commit(self) -> bool:
        """Whether what may be written is more than a correction of drift."""
        return any(one.difference.origin is not Origin.DRIFT and not one.held for one in self.changes)

    @property
    def is_rolled_out(self) -> bool:
        """Whether what may be written takes its turn in the rollout."""
        return not self.plan.errors and self.has_commit and bool(self.permitted)

    @property
    def is_in_force(self) -> bool:
        """Whether nothing of a commit has yet to be written: what differs was changed on the server."""
        return not self.plan.errors and all(one.difference.origin is Origin.DRIFT for one in self.changes)

    def change_records(self, report: Report | None, shorten: Callable[[str], str]) -> tuple[ChangeRecord, ...]:
        """What was found and done, account by account."""
        refusal = "" if report or not self.plan.refusals else self.plan.refusals[0].message
        records = []
        for (one, outcome), view in zip(self._outcomes(report), view_changes(self.plan), strict=True):
            records.append(
                ChangeRecord(
                    address=view.address,
                    action=one.change.action.value,
                    origin=one.difference.origin,
                    rows=tuple(view.rows),
                    notes=tuple(map(shorten, view.notes)),
                    held="" if outcome else one.held or refusal,
                    status=outcome.status.value if outcome else "",
                    error=shorten(outcome.error or "") if outcome else "",
                )
            )
        return tuple(records)

    def record(
        self,
        report: Report | None,
        changes: Sequence[ChangeRecord],
        *,
        error: str,
        kinds: tuple[Kind, ...] = (),
        commit: str,
        now: datetime,
    ) -> ServerRecord:
        """The server as it is now.

        Args:
            report: What was written, or why nothing could be; ``None`` if there was nothing to write.
            changes: What was found and done.
            error: Why the server is not as declared; empty if there was no error.
            kinds: The kinds of the problems in ``error``.
            commit: The commit that the round was about.
            now: When the round ended.
        """
        former, server, failed = self.former, self.plan.server, bool(self.plan.errors)
        left = former.changes if failed else tuple(one for one in changes if one.status != Status.APPLIED.value)
        succeeded = not (left or error or failed)
        in_force = not failed and all(one.origin is Origin.DRIFT for one in left)
        return ServerRecord(
            name=server.name,
            url=server.url,
            labels=server.labels,
            state=self._state(report, left),
            commit=commit if in_force else former.commit,
            changes=left,
            changed_since=(former.changed_since or now) if left else None,
            last_success=now if succeeded else former.last_success,
            last_run=now,
            failures=former.failures + 1 if status_of(report) in _FAILURES else 0,
            error=error,
            kinds=kinds,
            suspended=self.suspension,
            verified=former.verified if failed else self._verified(report),
        )

    def _state(self, report: Report | None, left: Sequence[ChangeRecord]) -> ServerState:
        if self.suspension:
            return self.suspension.state
        status = status_of(report)
        if status in _FAILURES:
            return _FAILURES[status]
        if self.plan.refusals or (report and status is ServerStatus.REFUSED and not _is_stale(report)):
            return ServerState.REFUSED
        if not left:
            return ServerState.SYNCED
        return ServerState.DRIFTED if all(one.origin is Origin.DRIFT for one in left) else ServerState.PENDING

    def _verified(self, report: Report | None) -> Mapping[str, VerifiedAccount]:
        verified = verified_accounts(self.plan, self.desired, self.former.verified)
        for one, outcome in self._outcomes(report):
            if outcome and outcome.status is Status.APPLIED:
                verified = after_write(verified, one.change, outcome.account)
        return verified

    def corrections(self, report: Report | None, now: datetime) -> Iterator[Correction]:
        """The drift that was corrected, even if it was there again at the end of the run."""
        for one, outcome in self._outcomes(report):
            if outcome is None or not outcome.written:
                continue
            if outcome.status is Status.APPLIED or outcome.kind is FailureKind.NOT_CONFIRMED:
                for name in one.difference.drifted:
                    yield Correction(self.plan.server.name, one.change.key[0], name, now)

    def _outcomes(self, report: Report | None) -> Iterator[tuple[CheckedChange, Outcome | None]]:
        """Each change with its outcome; ``None`` if it was not to be written."""
        found = {(one.address, one.action): one for one in report.outcomes} if report else {}
        for one in self.changes:
            yield one, found.get((one.change.address, one.change.action.value))


def status_of(report: Report | None) -> ServerStatus | None:
    """The outcome for a server. A run that was ended before all was written has not failed: the next one goes on."""
    if report is None or not report.outcomes or report.errors or report.not_started:
        return report.status if report else None
    ended = all(one.succeeded or one.status is Status.NOT_ATTEMPTED for one in report.outcomes)
    return ServerStatus.NOT_ATTEMPTED if ended and not report.complete else report.status


def _is_stale(report: Report) -> bool:
    """Whether somebody changed the server during the round, so that the next one plans again."""
    return any(problem.kind == Kind.STALE_PLAN for problem in report.errors)


def _with_dependents(plan: Plan, held: Mapping[tuple[str, int], str]) -> dict[tuple[str, int], str]:
    """Why changes are held, by their keys, with those that need a held one.

    A default account is deleted only after its successor is the default, for example.
    """
    found, known = dict(held), -1
    while found and len(found) != known:  # again, because a change may need two steps of others
        known = len(found)
        addresses = {index: step.change.address for index, step in enumerate(plan.steps) if step.change.key in found}
        of_set = {some: next(filter(addresses.get, some), None) for step in plan.steps for some in step.shared}
        for step in plan.steps:
            needed = next(filter(addresses.get, step.requires), None)
            if needed is None:
                needed = next((of_set[some] for some in step.shared if of_set[some] is not None), None)
            if needed is not None:
                found.setdefault(step.change.key, f"needs the change of {addresses[needed]}, which is held")
    return found
