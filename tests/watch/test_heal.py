"""The heal limit: how often a field may be corrected."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest

from reconciler.errors import InvalidValueError
from reconciler.watch.heal import Correction, Corrections, HealLimit

START = datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)


def at(minutes: float, field: str = "smtp_port", account: str = "a@x.org", server: str = "b1") -> Correction:
    return Correction(server, account, field, START + timedelta(minutes=minutes))


def reached(*corrections: Correction, limit: str = "3/1h") -> list[bool]:
    found = Corrections(HealLimit.parse(limit))
    return [found.count(correction) for correction in corrections]


@pytest.mark.parametrize(
    ("text", "expected", "shown"),
    [
        ("3/1h", HealLimit(3, 3600), "3/1h"),
        ("1/90s", HealLimit(1, 90), "1/90s"),
        ("20/30m", HealLimit(20, 1800), "20/30m"),
        ("3/1.5h", HealLimit(3, 5400), "3/90m"),
    ],
)
def test_a_limit_is_a_number_of_corrections_within_a_time(text: str, expected: HealLimit, shown: str) -> None:
    assert HealLimit.parse(text) == HealLimit.parse(shown) == expected
    assert str(expected) == shown


@pytest.mark.parametrize("text", ["", "3", "0/1h", "3/", "3/1w", "-1/1h", "1h/3", "3/0s"])
def test_anything_else_is_refused(text: str) -> None:
    with pytest.raises(InvalidValueError):
        HealLimit.parse(text)


def test_the_third_correction_of_a_field_within_the_time_reaches_the_limit() -> None:
    assert reached(at(0), at(10), at(20)) == [False, False, True]


def test_corrections_further_apart_do_not() -> None:
    assert reached(at(0), at(31), at(62), at(93)) == [False, False, False, False]
    assert reached(at(0), at(59), at(60)) == [False, False, True]


def test_each_field_account_and_server_counts_on_its_own() -> None:
    others = [at(1, field="name"), at(2, account="b@x.org"), at(3, server="b2")]
    assert reached(at(0), *others, at(4), *others, at(5)) == [False] * 8 + [True]


def test_fields_that_are_no_longer_corrected_are_forgotten() -> None:
    found = Corrections(HealLimit.parse("3/1h"))
    for number in range(1000):
        found.count(at(number, account=f"a{number}@x.org"))
    assert len(found._times) <= 2 * 60 + 2


def test_what_earlier_processes_corrected_counts() -> None:
    found = Corrections(HealLimit.parse("3/1h"), [at(20), at(0)])
    assert found.count(at(30))


def test_a_clock_that_was_set_back_does_not_hide_corrections() -> None:
    assert reached(at(600), at(601), at(0)) == [False, False, True]


def test_people_who_decide_start_from_zero() -> None:
    found = Corrections(HealLimit.parse("2/1h"))
    found.count(at(0))
    found.forget("b1")
    assert [found.count(at(1)), found.count(at(2))] == [False, True]
