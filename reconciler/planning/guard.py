"""Refuses plans that delete more than a reviewer would expect."""

from __future__ import annotations

from typing import TYPE_CHECKING

from reconciler.errors import Kind, Problem

if TYPE_CHECKING:
    from collections.abc import Sequence

    from reconciler.model.desired import DeleteLimit


def refusals(*, deletes: int, managed: int, limits: Sequence[DeleteLimit], allow_empty: bool) -> tuple[Problem, ...]:
    """Why a plan must not be applied.

    Args:
        deletes: How many accounts the plan deletes.
        managed: How many accounts the server holds, without the ignored ones.
        limits: The most that one run may delete; all of them hold.
        allow_empty: Whether deleting every account was asked for.
    """
    found = []
    if deletes and deletes == managed and not allow_empty:
        found.append(
            Problem(
                kind=Kind.GUARD_EMPTY,
                message=f"the plan deletes every account under management ({deletes} of {managed})",
                hint="check that the right files and the right server are meant; `--allow-empty` permits it",
            )
        )
    limit = next((one for one in limits if not one.allows(deletes, managed)), None)
    if limit:
        found.append(
            Problem(
                kind=Kind.GUARD_MAX_DELETES,
                message=f"the plan deletes {deletes} of {managed} accounts; the limit is {limit}",
                hint=f"check that nothing is missing from the files; `--max-deletes {deletes}` permits it for this run",
            )
        )
    return tuple(found)
