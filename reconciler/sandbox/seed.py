"""Reads the accounts that a sandbox is to start with."""

from __future__ import annotations

from typing import TYPE_CHECKING

from pydantic import ValidationError

from reconciler.errors import Kind, Problem, ReconcilerError
from reconciler.sandbox.schemas import AccountBody

if TYPE_CHECKING:
    from collections.abc import Sequence

    from reconciler.sandbox.refusal import Refusal
    from reconciler.sandbox.settings import Settings


def read_accounts(accounts: Sequence[object]) -> list[Settings]:
    """The accounts as the store takes them.

    Args:
        accounts: As the API's JSON has them.

    Raises:
        ReconcilerError: Some are not what the API takes; one problem for each thing that is wrong, without its value.
    """
    settings = []
    problems = []
    for index, account in enumerate(accounts):
        try:
            settings.append(AccountBody.model_validate(account).settings())
        except ValidationError as error:
            problems += [_problem(index, found["loc"], found["msg"]) for found in error.errors(include_input=False)]
    if problems:
        raise ReconcilerError(*problems)
    return settings


def refused(refusal: Refusal) -> ReconcilerError:
    """What a rule of the server has against the accounts."""
    return ReconcilerError.of(
        f"the accounts cannot be on this server together: {refusal}",
        kind=Kind.SANDBOX_SEED,
        hint="Change the account that it names, or leave out the option that makes the rule.",
    )


def _problem(index: int, location: tuple[int | str, ...], message: str) -> Problem:
    path = "".join(f".{part}" for part in location)
    return Problem(
        kind=Kind.SANDBOX_SEED,
        message=f"account [{index}]{path}: {message}",
        hint="The accounts are a JSON list, each as the API's POST takes it.",
    )
