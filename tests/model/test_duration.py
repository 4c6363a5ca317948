"""Durations as users write them."""

from __future__ import annotations

import pytest

from reconciler.model.duration import format_duration, parse_duration


@pytest.mark.parametrize("text", ["0s", "0.5s", "90s", "1m", "10m", "1h", "24h"])
def test_a_duration_is_written_as_it_is_read(text: str) -> None:
    assert format_duration(parse_duration(text, allow_zero=True)) == text


def test_a_duration_is_written_in_the_largest_unit() -> None:
    assert [format_duration(seconds) for seconds in (60, 3600, 5400, 119)] == ["1m", "1h", "90m", "119s"]
