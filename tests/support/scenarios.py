"""The run that everything goes wrong in, and what must hold whatever does."""

from __future__ import annotations

import threading
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from reconciler import reconcile
from reconciler.applying.executor import ApplyOptions, execute
from reconciler.applying.final_check import final_check
from reconciler.credentials import ServerOptions
from reconciler.errors import ApiError
from reconciler.model.outcome import Outcome, Status
from reconciler.model.plan import Action
from reconciler.model.ports import NullObserver

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path


Row = dict[str, Any]

TOKEN = {"RECONCILER_REFRESH_TOKEN": "sandbox-refresh-token"}
SECRETS = {"NEW_PASSWORD": "new-password", "SAME_PASSWORD": "same-password"}


def row(email: str, name: str, **fields: object) -> Row:
    """An account as the server's JSON has it."""
    given = {"email": email, "name": name, "default": False, "service": "other", "hash_auth": True, **fields}
    return {"password": "same-password", "smtp_server": "smtp.example.com", "smtp_port": 587, **given}


@dataclass(frozen=True)
class Scenario:
    """A server's accounts, a file for them, and what each account is to become.

    Attributes:
        wanted: Address to the fields that matter, for every account that is there in the end.
        origin: Address in ``wanted`` to the address that the account has in ``seed``, for all that are not new.
    """

    seed: tuple[Row, ...]
    text: str
    wanted: Mapping[str, Row]
    origin: Mapping[str, str]

    def write(self, folder: Path) -> str:
        path = folder / "accounts.yaml"
        path.write_text(self.text, encoding="utf-8")
        return str(path)


_HEAD = """\
version: 1
policy: {ignore: ["legacy@example.com"], protect: ["kept@example.com"], max_deletes: 100%}
defaults: {service: other, smtp_server: smtp.example.com, smtp_port: 587, password: {env: SAME_PASSWORD}}
accounts:
"""
_BYSTANDERS = (
    row("legacy@example.com", "Legacy", smtp_port=25),
    row("kept@example.com", "Kept"),
    row("same@example.com", "Same"),
)
_SAME = "  - {email: same@example.com, name: Same}\n"

PLAIN = Scenario(
    seed=(
        row("first@example.com", "First", default=True),
        row("second@example.com", "Second"),
        row("renew@example.com", "Renew"),
        row("move@example.com", "Move", smtp_port=25),
        row("noc@example.com", "Alerts"),
        row("gone@example.com", "Gone"),
        *_BYSTANDERS,
    ),
    text=_HEAD
    + _SAME
    + """\
  - {email: first@example.com, name: First}
  - {email: second@example.com, name: Second, default: true}
  - {email: renew@example.com, name: Renewed, password: {env: NEW_PASSWORD}}
  - {email: move@example.com, name: Move}
  - {email: alerts@example.com, renamed_from: noc@example.com, name: Alerts}
  - {email: one@example.com, name: One}
  - {email: two@example.com, name: Two, password: {env: NEW_PASSWORD}}
""",
    wanted={
        "first@example.com": {"name": "First", "default": False},
        "second@example.com": {"name": "Second", "default": True},
        "renew@example.com": {"name": "Renewed", "password": "new-password"},
        "move@example.com": {"smtp_port": 587},
        "alerts@example.com": {"name": "Alerts"},
        "one@example.com": {"name": "One", "password": "same-password", "smtp_port": 587, "has_auth": True},
        "two@example.com": {"name": "Two", "password": "new-password", "smtp_port": 587, "has_auth": True},
    },
    origin={
        "first@example.com": "first@example.com",
        "second@example.com": "second@example.com",
        "renew@example.com": "renew@example.com",
        "move@example.com": "move@example.com",
        "alerts@example.com": "noc@example.com",
    },
)
"""Two creates, two updates, a rename, a hand-over of the default account, and a delete."""

TANGLED = Scenario(
    seed=(
        row("first@example.com", "First", default=True),
        row("second@example.com", "Second"),
        row("left@example.com", "Left"),
        row("right@example.com", "Right"),
        row("chain@example.com", "Chain"),
        row("gone@example.com", "Gone"),
        *_BYSTANDERS,
    ),
    text=_HEAD
    + _SAME
    + """\
  - {email: second@example.com, name: Second, default: true}
  - {email: left@example.com, name: Right}
  - {email: right@example.com, name: Left, password: {env: NEW_PASSWORD}}
  - {email: chain@example.com, name: First}
  - {email: link@example.com, name: Chain}
  - {email: heir@example.com, name: Gone}
""",
    wanted={
        "second@example.com": {"default": True},
        "left@example.com": {"name": "Right"},
        "right@example.com": {"name": "Left", "password": "new-password"},
        "chain@example.com": {"name": "First"},
        "link@example.com": {"name": "Chain", "password": "same-password"},
        "heir@example.com": {"name": "Gone", "password": "same-password"},
    },
    origin={one: one for one in ("second@example.com", "left@example.com", "right@example.com", "chain@example.com")},
)
"""Names that are swapped, passed on and inherited; the former default account is deleted."""


WATCHED = Scenario(
    seed=(
        row("move@example.com", "Move", smtp_port=25),
        row("gone@example.com", "Gone"),
        *_BYSTANDERS,
    ),
    text=_HEAD.replace("policy: {", "policy: {test: {when: before, to_email: ops@example.com}, ")
    + _SAME
    + """\
  - {email: move@example.com, name: Move}
  - {email: one@example.com, name: One, password: {env: NEW_PASSWORD}}
""",
    wanted={
        "move@example.com": {"smtp_port": 587, "name": "Move", "password": "same-password"},
        "one@example.com": {"name": "One", "password": "new-password", "smtp_port": 587, "has_auth": True},
        "same@example.com": {"name": "Same"},
    },
    origin={one: one for one in ("move@example.com", "same@example.com")},
)
"""One write of each kind, and a test before the two that have settings."""


@dataclass(frozen=True)
class Touched:
    """The accounts that somebody else has changed during a run, by id and by every address that they had."""

    ids: frozenset[int] = frozenset()
    addresses: frozenset[str] = frozenset()

    @classmethod
    def by(cls, deeds: Sequence[Row]) -> Touched:
        ids = frozenset(one["id"] for one in deeds)
        return cls(ids, frozenset(address for one in deeds for address in one["addresses"]))


NONE_TOUCHED = Touched()


class Hurried(threading.Event):
    """An event for which every pause takes a fraction of its time."""

    def __init__(self, times_faster: int) -> None:
        super().__init__()
        self._times_faster = times_faster

    def wait(self, timeout: float | None = None) -> bool:
        return super().wait(None if timeout is None else timeout / self._times_faster)


@dataclass(frozen=True)
class Run:
    """What a run came to; ``outcomes`` is ``None`` where there was not even a plan."""

    code: int
    outcomes: tuple[Outcome, ...] | None = None
    changes: int = 0


def run(
    path: str, url: str, *, parallelism: int = 1, timeout: float = 5.0, dry: bool = False, times_faster: int = 8
) -> Run:
    """Plans and, unless ``dry``, applies, like the command, but with short pauses."""
    environ = {"RECONCILER_URL": url, **TOKEN, **SECRETS}
    options = ServerOptions(timeout=timeout)
    context = reconcile.RunContext(server=options, environ=environ, stop=Hurried(times_faster))
    desired = reconcile.load(path, context=context)
    with reconcile.connect(desired, parallelism=parallelism, context=context) as connection:
        try:
            plan = reconcile.plan(desired, connection)
        except ApiError:
            return Run(1)
        assert plan.applicable, plan.errors
        if dry:
            return Run(0, (), len(plan.changes))
        how = ApplyOptions(parallelism=parallelism)
        written = execute(plan, connection.writer, how, stop=context.stop, listener=NullObserver())
        outcomes, problem = final_check(plan, written, connection.reader, pauses=(0.05,))
    complete = problem is None and all(one.succeeded and not one.changed_since for one in outcomes)
    return Run(0 if complete else 3, outcomes, len(plan.changes))


def disagreements(
    scenario: Scenario, outcomes: Sequence[Outcome], accounts: Sequence[Row], touched: Touched = NONE_TOUCHED
) -> list[str]:
    """Where the report says something that is not so."""
    return [
        f"{one.action} of {one.address} is {one.status} ({one.error or one.note}), but: {what}"
        for one in outcomes
        for what in _disagreement(scenario, one, accounts, touched)
    ]


def _disagreement(scenario: Scenario, outcome: Outcome, accounts: Sequence[Row], touched: Touched) -> list[str]:
    before, after = _before(scenario, outcome, accounts), _after(scenario, outcome, accounts)
    if outcome.status is Status.APPLIED and not after:
        return ["it is not in place"]
    if outcome.id in touched.ids or outcome.address in touched.addresses:
        return []
    if outcome.status in (Status.FAILED, Status.SKIPPED, Status.NOT_ATTEMPTED) and not before:
        # A change of two steps tells that its first one was written.
        return [] if "temporary name" in (outcome.error or "") else ["it is not as before"]
    if outcome.status is Status.UNKNOWN and not (before or after) and "temporary name" not in (outcome.error or ""):
        return ["it is neither as before nor in place"]
    return []


def _after(scenario: Scenario, outcome: Outcome, accounts: Sequence[Row]) -> bool:
    found = [one for one in accounts if one["email"] == outcome.address]
    if outcome.action == Action.DELETE:
        return not found
    wanted = scenario.wanted[outcome.address]
    return len(found) == 1 and all(found[0][name] == value for name, value in wanted.items())


def _before(scenario: Scenario, outcome: Outcome, accounts: Sequence[Row]) -> bool:
    if outcome.action == Action.CREATE and outcome.address not in [one["email"] for one in scenario.seed]:
        return not any(one["email"] == outcome.address for one in accounts)
    former = scenario.origin.get(outcome.address, outcome.address)
    index = next(index for index, one in enumerate(scenario.seed) if one["email"] == former)
    found = [one for one in accounts if one["id"] == index + 1]
    seeded = {("has_auth" if name == "hash_auth" else name): value for name, value in scenario.seed[index].items()}
    if seeded["default"]:
        # Whether the server demotes the former default account by itself is the server's affair.
        seeded.pop("default")
    return len(found) == 1 and all(found[0][name] == value for name, value in seeded.items())


def losses(scenario: Scenario, accounts: Sequence[Row], touched: Touched = NONE_TOUCHED) -> list[str]:
    """Accounts that are there twice, or not any more though nobody wanted them gone, or not as they were."""
    found: list[str] = []
    addresses = [one["email"] for one in accounts]
    found += [f"{one} is there twice" for one in {*addresses} if addresses.count(one) > 1]
    here = {one["id"] for one in accounts}
    wanted = {*scenario.origin.values()}
    for index, one in enumerate(scenario.seed):
        if index + 1 in touched.ids:
            continue
        kept = one in _BYSTANDERS
        if (kept or one["email"] in wanted) and index + 1 not in here:
            found.append(f"{one['email']} is lost")
        if kept and not _before(scenario, Outcome(address=one["email"], action="keep", status=Status.FAILED), accounts):
            found.append(f"{one['email']} was touched")
    known = {one["email"] for one in scenario.seed} | {*scenario.wanted, *touched.addresses}
    return found + [f"{one} came from nowhere" for one in addresses if one not in known]
