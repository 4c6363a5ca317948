from __future__ import annotations

import pytest

from reconciler.errors import Position
from reconciler.model.account import NO_GLOBS, Globs
from reconciler.model.desired import DeleteLimit, DeliveryTestSettings, DeliveryTestWhen


@pytest.mark.parametrize(
    ("pattern", "address", "expected"),
    [
        ("legacy-*@x", "LEGACY-1@x", True),
        ("Legacy-*@x", "legacy-1@x", True),
        ("a?@x", "ab@x", True),
        ("a?@x", "a@x", False),
        ("[ab]@x", "b@x", True),
        ("*@x", "a@y", False),
        ("*@b\u00fccher.example", "info@xn--bcher-kva.example", True),
        ("*@xn--bcher-kva.example", "info@B\u00dcCHER.example", True),
        ("*b\u00fccher.example", "info@xn--bcher-kva.example", True),
        ("*@b\u00fc*.example", "info@xn--bcher-kva.example", True),
        ("*@b?cher.example", "info@xn--bcher-kva.example", True),
        ("*@b[\u00fcu]cher.example", "info@xn--bcher-kva.example", True),
        ("*@xn--*", "info@b\u00fccher.example", True),
        ("*@bu\u0308cher.*", "info@b\u00fccher.example", True),
        ("jos\u00e9@*", "jose\u0301@x", True),
        ("jos\u00e9*", "JOSE\u0301@x", True),
        ("*@strasse.example", "info@stra\u00dfe.example", False),
        ("*@stra\u00dfe.example", "info@strasse.example", False),
        ("*@bucher.example", "info@b\u00fccher.example", False),
    ],
)
def test_a_pattern_matches_whole_addresses_in_any_letter_case(pattern: str, address: str, expected: bool) -> None:
    globs = Globs(("never", pattern))
    assert (address in globs, globs.match(address)) == (expected, pattern if expected else None)


def test_a_pattern_matches_nothing_but_addresses() -> None:
    assert None not in Globs(("*",))
    assert (bool(NO_GLOBS), bool(Globs(("*",)))) == (False, True)


def test_settings_inherit_what_they_leave_open() -> None:
    base = DeliveryTestSettings(DeliveryTestWhen.AFTER, "ops@x")
    assert DeliveryTestSettings().over(base) == base
    assert DeliveryTestSettings(DeliveryTestWhen.OFF).over(base) == DeliveryTestSettings(DeliveryTestWhen.OFF, "ops@x")
    assert DeliveryTestSettings(None, "me@x").over(base) == DeliveryTestSettings(DeliveryTestWhen.AFTER, "me@x")


def test_a_limit_and_an_origin_show_as_they_are_written() -> None:
    shown = (str(DeleteLimit(30, percent=True)), str(DeleteLimit(3, percent=False)), str(Position("a.yaml", 7, 5)))
    assert shown == ("30%", "3", "a.yaml:7")
