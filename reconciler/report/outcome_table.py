"""What became of changes, as tables in Markdown: what went wrong first, the rest folded."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from reconciler.model.display import display_address
from reconciler.report.findings import needs_attention, place_of, why
from reconciler.report.markup import code, prose

if TYPE_CHECKING:
    from collections.abc import Sequence

    from reconciler.model.outcome import Outcome
    from reconciler.report.page import LimitedText

_HEAD: Final = "| Account | Action | Outcome | Test mail | |\n| --- | --- | --- | --- | --- |\n"


def add(outcomes: Sequence[Outcome], page: LimitedText, *, reserved: int) -> int:
    """Adds as many outcomes as there is room for.

    Args:
        outcomes: Those of one run.
        page: Where they go.
        reserved: UTF-16 units of the page to leave free.

    Returns:
        How many are left out.
    """
    amiss = [one for one in outcomes if needs_attention(one)]
    fine = [one for one in outcomes if not needs_attention(one)]
    left_out = _add_rows(amiss, page, reserved) if amiss else 0
    if fine and not left_out:
        page.add(f"<details><summary>{len(fine):,} as planned</summary>\n\n")
        left_out = _add_rows(fine, page, reserved)
        page.add("</details>\n")
    elif fine:
        left_out += len(fine)
    return left_out


def _add_rows(outcomes: Sequence[Outcome], page: LimitedText, reserved: int) -> int:
    page.add(_HEAD)
    count = 0
    for one in outcomes:
        if not page.add(_row(one), reserved=reserved):
            break
        count += 1
    page.add("\n")
    return len(outcomes) - count


def _row(outcome: Outcome) -> str:
    place = place_of(outcome)
    number = "" if outcome.id is None else f" (id {outcome.id})"
    status = outcome.status.replace("_", " ")
    if needs_attention(outcome):
        status = f"**{status}**"
    test = outcome.test
    tested = (
        f"{'sent' if test.passed else f'**{test.status}**'}, {code(display_address(test.to_email))}" if test else ""
    )
    words = ": ".join(part for part in (place and code(place), prose(why(outcome))) if part)
    cells = (f"{code(display_address(outcome.address))}{number}", outcome.action, status, tested, words)
    return f"| {' | '.join(cells)} |\n"
