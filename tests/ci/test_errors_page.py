"""``docs/errors.md`` against the source: every kind is there, and nothing else."""

from __future__ import annotations

import re

from tests.ci.conftest import ROOT
from tests.ci.kinds import kinds, unseen, without_hint

PAGE = (ROOT / "docs" / "errors.md").read_text(encoding="utf-8")
ROWS = re.findall(r"^\| `(\w+)` \| (.+) \| (.+) \|$", PAGE, re.MULTILINE)

SAYS_ITSELF = {
    ("interrupted", "f'interrupted; {what}'"),  # whoever pressed Ctrl-C knows what to do
    ("output", "f'cannot write to standard output: {error.strerror}'"),  # the system says why
    ("stale_plan", "comparison_words(difference)"),  # the problem before it says what to do
    ("not_approved", "'not approved; nothing was written'"),  # so does whoever said no
    ("usage", "error.format_message()"),  # click says what to try
    ("rejected", "f'the server says no: {words}'"),  # its words say why
    (
        "protected",
        "f'{account.email} (id {account.id}) is not declared; protected by {glob!r}, it stays'",
    ),  # a warning: all is well
}


def test_the_source_can_be_read() -> None:
    assert unseen() == []


def test_every_kind_has_its_line_and_no_line_is_left_over() -> None:
    assert [kind for kind, _cause, _cure in ROWS] == sorted(kinds())


def test_every_line_has_a_cause_and_a_cure_in_whole_sentences() -> None:
    assert [kind for kind, cause, cure in ROWS if not (cause.endswith(".") and cure.endswith("."))] == []


def test_every_kind_is_in_snake_case() -> None:
    assert [kind for kind in kinds() if not re.fullmatch(r"[a-z]+(_[a-z]+)*", kind)] == []


def test_every_problem_has_a_hint_or_says_itself_what_to_do() -> None:
    assert without_hint() == SAYS_ITSELF
