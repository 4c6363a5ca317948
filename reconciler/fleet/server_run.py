"""The run on one server of a fleet. Nothing in it is shared with another server's run, so that none can affect another.

Each has its own session, redactor, lock, guards and report. It ends with a plan or a report, whatever happens.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Final

from reconciler import reconcile
from reconciler.applying.worker_pool import InterruptGate
from reconciler.errors import Kind, Problem, ReconcilerError, internal_error
from reconciler.model.account import NO_GLOBS
from reconciler.model.on_failure import OnFailure
from reconciler.model.outcome import Outcome, Report, ServerStatus, Status
from reconciler.model.plan import Plan
from reconciler.model.ports import Notifier, RunObserver
from reconciler.model.redaction import Redactor
from reconciler.planning.checks import suspension
from reconciler.planning.planner import PlanOptions
from reconciler.planning.saved import compare
from reconciler.report.server_text import difference_problem

if TYPE_CHECKING:
    import threading
    from collections.abc import Callable, Iterator, Sequence

    from reconciler.model.account import Globs
    from reconciler.model.desired import Desired
    from reconciler.model.plan import Change
    from reconciler.model.server import Server
    from reconciler.planning.saved import PlanDifference
    from reconciler.reconcile import Connection, RunContext


_MOST_NAMED: Final = 3


@dataclass(frozen=True, slots=True, kw_only=True)
class ServerRunOptions:
    """What the runs on all servers have in common.

    Attributes:
        paths: The manifests, as the user named them.
        context: The context of the whole run. Each server gets one of its own, with its own redactor and stop event.
        planning: How to plan, and who receives all mails of delivery tests, if the user named somebody.
        parallelism: Requests in flight, for each server.
        lock_timeout: Seconds to wait for another run on a server.
        on_failure: As for ``reconcile.apply``.
        keep_unchanged: Whether plans keep the accounts that stay as they are, for formats that show them.
        in_fleet: Whether each server needs credentials of its own; see ``reconcile.connect``.
        explain_bug: Makes a function that describes a bug without the secrets that a redactor knows.
        observer: Makes the observer of one server's writes from its plan, such as a journal.
    """

    paths: Sequence[str]
    context: RunContext = field(default_factory=reconcile.RunContext)
    planning: PlanOptions = field(default_factory=PlanOptions)
    parallelism: int = 10
    lock_timeout: float = 60.0
    on_failure: OnFailure = OnFailure.CONTINUE
    keep_unchanged: bool = False
    in_fleet: bool = True
    explain_bug: Callable[[Redactor], Callable[[Exception], str]] = lambda _redactor: internal_error
    observer: Callable[[Plan], RunObserver] = lambda _plan: RunObserver()


class ServerRun:
    """Plans one server, and later applies the plan. Its manifests were checked with ``reconcile.approve``.

    Attributes:
        server: The server, as reports name it.
        gate: Stops this server's run.
        failure: Why there is no plan: the server was not reached, or something else failed.
    """

    def __init__(self, desired: Desired, options: ServerRunOptions, stop: threading.Event | None = None) -> None:
        self.server: Server = (
            desired.named_server if options.in_fleet else reconcile.server_of(desired, options.context)
        )
        self.gate = InterruptGate(stop)
        self._declared = desired
        self._resolved = desired
        self._options = options
        self._planning = options.planning
        self._redactor = Redactor()
        self._explain_bug = options.explain_bug(self._redactor)
        self._connection: Connection | None = None
        self.failure = ServerStatus.FAILED
        self._may_have_written = False

    @property
    def suspended(self) -> str | None:
        """Why nothing is written to the server; ``None`` if it is not suspended."""
        return self._declared.server.suspended

    def plan(self) -> Plan:
        """The plan for the server; with errors if there can be none.

        The accounts that stay as they are are left out, unless the options keep them.
        """
        try:
            plan = self._fresh_plan()
            if plan.applicable and not plan.changes:
                self._options.observer(plan)  # the journal: what an earlier run began here may be in place
        except Exception as error:  # noqa: BLE001 - it must not end the runs on other servers
            self.failure = ServerStatus.after(error)
            self.close()
            return Plan(server=self.server, errors=self._problems(error))
        if not plan.changes:
            self.close()
        elif self._connection:
            self._connection.release()
        if self._options.keep_unchanged:
            return plan
        return replace(plan, unchanged=(), untouched=(), steps=(), password_sources={})

    def apply(self, agreed: Plan, reviewed: Sequence[Change] | None = None, only: Globs = NO_GLOBS) -> Report:
        """Plans again, under the server's lock, and writes if the plan is still the agreed one.

        Args:
            agreed: What was shown.
            reviewed: What was reviewed, if that was earlier. What is in place already is then only checked.
            only: The addresses that may be written; empty for all. Guards count no others.
        """
        if only:
            self._planning = replace(self._planning, only=only)
            agreed = agreed.restricted(only)
        if agreed.errors:
            return Report.of_failure(self.server, self.failure, agreed.errors)
        if agreed.refusals:
            return Report.of_failure(self.server, ServerStatus.REFUSED, agreed.refusals)
        if not agreed.changes and not reviewed:
            return Report.of_no_changes(self.server)
        if agreed.suspended:
            return self.refused(agreed, suspension(agreed.suspended, "nothing was written"))
        try:
            return self._apply(agreed.changes if reviewed is None else reviewed, agreed)
        except Exception as error:  # noqa: BLE001 - it must not end the runs on other servers
            return self._after(error, agreed)
        finally:
            self.close()

    def apply_approved(self, check: Callable[[Plan], Problem | None]) -> Report:
        """Plans under the server's lock, and writes unless ``check`` finds that this plan was not approved."""
        plan = Plan(server=self.server)
        try:
            plan = self._locked_plan()
            return self._refusal(plan, check) or self._write(plan, ())
        except Exception as error:  # noqa: BLE001 - it must not end the runs on other servers
            return self._after(error, plan)
        finally:
            self.close()

    def test(self) -> Report:
        """Runs the delivery tests of the declared accounts."""
        planning = self._options.planning
        only, to_email = planning.only.patterns, planning.test.to_email
        try:
            connection = self._connection = self._connect()
            tests = reconcile.plan_tests(self._resolved, connection, only=only, to_email=to_email)
            return reconcile.test(tests, connection, gate=self.gate)
        except Exception as error:  # noqa: BLE001 - it must not end the runs on other servers
            return Report.of_failure(self.server, ServerStatus.after(error), self._problems(error))
        finally:
            self.close()

    def not_started(self, plan: Plan, problem: Problem) -> Report:
        """The report if nothing was begun: the run stopped before it was this server's turn."""
        return self._without_writes(plan, ServerStatus.NOT_ATTEMPTED, problem)

    def stale(self, plan: Plan, reviewed: Sequence[Change]) -> Report | None:
        """The report if a plan is not the reviewed one; ``None`` if it is."""
        found = compare(reviewed, plan).differences
        return self.refused(plan, *_stale(found)) if found else None

    def refused(self, plan: Plan, problem: Problem, *others: Problem) -> Report:
        """The report if nothing may be written."""
        return self._without_writes(plan, ServerStatus.REFUSED, problem, *others)

    def ended(self, plan: Plan, problem: Problem, status: ServerStatus) -> Report:
        """The report if the run ended on a worker that returned no report of its own."""
        return self._without_writes(plan, status, problem)

    def abandoned(self, plan: Plan) -> Report:
        """The report if the user did not wait for the end of the run."""
        message = "interrupted while its writes were under way"
        return self._without_writes(plan, ServerStatus.UNKNOWN, Problem(kind=Kind.INTERRUPTED, message=message))

    def close(self) -> None:
        """Ends the session, and forgets the accounts that were resolved for it."""
        if self._connection:
            self._connection.close()
            self._connection = None
        self._resolved = self._declared

    def _after(self, error: Exception, plan: Plan) -> Report:
        """The report of a run that an error has ended."""
        status = ServerStatus.UNKNOWN if self._may_have_written else ServerStatus.after(error)
        return self._without_writes(plan, status, *self._problems(error))

    def _without_writes(self, plan: Plan, status: ServerStatus, problem: Problem, *others: Problem) -> Report:
        self.close()
        outcome = Status.UNKNOWN if status is ServerStatus.UNKNOWN else Status.NOT_ATTEMPTED
        outcomes = tuple(Outcome.of(change, outcome, problem.message) for change in plan.changes)
        return replace(Report.of_failure(self.server, status, (problem, *others)), outcomes=outcomes)

    def _locked_plan(self) -> Plan:
        """A fresh plan, after which no other run on this machine writes until this one has ended."""
        connection = self._connection = self._connection or self._connect()
        connection.lock(self._options.lock_timeout)
        return self._fresh_plan()

    def _fresh_plan(self) -> Plan:
        if self._connection is None:
            self._connection = self._connect()
        return reconcile.plan(self._resolved, self._connection, self._planning)

    def _connect(self) -> Connection:
        options = self._options
        context = replace(
            options.context,
            redactor=self._redactor,
            stop=self.gate.stop,
            explain_bug=self._explain_bug,
            notifier=Notifier(warn=self._warn, note=self._note),
        )
        planning = self._planning
        self._resolved = reconcile.resolve_approved(
            self._declared, only=planning.only.patterns, no_secrets=planning.no_secrets, context=context
        )
        return reconcile.connect(
            self._resolved, parallelism=options.parallelism, context=context, in_fleet=options.in_fleet
        )

    def _warn(self, problem: Problem) -> None:
        masked = problem.redacted(self._redactor.redact)
        self._options.context.notifier.warn(replace(masked, message=f"{self.server.name}: {masked.message}"))

    def _note(self, text: str) -> None:
        self._options.context.notifier.note(f"{self.server.name}: {self._redactor.redact(text)}")

    def _apply(self, changes: Sequence[Change], agreed: Plan) -> Report:
        fresh = self._locked_plan()
        found = compare(changes, fresh, agreed.uncompared)
        if found.differences:
            return self.refused(agreed, *_stale(found.differences))
        if fresh.errors or fresh.refusals:
            return self.refused(agreed, (*fresh.errors, *fresh.refusals)[0])
        return self._write(fresh, found.in_place)

    def _refusal(self, plan: Plan, check: Callable[[Plan], Problem | None]) -> Report | None:
        if plan.errors:
            return Report.of_failure(self.server, ServerStatus.FAILED, plan.errors)
        if problem := check(plan):
            return self.refused(plan, problem)
        if plan.refusals:
            return Report.of_failure(self.server, ServerStatus.REFUSED, plan.refusals)
        return self.refused(plan, suspension(plan.suspended, "nothing was written")) if plan.suspended else None

    def _write(self, plan: Plan, placed: Sequence[Change]) -> Report:
        connection = self._connection
        assert connection is not None  # noqa: S101 - the plan was made with it
        observer = self._options.observer(plan)
        in_place = tuple((change, Outcome.in_place(change)) for change in placed)
        self._may_have_written = True
        return reconcile.apply(
            plan,
            connection,
            on_failure=self._options.on_failure,
            observer=observer,
            in_place=in_place,
            gate=self.gate,
        )

    def _problems(self, error: Exception) -> tuple[Problem, ...]:
        if isinstance(error, ReconcilerError):
            return tuple(problem.redacted(self._redactor.redact) for problem in error.problems)
        return (Problem(kind=Kind.BUG, message=self._explain_bug(error)),)


def _stale(differences: Sequence[PlanDifference]) -> Iterator[Problem]:
    """Why a plan that is not the agreed one is refused, and then each difference."""
    more = len(differences) - _MOST_NAMED
    named = ", ".join(difference.address for difference in differences[:_MOST_NAMED])
    named += f" and {more} more" if more > 0 else ""
    message = f"the server has changed since the plan was made ({named}); nothing was written"
    yield Problem(kind=Kind.STALE_PLAN, message=message, hint="plan and review again")
    yield from map(difference_problem, differences)
