from __future__ import annotations

import copy
import pickle
import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from reconciler.errors import Position
from reconciler.model.secret import UNKNOWN, Secret, SecretReference, looks_masked
from tests.support.strategies import BOUNDED

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


def test_an_empty_secret_is_false() -> None:
    assert (bool(Secret("")), bool(CANARY), CANARY.reveal()) == (False, True, "canary")


def test_the_unknown_password_has_a_clear_representation() -> None:
    assert repr(UNKNOWN) == "UNKNOWN"


def test_a_reference_shows_where_to_look() -> None:
    reference = SecretReference("command", ("sops", "-d", "secrets.yaml"), Position("a.yaml"))
    assert str(reference) == "{command: sops -d secrets.yaml}"


@pytest.mark.parametrize(
    "value",
    [
        *(
            "***",
            "*•●",
            "●●●●",
            "••••••",
            "····",
            "ce******",
            "******ce",
            "abcd****wxyz",
            "xxxxxx",
            "XXXXXXXX",
            "xXxXxX",
        ),
        *("********\n", " \r\n●●●\t", " xxxxxx ", "\u00a0<hidden>\r\n"),
        *(
            "<hidden>",
            "[REDACTED]",
            "(Secret)",
            "{masked}",
            "(set)",
            "<<hidden>>",
            "[ hidden ]",
            "[PROTECTED]",
            "«oculto»",
        ),
        *("(sensitive value)", "<password hidden>", "<senha_oculta>", "[** removed **]"),
    ],
)
def test_a_mask_is_recognised(value: str) -> None:
    assert looks_masked(value)


@pytest.mark.parametrize(
    "value",
    [
        *("", " ", "*", "p**", "abcde***", "***abcde", "a***bcdef", "a***b***c", "xxxxx", "xxxxxxy", "xxx xxx"),
        *("hidden", "secret", "<hidden", "hidden>", "<hunter2>", "<my secret horse>", "correct horse", "hunter2"),
    ],
)
def test_a_possible_password_is_not_a_mask(value: str) -> None:
    assert not looks_masked(value)


_ENDS = st.text(alphabet="aZ9!-_é", max_size=4)


@given(_ENDS, st.text(alphabet="*•●·", min_size=3), _ENDS, st.text(alphabet=" \t\r\n"))
@BOUNDED
def test_a_mask_may_show_four_characters_at_each_end(start: str, dots: str, end: str, spaces: str) -> None:
    assert looks_masked(f"{spaces}{start}{dots}{end}{spaces}")
    assert not looks_masked(f"{start}.....{dots}")


@given(st.text())
@BOUNDED
def test_spaces_around_a_value_do_not_make_it_a_mask(text: str) -> None:
    assert looks_masked(f" {text}\r\n") == looks_masked(text)


@pytest.mark.parametrize("text", ["<" * 10**6, "*" * 10**5 + "!!!!!", "[hidden " * 10**5, "(" + " hidden" * 10**5])
def test_a_long_value_is_quickly_recognised_as_no_mask(text: str) -> None:
    begun = time.process_time()
    assert not looks_masked(text)
    assert time.process_time() - begun < 20
