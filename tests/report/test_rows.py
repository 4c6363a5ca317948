from __future__ import annotations

from dataclasses import replace

import pytest

from reconciler.model.account import Account, Value
from reconciler.model.change import Action, Change, FieldChange, Plan, Step
from reconciler.model.secret import UNKNOWN, Secret
from reconciler.report.rows import Row, changed_rows, kept_rows, lost_rows, remarks
from tests.report.plans import SERVER, account, mixed

EMPTY = Account({"email": "a@example.com"}, 1)


def update(*fields: FieldChange) -> Change:
    return Change(action=Action.UPDATE, address="a@example.com", before=EMPTY, after=EMPTY, fields=fields)


@pytest.mark.parametrize(
    ("before", "after", "words"),
    [
        (Secret("a"), Secret("b"), "changed"),
        (None, Secret("b"), "set"),
        (Secret("a"), None, "removed"),
        (UNKNOWN, Secret("b"), "sent again (the server hides the current one)"),
        (UNKNOWN, None, "removed"),
    ],
)
def test_of_a_secret_only_what_happens_to_it_is_said(before: Value, after: Value, words: str) -> None:
    assert changed_rows(update(FieldChange("password", before, after))) == [Row("password", words=words)]


def test_a_create_shows_no_address_and_a_delete_what_goes() -> None:
    create = next(one for one in mixed().changes if one.action is Action.CREATE)
    delete = next(one for one in mixed().changes if one.action is Action.DELETE)
    assert changed_rows(create)[:2] == [Row("name", after='"New"'), Row("default", after="true")]
    assert (lost_rows(create), kept_rows(create), changed_rows(delete), kept_rows(delete)) == ([], [], [], [])
    assert lost_rows(delete)[:2] == [Row("name", before='"Old"'), Row("default", before="false")]


def test_a_change_says_what_it_waits_for() -> None:
    changes = tuple(replace(update(), address=f"{name}@example.com", reason="why") for name in "abcdef")
    steps = [Step(index, {}) for index in range(5)]
    steps += [Step(5, {"name": "x (moving)"}), Step(5, {}, requires=frozenset(range(6)))]
    found = remarks(Plan(server=SERVER, changes=changes, steps=tuple(steps)))
    assert found == [("why",)] * 5 + [("why", "after a@example.com, b@example.com, c@example.com, 2 more")]


def test_an_account_without_a_password_loses_none() -> None:
    gone = Change(action=Action.DELETE, address="a", before=account("a@example.com", 1, password=None), after=None)
    assert "password" not in [row.field for row in lost_rows(gone)]
