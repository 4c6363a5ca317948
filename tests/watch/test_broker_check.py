"""A watcher notices that its broker is gone, and that it is back."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, cast

from reconciler.errors import Kind, Problem, UnreachableError
from reconciler.watch.broker_check import BrokerCheck
from tests.watch.test_schedule import Clock

if TYPE_CHECKING:
    from reconciler.fleet.remote import Workers
    from reconciler.watch.fleet_status import FleetStatus


@dataclass
class Broker:
    """A broker that responds or does not, and the status that shows it."""

    works: bool = True
    notices: dict[str, str] = field(default_factory=dict)

    def check(self) -> None:
        if not self.works:
            raise UnreachableError(Problem(kind=Kind.BROKER, message="the broker does not respond"))

    def notice(self, about: str, sentence: str) -> None:
        self.notices[about] = sentence

    def withdraw(self, about: str) -> None:
        self.notices.pop(about, None)


def checked(broker: Broker, clock: Any) -> BrokerCheck:  # noqa: ANN401 - a clock of tests
    return BrokerCheck(cast("Workers", broker), cast("FleetStatus", broker), clock)


def test_a_short_restart_holds_up_rounds_and_is_not_shown() -> None:
    broker, clock = Broker(), Clock()
    check = checked(broker, clock)
    assert (check.look(), check.is_down) == (False, False)
    broker.works = False
    assert (check.look(), check.is_down, broker.notices) == (False, True, {})
    broker.works = True
    assert (check.look(), check.is_down, check.look()) == (True, False, False)


def test_a_broker_that_stays_away_is_shown_until_it_is_back() -> None:
    broker, clock = Broker(works=False), Clock()
    check = checked(broker, clock)
    check.look()
    clock.now += 10
    check.look()
    assert (broker.notices, check.is_shown) == ({"broker_failed": "the broker does not respond"}, True)
    broker.works = True
    assert (check.look(), broker.notices) == (True, {})


def test_a_round_that_failed_for_want_of_the_broker_is_made_up_for() -> None:
    broker = Broker(notices={"broker_failed": "the broker does not respond"})
    assert checked(broker, Clock()).look()
    assert broker.notices == {}
