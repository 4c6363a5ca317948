"""One round: plans servers, writes what may be written, and records what was found and done.

It knows neither when rounds happen nor where records are stored.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import UTC, datetime
from typing import TYPE_CHECKING

from reconciler.errors import Kind, UnreachableError
from reconciler.fleet.runner import FleetRun
from reconciler.model.outcome import Report, ServerStatus, Status
from reconciler.model.ports import FleetObserver
from reconciler.report.kind_pages import explained
from reconciler.watch.records import RunRecord, ServerRecord, SuspendedBy, Suspension
from reconciler.watch.rollout_memory import standing_after, standing_of
from reconciler.watch.server_check import ServerCheck, status_of

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from reconciler.errors import Problem
    from reconciler.fleet.gate import FleetGate
    from reconciler.fleet.rollout import Continuation, Standing
    from reconciler.fleet.runner import Engine
    from reconciler.fleet.server_run import ServerRunOptions
    from reconciler.model.desired import Desired
    from reconciler.model.fleet import Rollout
    from reconciler.model.plan import Plan
    from reconciler.watch.heal import Correction
    from reconciler.watch.server_check import Switches


@dataclass(frozen=True, slots=True, kw_only=True)
class RoundInput:
    """What a round is about.

    Attributes:
        run: The round's identifier.
        trigger: What began it.
        commit: The commit in force.
        servers: What is declared for the servers of the round.
        rollout: The order and the budgets.
        continuation: What the rollout of the same commit did in earlier rounds.
        records: The servers as they were last seen, by name.
        suspensions: Those that are not in manifests, by server.
        shorten: Writes a sentence without the folder of the commit's files.
    """

    run: str
    trigger: str
    commit: str
    servers: Sequence[Desired]
    rollout: Rollout
    continuation: Continuation
    records: Mapping[str, ServerRecord]
    suspensions: Mapping[str, Suspension]
    shorten: Callable[[str], str] = str


@dataclass(frozen=True, slots=True, kw_only=True)
class ServerResult:
    """What a round found on a server, and did there.

    Attributes:
        record: The server as it is now.
        run: What to add to its history.
        corrections: The drift that was corrected.
        report: What was written, or why nothing could be; ``None`` if there was nothing to write.
        standing: Where the server stands in the rollout; ``None`` if it has yet to take its turn, or is no part of it.
    """

    record: ServerRecord
    run: RunRecord
    standing: Standing | None = None
    corrections: tuple[Correction, ...] = ()
    report: Report | None = None


class RoundObserver(FleetObserver):
    """Is notified as a round proceeds."""

    def written(self, result: ServerResult) -> None:
        """A server to which the round may have written is done, before the round ends."""


class _Written(FleetObserver):
    """Passes on what a round did on a server as soon as that is known.

    Attributes:
        results: What was passed on, by server.
    """

    def __init__(self, observer: RoundObserver, result_of: Callable[[Report], ServerResult]) -> None:
        self.results: dict[str, ServerResult] = {}
        self._observer = observer
        self._result_of = result_of

    def finished(self, report: Report) -> None:
        self._observer.finished(report)
        if any(outcome.status is not Status.NOT_ATTEMPTED for outcome in report.outcomes):
            result = self.results[report.server.name] = self._result_of(report)
            self._observer.written(result)


class Round:
    """Plans the servers of a round, and writes what may be written."""

    def __init__(
        self,
        given: RoundInput,
        options: ServerRunOptions,
        switches: Switches,
        *,
        server_parallelism: int,
        engine: Engine | None = None,
    ) -> None:
        self._given = given
        self._options = replace(options, keep_unchanged=True)
        self._switches = switches
        self._parallelism = server_parallelism
        self._engine = engine

    def run(
        self, gate: FleetGate, observer: RoundObserver | None = None, *, write: bool = True
    ) -> tuple[ServerResult, ...]:
        """Carries out the round; without ``write``, it only plans.

        Raises:
            KeyboardInterrupt: The gate was closed before everything was planned. Nothing was written.
            NotTrustedError: The manifests use what they may not use. Nothing was resolved, run or sent.
            UnreachableError: The broker of the engine did not respond. Nothing was written.
        """
        started_at = datetime.now(UTC)
        observer = observer or RoundObserver()
        servers = [(one, self._suspension(one)) for one in self._given.servers]
        declared = [_suspended(one, suspension) for one, suspension in servers]
        with FleetRun(
            declared, self._options, server_parallelism=self._parallelism, gate=gate, engine=self._engine
        ) as run:
            plans = run.plan(observer)
            _check_broker(plans)
            checks = {plan.server.name: self._check(*one, plan) for one, plan in zip(servers, plans, strict=True)}
            failures = {name: _unplanned(status) for name, status in run.failures.items()}
            standings = self._standings(checks, failures)

            def result_of(report: Report) -> ServerResult:
                name = report.server.name
                return self._result(checks[name], report, standings[name], started_at)

            written = _Written(observer, result_of)
            reports = self._apply(run, checks, standings, written) if write else {}
        for plan in plans:
            if plan.errors:
                reports[plan.server.name] = Report.of_failure(plan.server, failures[plan.server.name], plan.errors)
        return tuple(
            written.results.get(name) or self._result(check, reports.get(name), standings[name], started_at)
            for name, check in checks.items()
        )

    def _suspension(self, desired: Desired) -> Suspension | None:
        if reason := desired.server.suspended:
            return Suspension(reason=reason, by=SuspendedBy.MANIFEST)
        return self._given.suspensions.get(desired.named_server.name)

    def _check(self, desired: Desired, suspension: Suspension | None, plan: Plan) -> ServerCheck:
        server = plan.server
        former = self._given.records.get(server.name) or ServerRecord(name=server.name, url=server.url)
        return ServerCheck.of(desired, plan, former, suspension, self._switches)

    def _standings(
        self, checks: Mapping[str, ServerCheck], failures: Mapping[str, ServerStatus]
    ) -> dict[str, Standing | None]:
        """Where the servers of the round stand in the rollout, before any of them is written."""
        former = {server.name: standing for server, standing in self._given.continuation.earlier}
        return {
            name: standing_of(check, self._given.commit, former.get(name), failures.get(name))
            for name, check in checks.items()
        }

    def _apply(
        self,
        run: FleetRun,
        checks: Mapping[str, ServerCheck],
        standings: Mapping[str, Standing | None],
        observer: FleetObserver,
    ) -> dict[str, Report]:
        """Corrects the servers that only drifted, and rolls the commit out on the others."""
        rollout, continuation = self._given.rollout, self._given.continuation
        others = [one for one in continuation.earlier if one[0].name not in checks]
        planned = [(checks[name].plan.server, standing) for name, standing in standings.items() if standing]
        writable = {name: check.permitted for name, check in checks.items() if not check.plan.errors}
        changed = {name: scope for name, scope in writable.items() if scope and checks[name].has_commit}
        drifted = {name: scope for name, scope in writable.items() if scope and not checks[name].has_commit}
        reports: tuple[Report, ...] = ()
        if drifted:
            reports += run.apply(replace(rollout, pause=0.0), scopes=drifted, observer=observer)
        if changed:
            continuation = replace(continuation, earlier=(*others, *planned))
            reports += run.apply(rollout, scopes=changed, continuation=continuation, observer=observer)
        return {report.server.name: report for report in reports}

    def _result(
        self, check: ServerCheck, report: Report | None, standing: Standing | None, started_at: datetime
    ) -> ServerResult:
        given, now = self._given, datetime.now(UTC)
        changes = check.change_records(report, given.shorten)
        problems = _problems(check.plan, report)
        error = given.shorten(_error(problems, report))
        done, status = report if report and report.outcomes else None, status_of(report)
        run = RunRecord(
            run=given.run,
            trigger=given.trigger,
            commit=given.commit,
            result=status.value if status else "planned" if changes else ServerStatus.UNCHANGED.value,
            started_at=done.started_at if done else started_at,
            finished_at=done.finished_at if done else now,
            changes=changes,
            error=error,
        )
        return ServerResult(
            record=check.record(
                report,
                changes,
                error=error,
                kinds=explained(one.kind for one in problems),
                commit=given.commit,
                now=now,
            ),
            run=run,
            standing=standing_after(check, report, standing),
            corrections=tuple(check.corrections(report, now)),
            report=report,
        )


def _check_broker(plans: Sequence[Plan]) -> None:
    """Raises ``UnreachableError`` if a plan is missing because of the broker: that says nothing about a server."""
    problems = [problem for plan in plans for problem in plan.errors if problem.kind == Kind.BROKER]
    if problems:
        raise UnreachableError(problems[0])


def _unplanned(status: ServerStatus) -> ServerStatus:
    """Why a server has no plan. One that no worker has taken cannot be reached, as far as the watcher knows."""
    return ServerStatus.UNREACHABLE if status is ServerStatus.NOT_ATTEMPTED else status


def _suspended(desired: Desired, suspension: Suspension | None) -> Desired:
    """The declaration with a suspension that is not in its manifest."""
    if suspension is None or desired.server.suspended:
        return desired
    return replace(desired, server=replace(desired.server, suspended=suspension.reason))


def _problems(plan: Plan, report: Report | None) -> Sequence[Problem]:
    """What is wrong with the server as a whole."""
    return (*report.errors, *plan.refusals) if report else plan.refusals


def _error(problems: Sequence[Problem], report: Report | None) -> str:
    """Why the server is not as declared, in one sentence; empty if there was no error."""
    if problems:
        return "; ".join(dict.fromkeys(map(str, problems)))
    failed = [one for one in report.outcomes if not one.succeeded] if report else []
    if report and failed and status_of(report) is ServerStatus.NOT_ATTEMPTED:
        done = len(report.outcomes) - len(failed)
        return f"the round was ended: {done} of {len(report.outcomes)} changes were made, and the rest follows"
    return "; ".join(f"{one.address}: {one.error or one.status}" for one in failed)
