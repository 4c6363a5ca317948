from __future__ import annotations

import pytest

from reconciler.model.desired import Policy
from reconciler.planning.matching import match
from tests.support.declarations import declare, globs, said
from tests.support.fake_server import account

EVERYTHING = Policy()
HELD = (account("a@x", 1), account("b@x", 2), account("c@x", 3))


def paired(
    *declarations: object, held: tuple[object, ...] = HELD, policy: Policy = EVERYTHING
) -> tuple[list[str], list[int | None], list[str]]:
    """Pairs as ``declared=id``, undeclared ids, and problems."""
    matching = match(declarations, held, policy)  # type: ignore[arg-type]
    pairs = [f"{desired.account.email}={current.id if current else 'new'}" for desired, current in matching.pairs]
    undeclared = [one.id for one in matching.undeclared]
    return pairs, undeclared, said([*matching.errors, *matching.warnings])


def test_addresses_match_in_any_letter_case() -> None:
    assert paired(declare("A@X")) == (["A@X=1"], [2, 3], [])


def test_an_unknown_address_is_new() -> None:
    assert paired(declare("d@x")) == (["d@x=new"], [1, 2, 3], [])


def test_a_pin_wins_over_the_address() -> None:
    assert paired(declare("a@x", 2), declare("b@x")) == (["a@x=2", "b@x=new"], [1, 3], [])


def test_a_pin_to_a_missing_id_is_an_error_and_claims_nothing() -> None:
    pairs, undeclared, problems = paired(declare("a@x", 9))
    assert (pairs, undeclared) == ([], [1, 2, 3])
    assert problems == ["pin_not_found: a@x is pinned to id 9, which the server does not have"]


@pytest.mark.parametrize(
    ("policy", "why"),
    [
        (Policy(ignore=globs("b@x")), "but b@x is in `policy.ignore`"),
        (Policy(own=globs("a@*")), "but b@x is outside `policy.own`"),
    ],
)
def test_a_pin_to_an_account_that_is_left_alone_is_an_error_that_says_why(policy: Policy, why: str) -> None:
    _pairs, _undeclared, problems = paired(declare("a@x", 2), policy=policy)
    assert problems == [f"pin_not_found: a@x is pinned to id 2, {why}"]


def test_former_addresses_match_in_any_letter_case() -> None:
    assert paired(declare("n@x", renamed_from="A@X")) == (["n@x=1"], [2, 3], [])


def test_if_both_addresses_exist_the_new_one_wins_with_a_warning() -> None:
    warning = "renamed_both_exist: b@x is renamed from a@x, but the server has both; a@x (id 1) counts as undeclared"
    assert paired(declare("b@x", renamed_from="a@x")) == (["b@x=2"], [1, 3], [warning])


@pytest.mark.parametrize("former", ["a@x", "c@x"])
def test_a_former_address_with_its_own_declaration_is_no_warning(former: str) -> None:
    pairs, undeclared, problems = paired(declare("b@x", renamed_from=former), declare(former))
    assert (set(pairs), undeclared, problems) == (
        {"b@x=2", f"{former}={1 if former == 'a@x' else 3}"},
        [one for one in (1, 3) if one != (1 if former == "a@x" else 3)],
        [],
    )


def test_a_pinned_account_with_a_remaining_former_address_is_a_warning() -> None:
    warning = "renamed_both_exist: n@x is renamed from a@x, but the server has both; a@x (id 1) counts as undeclared"
    assert paired(declare("n@x", 2, renamed_from="a@x")) == (["n@x=2"], [1, 3], [warning])


def test_a_completed_rename_is_silent() -> None:
    assert paired(declare("b@x", renamed_from="gone@x")) == (["b@x=2"], [1, 3], [])


def test_a_rename_of_a_missing_account_is_a_create() -> None:
    warning = "rename_source_missing: n@x is renamed from gone@x, but the server has neither: it is created"
    assert paired(declare("n@x", renamed_from="gone@x")) == (["n@x=new"], [1, 2, 3], [warning])


def test_a_rename_without_undeclared_accounts_is_no_warning() -> None:
    assert paired(declare("n@x", renamed_from="gone@x"), held=()) == (["n@x=new"], [], [])


def test_two_accounts_that_exchange_addresses_are_not_renamed() -> None:
    pairs, undeclared, problems = paired(declare("a@x", renamed_from="b@x"), declare("b@x", renamed_from="a@x"))
    assert (pairs, undeclared) == (["a@x=1", "b@x=2"], [3])
    assert problems == [
        f"renamed_both_exist: {new}@x is renamed from {old}@x, but the server has both,"
        f" and {old}@x has `renamed_from` too: nothing is renamed"
        for new, old in ("ab", "ba")
    ]


def test_a_chain_of_renames_is_an_error_that_asks_for_pins() -> None:
    pairs, undeclared, problems = paired(declare("n@x", renamed_from="b@x"), declare("b@x", renamed_from="a@x"))
    assert (pairs, undeclared) == (["b@x=2"], [1, 3])
    assert problems == [
        "rename_source_taken: n@x is renamed from b@x, but that account (id 2) is claimed by another declaration",
        "renamed_both_exist: b@x is renamed from a@x, but the server has both; a@x (id 1) counts as undeclared",
    ]


def test_a_chain_of_renames_works_with_pins() -> None:
    chain = (declare("n@x", 2, renamed_from="b@x"), declare("b@x", 1, renamed_from="a@x"))
    assert paired(*chain) == (["n@x=2", "b@x=1"], [3], [])


TWICE = (account("a@x", 1), account("A@x", 2), account("b@x", 3))


def test_a_duplicate_address_without_a_pin_is_an_error_with_the_ids() -> None:
    matching = match([declare("a@x")], TWICE, EVERYTHING)
    assert said(matching.errors) == ["ambiguous_address: the server has a@x 2 times (id 1: a@x, id 2: A@x)"]
    assert matching.errors[0].hint == (
        "pin the one that you mean in the YAML, for example `id: 1`; every other one is then undeclared, and is"
        " deleted if pruning is on"
    )
    assert (matching.undeclared, matching.ambiguous) == (TWICE[2:], TWICE[:2])


def test_a_duplicate_former_address_is_an_error_without_a_warning() -> None:
    matching = match([declare("n@x", renamed_from="a@x")], TWICE, EVERYTHING)
    assert said(matching.errors) == ["ambiguous_address: the server has a@x 2 times (id 1: a@x, id 2: A@x)"]
    assert (matching.pairs, matching.warnings, matching.ambiguous) == ((), (), TWICE[:2])


def test_two_spellings_of_one_mailbox_are_a_duplicate_address() -> None:
    held = (account("info@b\u00fccher.example", 1), account("info@xn--bcher-kva.example", 2))
    matching = match([declare("info@B\u00dcCHER.example")], held, EVERYTHING)
    spellings = "id 1: info@b\u00fccher.example, id 2: info@xn--bcher-kva.example"
    assert said(matching.errors) == [
        f"ambiguous_address: the server has info@B\u00dcCHER.example 2 times ({spellings})"
    ]
    assert paired(declare("info@b\u00fccher.example", 2), held=held) == (["info@b\u00fccher.example=2"], [1], [])


def test_a_spelling_finds_the_mailbox_and_its_former_address() -> None:
    held = (account("info@xn--bcher-kva.example", 1), account("jose\u0301@x", 2), account("info@strasse.example", 3))
    found = paired(
        declare("info@b\u00fccher.example"),
        declare("new@x", renamed_from="JOS\u00c9@x"),
        declare("info@stra\u00dfe.example"),
        held=held,
    )
    assert found == (["info@b\u00fccher.example=1", "new@x=2", "info@stra\u00dfe.example=new"], [3], [])


def test_pins_distinguish_duplicate_addresses() -> None:
    assert paired(declare("a@x", 1), declare("a@x", 2), held=TWICE) == (["a@x=1", "a@x=2"], [3], [])


def test_one_pin_is_enough_for_an_address_that_occurs_twice() -> None:
    assert paired(declare("a@x", 1), declare("z@x", renamed_from="a@x"), held=TWICE) == (["a@x=1", "z@x=2"], [3], [])
