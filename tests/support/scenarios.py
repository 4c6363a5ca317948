"""The scenarios for fault tests, and what must hold after a run, whatever fails."""

from __future__ import annotations

import threading
from collections import Counter
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from reconciler import reconcile
from reconciler.applying.executor import ApplyOptions, execute
from reconciler.applying.final_check import final_check
from reconciler.applying.worker_pool import InterruptGate
from reconciler.credentials import ServerOptions
from reconciler.errors import ApiError
from reconciler.fleet.gate import StopGroup
from reconciler.model.account import Account, identity
from reconciler.model.outcome import Outcome, Status
from reconciler.model.ports import RunObserver
from reconciler.planning.planner import PlanOptions, make_plan
from reconciler.sandbox import SandboxOptions
from tests.support.declarations import SERVER
from tests.support.false_responses import ACCOUNTS
from tests.support.fault_control import accounts_by_id
from tests.support.invariants import OtherWriters, Run, overwritten, remaining

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from reconciler.model.account import Fields
    from reconciler.model.desired import Desired
    from reconciler.model.plan import Plan
    from tests.support.fault_control import FaultServerControl

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
        wanted: By address, the fields that matter, for every account that exists at the end.
        origin: By address in ``wanted``, the address that the account has in ``seed``, if it is not new.
    """

    name: str
    seed: tuple[Row, ...]
    text: str
    wanted: Mapping[str, Row]
    origin: Mapping[str, str]

    def write(self, folder: Path) -> str:
        path = folder / "accounts.yaml"
        path.write_text(self.text, encoding="utf-8")
        return str(path)

    def plan(self, path: str, held: Mapping[int, Fields]) -> Plan:
        """The plan for the accounts that the server holds."""
        desired = _load(path, reconcile.RunContext(environ=SECRETS))
        current = [Account(fields, account_id) for account_id, fields in held.items()]
        return make_plan(desired, current, SERVER, PlanOptions())


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
    name="plain",
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
    name="tangled",
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
    name="watched",
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


class ShortPauses(threading.Event):
    """An event on which every wait takes a fraction of its time."""

    def __init__(self, times_faster: int) -> None:
        super().__init__()
        self._times_faster = times_faster

    def wait(self, timeout: float | None = None) -> bool:
        return super().wait(None if timeout is None else timeout / self._times_faster)


class ShortPausesGroup(StopGroup):
    """Stops the runs of a fleet, in which every wait takes a fraction of its time."""

    def __init__(self, times_faster: int) -> None:
        super().__init__()
        self._times_faster = times_faster

    def member(self) -> threading.Event:
        event = ShortPauses(self._times_faster)
        self._members.add(event)
        return event


@dataclass(frozen=True)
class Result:
    """The result of a run.

    Attributes:
        plan: What was to be done; ``None`` if no plan could be made.
    """

    code: int
    plan: Plan | None = None
    outcomes: tuple[Outcome, ...] = ()


_READ: dict[str, Desired] = {}


def _load(path: str, context: reconcile.RunContext) -> Desired:
    """As ``reconcile.load``, but reads the same text only once: there are hundreds of runs for each scenario."""
    text = Path(path).read_text(encoding="utf-8")
    if text not in _READ:
        _READ[text] = reconcile.read_fleet(path).servers[0]
    return reconcile.resolve(_READ[text], (path,), context=context)


def run(path: str, url: str, *, parallelism: int = 1, timeout: float = 5.0, times_faster: int = 20) -> Result:
    """Plans and applies, like the command, but with short pauses."""
    environ = {"RECONCILER_URL": url, **TOKEN, **SECRETS}
    options = ServerOptions(timeout=timeout)
    context = reconcile.RunContext(server=options, environ=environ, stop=ShortPauses(times_faster))
    desired = _load(path, context)
    with reconcile.connect(desired, parallelism=parallelism, context=context) as connection:
        try:
            plan = reconcile.plan(desired, connection)
        except ApiError:
            return Result(1)
        assert plan.applicable, plan.errors
        gate = InterruptGate(context.stop)
        how = ApplyOptions(parallelism=parallelism)
        written = execute(plan, connection.writer, how, gate=gate, observer=RunObserver())
        outcomes, problem = final_check(plan, written, connection.reader, gate=gate, pauses=(0.05,))
    complete = problem is None and all(one.succeeded and not one.changed_since for one in outcomes)
    return Result(0 if complete else 3, plan, outcomes)


class Case:
    """A scenario on a fault server: the accounts before the run, the plan for them, and what must hold after it."""

    def __init__(
        self,
        server: FaultServerControl,
        scenario: Scenario,
        folder: Path,
        faults: Sequence[dict[str, Any]] = (),
        options: Mapping[str, object] | None = None,
    ) -> None:
        self._server = server
        self._scenario = scenario
        self.path = scenario.write(folder)
        self._where = f"{scenario.name} with faults {list(faults)} and options {dict(options or {})}"
        self._single_default = bool((options or {}).get("single_default", SandboxOptions().single_default))
        self.url = server.reset(scenario.seed, faults, dict(options or {}))
        self._before = server.accounts()
        self.plan = scenario.plan(self.path, self._before)

    def check_run(self, *, parallelism: int = 1) -> Counter[str]:
        """Runs with the faults, checks that run and the next one; returns the number of outcomes by status."""
        result = run(self.path, self.url, parallelism=parallelism, timeout=0.15)
        deeds = self._server.deeds()
        self.check(self.violations(result, deeds))
        self.check_next_run(deeds, parallelism=parallelism)
        return statuses(result)

    def check(self, found: Sequence[str]) -> None:
        """Fails if there are violations."""
        assert not found, f"{self._where}: {found}; {[entry['line'] for entry in self._server.state()[1]]}"

    def violations(self, result: Result, deeds: Sequence[Row] = ()) -> list[str]:
        """What is wrong after a run."""
        rows, log = self._server.state()
        if result.plan is None:
            lines = [f"{line} without a plan" for line in writes(log)]
            return [*lines, *self.run_of(self.plan, deeds).violations(self.not_attempted())]
        found = self.run_of(result.plan, deeds).violations(result.outcomes)
        return found + overwritten({one["id"]: one["left"] for one in deeds}, {one["id"]: one for one in rows})

    def not_attempted(self) -> list[Outcome]:
        """The outcomes of a run that has written nothing."""
        return [
            Outcome(address=one.address, action=one.action, status=Status.NOT_ATTEMPTED) for one in self.plan.changes
        ]

    def run_of(self, plan: Plan, deeds: Sequence[Row] = ()) -> Run:
        """The run that has carried out ``plan``."""
        after = accounts_by_id(self._server.state()[0])
        ids = {one["id"] for one in deeds}
        keys = {identity(address) for one in deeds for address in one["addresses"]}
        others = OtherWriters(ids, keys, removed=ids - set(after))
        return Run(plan, self._before, after, others, single_default=self._single_default)

    def check_next_run(self, deeds: Sequence[Row] = (), *, parallelism: int = 1) -> None:
        """The next run makes everything as declared; after it, nothing is left to do."""
        self._server.arm()
        following = run(self.path, self.url, parallelism=parallelism)
        assert following.code == 0, f"{self._where}, next run: {following}"
        again = self._scenario.plan(self.path, self._server.accounts())
        self.check([*remaining(again), *self.unfinished(deeds)])

    def unfinished(self, deeds: Sequence[Row] = ()) -> list[str]:
        """What is wrong if everything is to be in place."""
        ended = self.run_of(self.plan, deeds)
        return [*ended.losses(), *ended.doubled(), *ended.touched(), *ended.unfinished()]


def statuses(result: Result) -> Counter[str]:
    """The number of outcomes by status."""
    return Counter(one.status.value for one in result.outcomes) if result.plan else Counter({"no_plan": 1})


def writes(log: Sequence[Row]) -> list[str]:
    """The requests that change accounts."""
    lines = [str(entry["line"]) for entry in log]
    return [line for line in lines if line.startswith(("PUT ", "DELETE ")) or line == f"POST {ACCOUNTS}"]
