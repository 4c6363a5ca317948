"""One case: the run with its faults, what must hold after it, and the runs after that."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING, Any

from tests.support.scenarios import NONE_TOUCHED, Touched, disagreements, losses, run

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from tests.support.fault_control import Remote
    from tests.support.scenarios import Row, Run, Scenario

ACCOUNTS = "/api/email/accounts"


def tried(
    remote: Remote,
    scenario: Scenario,
    path: str,
    faults: Sequence[dict[str, Any]],
    *,
    parallelism: int = 1,
    options: Mapping[str, object] | None = None,
) -> Counter[str]:
    """Runs into ``faults``, and holds what came of it against the server; returns the outcomes, counted."""
    where = f"faults {faults} at parallelism {parallelism} with {options or 'no options'}"
    url = remote.reset(scenario.seed, faults, dict(options or {}))
    faulty = run(path, url, parallelism=parallelism, timeout=0.25)
    accounts, log = remote.state()
    touched = Touched.by(deeds := remote.deeds())
    found = [*losses(scenario, accounts, touched), *overwritten(deeds, accounts)]
    if faulty.outcomes is None:
        found += [f"{line} without a plan" for line in writes(log)]
        counted = Counter({"no_plan": 1})
    else:
        found += disagreements(scenario, faulty.outcomes, accounts, touched)
        counted = Counter(one.status.value for one in faulty.outcomes)
    assert not found, f"{where}: {found}; {[entry['line'] for entry in log]}"
    converges(remote, scenario, path, url, where, parallelism, touched)
    return counted


def converges(  # noqa: PLR0913, PLR0917 - a case and what happened in it
    remote: Remote,
    scenario: Scenario,
    path: str,
    url: str,
    where: str,
    parallelism: int = 1,
    touched: Touched = NONE_TOUCHED,
) -> Run:
    """The next run makes everything as declared; after it there is nothing left to do."""
    remote.arm()
    following = run(path, url, parallelism=parallelism)
    assert following.code == 0, f"{where}, next run: {following}"
    assert run(path, url, dry=True).changes == 0, f"{where}: the plan after the next run is not empty"
    accounts = remote.state()[0]
    found = [*losses(scenario, accounts, touched), *unlike(scenario, accounts, touched)]
    assert not found, f"{where}, in the end: {found}"
    return following


def overwritten(deeds: Sequence[Row], accounts: Sequence[Row]) -> list[str]:
    """What somebody else did during the run, if it is not as they left it."""
    now = {one["id"]: one for one in accounts}
    return [f"{one} is now {now.get(one['id'])}" for one in deeds if now.get(one["id"]) != one["left"]]


def unlike(scenario: Scenario, accounts: Sequence[Row], touched: Touched = NONE_TOUCHED) -> list[str]:
    """The addresses that are not as they are to be in the end; ids survive updates and renames."""
    by_address = {one["email"]: one for one in accounts}
    found = []
    for address, wanted in scenario.wanted.items():
        account = by_address.get(address, {})
        if any(account.get(name) != value for name, value in wanted.items()):
            found.append(f"{address} is {account}")
        former = scenario.origin.get(address)
        if (
            former
            and not {former, address} & touched.addresses
            and account.get("id") != [one["email"] for one in scenario.seed].index(former) + 1
        ):
            found.append(f"{address} has changed its id")
    return found


def writes(log: Sequence[Row]) -> list[str]:
    """The requests that change accounts."""
    lines = [str(entry["line"]) for entry in log]
    return [line for line in lines if line.startswith(("PUT ", "DELETE ")) or line == f"POST {ACCOUNTS}"]
