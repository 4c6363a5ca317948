"""A table of the outcomes of all faults: one line at the end of the test run, the whole table with ``-s``."""

from __future__ import annotations

from collections import Counter, defaultdict
from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from collections.abc import Mapping

    import pytest

COLUMNS = ("no_plan", "applied", "failed", "skipped", "unknown", "not_attempted")


class Note(Protocol):
    """The type of the ``note`` fixture."""

    def __call__(self, what: str, cases: int, outcomes: Mapping[str, int]) -> None:
        """Records the number of cases of one fault, and their outcomes."""


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter, config: pytest.Config) -> None:
    """Prints the table; with several workers, this runs in the process that they report to."""
    cases: Counter[str] = Counter()
    outcomes: defaultdict[str, Counter[str]] = defaultdict(Counter)
    for report in terminalreporter.getreports("passed") + terminalreporter.getreports("failed"):
        for name, value in report.user_properties if report.when == "call" else ():
            if name == "faults" and isinstance(value, list | tuple):
                what, count, counted = value
                cases[str(what)] += count
                outcomes[str(what)].update(counted)
    if not cases:
        return
    if config.option.capture == "no":
        terminalreporter.section("faults")
        terminalreporter.write_line(f"{'fault':20}{'cases':>8}" + "".join(f"{one:>15}" for one in COLUMNS))
        for what, count in cases.items():
            terminalreporter.write_line(f"{what:20}{count:8}" + "".join(f"{outcomes[what][one]:15}" for one in COLUMNS))
    total = sum(outcomes.values(), Counter())
    summary = ", ".join(f"{total[one]} {one}" for one in COLUMNS if total[one])
    terminalreporter.write_line(f"faults: {sum(cases.values())} cases; outcomes: {summary}")
