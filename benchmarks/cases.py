"""What is measured: for each case the floor, the tool and the peers, as command lines, and the goal."""

from __future__ import annotations

import json
import os
import shutil
import sys
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from server import ACCOUNTS, account

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

HERE = Path(__file__).parent
SIZES = (3, 1000, 10_000, 100_000)
TOOL = str(Path(sys.executable).with_name("reconciler"))
PEER_FOLDER = HERE / ".peers"

_FIELDS = [name for name in account(1) if name not in {"id", "created_at", "updated_at"}]
_OCTODNS = """manager: {{max_workers: 1}}
providers:
  file: {{class: octodns.provider.yaml.YamlProvider, directory: {folder}, enforce_order: false}}
  server: {{class: octodns_accounts.AccountsProvider, url: {url}}}
zones:
  accounts.example.: {{sources: [file], targets: [server]}}
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class Case:
    """One comparison.

    Attributes:
        runs: The command lines, by name; the first is what the others are compared with.
        goals: By name, the most that its time may be of the first one's; for peers, the least that theirs is of ours.
        accounts: How many the server has, and whether it has them with another port than declared.
        latency: Seconds that the server adds to every answer.
        requests: How many of each method the tool has to send; checked after its every run.
    """

    name: str
    runs: Mapping[str, Sequence[str]]
    goals: Mapping[str, float] = field(default_factory=dict)
    accounts: int = 0
    changed: bool = False
    latency: float = 0.0
    requests: Mapping[str, int] | None = None
    environment: Mapping[str, str] = field(default_factory=dict)


def write_data(folder: Path, url: str) -> None:
    """Writes what all of them read: the same accounts for each, in its own form."""
    for size in SIZES:
        accounts = [{name: account(number)[name] for name in _FIELDS} for number in range(1, size + 1)]
        literal = [_entry(one, one["password"]) for one in accounts]
        (folder / f"peer-{size}.yaml").write_text("accounts:\n" + "".join(literal))
        references = [_entry(one, "{env: MAIL_PASSWORD}") for one in accounts]
        (folder / f"{size}.yaml").write_text("version: 1\naccounts:\n" + "".join(references))
        (folder / f"{size}.yaml.json").write_text(json.dumps(accounts))
    zone = folder / "octodns"
    zone.mkdir()
    (zone / "accounts.example.yaml").write_text("---\n" + "".join(_records(10_000)))
    (folder / "octodns.yaml").write_text(_OCTODNS.format(folder=zone, url=url))


def _entry(one: Mapping[str, object], password: object) -> str:
    fields = {**one, "password": password}
    words = (f"{name}: {str(value).lower() if isinstance(value, bool) else value}\n" for name, value in fields.items())
    return "- " + "  ".join(words)


def _records(size: int) -> list[str]:
    fields = [name for name in _FIELDS if name not in {"name", "password"}]
    records = []
    for number in range(1, size + 1):
        value = json.dumps({name: account(number)[name] for name in fields}, separators=(",", ":"))
        records.append(f"n{number}: {{type: TXT, ttl: 300, value: {json.dumps(value)}}}\n")
    return records


def floor(name: str, *arguments: object) -> list[str]:
    """A floor's command line."""
    return [sys.executable, str(HERE / "floor.py"), name, *map(str, arguments)]


def against_floors(folder: Path, url: str) -> list[Case]:
    """The tool against what no program can go below."""
    listed, file, many = url + ACCOUNTS, folder / "10000.yaml", folder / "1000.yaml"
    apply = [TOOL, "apply", str(many), "--auto-approve", "--parallelism", "16", "-o", os.devnull]
    lists, creates = {"GET": 1}, {"GET": 2, "POST": 1000}
    updates = {"GET": 1001, "PUT": 1000}
    loops = {"quiet": [*apply, "-q"], "all": [*apply, "--journal", str(folder / "journal.jsonl")]}
    return [
        Case(name="--version", runs=_pair(floor("command_line"), [TOOL, "--version"]), goals={"tool": 1.5}),
        Case(name="--help", runs=_pair(floor("command_line"), [TOOL, "--help"]), goals={"tool": 1.5}),
        Case(
            name="validate, 10,000 accounts",
            runs=_pair(floor("events", file), [TOOL, "validate", str(file)]),
            goals={"tool": 2.0},
        ),
        Case(
            name="plan, 10,000 accounts, nothing to change",
            runs=_pair(floor("plan", file, listed), [TOOL, "plan", str(file)]),
            goals={"tool": 1.6},
            accounts=10_000,
            requests=lists,
        ),
        Case(
            name="plan, 3 accounts",
            runs=_pair(floor("one_get", listed), [TOOL, "plan", str(folder / "3.yaml")]),
            goals={"tool": 1.3},
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


def _plan(folder: Path, size: int, *, changed: bool = False) -> Case:
    command = [TOOL, "plan", str(folder / f"{size}.yaml"), "-o", str(folder / "plan.txt")]
    return Case(name=f"plan {size}", runs={"tool": command}, accounts=size, changed=changed, requests={"GET": 1})


def at_sizes(folder: Path, url: str) -> list[Case]:
    """The plan without changes at every size, of floor, tool and script."""
    listed = url + ACCOUNTS
    return [
        Case(
            name=f"{size}",
            runs={
                "floor": floor("plan", folder / f"{size}.yaml", listed),
                "tool": [TOOL, "plan", str(folder / f"{size}.yaml")],
                "script": script("httpx", folder, size, listed),
            },
            accounts=size,
        )
        for size in SIZES[1:]
    ]


def all_changed(folder: Path) -> Case:
    """The plan of 10,000 accounts that all differ, as text to a file."""
    return _plan(folder, 10_000, changed=True)


def script(library: str, folder: Path, size: int, listed: str) -> list[str]:
    """A hand-written script's command line."""
    return [sys.executable, str(HERE / "peers" / "script.py"), library, str(folder / f"peer-{size}.yaml"), listed]


def against_peers(folder: Path, url: str) -> tuple[Case, list[str]]:
    """What else people use for this, and the names of those that are not installed here."""
    listed, file = url + ACCOUNTS, folder / "peer-10000.yaml"
    found = {
        "script: CSafeLoader, httpx": script("httpx", folder, 10_000, listed),
        "script: CSafeLoader, requests": script("requests", folder, 10_000, listed),
        "script: CSafeLoader, aiohttp": script("aiohttp", folder, 10_000, listed),
        "octoDNS": _program("octodns-sync", "--config-file", folder / "octodns.yaml", "--quiet"),
        "pyinfra": _program(
            "pyinfra",
            "@local",
            HERE / "peers/pyinfra_deploy.py",
            "--data",
            f"file={file}",
            "--data",
            f"url={listed}",
            "--dry",
            "-y",
        ),
        "Ansible": _program(
            "ansible-playbook",
            "-i",
            "localhost,",
            HERE / "peers/ansible.yml",
            "-e",
            f"file={file}",
            "-e",
            f"url={listed}",
            "--check",
        ),
        "Terraform": [],  # it needs a provider for this API, which nobody has published
    }
    runs = {
        "reconciler": [TOOL, "plan", str(folder / "10000.yaml")],
        **{name: run for name, run in found.items() if run},
    }
    case = Case(
        name="plan, 10,000 accounts, nothing to change",
        runs=runs,
        goals={"script: CSafeLoader, httpx": 2.5, "octoDNS": 5, "Ansible": 60, "Terraform": 100},
        accounts=10_000,
        environment={"PYTHONPATH": str(HERE / "peers"), "ANSIBLE_PYTHON_INTERPRETER": sys.executable},
    )
    return case, [name for name, run in found.items() if not run]


def _program(name: str, *arguments: object) -> list[str]:
    path = PEER_FOLDER / "bin" / name
    return [str(path), *map(str, arguments)] if path.exists() and shutil.which("curl") else []


def _pair(first: Sequence[str], second: Sequence[str]) -> dict[str, Sequence[str]]:
    return {"floor": first, "tool": second}


if __name__ == "__main__":
    write_data(Path(sys.argv[1]), sys.argv[2])
