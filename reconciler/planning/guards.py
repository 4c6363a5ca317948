"""Refuses plans that delete more than a reviewer would expect."""

from __future__ import annotations

from typing import TYPE_CHECKING

from reconciler.errors import Kind, Problem

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from reconciler.model.desired import DeleteLimit


def check_guards(*, deletes: int, managed: int, limits: Sequence[DeleteLimit], allow_empty: bool) -> Iterator[Problem]:
    """Yields the reasons why a plan must not be applied.

    Args:
        deletes: How many accounts the plan deletes.
        managed: How many accounts the server has, without the ignored ones.
        limits: How many accounts one run may delete; all limits apply.
        allow_empty: Whether the user allowed deleting every account.
    """
    if deletes and deletes == managed and not allow_empty:
        yield Problem(
            kind=Kind.GUARD_EMPTY,
            message=f"the plan deletes every account under management ({deletes} of {managed})",
            hint="check that the right files and the right server are meant; `--allow-empty` permits it",
        )
    exceeded = next((limit for limit in limits if not limit.allows(deletes, managed)), None)
    if exceeded:
        yield Problem(
            kind=Kind.GUARD_MAX_DELETES,
            message=f"the plan deletes {deletes} of {managed} accounts; the limit is {exceeded}",
            hint=f"check that nothing is missing from the files; `--max-deletes {deletes}` permits it for this run",
        )
