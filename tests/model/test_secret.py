from __future__ import annotations

import copy
import pickle

import pytest

from reconciler.model.secret import UNKNOWN, Secret, SecretReference

CANARY = Secret("canary")


def test_no_way_of_printing_shows_a_secret() -> None:
    shown = [repr(CANARY), str(CANARY), f"{CANARY}", f"{CANARY:>30}", f"{CANARY!r}", repr([CANARY]), "%s" % (CANARY,)]  # noqa: UP031 - one of the ways
    assert set(shown) == {"Secret(***)", "[Secret(***)]"}


@pytest.mark.parametrize("way", [pickle.dumps, copy.deepcopy])
def test_a_secret_is_not_pickled(way: object) -> None:
    assert callable(way)
    with pytest.raises(TypeError, match="a Secret is not pickled"):
        way(CANARY)


def test_a_secret_has_no_dictionary_that_a_crash_report_could_print() -> None:
    assert not hasattr(CANARY, "__dict__")


def test_secrets_are_compared_by_value_and_with_nothing_else() -> None:
    assert Secret("a") == Secret("a")
    assert Secret("a") != Secret("b")
    assert Secret("a") != "a"
    assert len({Secret("a"), Secret("a"), Secret("b")}) == 2


def test_a_value_that_is_not_utf8_can_be_compared() -> None:
    assert Secret("\udcff") == Secret("\udcff")
    assert Secret("\udcff") != Secret("é")


def test_an_empty_secret_is_none() -> None:
    assert (bool(Secret("")), bool(CANARY), CANARY.reveal()) == (False, True, "canary")


def test_the_unknown_password_says_so() -> None:
    assert repr(UNKNOWN) == "UNKNOWN"


def test_a_reference_shows_where_to_look() -> None:
    reference = SecretReference("command", ("sops", "-d", "secrets.yaml"), "a.yaml", ("accounts", 0, "password"))
    assert str(reference) == "{command: sops -d secrets.yaml}"
