"""Issues to problems: looks up the lines, in one more pass over each file that has any."""

from __future__ import annotations

from typing import TYPE_CHECKING

from reconciler.errors import Position, Problem
from reconciler.manifest.grouping import IssueLog

if TYPE_CHECKING:
    from collections.abc import Iterable

    from reconciler.manifest.files import Source
    from reconciler.manifest.issues import Issue, NodeRef, Path, Place
    from reconciler.manifest.survey import SourceMap


def located(issues: Iterable[Issue], irregular: Iterable[Source]) -> list[Problem]:
    """Gives every issue its file, line and column; arguments as ``counted``."""
    return [problem for problem, _ in counted(IssueLog(issues), irregular)]


def counted(log: IssueLog, irregular: Iterable[Source]) -> list[tuple[Problem, int]]:
    """Gives every issue its file, line and column, and says how often it occurs.

    Args:
        log: What was found by path. Irregularities beyond the first thousand are counted there.
        irregular: Files whose text has irregularities that are to be reported as well.
    """
    issues = list(log)
    spots = [spot for issue in issues for spot in (issue.spot, issue.other, *issue.also) if spot is not None]
    wanted: dict[Source, set[Path]] = {source: set() for source in irregular}
    if not spots and not wanted:
        return []
    from reconciler.manifest.survey import survey

    thorough = set(wanted)
    for spot in spots:
        wanted.setdefault(spot.source, set()).add(spot.path)
    surveys = {source: survey(source, paths, thorough=source in thorough) for source, paths in wanted.items()}
    for found in surveys.values():
        log.uncounted.update(found.uncounted)
    irregularities = [(problem, 1) for found in surveys.values() for problem in found.problems]
    known = {problem.position for problem, _ in irregularities}
    problems = [(_problem(issue, surveys), issue.count) for issue in issues]
    # A value that is irregular is often wrong as well; the irregularity is the cause.
    kept = [one for one in problems if one[0].position not in known]
    return irregularities + kept


def _problem(issue: Issue, surveys: dict[Source, SourceMap]) -> Problem:
    place = _place(issue.spot, surveys)
    message = issue.message
    if issue.other is not None:
        other = _place(issue.other, surveys)
        message += f" (the other is at {issue.other.source.name}:{other.line}:{other.column})"
    if issue.count > 1:
        message += f" ({issue.count} times, also at {_also(issue, surveys)})"
    return Problem(
        kind=issue.kind,
        message=message,
        hint=issue.hint,
        address=issue.address,
        position=Position(issue.spot.source.name, *place),
    )


def _also(issue: Issue, surveys: dict[Source, SourceMap]) -> str:
    places = [f"{spot.source.name}:{_place(spot, surveys).line}" for spot in issue.also]
    rest = issue.count - 1 - len(places)
    return f"{', '.join(places)} and {rest} more places" if rest else " and ".join(places)


def _place(spot: NodeRef, surveys: dict[Source, SourceMap]) -> Place:
    return surveys[spot.source].place(spot.path, key=spot.key)
