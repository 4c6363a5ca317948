"""What must hold for an account's settings before they may be written or tried: its password's whereabouts."""

from __future__ import annotations

from typing import TYPE_CHECKING

from reconciler.errors import Problem
from reconciler.model.account import DESTINATION
from reconciler.model.secret import UNKNOWN

if TYPE_CHECKING:
    from collections.abc import Sequence

    from reconciler.model.account import Account
    from reconciler.model.change import FieldChange
    from reconciler.model.desired import DesiredAccount, TestSettings


def password_problems(
    desired: DesiredAccount, current: Account | None, after: Account, changes: Sequence[FieldChange]
) -> list[Problem]:
    """Why the settings ``after`` cannot be written: no password, an unknown one, or one that would travel elsewhere.

    Args:
        desired: The declaration.
        current: The account on the server, if it exists.
        after: ``current`` with the declared fields written over it.
        changes: What differs.
    """
    found = []
    declared = "password" in desired.account.fields
    password = after.fields.get("password")
    authenticates = after.fields.get("has_auth") is True
    if authenticates and not password:
        found.append(
            problem_at(
                desired,
                "password_missing",
                f"{after.email} authenticates, but there is no password: neither declared nor on the server",
                "declare `password`, or `has_auth: false`",
            )
        )
    if current is None or declared:
        return found
    moved = [change.field for change in changes if change.field in DESTINATION]
    if moved and password:
        found.append(
            problem_at(
                desired,
                "secret_destination",
                f"{after.email}: {', '.join(moved)} changes while the password is not declared; the stored password"
                " would be sent to a place that its owner never approved",
                "declare `password` too (or `password: null` to remove it)",
            )
        )
    if changes and authenticates and password is UNKNOWN:
        found.append(
            problem_at(
                desired,
                "password_unknown",
                f"{after.email} has to be written as a whole, but the server hides its password and none is declared",
                "declare `password`",
            )
        )
    return found


def test_problem(desired: DesiredAccount, test: TestSettings) -> Problem | None:
    """Why an account cannot be tested: nobody said to whom the mail goes."""
    if test.to_email:
        return None
    return problem_at(
        desired,
        "test_without_address",
        f"{desired.account.email} is to be tested, but there is no address to send to",
        "set `policy.test.to_email`, the account's `test.to_email`, or `--to-email`",
    )


def problem_at(desired: DesiredAccount, kind: str, message: str, hint: str) -> Problem:
    """A problem with a declaration, with its place in the YAML."""
    origin = desired.origin
    return Problem(
        kind=kind,
        message=message,
        hint=hint,
        address=desired.account.email,
        file=origin.file,
        line=origin.line,
        column=origin.column,
    )
