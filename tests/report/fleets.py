"""Plans and reports of fleets that every format is shown with, made by the real planner."""

from __future__ import annotations

from dataclasses import replace
from functools import cache
from typing import TYPE_CHECKING, Final

from reconciler.errors import Position, Problem
from reconciler.model.account import Account, Globs
from reconciler.model.desired import Desired, DesiredAccount, Policy
from reconciler.model.outcome import DeliveryTestResult, Outcome, Report, ServerStatus, Status
from reconciler.model.plan import Plan
from reconciler.model.secret import Secret
from reconciler.model.server import Server
from reconciler.planning.planner import PlanOptions, make_plan
from tests.report.plans import CONTEXT, DECLARED_SECRET, HOSTILE, account

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from reconciler.model.account import Value

LOGIN: Final = "535 5.7.8 authentication failed"
REGIONS: Final = ("north", "south", "west")


def server(number: int, width: int = 3) -> Server:
    """One of many branches; the first of each hundred are canaries."""
    name = f"b{number:0{width}}"
    labels = {"region": REGIONS[number % 3], "ring": "canary" if number % 100 == 1 else "main"}
    return Server(name, f"https://{name}.fw.example.com", labels, {"domain": f"{name}.example.com"})


def entry(where: Server, local: str, line: int, **fields: Value) -> DesiredAccount:
    """An entry of the base, or of the server's own file if it is about the till."""
    email = f"{local}@{where.variables['domain']}"
    password = Secret(DECLARED_SECRET, f"file secrets/{where.name}/{local}")
    wanted = account(email).with_fields({"password": password, **fields})
    file = f"branches/{where.name}.yaml" if local == "till" else "common.yaml"
    return DesiredAccount(wanted, Position(file, line, 5))


def current(where: Server, local: str, account_id: int, **fields: Value) -> Account:
    """An account on the server, with the declared password."""
    email = f"{local}@{where.variables['domain']}"
    return account(email, account_id, **{"password": Secret(DECLARED_SECRET), **fields})


def branch(number: int, width: int = 3) -> Plan:
    """A branch where an account is updated, one is created and one is deleted."""
    where = server(number, width)
    desired = Desired(
        (entry(where, "alerts", 9), entry(where, "fax", 14), entry(where, "till", 5 + number % 7, name="Till")),
        Policy(protect=Globs(("root@*",))),
    )
    held = [
        current(where, "alerts", 10 + number % 5, smtp_port=25),
        current(where, "fax", 20),
        current(where, "old", 30 + number % 9),
        current(where, "root", 40 + number),
    ]
    return make_plan(desired, held, where, PlanOptions())


def calm(number: int, width: int = 3) -> Plan:
    """A branch that is as declared."""
    where = server(number, width)
    return make_plan(Desired((entry(where, "fax", 14),)), [current(where, "fax", 20)], where, PlanOptions())


def odd(number: int, width: int = 3) -> Plan:
    """A branch with a change that no other has."""
    where = server(number, width)
    desired = Desired((entry(where, "fax", 14, smtp_server=f"mail.{where.name}.example.net"),))
    return make_plan(desired, [current(where, "fax", 20)], where, PlanOptions())


def refused(number: int, width: int = 3) -> Plan:
    """A branch where a guard refuses to delete every account."""
    where = server(number, width)
    return make_plan(Desired(()), [current(where, "old", 30), current(where, "fax", 20)], where, PlanOptions())


def unreachable(number: int, width: int = 3) -> Plan:
    """A branch that is down."""
    where = server(number, width)
    return Plan(server=where, errors=(no_connection(where),))


def suspended(number: int, width: int = 3) -> Plan:
    """A branch to which nothing is written for now."""
    plan = branch(number, width)
    problem = Problem(
        kind="suspended",
        message="the server is suspended: new hardware until Friday; apply writes nothing to it",
        hint="remove server.suspended when the reason is gone",
    )
    return replace(plan, warnings=(*plan.warnings, problem), suspended="new hardware until Friday")


def no_connection(where: Server) -> Problem:
    return Problem(
        kind="connect_timeout",
        message=f"cannot reach {where.url}: the connection was not established in time",
        hint="is the server up, and does a firewall let this machine through?",
    )


@cache
def small() -> tuple[Plan, ...]:
    """Two that are alike, and one of each other kind."""
    return (branch(1), branch(2), odd(3), refused(4), unreachable(5), suspended(6))


@cache
def hostile(texts: Sequence[str] = HOSTILE) -> tuple[Plan, ...]:
    """Hostile text in everything that comes from servers and manifests."""
    plans = []
    for number, text in enumerate(texts):
        where = Server(
            f"{text}{number}", f"https://{number}.example.com/{text}", {text: text}, {"domain": text, text: text[::-1]}
        )
        wanted = account(f"a@{text}.example.com", name=text)
        held = [account(f"a@{text}.example.com", 1, name=text[::-1]), account(f"{text}@example.com", 2, name=text)]
        plan = make_plan(Desired((DesiredAccount(wanted, Position(f"{text}.yaml", 3, 5)),)), held, where, PlanOptions())
        problem = Problem(kind="x", message=f"bad: {text}", hint=text, position=Position(text, 1, 1))
        plans.append(replace(plan, warnings=(problem,), errors=(problem,) if number % 2 else ()))
    return tuple(plans)


@cache
def large(count: int) -> tuple[Plan, ...]:
    """Most branches have three changes; one in fifty is down, one in a hundred is refused."""
    width = len(str(count))
    makers: dict[int, Callable[[int, int], Plan]] = {7: unreachable, 57: unreachable, 33: refused, 71: suspended}
    return tuple(
        calm(number, width)
        if number % 10 == 4
        else (odd if number % 1_000 == 999 else makers.get(number % 100, branch))(number, width)
        for number in range(1, count + 1)
    )


FLEETS: Final[Mapping[str, Callable[[], tuple[Plan, ...]]]] = {
    "small": small,
    "hostile": hostile,
    "calm": lambda: (calm(1), calm(2)),
    "large": lambda: large(300),
}


def _stopped(where: Server, status: ServerStatus, problems: tuple[Problem, ...]) -> Report:
    report = Report.of_failure(where, status, problems)
    return replace(report, started_at=CONTEXT.started_at, finished_at=CONTEXT.finished_at)


def report_of(plan: Plan) -> Report:
    """What ``apply`` might report for a plan."""
    number = int("".join(char for char in plan.server.name if char.isascii() and char.isdigit())[:6] or 0)
    if plan.errors:
        return _stopped(plan.server, ServerStatus.UNREACHABLE, plan.errors)
    if plan.refusals or plan.suspended:
        problems = plan.refusals or tuple(one for one in plan.warnings if one.kind == "suspended")
        return _stopped(plan.server, ServerStatus.REFUSED, problems)
    outcomes = []
    for index, change in enumerate(plan.changes):
        test = None
        status, error = Status.APPLIED, None
        if number % 29 == 3 and index == 0:
            status, error = Status.FAILED, f"changed since the plan: smtp_port (id {change.id})"
        elif index == 0 and change.after:
            passed = number % 41 != 2
            when = "after"
            test = DeliveryTestResult(when, "ops@example.com", passed=passed, error=None if passed else LOGIN)  # type: ignore[arg-type]
        outcomes.append(replace(Outcome.of(change, status, error, id=change.id or 90 + number), test=test))
    return Report(
        server=plan.server, started_at=CONTEXT.started_at, finished_at=CONTEXT.finished_at, outcomes=tuple(outcomes)
    )


def reports(plans: Sequence[Plan]) -> tuple[Report, ...]:
    """What ``apply`` might report for a fleet. The last branch was not started."""
    *others, last = plans
    stopped = Problem(kind="rollout_stopped", message="not started: 3 servers have failed; the limit is 2%")
    return (
        *map(report_of, others),
        _stopped(last.server, ServerStatus.NOT_ATTEMPTED, (stopped,)),
    )
