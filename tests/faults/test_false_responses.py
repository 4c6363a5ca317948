"""The server responds with something other than what it did: the report is about what it did."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace
from http import HTTPStatus
from typing import TYPE_CHECKING

import pytest

from reconciler.model.outcome import Status
from tests.support.false_responses import CALLS, SUCCESS, Response, documented, false_responses
from tests.support.scenarios import WATCHED, Case, run, statuses

if TYPE_CHECKING:
    from pathlib import Path

    from tests.faults.tally import Note
    from tests.support.fault_control import FaultServerControl
    from tests.support.scenarios import Result

TIMES_FASTER = 100
"""Nothing here depends on how long a pause is."""

BOUNDED = 17
"""One in this many false responses is in the sample."""

REFUSED = range(400, 500)
"""If a server refuses a request but carries it out, the report has the refusal."""

REPEATED = (401, 429, 500, 503)
"""After these, the request may be sent again, and the next response is true."""

PLANNING, BEFORE_CREATES = range(2)
"""The first list calls of a run; another one is at its end."""


def check_response(server: FaultServerControl, folder: Path, response: Response) -> Counter[str]:
    """Runs with one false response, checks that run and the next one; returns the number of outcomes by status."""
    case = Case(server, WATCHED, folder, [response.fault()])
    faulty = run(case.path, case.url, times_faster=TIMES_FASTER)
    found = case.violations(doubting_refusals(response, faulty))
    found += unforeseen(response, faulty)
    if faulty.code == 0:
        found += case.unfinished()
    case.check([f"{response}: {one}" for one in found])
    case.check_next_run()
    return statuses(faulty)


def unforeseen(response: Response, faulty: Result) -> list[str]:
    """What the run trusted without reason, even if its report is true by chance."""
    outcomes = faulty.outcomes
    if faulty.plan is None:
        return []
    if response.call == "test" and response.status not in REPEATED:
        failed = sum(1 for one in outcomes if one.test and not one.test.passed)
        believed = (response.status, response.body) in SUCCESS["test"]
        return [] if failed == (0 if believed else 1) else [f"{failed} tests failed"]
    if response.call == "list" and (response.headers or response.status == HTTPStatus.PARTIAL_CONTENT):
        if response.at == PLANNING:
            return ["a partial list was planned with"]
        created = [one for one in outcomes if one.action == "create" and one.status == "applied"]
        if (response.at == BEFORE_CREATES and created) or faulty.code == 0:
            return ["a partial list was relied on"]
    return []


def doubting_refusals(response: Response, faulty: Result) -> Result:
    """The result; failures count as unknown if the server carried out what it refused."""
    if not response.effect or response.status not in REFUSED:
        return faulty
    doubted = [replace(one, status=Status.UNKNOWN) if one.status is Status.FAILED else one for one in faulty.outcomes]
    return replace(faulty, outcomes=tuple(doubted))


@pytest.mark.parametrize("response", documented(), ids=str)
def test_every_documented_form_of_success_is_one(
    server: FaultServerControl, tmp_path: Path, note: Note, response: Response
) -> None:
    case = Case(server, WATCHED, tmp_path, [response.fault()])
    assert run(case.path, case.url).code == 0
    case.check(case.unfinished())
    note("documented", 1, {"applied": 3})


@pytest.mark.fault_sample
@pytest.mark.parametrize("call", CALLS)
def test_a_false_response_is_not_believed(server: FaultServerControl, tmp_path: Path, note: Note, call: str) -> None:
    cases = [one for one in false_responses() if one.call == call][::BOUNDED]
    outcomes = sum((check_response(server, tmp_path, one) for one in cases), Counter[str]())
    note(f"false {call}", len(cases), outcomes)


@pytest.mark.faults
@pytest.mark.timeout(600)
@pytest.mark.parametrize("part", range(8))
@pytest.mark.parametrize("call", CALLS)
def test_no_false_response_is_believed(
    server: FaultServerControl, tmp_path: Path, note: Note, call: str, part: int
) -> None:
    cases = [one for one in false_responses() if one.call == call][part::8]
    outcomes = sum((check_response(server, tmp_path, one) for one in cases), Counter[str]())
    note(f"false {call}", len(cases), outcomes)
