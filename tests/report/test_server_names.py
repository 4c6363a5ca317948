from __future__ import annotations

import re
from typing import TYPE_CHECKING

import pytest
from hypothesis import given
from hypothesis import strategies as st

from reconciler.model.server import Server
from reconciler.report.server_names import (
    NameRange,
    count_phrase,
    fold_names,
    names_phrase,
    part_phrase,
    servers_phrase,
)
from tests.report.plans import HOSTILE
from tests.support.strategies import BOUNDED

if TYPE_CHECKING:
    from collections.abc import Iterator

NAMES = st.one_of(
    st.builds(
        lambda prefix, number, width, suffix: f"{prefix}{number:0{width}}{suffix}",
        st.sampled_from(["b", "sp-", "fw2-", ""]),
        st.integers(0, 12) | st.integers(95, 105),
        st.integers(1, 4),
        st.sampled_from(["", ".fw1.example.com"]),
    ),
    st.sampled_from(["matriz", "b-", "b1b1", "é1", "9" * 30, "x_1"]),
)


def unfold(piece: NameRange) -> Iterator[str]:
    if piece.count == 1:
        yield piece.text
        return
    found = re.fullmatch(r"(.*)\[(\d+)-(\d+)\](.*)", piece.text)
    prefix, first, last, suffix = found.groups() if found else ("", "", "", "")
    if not found:
        head, tail = piece.text.split("-")
        prefix = head.rstrip("0123456789")
        first, last = head[len(prefix) :], tail[len(prefix) :]
    for number in range(int(first), int(last) + 1):
        yield f"{prefix}{number:0{len(first)}}{suffix}"


@given(st.lists(NAMES, unique=True))
@BOUNDED
def test_unfolding_gives_the_names(names: list[str]) -> None:
    pieces = fold_names(names)
    assert sorted(name for piece in pieces for name in unfold(piece)) == sorted(names)
    assert sum(piece.count for piece in pieces) == len(names)


def phrase(*names: str) -> str:
    return names_phrase([Server(name, "") for name in names])


@pytest.mark.parametrize(
    ("names", "words"),
    [
        (("b001", "b002", "b003", "b004", "b007"), "b001-b004, b007"),
        (("b002", "b001"), "b001, b002"),
        (("b8", "b9", "b10", "b11"), "b8-b11"),
        (("b08", "b09", "b10", "b011"), "b08-b10, b011"),
        (("sp-01", "sp-02", "sp-03", "matriz"), "matriz, sp-[01-03]"),
        (("b1.fw2.example.com", "b2.fw2.example.com", "b3.fw2.example.com"), "b[1-3].fw2.example.com"),
        (("a, b", "::error::"), '"::error::", "a, b"'),
    ],
)
def test_numbers_in_a_row_become_a_range(names: tuple[str, ...], words: str) -> None:
    assert phrase(*names) == words


def test_a_phrase_lists_a_dozen_pieces() -> None:
    servers = [Server(f"b{number:03}", "") for number in range(0, 100, 2)]
    assert names_phrase(servers).endswith("b020, b022 and 38 more")
    assert names_phrase(servers, whole=True).endswith("b096, b098")
    assert servers_phrase(servers[:1]) == "on b000"
    assert servers_phrase(servers[:2]) == "on 2 servers: b000, b002"


def test_counts_have_separators_and_the_singular() -> None:
    assert [count_phrase(count) for count in (0, 1, 10_000)] == ["0 servers", "1 server", "10,000 servers"]
    assert part_phrase(9999, 10_000) == "9,999 of 10,000 servers"
    assert [part_phrase(count, 1) for count in (0, 1)] == ["0 of 1 server", "1 server"]


def test_hostile_names_are_quoted_and_on_one_line() -> None:
    words = names_phrase([Server(text, "") for text in HOSTILE], whole=True)
    assert words.isprintable()
    assert words.count('"') >= 2 * (len(HOSTILE) - 2)
