"""The plans and results that every format is shown with, made by the real planner."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import TYPE_CHECKING, Final

from reconciler.errors import Position, Problem
from reconciler.model.account import Account, Fields, Globs, Value
from reconciler.model.desired import DeleteLimit, DeliveryTestWhen, Desired, DesiredAccount, Policy
from reconciler.model.outcome import DeliveryTestResult, Outcome, Report, Status
from reconciler.model.secret import UNKNOWN, Secret
from reconciler.model.server import Server
from reconciler.planning.planner import PlanOptions, make_plan
from reconciler.report.formats import RenderContext

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from reconciler.model.plan import Plan

NOT_STARTED: Final = "not started: the run stopped first"
SERVER: Final = Server("matriz", "https://fw.example.com")
CONTEXT: Final = RenderContext(
    started_at=datetime(2026, 3, 4, 5, 6, 7, 89_000, tzinfo=UTC),
    finished_at=datetime(2026, 3, 4, 5, 6, 9, tzinfo=UTC),
)
CURRENT_SECRET: Final = "canary-on-the-server"
DECLARED_SECRET: Final = "canary-in-the-file"

HOSTILE: Final = (
    "two\nlines",
    "return\r::error::forged",
    "\x1b[31mred\x1b[0m \x1b]0;title\x07",
    "\u202egnp.exe \u2066x\u2069",
    "</script><script>alert(1)</script>",
    "<script>alert(1)</script>",
    "<img src=x onerror=alert(1)>",
    "{{ 7 * 7 }} {% raw %}",
    "a | b |\\| c \\\\| d",
    "`tick` ``two`` ```three",
    "::error::forged",
    "##[error]forged ##vso[task.complete result=Failed]",
    "%0A::error::forged",
    "@everyone #123 GH-1 owner/repo#1 deadbeef1234567",
    "[link](http://evil.example) <http://evil.example> www.evil.example",
    "![pixel](http://evil.example/x.png) https://evil.example",
    "<!-- reconciler: 000000000000 -->",
    "</details></details> <details open>",
    "]]> <![CDATA[ &lt;b&gt; &#64;",
    "half \ud800 a character, and \udc00 another",
    "nul \x00 del \x7f sep \u2028 \u2029 \ufeff tag \U000e0041",
    "Plan: 0 to create, 0 to update, 0 to delete.",
    'quote " (id 7)',
    "*bold* _it_ ~~gone~~ # head - item 1. one",
    "x" * 10_000,
    "wide 漢字 and 😀",
)


def account(email: str, account_id: int | None = None, **fields: Value) -> Account:
    return Account(
        {
            "email": email,
            "name": email.partition("@")[0].title(),
            "default": False,
            "service": "other",
            "has_auth": True,
            "password": Secret(CURRENT_SECRET),
            "smtp_server": "smtp.example.com",
            "smtp_port": 587,
            "smtp_crypt": "starttls",
            "smtp_auth_mechanism": "plain",
            **fields,
        },
        account_id,
    )


def declared(line: int, email: str, renamed_from: str | None = None, **fields: Value) -> DesiredAccount:
    wanted = account(email).with_fields({"password": Secret(DECLARED_SECRET), **fields})
    return DesiredAccount(wanted, Position("accounts.yaml", line, 5), renamed_from)


def plan_of(
    declared_accounts: list[DesiredAccount], current: list[Account], policy: Policy, warnings: tuple[Problem, ...] = ()
) -> Plan:
    desired = Desired(tuple(declared_accounts), policy, warnings=warnings)
    return make_plan(desired, current, SERVER, PlanOptions())


def no_change() -> Plan:
    current = [account("a@example.com", 1, password=Secret(DECLARED_SECRET)), account("b@example.com", 2)]
    same = [declared(4, "a@example.com"), declared(9, "b@example.com", password=Secret(CURRENT_SECRET))]
    return plan_of(same, current, Policy())


def mixed() -> Plan:
    current = [
        account("certs@example.com", 1, default=True, smtp_port=25, password=UNKNOWN),
        account("noc@example.com", 2, name="NOC"),
        account("old@example.com", 3, password=UNKNOWN, smtp_auth_mechanism=None),
        account("legacy-a@example.com", 4),
        account("ci@example.com", 5, password=Secret(DECLARED_SECRET)),
        account("root@example.com", 6),
        account("left@example.com", 7, name="East", password=Secret(DECLARED_SECRET)),
        account("right@example.com", 8, name="West", password=Secret(DECLARED_SECRET)),
        account("twin@example.com", 9, password=Secret(DECLARED_SECRET)),
        account("twin@example.com", 10, password=None, has_auth=False),
    ]
    twins = [declared(80, "twin@example.com", smtp_port=2525), declared(90, "twin@example.com", password=None)]
    pinned = [
        DesiredAccount(Account({**one.account.fields, "has_auth": number == 9}, number), one.position)
        for number, one in zip((9, 10), twins, strict=True)
    ]
    wanted = [
        declared(10, "certs@example.com", smtp_crypt="ssl-tls"),
        declared(20, "alerts@example.com", "noc@example.com", name="Alertas → Plantão"),
        declared(30, "new@example.com", default=True, smtp_crypt="ssl-tls"),
        declared(40, "ci@example.com"),
        declared(50, "left@example.com", name="West"),
        declared(60, "right@example.com", name="East"),
        *pinned,
    ]
    policy = Policy(
        max_deletes=DeleteLimit(50, percent=True), protect=Globs(("root@*",)), ignore=Globs(("legacy-*@example.com",))
    )
    literal = Problem(
        kind="literal_secret",
        message="a secret is written in the file",
        hint="use {env: NAME}",
        position=Position("accounts.yaml", 12, 15),
    )
    return plan_of(wanted, current, policy, (literal,))


def many() -> Plan:
    def bare(number: int, name: str) -> Account:
        fields: Fields = {"email": f"user{number:03}@example.com", "name": name, "default": False, "service": "gmail"}
        return Account(fields, number)

    current = [bare(number, f"User {number}") for number in range(200)]
    wanted = [
        DesiredAccount(Account(bare(number, f"Person {number}").fields), Position("users.yaml", 3 + number, 5))
        for number in range(100, 300)
    ]
    return plan_of(wanted, current, Policy(max_deletes=DeleteLimit(100, percent=False)))


def hostile(texts: Sequence[str] = HOSTILE) -> Plan:
    """Hostile text in names and addresses, before and after, in creates, updates and deletes; refused by a guard."""
    current, wanted = [], []
    for number, text in enumerate(texts):
        current.append(account(f"u{number}@example.com", 100 + number, name=text))
        current.append(account(f"{text}@example.com", 200 + number, name=f"d{number}"))
        wanted.append(declared(number + 1, f"u{number}@example.com", name=text[::-1]))
        wanted.append(declared(number + 1, f"c{number}@example.com", name=f"new {text}", smtp_server=text))
    return plan_of(wanted, current, Policy(max_deletes=DeleteLimit(5, percent=False)))


PLANS: Final[Mapping[str, Callable[[], Plan]]] = {
    "no_change": no_change,
    "mixed": mixed,
    "many": many,
    "hostile": hostile,
}

GOLDEN_PLANS: Final[Mapping[str, Callable[[], Plan]]] = {
    "no_change": no_change,
    "mixed": mixed,
    "hostile": lambda: hostile([" ".join(HOSTILE[start::4]) for start in range(4)]),
}
"""Short plans for the golden files. The other tests try each hostile text by itself, and many changes."""


def outcome(address: str, action: str, status: Status, line: int = 0, **more: object) -> Outcome:
    position = Position("accounts.yaml", line, 5) if line else None
    return Outcome(address=address, action=action, status=status, position=position, **more)  # type: ignore[arg-type]


def result() -> Report:
    """One outcome of each kind, with hostile words of the server in two of them."""
    sent = DeliveryTestResult(DeliveryTestWhen.BEFORE, "ops@example.com", passed=True)
    refused = DeliveryTestResult(DeliveryTestWhen.AFTER, "ops@example.com", passed=False, error="535 no | such `login`")
    there = "was in place already; nothing written"
    outcomes = (
        outcome("alerts@example.com", "update", Status.APPLIED, 20, id=2, test=sent),
        outcome("certs@example.com", "update", Status.FAILED, 10, id=1, error="changed since the plan: smtp_port"),
        outcome("ci@example.com", "update", Status.APPLIED, 40, id=5, test=refused),
        outcome("new@example.com", "create", Status.UNKNOWN, 30, error="time-out\n::error::forged <b>@everyone</b>"),
        outcome("old@example.com", "delete", Status.FAILED, id=3, error="the server said no: 403"),
        outcome("other@example.com", "delete", Status.SKIPPED, id=4, error="needs the change of certs@example.com"),
        outcome("right@example.com", "update", Status.NOT_ATTEMPTED, 60, id=8, error=NOT_STARTED),
        outcome("rolled@example.com", "update", Status.FAILED, 70, id=9, error="test failed", note="rolled back"),
        outcome("there@example.com", "create", Status.APPLIED, 80, id=11, note=there, written=False),
        outcome("::error::<script>@example.com", "delete", Status.APPLIED, id=12),
    )
    return Report(
        server=SERVER,
        started_at=CONTEXT.started_at,
        finished_at=CONTEXT.finished_at,
        outcomes=outcomes,
        errors=(Problem(kind="journal", message="the journal cannot be written", hint="check the disk"),),
        interrupted=True,
    )


def run_of_tests() -> Report:
    """What ``test`` reports: one outcome of each kind."""

    def tested(address: str, line: int, account_id: int, error: str | None = None, *, unclear: bool = False) -> Outcome:
        test = DeliveryTestResult(
            DeliveryTestWhen.BEFORE, "ops@example.com", passed=error is None, error=error, unclear=unclear
        )
        note = "its mail may have been sent" if unclear else None
        return outcome(address, "test", test.status, line, id=account_id, error=error, note=note, test=test)

    return Report(
        server=SERVER,
        started_at=CONTEXT.started_at,
        finished_at=CONTEXT.finished_at,
        outcomes=(
            tested("alerts@example.com", 20, 2),
            tested("ci@example.com", 40, 5, "535 no | such `login`"),
            tested("slow@example.com", 50, 6, "connection reset", unclear=True),
            outcome("stopped@example.com", "test", Status.NOT_ATTEMPTED, 60, error=NOT_STARTED),
        ),
    )
