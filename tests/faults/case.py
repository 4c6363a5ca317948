"""One case: the run with its faults, what must hold after it, and the runs after that."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING, Any

from tests.faults.scenario import disagreements, losses, run

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from tests.faults.control import Remote
    from tests.faults.scenario import Row, Run, Scenario

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
    found = losses(scenario, accounts)
    if faulty.outcomes is None:
        found += [f"{line} without a plan" for line in writes(log)]
        counted = Counter({"no_plan": 1})
    else:
        found += disagreements(scenario, faulty.outcomes, accounts)
        counted = Counter(one.status.value for one in faulty.outcomes)
    assert not found, f"{where}: {found}"
    converges(remote, scenario, path, url, where, parallelism)
    return counted


def converges(remote: Remote, scenario: Scenario, path: str, url: str, where: str, parallelism: int = 1) -> Run:
    """The next run makes everything as declared; after it there is nothing left to do."""
    remote.arm()
    following = run(path, url, parallelism=parallelism)
    assert following.code == 0, f"{where}, next run: {following}"
    assert run(path, url, parallelism=1, dry=True).changes == 0, f"{where}: the plan after the next run is not empty"
    found = [*losses(scenario, remote.state()[0]), *unlike(scenario, remote.state()[0])]
    assert not found, f"{where}, in the end: {found}"
    return following


def unlike(scenario: Scenario, accounts: Sequence[Row]) -> list[str]:
    """The addresses that are not as they are to be in the end; ids survive updates and renames."""
    by_address = {one["email"]: one for one in accounts}
    found = []
    for address, wanted in scenario.wanted.items():
        account = by_address.get(address, {})
        if any(account.get(name) != value for name, value in wanted.items()):
            found.append(f"{address} is {account}")
        former = scenario.origin.get(address)
        if former and account.get("id") != [one["email"] for one in scenario.seed].index(former) + 1:
            found.append(f"{address} has changed its id")
    return found


def writes(log: Sequence[Row]) -> list[str]:
    """The requests that change accounts."""
    lines = [str(entry["line"]) for entry in log]
    return [line for line in lines if line.startswith(("PUT ", "DELETE ")) or line == f"POST {ACCOUNTS}"]
