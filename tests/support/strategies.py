"""Random servers and random declarations for them."""

from __future__ import annotations

import os
from dataclasses import dataclass
from typing import TYPE_CHECKING

from hypothesis import settings
from hypothesis import strategies as st

from reconciler.errors import ApiError, Kind, OutcomeUnknownError, Position, RejectedError, UnreachableError
from reconciler.model.account import Account, Fields, Globs
from reconciler.model.desired import Desired, DesiredAccount, Policy
from reconciler.model.secret import Secret
from tests.support.fake_server import BLANK, FakeServer, Fault, Rules

if TYPE_CHECKING:
    from hypothesis.strategies import DrawFn, SearchStrategy

settings.register_profile("bounded", max_examples=60, deadline=None)
settings.register_profile("thorough", max_examples=2000, deadline=None)
BOUNDED = settings(settings.get_profile(os.environ.get("PROPERTY_PROFILE", "bounded")))
SPELLINGS = {
    "a@example.com": ("a@example.com", "A@Example.COM"),
    "b@bücher.example": ("b@bücher.example", "b@xn--bcher-kva.example", "B@BU\u0308CHER.Example"),
    "caf\u00e9@example.com": ("caf\u00e9@example.com", "cafe\u0301@example.com", "CAFE\u0301@example.com"),
    "straße@example.com": ("straße@example.com", "Straße@EXAMPLE.com"),
    "strasse@example.com": ("strasse@example.com", "STRASSE@example.com"),
    "f@example.com": ("f@example.com",),
}
"""Six mailboxes, and the spellings of each address. In upper case, the fourth and the fifth look the same."""
ADDRESSES = list(SPELLINGS)
_MAILBOXES = {
    form: address for address, written in SPELLINGS.items() for text in written for form in (text, text.lower())
}
NAMES = ["Alerts", "Backup", "Certs", "Desk", "Events", "Fax"]
KEPT = Policy(protect=Globs(("p-*",)), ignore=Globs(("i-*",)))


@dataclass(frozen=True, slots=True)
class World:
    """A server's accounts and rules, and what is declared for it."""

    held: tuple[Account, ...]
    rules: Rules
    desired: Desired

    def server(self) -> FakeServer:
        return FakeServer({account.id: account for account in self.held if account.id is not None}, self.rules)


def fields_of() -> SearchStrategy[Fields]:
    """The fields beside address, name and default."""
    auth: SearchStrategy[Fields] = st.one_of(
        st.just({}),
        st.just({"has_auth": False, "password": None}),
        st.sampled_from(["one", "two"]).map(lambda value: {"has_auth": True, "password": Secret(value)}),
    )
    plain: SearchStrategy[Fields] = st.fixed_dictionaries(
        {},
        optional={
            "service": st.sampled_from(["other", "gmail"]),
            "smtp_server": st.sampled_from(["mx1.example.com", "mx2.example.com", None]),
            "smtp_port": st.sampled_from([25, 587, None]),
            "smtp_crypt": st.sampled_from(["none", "starttls"]),
        },
    )
    return st.tuples(plain, auth).map(lambda both: {**both[0], **both[1]})


@st.composite
def worlds(draw: DrawFn, *, unique: bool = False, stubborn: bool = False) -> World:
    """A world.

    Args:
        unique: Names and addresses are unique on the server.
        stubborn: It may refuse to clear or delete its default account, and writes nothing of its own into an account.
    """
    rules = draw(
        st.builds(
            Rules,
            unique_names=st.just(unique),
            unique_addresses=st.just(unique),
            single_default=st.booleans(),
            keep_default=st.booleans() if stubborn else st.just(False),
            first_is_default=st.booleans(),
            hidden_password_warning=st.booleans(),
            lower_case=st.booleans(),
            fills_gmail=st.just(False) if stubborn else st.booleans(),
            times=st.booleans(),
        )
    )
    held = _held(draw)
    return World(held, rules, draw(declarations(held)))


def faults() -> SearchStrategy[Fault]:
    """What one call may run into: a clear no, or an answer that says nothing, before or after the deed."""
    certain = st.sampled_from([RejectedError, UnreachableError]).map(
        lambda kind: Fault(kind.of("no", kind=Kind.SERVER_ERROR), "before")
    )
    kinds: list[type[ApiError]] = [OutcomeUnknownError, ApiError]
    unclear = st.builds(
        lambda kind, when: Fault(kind.of("lost", kind=Kind.SERVER_ERROR), when),
        st.sampled_from(kinds),
        st.sampled_from(["before", "after"]),
    )
    return certain | unclear


def mailbox(address: str) -> str:
    """The one in ``ADDRESSES`` that is meant, without a prefix."""
    return _MAILBOXES[address.removeprefix("p-").removeprefix("i-")]


def spellings(address: str) -> SearchStrategy[str]:
    """Ways to write an address."""
    return st.sampled_from(SPELLINGS[mailbox(address)])


def _held(draw: DrawFn) -> tuple[Account, ...]:
    prefixes = st.sampled_from(["", "", "", "p-", "i-"])
    addresses = draw(st.lists(st.sampled_from(ADDRESSES), unique=True))
    names = draw(st.permutations(NAMES))
    default = draw(st.none() | st.sampled_from(range(len(addresses)))) if addresses else None
    accounts = []
    for index, (address, name) in enumerate(zip(addresses, names, strict=False)):
        fields = draw(fields_of())
        email = draw(prefixes) + draw(spellings(address))
        accounts.append(
            Account({**BLANK, **fields, "email": email, "name": name, "default": index == default}, index + 1)
        )
    return tuple(accounts)


@st.composite
def declarations(draw: DrawFn, held: tuple[Account, ...]) -> Desired:
    """A declared set: names from the pool, addresses kept, new, pinned elsewhere or renamed."""
    kept = [account for account in held if account.email[:2] in ("p-", "i-")]
    ours = [account for account in held if account not in kept]
    free_names = [name for name in NAMES if name not in [account.name for account in kept]]
    names = iter(draw(st.permutations(free_names)))
    sources: list[Account | None] = draw(st.lists(st.sampled_from([*ours, None]), max_size=len(free_names)))
    sources = [one for index, one in enumerate(sources) if one is None or one not in sources[:index]]
    goals = iter(draw(st.permutations(ADDRESSES)))
    default = draw(st.none() | st.sampled_from(range(len(sources)))) if sources else None
    declared: list[DesiredAccount] = []
    taken: set[str] = set()
    for index, source in enumerate(sources):
        address = mailbox(source.email) if source and draw(st.booleans()) else next(goals, None)
        if address is None or address in taken:
            continue
        taken.add(address)
        how = draw(st.sampled_from(["pin", "rename"])) if source and mailbox(source.email) != address else ""
        fields = {**draw(fields_of()), "email": draw(spellings(address)), "name": next(names)}
        if default is not None:
            fields["default"] = index == default
        pin = source.id if source and how == "pin" else None
        former = draw(spellings(source.email)) if source and how == "rename" else None
        declared.append(DesiredAccount(Account(fields, pin), Position("a.yaml", index + 1, 1), former))
    return Desired(tuple(declared), KEPT)
