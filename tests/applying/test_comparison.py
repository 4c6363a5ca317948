from __future__ import annotations

import pytest

from reconciler.applying.comparison import same_moment, shown
from reconciler.model.account import Account
from reconciler.model.secret import Secret


@pytest.mark.parametrize(
    ("one", "other", "same"),
    [
        ("2026-01-01T00:00:00Z", "2026-01-01T00:00:00Z", True),
        ("2026-01-01T00:00:00Z", None, True),
        (None, None, True),
        ("2026-01-01T00:00:00Z", "2026-01-01T00:00:01Z", False),
        ("2018-12-13T12:20:02.932000+00:00", "2018-12-13T12:20:02.000Z", True),
        ("2018-12-13T12:20:02.932000+00:00", "2018-12-13T12:20:02.932Z", True),
        ("2018-12-13T12:20:02.932+00:00", "2018-12-13T13:20:02.932+01:00", True),
        ("2018-12-13T12:20:02.932Z", "2018-12-13T12:20:02.933Z", False),
        ("2018-12-13T12:20:02Z", "2018-12-13T12:20:03.100Z", False),
        ("2018-12-13T12:20:02", "2018-12-13T12:20:02Z", False),
        ("1544703602", "1544703603", False),
        ("yesterday", "today", False),
    ],
)
def test_a_time_is_compared_as_far_as_both_sides_know_it(one: str | None, other: str | None, *, same: bool) -> None:
    assert same_moment(one, other) is same
    assert same_moment(other, one) is same


def test_what_the_server_has_is_shown_shortened_and_without_a_password() -> None:
    account = Account({"email": "a@x", "name": "n" * 100, "password": Secret("p"), "smtp_port": None})
    names = ["name", "password", "smtp_port", "service"]
    long = '"' + "n" * 79
    assert shown(names, account) == (f"name (it has {long}…), password, smtp_port (it has null), service (it has null)")
