"""What the server says is not what it did: the report tells what it did."""

from __future__ import annotations

from collections import Counter
from http import HTTPStatus
from typing import TYPE_CHECKING

import pytest

from tests.faults.case import converges, unlike, writes
from tests.support.false_responses import CALLS, SUCCESS, Response, documented, false_responses
from tests.support.scenarios import WATCHED, disagreements, losses, run

if TYPE_CHECKING:
    from pathlib import Path

    from reconciler.model.outcome import Outcome
    from tests.faults.tally import Note
    from tests.support.fault_control import Remote
    from tests.support.scenarios import Run

TIMES_FASTER = 100
"""Nothing here depends on how long a pause is."""

BOUNDED = 17
"""Every so many of the false responses are in the bounded part."""

REFUSED = range(400, 500)
"""A server that says that it refused, and did it all the same, is reported with what it said."""

REPEATED = (401, 429, 500, 503)
"""After these, the request may be sent again, and is then true."""

PLANNING, BEFORE_CREATES = range(2)
"""The first list calls of a run; another one is at its end."""


def told(remote: Remote, path: str, response: Response) -> Counter[str]:
    """Runs into one false response, holds the report against the server, and runs again without it."""
    url = remote.reset(WATCHED.seed, [response.fault()])
    faulty = run(path, url, times_faster=TIMES_FASTER)
    accounts, log = remote.state()
    found = losses(WATCHED, accounts)
    if faulty.outcomes is None:
        found += [f"{line} without a plan" for line in writes(log)]
        counted = Counter({"no_plan": 1})
    else:
        outcomes = [one for one in faulty.outcomes if not refused_and_done(response, one)]
        found += disagreements(WATCHED, outcomes, accounts)
        found += unforeseen(response, faulty)
        counted = Counter(one.status.value for one in faulty.outcomes)
    if faulty.code == 0:
        found += unlike(WATCHED, accounts)
    assert not found, f"{response}: {found}; {[entry['line'] for entry in log]}"
    converges(remote, WATCHED, path, url, str(response))
    return counted


def unforeseen(response: Response, faulty: Run) -> list[str]:
    """Where the run is too trusting, though what it reports may be true by chance."""
    outcomes = faulty.outcomes or ()
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


def refused_and_done(response: Response, outcome: Outcome) -> bool:
    return response.effect and response.status in REFUSED and outcome.status == "failed"


@pytest.mark.parametrize("response", documented(), ids=str)
def test_every_documented_form_of_success_is_one(
    remote: Remote, tmp_path: Path, note: Note, response: Response
) -> None:
    url = remote.reset(WATCHED.seed, [response.fault()])
    assert run(WATCHED.write(tmp_path), url).code == 0
    assert unlike(WATCHED, remote.state()[0]) == []
    note("documented", 1, {"applied": 3})


@pytest.mark.parametrize("call", CALLS)
def test_a_false_response_is_not_believed(remote: Remote, tmp_path: Path, note: Note, call: str) -> None:
    path = WATCHED.write(tmp_path)
    cases = [one for one in false_responses() if one.call == call][::BOUNDED]
    outcomes = sum((told(remote, path, one) for one in cases), Counter[str]())
    note(f"false {call}", len(cases), outcomes)


@pytest.mark.faults
@pytest.mark.timeout(600)
@pytest.mark.parametrize("part", range(8))
@pytest.mark.parametrize("call", CALLS)
def test_no_false_response_is_believed(remote: Remote, tmp_path: Path, note: Note, call: str, part: int) -> None:
    path = WATCHED.write(tmp_path)
    cases = [one for one in false_responses() if one.call == call][part::8]
    outcomes = sum((told(remote, path, one) for one in cases), Counter[str]())
    note(f"false {call}", len(cases), outcomes)
