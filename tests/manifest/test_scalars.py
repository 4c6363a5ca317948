from __future__ import annotations

import math

import pytest

from reconciler.manifest.scalars import EMPTY, SUSPECTS, Scalar, resolve


@pytest.mark.parametrize(
    ("text", "meaning"),
    [
        ("", EMPTY),
        ("~", None),
        ("null", None),
        ("NULL", None),
        ("true", True),
        ("False", False),
        ("12", 12),
        ("-7", -7),
        ("+7", 7),
        ("012", 12),
        ("0o17", 15),
        ("0x1f", 31),
        ("1.5", 1.5),
        (".5", 0.5),
        ("1e3", 1000.0),
        ("-.inf", -math.inf),
        (".INF", math.inf),
        ("off", "off"),
        ("no", "no"),
        ("yes", "yes"),
        ("y", "y"),
        ("1:30", "1:30"),
        ("1_000", "1_000"),
        ("2026-01-01", "2026-01-01"),
        ("nULL", "nULL"),
        ("-", "-"),
        ("0x", "0x"),
        ("9" * 65, "9" * 65),
    ],
)
def test_plain_scalars_follow_the_core_schema(text: str, meaning: Scalar) -> None:
    found = resolve(text)
    assert (found, type(found)) == (meaning, type(meaning))


def test_not_a_number_is_a_float() -> None:
    assert math.isnan(float(str(resolve(".NaN"))))


@pytest.mark.parametrize("text", ["~", "null", "true", "False", "12", "-7", "+7", ".5", ".nan", "0x1f"])
def test_scalars_other_than_strings_begin_with_a_suspect(text: str) -> None:
    assert text[0] in SUSPECTS
