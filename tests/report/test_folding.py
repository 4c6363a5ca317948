from __future__ import annotations

import re
from collections import Counter
from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING

from hypothesis import given
from hypothesis import strategies as st

from reconciler.errors import Position, Problem
from reconciler.model.account import Account
from reconciler.model.outcome import Outcome, Status
from reconciler.model.plan import Action, Change, FieldChange, Plan
from reconciler.model.secret import Secret
from reconciler.model.server import Server
from reconciler.report.folding import Folded, fold_changes, fold_outcomes, fold_problems
from reconciler.report.template import Template, fill
from reconciler.report.view import view_changes
from tests.report.fleets import branch, hostile, large, report_of, server, small
from tests.report.plans import CONTEXT
from tests.support.strategies import BOUNDED

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from hypothesis.strategies import DrawFn, SearchStrategy

    from reconciler.model.outcome import Report
    from reconciler.report.view import ChangeView

WORDS = (
    "alerts",
    "b001",
    "b01",
    "b001.example.com",
    "example.com",
    "name",
    "$",
    "${",
    "}",
    "${name}",
    " (id 7)",
    "@",
    " ",
)
TEXTS: SearchStrategy[str] = st.lists(st.sampled_from(WORDS), max_size=5).map("".join)
VALUES = st.lists(st.sampled_from([word for word in WORDS if "$" not in word]), min_size=1, max_size=3).map("".join)
POSITIONS = st.builds(Position, st.sampled_from(["common.yaml", "b001.yaml"]), st.integers(1, 2), st.just(5))
ID = re.compile(r" \(id \d+\)")


@st.composite
def servers_of(draw: DrawFn) -> list[Server]:
    """Up to four servers, some of whose names and variables occur in each other."""
    names = draw(st.lists(VALUES, min_size=1, max_size=4, unique=True))
    variables = st.dictionaries(st.sampled_from(["name", "domain", "url"]), VALUES, max_size=2)
    return [Server(name, f"https://{number}.example.net", {}, draw(variables)) for number, name in enumerate(names)]


@st.composite
def plans_of(draw: DrawFn) -> list[Plan]:
    """Plans with the same changes, except that here and there a string, an id or a position differs."""
    actions = draw(st.lists(st.sampled_from(Action), max_size=2))
    common = [draw(st.lists(TEXTS, min_size=5, max_size=5)) for _ in actions]
    plans = []
    for where in draw(servers_of()):
        changes = []
        for number, (action, shared) in enumerate(zip(actions, common, strict=True)):
            texts = list(shared)
            if draw(st.booleans()):
                texts[draw(st.integers(0, 4))] = draw(TEXTS)
            address, *others = (fill(text, Template(where).values) for text in texts)
            changes.append(change_of(action, f"{number}{address}", others, draw(st.integers(1, 2)), draw(POSITIONS)))
        plans.append(Plan(server=where, changes=tuple(changes)))
    return plans


def change_of(action: Action, address: str, texts: list[str], account_id: int, position: Position) -> Change:
    name, other_name, source, reason = texts
    before = Account({"email": address, "name": name}, account_id)
    password = Secret("", f"file {source}")
    fields = (FieldChange("name", name, other_name), FieldChange("password", None, password))
    return Change(
        action=action,
        address=address,
        before=None if action is Action.CREATE else before,
        after=None if action is Action.DELETE else before.with_fields({"name": other_name}),
        fields=() if action is Action.DELETE else fields,
        managed={"password": password},
        reason=f"{reason} ({position}), {reason}",
        position=position,
    )


def real(text: str, where: Server, *, alone: bool) -> str:
    """A string of a folded item, as the server has it."""
    return text if alone else fill(text, Template(where).values).replace("$${", "${")


def parts(view: ChangeView, convert: Callable[[str], str]) -> tuple[object, ...]:
    """What is shown of a change. A name that no server has may put an address in quotes, which is as good."""
    rows = [(row.field, convert(row.before), convert(row.after), convert(row.words)) for row in view.rows]
    return (view.action, convert(view.address).strip('"'), *rows, *(convert(note) for note in view.notes))


def unfolded(found: Iterable[Folded[ChangeView]]) -> Counter[object]:
    pairs: Counter[object] = Counter()
    for one in found:
        for where in one.servers:
            convert = partial(real, where=where, alone=len(one.servers) == 1)
            pairs[where.name, without_ids_and_positions(parts(one.item, convert))] += 1
    return pairs


def without_ids_and_positions(shown: tuple[object, ...]) -> str:
    return re.sub(r" \((id \d+|[\w./${}-]+\.yaml:\d+)\)", "", repr(shown))


@given(plans_of())
@BOUNDED
def test_unfolding_changes_gives_those_of_every_plan(plans: list[Plan]) -> None:
    pairs = Counter(
        (plan.server.name, without_ids_and_positions(parts(view, str))) for plan in plans for view in view_changes(plan)
    )
    assert unfolded(fold_changes(plans)) == pairs


def test_unfolding_the_samples_gives_every_change() -> None:
    for plans in (small(), large(300)):
        pairs = Counter(
            (plan.server.name, without_ids_and_positions(parts(view, str)))
            for plan in plans
            for view in view_changes(plan)
        )
        assert unfolded(fold_changes(plans)) == pairs


@given(servers_of(), st.data())
@BOUNDED
def test_unfolding_problems_gives_those_of_every_server(servers: list[Server], data: st.DataObject) -> None:
    found = []
    pool = st.sampled_from(data.draw(st.lists(TEXTS, min_size=1, max_size=3)))
    for where in servers:
        texts = st.builds(fill, pool, st.just(Template(where).values))
        problems = st.builds(Problem, kind=st.just("x"), message=texts, hint=texts, position=st.none() | POSITIONS)
        found.append((where, data.draw(st.lists(problems, max_size=3))))
    pairs = Counter(
        (where.name, ID.sub("", one.message), ID.sub("", one.hint)) for where, some in found for one in some
    )
    assert pairs == Counter(
        (
            where.name,
            *(ID.sub("", real(text, where, alone=len(one.servers) == 1)) for text in (one.item.message, one.item.hint)),
        )
        for one in fold_problems(found)
        for where in one.servers
    )


def test_unfolding_outcomes_gives_those_of_every_report() -> None:
    reports = [report_of(plan) for plan in large(300)]
    pairs = Counter((one.server.name, outcome.address, outcome.status) for one in reports for outcome in one.outcomes)
    assert pairs == Counter(
        (where.name, real(one.item.address, where, alone=len(one.servers) == 1), one.item.status)
        for one in fold_outcomes(reports)
        for where in one.servers
    )


@given(servers_of(), TEXTS)
@BOUNDED
def test_a_template_is_turned_back_into_the_string_it_was_made_of(servers: list[Server], text: str) -> None:
    for where in servers:
        template = Template(where)
        filled = fill(text, template.values)
        assert fill(template.write(filled), template.values).replace("$${", "${") == filled


def test_a_string_with_a_dollar_sign_keeps_its_values() -> None:
    template = Template(server(1))
    assert template.write("alerts@b001.example.com") == "alerts@${domain}"
    assert template.write("$5 for b001 and ${name}") == "$5 for b001 and $${name}"


def test_the_longest_value_wins_and_short_ones_are_no_variables() -> None:
    where = Server("sp", "https://fw.sp.example.com", {}, {"domain": "sp.example.com", "region": "example"})
    template = Template(where)
    assert template.write("https://fw.sp.example.com/a") == "${url}/a"
    assert template.write("fw.sp.example.com, a@sp.example.com, sp, example") == "${host}, a@${domain}, sp, ${region}"


def test_a_short_name_is_replaced_where_it_is_a_word() -> None:
    template = Template(Server("b1", "https://fw.example.com"))
    assert template.write("secrets/b1.key, b12, ab1, b1") == "secrets/${name}.key, b12, ab1, ${name}"


def test_a_change_of_one_server_is_shown_as_it_is() -> None:
    (plan,) = [branch(1)]
    assert [one.item for one in fold_changes([plan])] == list(view_changes(plan))


def test_a_value_that_all_servers_share_is_shown() -> None:
    plans = [
        replace(plan, server=replace(plan.server, variables={**plan.server.variables, "mx": "smtp.example.com"}))
        for plan in (branch(1), branch(2))
    ]
    rows = {row.field: row for row in fold_changes(plans)[-1].item.rows}
    assert (rows["smtp_server"].after, rows["password"].words) == (
        '"smtp.example.com"',
        "(set, from file secrets/${name}/till)",
    )


def test_what_one_server_has_twice_is_shown_twice() -> None:
    problems = [Problem(kind="x", message="same", position=Position("a.yaml", line, 1)) for line in (3, 9)]
    found = fold_problems([(server(1), problems), (server(2), problems)])
    assert [(str(one.item), len(one.servers)) for one in found] == [("a.yaml:3:1: same", 2), ("a.yaml:9:1: same", 2)]


def test_ids_and_positions_are_shown_only_if_they_are_the_same() -> None:
    def problem(line: int, account_id: int) -> Problem:
        return Problem(kind="x", message=f"root (id {account_id}) stays", position=Position("a.yaml", line, 1))

    def shown(*problems: Problem) -> str:
        (folded,) = fold_problems([(server(number), [one]) for number, one in enumerate(problems)])
        return str(folded.item)

    assert shown(problem(3, 7), problem(3, 7)) == "a.yaml:3:1: root (id 7) stays"
    assert shown(problem(3, 7), problem(3, 8)) == "a.yaml:3:1: root stays"
    assert shown(problem(3, 7), problem(4, 7)) == "root (id 7) stays"


def test_a_position_in_the_servers_own_file_is_written_with_its_name() -> None:
    problems = [
        (server(number), [Problem(kind="x", message="m", position=Position(f"b00{number}.yaml", 3, 1))])
        for number in (1, 2)
    ]
    (folded,) = fold_problems(problems)
    assert str(folded.item) == "${name}.yaml:3:1: m"


def test_outcomes_with_different_reasons_are_not_folded() -> None:
    def report(number: int, error: str) -> Report:
        where = server(number)
        outcome = Outcome(address=f"a@{where.name}.example.com", action="update", status=Status.FAILED, error=error)
        return replace(report_of(branch(1)), server=where, outcomes=(outcome,), started_at=CONTEXT.started_at)

    found = fold_outcomes([report(1, "no"), report(2, "no"), report(3, "403")])
    assert [(one.item.address, one.item.error, len(one.servers)) for one in found] == [
        ("a@${domain}", "no", 2),
        ("a@b003.example.com", "403", 1),
    ]


def test_hostile_servers_are_folded_without_loss() -> None:
    plans = hostile()
    found = fold_changes(plans)
    assert sum(len(one.servers) for one in found) == sum(len(plan.changes) for plan in plans)
