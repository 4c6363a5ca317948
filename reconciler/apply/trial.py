"""Sends settings through the test endpoint without writing anything."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from reconciler.apply.crew import Crew
from reconciler.apply.result import NO_TURN, internal_error, words
from reconciler.errors import ApiError, RejectedError, UnreachableError
from reconciler.model.account import known
from reconciler.model.outcome import Outcome, Status, TestOutcome
from reconciler.model.secret import UNKNOWN

if TYPE_CHECKING:
    import threading
    from collections.abc import Callable, Sequence

    from reconciler.model.ports import AccountWriter
    from reconciler.model.trial import Trial


def attempt(server: AccountWriter, trial: Trial) -> TestOutcome:
    """Sends one test mail; never raises for what the server says, and never repeats: that could send two mails."""
    failed, unclear = None, False
    if trial.fields.get("has_auth") is True and trial.fields.get("password") is UNKNOWN:
        failed = "the server hides the password, and the YAML declares none"
    else:
        try:
            server.test_account(known(trial.fields), trial.to_email)
        except (RejectedError, UnreachableError) as error:
            failed = words(error)
        except ApiError as error:
            failed, unclear = words(error), True
    return TestOutcome(trial.when, trial.to_email, passed=failed is None, error=failed, unclear=unclear)


def attempt_all(
    server: AccountWriter,
    trials: Sequence[Trial],
    *,
    parallelism: int,
    stop: threading.Event,
    explain_bug: Callable[[Exception], str] = internal_error,
) -> tuple[Outcome, ...]:
    """Tries several accounts at the same time.

    A bug that ends a single test is ``explain_bug`` 's to put into words; it is called from several threads at once.
    Those not begun when ``stop`` is set are not attempted; those in flight when ``Abort`` is raised are unknown.
    """
    results: dict[int, Outcome] = {}
    rest = iter(range(len(trials)))
    crew = Crew(max(1, min(parallelism, len(trials))), lambda index: _tested(server, trials[index], explain_bug))
    lost = crew.drive(lambda: None if stop.is_set() else next(rest, None), results.__setitem__)
    return tuple(results.get(index) or _untested(trial, begun=index in lost) for index, trial in enumerate(trials))


def _tested(server: AccountWriter, trial: Trial, explain_bug: Callable[[Exception], str]) -> Outcome:
    try:
        tested = attempt(server, trial)
    except Exception as bug:  # noqa: BLE001 - a bug in one test must not lose the report of the others
        return _outcome(trial, Status.UNKNOWN, explain_bug(bug))
    outcome = _outcome(trial, tested.status, tested.error, tested)
    return replace(outcome, note="its mail may have been sent") if tested.unclear else outcome


def _untested(trial: Trial, *, begun: bool) -> Outcome:
    if begun:
        return _outcome(trial, Status.UNKNOWN, "interrupted while the test was under way")
    return _outcome(trial, Status.NOT_ATTEMPTED, NO_TURN)


def _outcome(trial: Trial, status: Status, error: str | None, tested: TestOutcome | None = None) -> Outcome:
    return Outcome(
        address=trial.address,
        action="test",
        status=status,
        id=trial.id,
        error=error,
        test=tested,
        origin=trial.origin,
    )
