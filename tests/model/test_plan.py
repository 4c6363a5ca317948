from __future__ import annotations

from reconciler.model.plan import Action, Change, Plan
from reconciler.model.server import Server
from tests.support.fake_server import account


def test_current_has_every_account_on_the_server() -> None:
    created = account("new@x", 4)
    unchanged, untouched, updated, deleted = (account(f"a{number}@x", number) for number in (1, 2, 3, 5))
    plan = Plan(
        server=Server("s", "https://s"),
        changes=(
            Change(action=Action.CREATE, address="new@x", before=None, after=created),
            Change(action=Action.UPDATE, address="a3@x", before=updated, after=updated),
            Change(action=Action.DELETE, address="a5@x", before=deleted, after=None),
        ),
        unchanged=(unchanged,),
        untouched=(untouched,),
    )
    assert plan.current == (unchanged, untouched, updated, deleted)
