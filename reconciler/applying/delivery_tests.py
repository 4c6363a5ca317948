"""Sends delivery tests: before a write, after it, or alone. Nothing is written."""

from __future__ import annotations

from typing import TYPE_CHECKING

from reconciler.applying.worker_pool import Breaker, InterruptGate, WorkerPool
from reconciler.errors import ApiError, RejectedError, UnreachableError, WithheldError, internal_error
from reconciler.model.account import writable_fields
from reconciler.model.outcome import DeliveryTestResult, Outcome, Status
from reconciler.model.secret import UNKNOWN
from reconciler.retry import Retry

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from reconciler.model.plan import DeliveryTest
    from reconciler.model.ports import AccountWriter


def run_delivery_test(server: AccountWriter, test: DeliveryTest, retry: Retry) -> DeliveryTestResult:
    """Has the server send one mail. Errors of the server are part of the result.

    The request is repeated only if it was not sent, or did not reach the server: anything else could send two mails.
    """
    if test.fields.get("has_auth") is True and test.fields.get("password") is UNKNOWN:
        hidden = "the server hides the password, and the YAML declares none"
        return DeliveryTestResult(test.when, test.to_email, passed=False, error=hidden)
    try:
        error = retry.run(lambda _deadline: _send(server, test))
    except (UnreachableError, WithheldError) as not_sent:
        error = not_sent
    if error is None:
        return DeliveryTestResult(test.when, test.to_email, passed=True)
    message = error.reason
    if isinstance(error, WithheldError):
        message = f"not sent: {message}"
    elif isinstance(error, RejectedError) and error.transient:
        message += "; not sent again, so that no mail is sent twice: try later, or with a lower --parallelism"
    return DeliveryTestResult(
        test.when,
        test.to_email,
        passed=False,
        error=message,
        unclear=not isinstance(error, RejectedError | UnreachableError),
        unreached=error.is_unreached,
    )


def _send(server: AccountWriter, test: DeliveryTest) -> ApiError | None:
    """Sends the request; returns the error after which it must not be repeated. Raises if nothing arrived."""
    try:
        server.run_delivery_test(writable_fields(test.fields), test.to_email)
    except (UnreachableError, WithheldError):
        raise
    except ApiError as error:
        return error
    return None


def run_delivery_tests(
    server: AccountWriter,
    tests: Sequence[DeliveryTest],
    *,
    parallelism: int,
    gate: InterruptGate,
    timeout: float = 30.0,
    explain_bug: Callable[[Exception], str] = internal_error,
) -> tuple[Outcome, ...]:
    """Runs delivery tests in parallel.

    Args:
        server: The server.
        tests: One for each account.
        parallelism: The most tests at a time.
        gate: Stops the run. It also stops after several tests in a row that did not reach the server.
        timeout: Seconds that one request may take.
        explain_bug: Describes a bug that ended a single test. Several threads call it.

    Returns:
        One outcome for each test: not attempted if the run stopped first, unknown if its result was not waited for.
    """
    outcomes: dict[int, Outcome] = {}
    waiting = iter(range(len(tests)))
    breaker, retry = Breaker(gate.stop), Retry(timeout, gate.stop)

    def work(index: int) -> Outcome:
        try:
            return _outcome(tests[index], run_delivery_test(server, tests[index], retry))
        except Exception as bug:  # noqa: BLE001 - a bug in one test must not lose the report of the others
            return _no_result(tests[index], Status.UNKNOWN, explain_bug(bug))

    def take(index: int, outcome: Outcome) -> None:
        outcomes[index] = outcome
        breaker.count(unreached=outcome.unreached)

    pool = WorkerPool(min(parallelism, len(tests)), work, gate)
    for index in pool.run(lambda: None if gate.stop.is_set() else next(waiting, None), take):
        outcomes[index] = _no_result(tests[index], Status.UNKNOWN, "interrupted while the test was under way")
    return tuple(
        outcomes.get(index) or _no_result(test, Status.NOT_ATTEMPTED, breaker.reason)
        for index, test in enumerate(tests)
    )


def _outcome(test: DeliveryTest, result: DeliveryTestResult) -> Outcome:
    return Outcome(
        address=test.address,
        action="test",
        status=result.status,
        id=test.id,
        error=result.error,
        note="its mail may have been sent" if result.unclear else None,
        test=result,
        position=test.position,
    )


def _no_result(test: DeliveryTest, status: Status, error: str) -> Outcome:
    return Outcome(address=test.address, action="test", status=status, id=test.id, error=error, position=test.position)
