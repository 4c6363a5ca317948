"""The comparisons with the floors: command lines, their input data, and the goals."""

from __future__ import annotations

import json
import os
import sys
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from server import ACCOUNTS, account

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

HERE = Path(__file__).parent
PORT = 8791
SIZES = (3, 1000, 10_000, 100_000)
NOTHING_TO_CHANGE = "plan, 10,000 accounts, nothing to change"
TOOL = str(Path(sys.executable).with_name("reconciler"))

FIELDS = [name for name in account(1) if name not in {"id", "created_at", "updated_at"}]


@dataclass(frozen=True, slots=True, kw_only=True)
class Case:
    """One comparison.

    Attributes:
        runs: The command lines by name; the others are compared with the first.
        goals: By name, the highest ratio to the time of the first; for other programs, the lowest ratio to ours.
        accounts: The number of accounts on the server.
        changed: Whether their port differs from the declared one.
        latency: Seconds that the server adds to every response.
        requests: The number of requests that the tool must send, by method; checked after each run.
        port: The port of the server on this machine that counts the requests.
    """

    name: str
    runs: Mapping[str, Sequence[str]]
    goals: Mapping[str, float] = field(default_factory=dict)
    accounts: int = 0
    changed: bool = False
    latency: float = 0.0
    requests: Mapping[str, int] | None = None
    environment: Mapping[str, str] = field(default_factory=dict)
    port: int = PORT


def write_data(folder: Path) -> None:
    """Writes the accounts as YAML and JSON, for the tool and the floors."""
    for size in SIZES:
        accounts = [{name: one[name] for name in FIELDS} for one in map(account, range(1, size + 1))]
        entries = "".join(entry(one, "{env: MAIL_PASSWORD}") for one in accounts)
        (folder / f"{size}.yaml").write_text("version: 1\naccounts:\n" + entries)
        (folder / f"{size}.yaml.json").write_text(json.dumps(accounts))


def entry(one: Mapping[str, object], password: object) -> str:
    """An account as an item of a YAML list."""
    fields = {name: one[name] for name in FIELDS} | {"password": password}
    lines = (f"{name}: {str(value).lower() if isinstance(value, bool) else value}\n" for name, value in fields.items())
    return "- " + "  ".join(lines)


def floor(name: str, *arguments: object) -> list[str]:
    """The command line of a floor."""
    return [sys.executable, str(HERE / "floor.py"), name, *map(str, arguments)]


def against_floors(folder: Path, url: str) -> list[Case]:
    """The tool compared with the floors."""
    listed, file, many = url + ACCOUNTS, folder / "10000.yaml", folder / "1000.yaml"
    apply = [TOOL, "apply", str(many), "--auto-approve", "--parallelism", "16", "-o", os.devnull]
    lists, creates = {"GET": 1}, {"GET": 3, "POST": 1000}
    updates = {"GET": 1002, "PUT": 1000}
    loops = {"quiet": [*apply, "-q"], "all": [*apply, "--journal", str(folder / "journal.jsonl")]}
    return [
        Case(name="--version", runs=_pair(floor("command_line"), [TOOL, "--version"]), goals={"tool": 1.5}),
        Case(name="--help", runs=_pair(floor("command_line"), [TOOL, "--help"]), goals={"tool": 1.5}),
        Case(
            name="validate, 10,000 accounts",
            runs=_pair(floor("events", file), [TOOL, "validate", str(file)]),
            goals={"tool": 2.2},
        ),
        Case(
            name=NOTHING_TO_CHANGE,
            runs=_pair(floor("plan", file, listed), [TOOL, "plan", str(file)]),
            goals={"tool": 1.7},
            accounts=10_000,
            requests=lists,
        ),
        Case(
            name="plan, 3 accounts",
            runs=_pair(floor("one_get", listed), [TOOL, "plan", str(folder / "3.yaml")]),
            goals={"tool": 1.5},
            accounts=3,
            requests=lists,
        ),
        *(
            Case(
                name=f"apply, 1,000 {what}, {f'{latency * 1000:.0f} ms' if latency else 'no'} latency",
                runs=_pair(floor(what, many, listed), loops["quiet"]),
                goals={"tool": goal},
                accounts=1000 if what == "updates" else 0,
                changed=what == "updates",
                latency=latency,
                requests=requests,
            )
            for what, latency, goal, requests in (
                ("creates", 0.02, 1.25, creates),
                ("creates", 0.0, 3.0, creates),
                ("updates", 0.02, 1.25, updates),
            )
        ),
        Case(
            name="journal, progress and colour, in 1,000 creates with 20 ms latency",
            runs=_pair(loops["quiet"], loops["all"]),
            goals={"tool": 1.05},
            latency=0.02,
            requests=creates,
            environment={"FORCE_COLOR": "1"},
        ),
    ]


def all_changed(folder: Path) -> Case:
    """A plan of 10,000 accounts that all differ, written as text to a file."""
    command = [TOOL, "plan", str(folder / "10000.yaml"), "-o", str(folder / "plan.txt")]
    name = "plan, all 10,000 changed, against none changed"
    goals = {"tool": 4.5}
    return Case(name=name, runs={"tool": command}, goals=goals, accounts=10_000, changed=True, requests={"GET": 1})


def _pair(first: Sequence[str], second: Sequence[str]) -> dict[str, Sequence[str]]:
    return {"floor": first, "tool": second}


if __name__ == "__main__":
    write_data(Path(sys.argv[1]))
