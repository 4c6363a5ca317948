"""Sends settings through the test endpoint without writing anything."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING

from reconciler.errors import ApiError
from reconciler.model.account import known
from reconciler.model.outcome import Outcome, Status, TestOutcome
from reconciler.model.secret import UNKNOWN

if TYPE_CHECKING:
    import threading
    from collections.abc import Sequence

    from reconciler.model.ports import AccountWriter
    from reconciler.model.trial import Trial


def attempt(server: AccountWriter, trial: Trial) -> TestOutcome:
    """Sends one test mail; never raises for what the server says."""
    failed = None
    if trial.fields.get("has_auth") is True and trial.fields.get("password") is UNKNOWN:
        failed = "cannot be tested: the server hides the password, and none is declared"
    else:
        try:
            server.test_account(known(trial.fields), trial.to_email)
        except ApiError as error:
            failed = f"the test failed: {'; '.join(problem.message for problem in error.problems)}"
    return TestOutcome(trial.when, trial.to_email, passed=failed is None, error=failed)


def attempt_all(
    server: AccountWriter, trials: Sequence[Trial], *, parallelism: int, stop: threading.Event
) -> tuple[Outcome, ...]:
    """Tries several accounts at the same time; those not begun when ``stop`` is set are not attempted."""

    def run(trial: Trial) -> Outcome:
        if stop.is_set():
            error = "the run ended before its turn"
            return Outcome(address=trial.address, action="test", status=Status.NOT_ATTEMPTED, id=trial.id, error=error)
        tested = attempt(server, trial)
        return Outcome(
            address=trial.address,
            action="test",
            status=Status.APPLIED if tested.passed else Status.FAILED,
            id=trial.id,
            error=tested.error,
            test=tested,
        )

    with ThreadPoolExecutor(parallelism) as pool:
        return tuple(pool.map(run, trials))
