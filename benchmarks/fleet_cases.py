"""Fleets: command lines, their input data, and the goals."""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from appliances import url
from cases import FIELDS, TOOL, Case, entry, floor
from server import account

if TYPE_CHECKING:
    from collections.abc import Iterator

PORT = 8795
ACCOUNTS = 20
CHANGES = 2
SIZE, QUICK_SIZE = 500, 100
SIZES = (1, 10, QUICK_SIZE, SIZE, 1000)
FILES = 10_000
MOST_MEMORY = 40
"""MiB above those for one server."""

_HEAD = "version: 1\nserver: {{name: b{0:05}, url: '{1}', auth: {{refresh_token: {{env: KEY}}}}}}\n"
_BASE = """version: 1
base: true
defaults: {service: other, smtp_server: smtp.example.com, smtp_port: 587, password: {env: MAIL_PASSWORD}}
"""
_OWN = {"name", "email", "default", "password"}


def write_data(folder: Path) -> None:
    """Writes a folder of manifests for each size, without changes and with some, and the URLs for the floor."""
    for size in SIZES:
        write_fleet(folder / f"fleet-{size}", [url(number, PORT) for number in range(size)], 0)
    for size in (1, QUICK_SIZE, SIZE):
        write_fleet(folder / f"changed-{size}", [url(number, PORT) for number in range(size)], CHANGES)
    write_extending(folder / "extending")


def write_fleet(folder: Path, urls: list[str], changes: int) -> None:
    """Writes a manifest for each server; the first accounts of each differ from those that the server has."""
    folder.mkdir()
    common = {name: value for name, value in account(1).items() if name in FIELDS and name not in _OWN}
    lines = [f"  {name}: {str(value).lower() if value is True else value}" for name, value in common.items()]
    text = "\n".join(["defaults:", *lines, "  password: {env: MAIL_PASSWORD}", "accounts:", *_entries(changes), ""])
    for number, one in enumerate(urls):
        (folder / f"b{number:05}.yaml").write_text(_HEAD.format(number, one) + text)
    folder.with_suffix(".urls").write_text("\n".join(urls))


def write_extending(folder: Path) -> None:
    """Writes a base, and many manifests of five accounts that extend it."""
    folder.mkdir()
    (folder / "base.yaml").write_text(_BASE)
    accounts = ({name: account(number)[name] for name in FIELDS} for number in range(1, 6))
    entries = "".join(entry(one, "{env: MAIL_PASSWORD}") for one in accounts)
    for number in range(FILES):
        head = _HEAD.format(number, f"https://b{number:05}.example.com")
        (folder / f"b{number:05}.yaml").write_text(f"{head}extends: base.yaml\naccounts:\n{entries}")


def validate(folder: Path) -> Case:
    """Reading many files that extend one base."""
    return Case(
        name=f"validate, {FILES:,} files of 5 accounts that extend one base",
        runs={
            "floor": floor("events_of_folder", folder / "extending"),
            "tool": [TOOL, "validate", str(folder / "extending")],
        },
        goals={"tool": 2.5},
        port=PORT,
    )


def _entries(changes: int) -> Iterator[str]:
    for number in range(1, ACCOUNTS + 1):
        changed = ", smtp_port: 25" if number <= changes else ""
        yield f"  - {{email: n{number}@example.com, name: n{number}{changed}}}"


def plan(folder: Path, size: int, latency: float) -> Case:
    """A plan without changes."""
    return Case(
        name=f"plan, {size} servers with {ACCOUNTS} accounts, {_in_words(latency)} latency",
        runs={
            "floor": floor("fleet", folder / f"fleet-{size}.urls", 0),
            "tool": [TOOL, "plan", str(folder / f"fleet-{size}")],
        },
        goals={"tool": 1.4},
        latency=latency,
        requests={"POST": size, "GET": size},
        environment={"KEY": "an-access-key"},
        port=PORT,
    )


def apply(folder: Path, size: int, latency: float) -> Case:
    """Changes on every server."""
    declared = folder / f"changed-{size}"
    return Case(
        name=f"apply, {CHANGES} changes on each of {size} servers, {_in_words(latency)} latency",
        runs={
            "floor": floor("fleet", declared.with_suffix(".urls"), CHANGES),
            "tool": [TOOL, "apply", str(declared), "--auto-approve", "-q", "-o", os.devnull],
        },
        goals={"tool": 1.4},
        latency=latency,
        # Alone, a server is locked before it is planned; in a fleet, it is planned again under its lock.
        requests={"POST": size, "GET": (CHANGES + (2 if size == 1 else 3)) * size, "PUT": CHANGES * size},
        environment={"KEY": "an-access-key"},
        port=PORT,
    )


def _in_words(latency: float) -> str:
    return f"{latency * 1000:.0f} ms" if latency else "no"


if __name__ == "__main__":
    write_data(Path(sys.argv[1]))
