"""Shows where a fresh plan is not the reviewed one, side by side."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from reconciler.model.display import display_value, escape
from reconciler.model.fields import FIELDS, SECRET_FIELDS
from reconciler.report.style import Style

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from reconciler.planning.saved import Difference

_NAME_WIDTH = len("smtp_auth_mechanism") + 2


def comparison_text(differences: Sequence[Difference], style: Style) -> str:
    """One block for each account: what was reviewed on the left, what would be done now on the right."""
    return "\n".join(line for one in differences for line in _block(one, style)) + "\n"


def comparison_words(difference: Difference) -> str:
    """The same for one account, in a sentence."""
    sides = [
        ", ".join(text if name == "action" else f"{name} {text}" for name, text in _cells(change, Style()).items())
        for change in (difference.reviewed, difference.fresh)
    ]
    return f"{escape(difference.address)}: reviewed: {sides[0]}; now: {sides[1]}"


def _block(difference: Difference, style: Style) -> Iterator[str]:
    reviewed, fresh = _cells(difference.reviewed, style), _cells(difference.fresh, style)
    width = max(len("reviewed"), *map(len, reviewed.values())) + 2
    title = f"  {escape(difference.address)}"
    yield style.paint(title, "bold")
    yield f"      {'':<{_NAME_WIDTH}}{'reviewed':<{width}}now"
    for name in ("action", *FIELDS, "password_from", "test"):
        left, right = reviewed.get(name, ""), fresh.get(name, "")
        if left or right:
            mark = " " if left == right else "!"
            yield f"    {mark} {name:<{_NAME_WIDTH}}{left:<{width}}{right}"


def _cells(change: Mapping[str, Any] | None, style: Style) -> dict[str, str]:
    if change is None:
        return {"action": "(nothing)"}
    what = change["change"]
    number = "" if change["id"] is None else f" (id {change['id']})"
    cells = {"action": f"{what['actions'][0]}{number}"}
    before, after = what["before"] or {}, what["after"] or {}
    for name in change["fields"]:
        if name in SECRET_FIELDS:
            cells[name] = "changes"
        elif what["before"] is None:
            cells[name] = display_value(after.get(name))
        else:
            cells[name] = f"{display_value(before.get(name))} {style.arrow} {display_value(after.get(name))}"
    if source := change.get("password_from"):
        cells["password_from"] = escape(source)
    if test := change.get("test"):
        cells["test"] = ", ".join(escape(str(test[part])) for part in ("when", "to_email") if part in test)
    return cells
