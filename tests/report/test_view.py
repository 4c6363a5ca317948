from __future__ import annotations

from dataclasses import replace

import pytest

from reconciler.errors import Position
from reconciler.model.account import Account, Value
from reconciler.model.desired import DeliveryTestSettings, DeliveryTestWhen
from reconciler.model.plan import Action, Change, FieldChange, Plan, Step
from reconciler.model.secret import UNKNOWN, Secret, SecretReference
from reconciler.report.view import FieldRow, change_notes, changed_rows, deleted_rows, kept_rows, sent_rows
from tests.report.plans import SERVER, account, mixed

EMPTY = Account({"email": "a@example.com"}, 1)


def update(*fields: FieldChange) -> Change:
    return Change(action=Action.UPDATE, address="a@example.com", before=EMPTY, after=EMPTY, fields=fields)


@pytest.mark.parametrize(
    ("before", "after", "words"),
    [
        (Secret("a"), Secret("b"), "(changed, from a literal)"),
        (None, Secret("b", "env PW"), "(set, from env PW)"),
        (None, SecretReference("env", ("PW",), Position("a.yaml")), "(set, from env PW; not compared)"),
        (Secret("a"), None, "removed"),
        (UNKNOWN, Secret("b"), "(sent again, from a literal; the server hides the current one)"),
        (UNKNOWN, None, "removed"),
    ],
)
def test_a_secret_shows_only_what_happens_to_it(before: Value, after: Value, words: str) -> None:
    change = replace(update(FieldChange("password", before, after)), managed={"password": after})
    assert changed_rows(change) == [FieldRow("password", words=words)]


@pytest.mark.parametrize(
    ("before", "declared", "words"),
    [
        (Secret("a"), Secret("a", "file secrets/a"), "(unchanged, from file secrets/a)"),
        (UNKNOWN, Secret("a", "env PW"), "(sent along, from env PW)"),
        (None, SecretReference("command", ("x", "a b"), Position("t/a")), "(not compared, from command x 'a b' in t)"),
        (Secret("a"), SecretReference("literal", (), Position("a.yaml")), "(not compared, from a literal)"),
        (Secret("a"), Secret("b", "env A\nB"), "(unchanged, from env A\\u000aB)"),
    ],
)  # fmt: skip
def test_the_source_of_a_sent_password_is_always_shown(before: Value, declared: Value, words: str) -> None:
    change = update(FieldChange("name", "A", "B"))
    change = replace(change, before=EMPTY.with_fields({"password": before}), managed={"password": declared})
    assert sent_rows(change) == [FieldRow("password", words=words, changed=False)]


def test_a_create_omits_the_address_and_a_delete_shows_its_fields() -> None:
    create = next(one for one in mixed().changes if one.action is Action.CREATE)
    delete = next(one for one in mixed().changes if one.action is Action.DELETE)
    assert changed_rows(create)[:2] == [FieldRow("name", after='"New"'), FieldRow("default", after="true")]
    assert (deleted_rows(create), kept_rows(create), changed_rows(delete), kept_rows(delete)) == ([], [], [], [])
    assert deleted_rows(delete)[:2] == [FieldRow("name", before='"Old"'), FieldRow("default", before="false")]


def test_a_change_names_the_changes_it_waits_for() -> None:
    changes = tuple(
        replace(update(), address=f"{name}@example.com", after=account(f"{name}@example.com", 1), reason="why")
        for name in "abcdef"
    )
    steps = [Step(change, {}) for change in changes[:5]]
    steps += [Step(changes[5], {"name": "x (moving)"}), Step(changes[5], {}, requires=frozenset(range(6)))]
    found = change_notes(Plan(server=SERVER, changes=changes, steps=tuple(steps)))
    assert found == [("why",)] * 5 + [("why", "after a@example.com, b@example.com, c@example.com, 2 more")]


def test_a_test_names_its_recipient_if_there_is_one() -> None:
    tests = (DeliveryTestSettings(DeliveryTestWhen.BEFORE, address) for address in ("ops@example.com", None))
    changes = tuple(replace(update(), address=f"{place}@x", test=test) for place, test in enumerate(tests))
    found = change_notes(Plan(server=SERVER, changes=changes))
    assert found == [("tested before the write, with a mail to ops@example.com",), ("tested before the write",)]


def test_a_delete_without_a_password_shows_none() -> None:
    gone = Change(action=Action.DELETE, address="a", before=account("a@example.com", 1, password=None), after=None)
    assert "password" not in [row.field for row in deleted_rows(gone)]
