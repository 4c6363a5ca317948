"""Random servers, random declarations for them, and random strings that are nearly YAML or JSON."""

from __future__ import annotations

import json
import os
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from hypothesis import settings
from hypothesis import strategies as st

from reconciler.errors import ApiError, Kind, OutcomeUnknownError, Position, RejectedError, UnreachableError
from reconciler.model.account import Account, Fields, Globs
from reconciler.model.desired import Desired, DesiredAccount, Policy
from reconciler.model.secret import Secret
from tests.support.fake_server import BLANK, FakeServer, Fault, Rules

if TYPE_CHECKING:
    from hypothesis.strategies import DrawFn, SearchStrategy

settings.register_profile("bounded", max_examples=25, deadline=None)
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
class ServerCase:
    """A server's accounts and rules, and what is declared for it."""

    held: tuple[Account, ...]
    rules: Rules
    desired: Desired

    def server(self) -> FakeServer:
        return FakeServer({account.id: account for account in self.held if account.id is not None}, self.rules)


def fields_of() -> SearchStrategy[Fields]:
    """The fields besides address, name and default."""
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
def server_cases(draw: DrawFn, *, unique: bool = False, stubborn: bool = False) -> ServerCase:
    """A server, and a declaration for it.

    Args:
        unique: Names and addresses are unique on the server.
        stubborn: The server may refuse to clear or delete its default account, and fills in no fields.
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
    return ServerCase(held, rules, draw(declarations(held)))


def faults() -> SearchStrategy[Fault]:
    """Faults of one call: a clear refusal, or an error that leaves open whether the call took effect."""
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
    """The address in ``ADDRESSES`` that this one is a spelling of, without a prefix."""
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
    """A declared set: names from the pool; addresses that are kept, new, pinned elsewhere or renamed."""
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


_KEYS = [
    "version",
    "accounts",
    "server",
    "policy",
    "defaults",
    "email",
    "name",
    "id",
    "default",
    "service",
    "has_auth",
    "hash_auth",
    "password",
    "smtp_server",
    "smtp_port",
    "smtp_crypt",
    "smtp_auth_mechanism",
    "renamed_from",
    "test",
    "when",
    "to_email",
    "url",
    "auth",
    "access_token",
    "refresh_token",
    "username",
    "ca_file",
    "prune",
    "max_deletes",
    "protect",
    "ignore",
    "env",
    "file",
    "command",
    "errors",
    "type",
    "field",
    "msg",
    "expires_in",
    "<<",
]
_VALUES = [
    "1",
    "0",
    "-1",
    "1e400",
    ".nan",
    "~",
    "null",
    "true",
    "yes",
    "off",
    "30%",
    "587",
    "99999999999999999999",
    "gmail",
    "outlook",
    "other",
    "none",
    "starttls",
    "plain",
    "a@example.com",
    "A@example.com",
    "b@example.com",
    "smtp.example.com",
    "https://fw.example.com",
    "*a",
    "&a",
    "!x",
    "-",
    "?",
    "|",
    ">",
    "''",
    "{}",
    "[]",
]
_ODD = [
    "\ufeff",
    "\u202e",
    "\u2028",
    "\x85",
    "\r",
    "\t",
    "\0",
    "\ud800",
    "::error::",
    "##[error]",
    "\x1b[2J",
    "%",
    "{{",
    "@",
]


def _text() -> SearchStrategy[str]:
    return st.one_of(st.sampled_from(_VALUES), st.sampled_from(_ODD), st.text(max_size=12))


def _values() -> SearchStrategy[Any]:
    scalars = st.one_of(st.none(), st.booleans(), st.integers(), st.floats(), _text())
    keys = st.one_of(st.sampled_from(_KEYS), _text())
    return st.recursive(
        scalars, lambda inner: st.lists(inner, max_size=4) | st.dictionaries(keys, inner, max_size=6), max_leaves=20
    )


def _accounts() -> SearchStrategy[list[dict[str, Any]]]:
    fixed = {"email": st.one_of(st.just("a@example.com"), st.just("b@example.com"), _text()), "name": _text()}
    optional = {key: _values() for key in _KEYS[5:20] if key not in fixed}
    return st.lists(st.fixed_dictionaries(fixed, optional=optional), max_size=4)


def jsons() -> SearchStrategy[bytes]:
    """Responses of a server."""
    numbered = _accounts().map(lambda accounts: [{"id": number, **one} for number, one in enumerate(accounts)])
    documents = st.one_of(_values(), _accounts(), numbered)
    return st.one_of(documents.map(lambda value: json.dumps(value).encode()), st.binary(max_size=200))


def yamls() -> SearchStrategy[bytes]:
    """Files: JSON, which is YAML too, lines made from the keywords of the format, and strings that are neither."""
    document = st.fixed_dictionaries(
        {"version": st.just(1), "accounts": _accounts()},
        optional={"policy": _values(), "defaults": _values(), "server": _values()},
    )
    line = st.tuples(
        st.sampled_from(["", "  ", "- ", "  - ", "    ", "\t"]),
        st.sampled_from(_KEYS) | _text(),
        st.sampled_from([": ", ":", " ", ""]),
        _text(),
    ).map("".join)
    lines = st.lists(line, max_size=25).map(lambda found: "version: 1\naccounts:\n" + "\n".join(found))
    return st.one_of(
        document.map(lambda value: json.dumps(value).encode()),
        lines.map(lambda text: text.encode("utf-8", "surrogatepass")),
        st.binary(max_size=200),
    )
