from __future__ import annotations

import time
from unicodedata import normalize

import idna
import pytest
from hypothesis import given
from hypothesis import strategies as st

from reconciler.model.account import ACCOUNT_DEFAULTS, Account, identity, label, label_key, readable, writable_fields
from reconciler.model.secret import UNKNOWN, Secret
from tests.support.strategies import BOUNDED

HELD = Account({"email": "A@x", "name": "A", "default": True}, 7, {"color": "red"})


def test_the_key_ignores_letter_case() -> None:
    assert (HELD.email, HELD.key) == ("A@x", "a@x")


def test_an_account_may_have_no_name() -> None:
    assert (HELD.name, Account({"email": "a@x"}).name, Account({"email": "a@x", "name": None}).name) == (
        "A",
        None,
        None,
    )


def test_only_true_makes_a_default_account() -> None:
    assert (HELD.is_default, HELD.with_fields({"default": None}).is_default, ACCOUNT_DEFAULTS.is_default) == (
        True,
        False,
        False,
    )


def test_with_fields_keeps_the_id_and_unknown_fields() -> None:
    after = HELD.with_fields({"name": "B", "smtp_port": 25})
    assert after == Account({"email": "A@x", "name": "B", "default": True, "smtp_port": 25}, 7, {"color": "red"})


def test_an_unknown_password_is_not_written() -> None:
    assert writable_fields({"email": "a@x", "password": UNKNOWN, "smtp_port": None}) == {
        "email": "a@x",
        "smtp_port": None,
    }


@pytest.mark.parametrize(
    ("account_id", "ambiguous", "expected"), [(7, True, "a@x#7"), (7, False, "a@x"), (None, True, "a@x")]
)
def test_a_label_has_the_id_if_it_is_ambiguous_and_known(
    account_id: int | None, ambiguous: bool, expected: str
) -> None:
    assert label("a@x", account_id, ambiguous=ambiguous) == expected


def test_an_address_in_lower_case_is_its_own_key() -> None:
    account = Account({"email": "a@example.com"})
    assert account.key is account.fields["email"]
    assert Account({"email": "A@Example.com"}).key == "a@example.com"


@pytest.mark.parametrize(
    ("spelling", "expected"),
    [
        ("A@X", "a@x"),
        ("info@b\u00fccher.example", "info@xn--bcher-kva.example"),
        ("INFO@B\u00dcCHER.Example", "info@xn--bcher-kva.example"),
        ("info@bu\u0308cher.example", "info@xn--bcher-kva.example"),
        ("info@XN--BCHER-KVA.example", "info@xn--bcher-kva.example"),
        ("info@stra\u00dfe.example", "info@xn--strae-oqa.example"),
        ("stra\u00dfe@x", "stra\u00dfe@x"),
        ("JOSE\u0301@x", "jos\u00e9@x"),
        ("_dmarc@_tcp.example", "_dmarc@_tcp.example"),
        ("a@_b\u00fccher.example", "a@xn--_bcher-4ya.example"),  # IDNA 2008 rejects it
        ("a@b\u00fccher\u3002example", "a@xn--bcher-kva.example"),
        ('"\u00fc@x"@\u00fc.example', '"\u00fc@x"@xn--tda.example'),
        ("\u212a@\u212a.example", "k@k.example"),  # the Kelvin sign
        ("\u039f\u0394\u039f\u03a3@\u039f\u0394\u039f\u03a3.gr", "\u03bf\u03b4\u03bf\u03c2@xn--pxavbm.gr"),
        ("mail.b\u00fccher.example", "mail.xn--bcher-kva.example"),
        ("", ""),
        ("@", "@"),
        ("\u00fc@", "\u00fc@"),
        ("a@..\u00fc..", "a@..xn--tda.."),
        ("a\0@\ud800", "a\0@xn--ib9b"),
    ],
)
def test_every_spelling_has_one_identity(spelling: str, expected: str) -> None:
    assert identity(spelling) == expected
    assert Account({"email": spelling}).key == expected


def test_the_identity_of_a_long_address_is_quick() -> None:
    text = "".join(chr(0x4E00 + index) for index in range(10_000))
    begun = time.process_time()
    assert identity(f"{text}@{text}") == f"{text}@{text}"
    assert time.process_time() - begun < 20


@given(st.text())
@BOUNDED
def test_an_identity_is_its_own_identity(text: str) -> None:
    assert identity(identity(text)) == identity(text)


@given(st.text(alphabet=st.characters(), max_size=40))
@BOUNDED
def test_an_identity_does_not_depend_on_composition(text: str) -> None:
    assert identity(normalize("NFC", text)) == identity(normalize("NFD", text)) == identity(text)


@given(st.text(alphabet="bu\u00fc\u00df\u0308\u03c3\u043f\u05d0-_3", min_size=1, max_size=12))
@BOUNDED
def test_labels_are_encoded_as_idna_2008_requires(text: str) -> None:
    folded = normalize("NFC", normalize("NFC", text).lower())
    try:
        expected = idna.alabel(folded).decode()
    except idna.IDNAError:
        return
    assert identity(f"a@{text}") == f"a@{expected}"


@given(st.text())
@BOUNDED
def test_a_readable_identity_has_the_same_identity(text: str) -> None:
    assert identity(readable(identity(text))) == identity(text)


@pytest.mark.parametrize(
    ("account_label", "expected"),
    [
        ("A@x#7", ("a@x", "7")),
        ("a#b@x", ("a#b@x", "")),
        ("a@\u00fc#12", ("a@xn--tda", "12")),
        ("a@x", ("a@x", "")),
    ],
)
def test_a_label_key_has_the_identity_and_the_id(account_label: str, expected: tuple[str, str]) -> None:
    assert label_key(account_label) == expected


def test_the_declared_password_is_not_a_mask() -> None:
    masked = Account({"email": "a@x", "password": UNKNOWN}, 1, mask=Secret("****"))
    assert masked.unmasked({"password": Secret("****")}).fields["password"] == Secret("****")
    assert [masked.unmasked(managed) for managed in ({}, {"password": None}, {"password": Secret("***")})] == [
        masked
    ] * 3
    assert HELD.unmasked({"password": Secret("****")}) is HELD
