"""Which servers a run is about."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from reconciler.errors import GuardError, InvalidValueError, ReconcilerError
from reconciler.fleet.selection import Selection, Shard, select
from reconciler.model.desired import Desired
from reconciler.model.fleet import Fleet, Selector
from reconciler.model.server import Server, ServerConfig
from tests.support.strategies import BOUNDED

NAMES = st.lists(st.text("abcdefgh0123456789-", min_size=1, max_size=8), unique=True, max_size=40)


def fleet(*names: str, min_servers: int = 0) -> Fleet:
    servers = [
        Desired((), server=ServerConfig(name=name, url=f"https://{name}.example.com", labels={"region": name[0]}))
        for name in names
    ]
    return Fleet(servers=tuple(servers), min_servers=min_servers)


def names_of(servers: tuple[Desired, ...]) -> list[str]:
    return [one.named_server.name for one in servers]


@BOUNDED
@given(NAMES, st.integers(1, 50))
def test_shards_cover_every_server_once(names: list[str], count: int) -> None:
    parts = [select(fleet(*names), Selection(shard=Shard(index, count))) for index in range(1, count + 1)]
    assert sorted(name for part in parts for name in names_of(part)) == sorted(names)


@BOUNDED
@given(NAMES, st.integers(1, 20))
def test_a_server_stays_in_its_shard_whatever_others_there_are(names: list[str], count: int) -> None:
    whole = {name: index for index in range(1, count + 1) for name in names if Shard(index, count).contains(name)}
    for name in names:
        assert names_of(select(fleet(name), Selection(shard=Shard(whole[name], count)))) == [name]


@pytest.mark.parametrize(
    ("text", "environ", "shard"),
    [
        ("3/16", {}, Shard(3, 16)),
        ("auto", {"JOB_COMPLETION_INDEX": "0", "JOB_COMPLETIONS": "4"}, Shard(1, 4)),
        ("auto", {"CI_NODE_INDEX": "4", "CI_NODE_TOTAL": "4"}, Shard(4, 4)),
        (
            "auto",
            {"JOB_COMPLETION_INDEX": "2", "JOB_COMPLETIONS": "3", "CI_NODE_INDEX": "1", "CI_NODE_TOTAL": "2"},
            Shard(3, 3),
        ),
    ],
)
def test_a_shard_is_a_number_of_many(text: str, environ: dict[str, str], shard: Shard) -> None:
    assert Shard.parse(text, environ) == shard


@pytest.mark.parametrize(
    ("text", "environ"),
    [
        ("0/4", {}),
        ("5/4", {}),
        ("1/0", {}),
        ("1", {}),
        ("-1/4", {}),
        ("auto", {}),
        ("auto", {"JOB_COMPLETION_INDEX": "0"}),
        ("auto", {"CI_NODE_INDEX": "3", "CI_NODE_TOTAL": "2"}),
        ("auto", {"JOB_COMPLETION_INDEX": "x", "JOB_COMPLETIONS": "2"}),
        ("auto", {"JOB_COMPLETION_INDEX": "9" * 5000, "JOB_COMPLETIONS": "2"}),
    ],
)
def test_anything_else_is_no_shard(text: str, environ: dict[str, str]) -> None:
    with pytest.raises(InvalidValueError):
        Shard.parse(text, environ)


@pytest.mark.parametrize(
    ("text", "matches"),
    [
        ("region=south", True),
        ("region!=south", False),
        ("region=s*", True),
        ("region=south,name=b0*", True),
        ("region=south,name=c*", False),
        ("ring=canary", False),
        ("ring!=canary", True),
        ("name!=b01", False),
        (" region = south , ring != canary ", True),
        ("region=", False),
    ],
)
def test_every_term_of_a_selector_has_to_hold(text: str, matches: bool) -> None:
    assert Selector.parse(text).matches(Server("b01", "https://b01.example.com", {"region": "south"})) is matches


@pytest.mark.parametrize("text", ["", "region", "=south", "region=south,", "region==south", "a=b=c", "!=x"])
def test_anything_else_is_no_selector(text: str) -> None:
    with pytest.raises(InvalidValueError):
        Selector.parse(text)


def test_too_few_servers_are_refused_before_any_selection() -> None:
    with pytest.raises(GuardError, match="declare 2 servers; min_servers is 3"):
        select(fleet("a", "b", min_servers=3), Selection(shard=Shard(1, 2)))
    assert names_of(select(fleet("a", "b", min_servers=2), Selection(names={"a"}))) == ["a"]


def test_a_selector_that_matches_nothing_is_an_error_and_an_empty_shard_is_not() -> None:
    with pytest.raises(ReconcilerError, match="matches no server") as caught:
        select(fleet("a"), Selection(selector=Selector.parse("regoin=a")))
    assert caught.value.problems[0].hint == "the labels are name, region"
    empty = next(index for index in (1, 2) if not Shard(index, 2).contains("a"))
    assert select(fleet("a"), Selection(shard=Shard(empty, 2))) == ()
