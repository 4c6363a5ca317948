"""Sends settings through the test endpoint without writing anything."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from reconciler.applying.breaker import OUTAGE, Breaker
from reconciler.applying.crew import WorkerPool
from reconciler.applying.result import NO_TURN, internal_error, is_outage, words
from reconciler.errors import ApiError, RejectedError, UnreachableError
from reconciler.model.account import known
from reconciler.model.outcome import DeliveryTestResult, Outcome, Status
from reconciler.model.secret import UNKNOWN
from reconciler.retry import Retry

if TYPE_CHECKING:
    import threading
    from collections.abc import Callable, Sequence

    from reconciler.model.plan import DeliveryTest
    from reconciler.model.ports import AccountWriter


def attempt(server: AccountWriter, trial: DeliveryTest, retry: Retry) -> DeliveryTestResult:
    """Sends one test mail; never raises for what the server says.

    It is repeated only if the server was not reached: anything else could send two mails.
    """
    if trial.fields.get("has_auth") is True and trial.fields.get("password") is UNKNOWN:
        hidden = "the server hides the password, and the YAML declares none"
        return DeliveryTestResult(trial.when, trial.to_email, passed=False, error=hidden)
    try:
        error = retry.run(lambda _deadline: _sent(server, trial))
    except UnreachableError as unreached:
        error = unreached
    if error is None:
        return DeliveryTestResult(trial.when, trial.to_email, passed=True)
    unclear = not isinstance(error, RejectedError | UnreachableError)
    message = words(error)
    if isinstance(error, RejectedError) and error.transient:
        message += "; not sent again, so that no mail is sent twice: try later, or with a lower --parallelism"
    return DeliveryTestResult(
        trial.when, trial.to_email, passed=False, error=message, unclear=unclear, unreached=is_outage(error)
    )


def _sent(server: AccountWriter, trial: DeliveryTest) -> ApiError | None:
    """Sends the mail; returns what the server says against it. Raises ``UnreachableError`` if it says nothing."""
    try:
        server.run_delivery_test(known(trial.fields), trial.to_email)
    except UnreachableError:
        raise
    except ApiError as error:
        return error
    return None


def run_delivery_tests(
    server: AccountWriter,
    trials: Sequence[DeliveryTest],
    *,
    parallelism: int,
    stop: threading.Event,
    timeout: float = 30.0,
    explain_bug: Callable[[Exception], str] = internal_error,
) -> tuple[Outcome, ...]:
    """Tries several accounts at the same time.

    A bug that ends a single test is ``explain_bug`` 's to put into words; it is called from several threads at once.
    Those not begun when ``stop`` is set are not attempted, nor those left after several that did not reach the server,
    which sets ``stop``; those in flight when ``Abort`` is raised are unknown.
    """
    results: dict[int, Outcome] = {}
    rest = iter(range(len(trials)))
    breaker, retry = Breaker(stop), Retry(timeout, stop)

    def take_in(index: int, outcome: Outcome) -> None:
        results[index] = outcome
        breaker.note(unreached=outcome.test is not None and outcome.test.unreached)

    crew = WorkerPool(
        max(1, min(parallelism, len(trials))), lambda index: _tested(server, trials[index], retry, explain_bug)
    )
    lost = crew.drive(lambda: None if stop.is_set() else next(rest, None), take_in)
    reason = OUTAGE if breaker.tripped else NO_TURN
    untested = (_untested(trial, reason, begun=index in lost) for index, trial in enumerate(trials))
    return tuple(results.get(index) or outcome for index, outcome in enumerate(untested))


def _tested(
    server: AccountWriter, trial: DeliveryTest, retry: Retry, explain_bug: Callable[[Exception], str]
) -> Outcome:
    try:
        tested = attempt(server, trial, retry)
    except Exception as bug:  # noqa: BLE001 - a bug in one test must not lose the report of the others
        return _outcome(trial, Status.UNKNOWN, explain_bug(bug))
    outcome = _outcome(trial, tested.status, tested.error, tested)
    return replace(outcome, note="its mail may have been sent") if tested.unclear else outcome


def _untested(trial: DeliveryTest, reason: str, *, begun: bool) -> Outcome:
    if begun:
        return _outcome(trial, Status.UNKNOWN, "interrupted while the test was under way")
    return _outcome(trial, Status.NOT_ATTEMPTED, reason)


def _outcome(
    trial: DeliveryTest, status: Status, error: str | None, tested: DeliveryTestResult | None = None
) -> Outcome:
    return Outcome(
        address=trial.address,
        action="test",
        status=status,
        id=trial.id,
        error=error,
        test=tested,
        position=trial.position,
    )
