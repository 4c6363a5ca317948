"""What reports of several servers show, apart from how: folded rows, the servers by state, and summaries."""

from __future__ import annotations

from collections import Counter
from enum import StrEnum
from typing import TYPE_CHECKING

from reconciler.model.outcome import ServerStatus
from reconciler.model.plan import PlanStatus
from reconciler.report.annotations import needs_attention
from reconciler.report.folding import fold_changes, fold_outcomes, fold_problems, fold_still_accounts
from reconciler.report.server_names import count_phrase, part_phrase
from reconciler.report.view import BY_DANGER, CHANGING, is_test_run, outcome_counts, total_counts

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from reconciler.errors import Problem
    from reconciler.model.outcome import Outcome, Report
    from reconciler.model.plan import Plan
    from reconciler.model.server import Server
    from reconciler.report.folding import Folded
    from reconciler.report.view import ChangeView


class PlanState(StrEnum):
    """What a plan means for its server, as people read it."""

    CHANGES = "to change"
    UNCHANGED = "unchanged"
    SUSPENDED = "suspended"
    REFUSED = "refused"
    FAILED = "failed"


def plan_state(plan: Plan) -> PlanState:
    """What a plan means for its server. Nothing is written to a suspended one, whatever its plan has."""
    if plan.status is not PlanStatus.PLANNED:
        return PlanState.FAILED if plan.errors else PlanState.REFUSED
    if plan.suspended:
        return PlanState.SUSPENDED
    return PlanState.CHANGES if plan.changes else PlanState.UNCHANGED


def states(plans: Iterable[Plan]) -> dict[str, int]:
    """The number of servers by state; a state without servers is not in it."""
    found = Counter(map(plan_state, plans))
    return {state.value: found[state] for state in PlanState if found[state]}


def view_fleet_changes(plans: Iterable[Plan]) -> list[Folded[ChangeView]]:
    """The changes, folded: deletes first, and within an action those of most servers."""
    return sorted(
        fold_changes(plans), key=lambda one: (BY_DANGER.index(one.item.action), -len(one.servers), one.item.address)
    )


def view_fleet_problems(problems: Iterable[tuple[Server, Sequence[Problem]]]) -> list[Folded[Problem]]:
    """The problems, folded, those of most servers first."""
    return sorted(fold_problems(problems), key=lambda one: (-len(one.servers), str(one.item)))


def view_fleet_outcomes(reports: Iterable[Report]) -> tuple[list[Folded[Outcome]], list[Folded[Outcome]]]:
    """The outcomes, folded, those of most servers first: those as planned, and those that need attention."""
    found = sorted(fold_outcomes(reports), key=lambda one: (-len(one.servers), one.item.address, one.item.action))
    urgent = [one for one in found if needs_attention(one.item)]
    return [one for one in found if not needs_attention(one.item)], urgent


def view_still_accounts(plans: Iterable[Plan]) -> list[Folded[tuple[str, str]]]:
    """The accounts that stay as they are, folded: their addresses, and why."""
    return sorted(fold_still_accounts(plans), key=lambda one: (one.item[1], -len(one.servers), one.item[0]))


def servers_by_status(reports: Sequence[Report]) -> dict[str, tuple[Server, ...]]:
    """The servers by the status that people read, in a fixed order; a status without servers is not in it."""
    only_tested = is_fleet_test_run(reports)
    found: dict[ServerStatus, list[Server]] = {status: [] for status in ServerStatus}
    for report in reports:
        found[report.status].append(report.server)
    return {_words(status, only_tested=only_tested): tuple(servers) for status, servers in found.items() if servers}


def is_fleet_test_run(reports: Iterable[Report]) -> bool:
    """Whether accounts were only tested."""
    return any(is_test_run(report) for report in reports)


def fleet_summary_line(plans: Sequence[Plan]) -> str:
    """The plans in one line. Scripts look for it at the end of the text."""
    changing = sum(bool(plan.changes) for plan in plans)
    if not changing and not any(plan.errors for plan in plans):
        return "No changes."
    counts = total_counts(plans)
    words = ", ".join(f"{counts[name]} to {name}" for name in CHANGING)
    return f"Plan: {words} on {part_phrase(changing, len(plans))}."


def fleet_states_line(plans: Sequence[Plan]) -> str:
    """The number of servers by state: ``500 servers: 480 to change, 20 unchanged``."""
    if not plans:
        return "No server is selected."
    listed = ", ".join(f"{count:,} {state}" for state, count in states(plans).items())
    return f"{count_phrase(len(plans))}: {listed}"


def fleet_headline(reports: Sequence[Report]) -> str:
    """How many servers have come out as declared: ``Done: 480 of 500 servers applied``."""
    if not reports:
        return "Nothing to do: no server is selected"
    beginning = "Interrupted" if any(report.interrupted for report in reports) else "Done"
    best = success_status(reports)
    succeeded = len(servers_by_status(reports).get(best, ()))
    return f"{beginning}: {part_phrase(succeeded, len(reports))} {best}"


def fleet_result_line(reports: Sequence[Report]) -> str:
    """A run on several servers in one line: the servers by status, and the changes."""
    if not reports:
        return f"{fleet_headline(reports)}."
    best = success_status(reports)
    others = (f", {len(servers)} {word}" for word, servers in servers_by_status(reports).items() if word != best)
    return f"{'; '.join((fleet_headline(reports) + ''.join(others), *_outcome_words(reports)))}."


def success_status(reports: Sequence[Report]) -> str:
    """The status of servers where everything was done that was declared.

    If no server got as far as its accounts, the reports of a test and of an apply are the same.
    """
    if all(not report.outcomes and report.not_started for report in reports):
        return "succeeded"
    return "passed" if is_fleet_test_run(reports) else "applied"


def fleet_outcome_counts(reports: Iterable[Report]) -> dict[str, int]:
    """The number of outcomes by status, and of delivery tests, on all servers together."""
    counts = outcome_counts(outcome for report in reports for outcome in report.outcomes)
    if is_fleet_test_run(reports):
        return {name: counts[name] for name in ("tests_passed", "tests_failed", "unknown", "not_attempted")}
    return counts


def _outcome_words(reports: Sequence[Report]) -> Iterable[str]:
    counts = fleet_outcome_counts(reports)
    passed, failed = counts.pop("tests_passed"), counts.pop("tests_failed")
    if is_fleet_test_run(reports):
        yield f"tests: {_listed({'passed': passed, 'failed': failed, **counts}, ('passed', 'failed'))}"
        return
    if any(counts.values()):
        yield f"changes: {_listed(counts, ('applied',))}"
    if passed or failed:
        yield f"tests: {passed} passed, {failed} failed"


def _listed(counts: Mapping[str, int], always: Sequence[str]) -> str:
    return ", ".join(f"{count} {name.replace('_', ' ')}" for name, count in counts.items() if count or name in always)


def _words(status: ServerStatus, *, only_tested: bool) -> str:
    return "passed" if only_tested and status is ServerStatus.UNCHANGED else status.replace("_", " ")
