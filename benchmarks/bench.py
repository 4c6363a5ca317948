"""Measures the tool against the floors, against itself at other sizes, and against other programs.

Whole processes are measured, in turns. ``python benchmarks/bench.py`` writes docs/performance.md and its charts.
``--quick`` only checks the ratios against their goals, with a margin for the noise of shared machines, and fails if one
is exceeded.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import signal
import statistics
import subprocess
import sys
import tempfile
import threading
import time
import urllib.request
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import cases
import fleet_cases
import peer_cases
import watch_cases
from page import write_page
from server import account

if TYPE_CHECKING:
    from collections.abc import Iterator

    from cases import Case

URL = f"http://127.0.0.1:{cases.PORT}"
MARGIN = 1.5
"""What --quick allows above a goal, for the noise of shared machines."""
_LONG = 15.0
"""A program that takes more seconds than this runs only three times."""
_LIMIT = 300.0
"""A program that takes more seconds than this is stopped, and does not run again."""


@dataclass(frozen=True, slots=True)
class Timing:
    """The runs of one command line: wall time and CPU time in seconds, and peak memory in MiB."""

    walls: list[float]
    cpus: list[float]
    memories: list[float]

    @property
    def stopped(self) -> bool:
        """Whether it reached the time limit."""
        return max(self.walls) >= _LIMIT

    @property
    def wall(self) -> float:
        """The median."""
        return statistics.median(self.walls)

    @property
    def cpu(self) -> float:
        """The minimum, which other load on the machine disturbs least."""
        return min(self.cpus)

    @property
    def memory(self) -> float:
        """The median."""
        return statistics.median(self.memories)


@dataclass(frozen=True, slots=True)
class FleetTimings:
    """What was measured with fleets.

    Attributes:
        rows: Rows for the table.
        sizes: Plans by number of servers.
        memories: The peak memory in MiB of two applies: on one server, on many.
        idle: The part of a core that a watcher uses while nothing is due, by the kind of its source.
    """

    rows: list[tuple[Case, dict[str, Timing]]]
    sizes: list[tuple[int, dict[str, Timing]]]
    memories: tuple[float, float]
    idle: dict[str, float]


def main() -> int:
    """Runs the benchmarks."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--quick", action="store_true")
    parser.add_argument("--repeat", type=int, default=5)
    options = parser.parse_args()
    with (
        tempfile.TemporaryDirectory() as name,
        _server("server.py", cases.PORT),
        _server("appliances.py", fleet_cases.PORT, fleet_cases.ACCOUNTS),
    ):
        folder = Path(name)
        # In a separate process, because a child's peak memory starts with the memory of its parent.
        for writer in (cases, fleet_cases):
            subprocess.run([sys.executable, str(writer.__file__), folder], check=True)
        repeat = 3 if options.quick else options.repeat
        floors = [(case, measure(case, repeat)) for case in cases.against_floors(folder, URL)]
        all_changed = cases.all_changed(folder)
        changed = measure(all_changed, repeat)["tool"]
        if options.quick:
            small = [make(folder, fleet_cases.QUICK_SIZE, 0.02) for make in (fleet_cases.plan, fleet_cases.apply)]
            floors += [(case, measure(case, repeat)) for case in small]
            floors.append(measure_watch(folder, fleet_cases.QUICK_SIZE, repeat))
            (unchanged,) = (found["tool"] for case, found in floors if case.name == cases.NOTHING_TO_CHANGE)
            return _check([*floors, (all_changed, {"floor": unchanged, "tool": changed})])
        subprocess.run([sys.executable, peer_cases.__file__, folder, URL], check=True)
        sizes = [(int(case.name), measure(case, options.repeat)) for case in peer_cases.at_sizes(folder, URL)]
        case, absent = peer_cases.against_peers(folder, URL)
        peers = (case, measure(case, options.repeat), absent)
        fleets = measure_fleets(folder, options.repeat)
        data = (folder / "100000.yaml").stat().st_size + len(json.dumps([account(one) for one in range(100_000)]))
        write_page([*floors, *fleets.rows], changed, sizes, peers, data, fleets)
    return 0


def measure_fleets(folder: Path, repeat: int) -> FleetTimings:
    """Measures fleets: against the floors, and at several sizes."""
    rows = [fleet_cases.validate(folder)]
    rows += [
        make(folder, fleet_cases.SIZE, latency)
        for make in (fleet_cases.plan, fleet_cases.apply)
        for latency in (0.02, 0.0)
    ]
    one, many = (measure(fleet_cases.apply(folder, size, 0.0), repeat)["tool"] for size in (1, fleet_cases.SIZE))
    return FleetTimings(
        [*((case, measure(case, repeat)) for case in rows), measure_watch(folder, watch_cases.SIZE, repeat)],
        [(size, measure(fleet_cases.plan(folder, size, 0.0), repeat)) for size in fleet_cases.SIZES],
        (one.memory, many.memory),
        watch_cases.idle_parts(folder),
    )


def measure_watch(folder: Path, size: int, repeat: int) -> tuple[Case, dict[str, Timing]]:
    """Measures a round of a watcher in turns with a plan of the same fleet."""
    case = watch_cases.quiet_round(folder, size)
    _ask("POST", "/_reset", case.port)
    plan, rounds = Timing([], [], []), Timing([], [], [])
    declared = [str(folder / f"fleet-{size}")]
    with watch_cases.Watch(declared, folder / f"watch-{size}", {**case.environment}) as watch:
        for _ in range(repeat):
            for timing, found in ((plan, _run(case.runs["floor"], {**case.environment})), (rounds, watch.round())):
                for values, value in zip((timing.walls, timing.cpus, timing.memories), found, strict=True):
                    values.append(value)
    for name, timing in (("plan", plan), ("round", rounds)):
        print(f"{case.name:70} {name:30} {timing.wall:8.3f} s {timing.memory:7.0f} MiB", flush=True)
    return case, {"floor": plan, "tool": rounds}


def measure(case: Case, repeat: int) -> dict[str, Timing]:
    """Runs all command lines of a case in turns; exits if one fails or sends unexpected requests."""
    found = {name: Timing([], [], []) for name in case.runs}
    for turn in range(repeat):
        for name, command in case.runs.items():
            timing = found[name]
            if turn and (timing.stopped or (turn >= 3 and timing.wall > _LONG)):  # noqa: PLR2004 - see _LONG
                continue
            reset = f"/_reset?accounts={case.accounts}&latency={case.latency}&port={25 if case.changed else 587}"
            _ask("POST", reset, case.port)
            wall, cpu, memory = _run(command, {**case.environment} if name != "floor" else {})
            timing.walls.append(wall)
            timing.cpus.append(cpu)
            timing.memories.append(memory)
            sent = _ask("GET", "/_stats", case.port)["requests"]
            if name == "tool" and case.requests is not None and sent != case.requests:
                sys.exit(f"{case.name}: sent {sent} instead of {case.requests}")
    for name, timing in found.items():
        print(f"{case.name:70} {name:30} {timing.wall:8.3f} s {timing.memory:7.0f} MiB", flush=True)
    return found


def _run(command: Any, environment: dict[str, str]) -> tuple[float, float, float]:
    given = {"MAIL_PASSWORD": "a-password"}
    if "KEY" not in environment:  # a fleet's manifests have URLs and credentials of their own
        given |= {"RECONCILER_URL": URL, "RECONCILER_TOKEN": "t"}
    started = time.perf_counter()
    with subprocess.Popen(
        command,
        env={**os.environ, **given, **environment},
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        start_new_session=True,
    ) as process:
        limit = threading.Timer(_LIMIT, os.killpg, (process.pid, signal.SIGKILL))
        limit.start()
        assert process.stderr
        errors = process.stderr.read()
        _, status, usage = os.wait4(process.pid, 0)
        limit.cancel()
        wall = time.perf_counter() - started
        process.returncode = os.waitstatus_to_exitcode(status)
    if process.returncode and wall < _LIMIT:
        sys.exit(f"{command} failed:\n{errors.decode()[-2000:]}")
    return wall, usage.ru_utime + usage.ru_stime, usage.ru_maxrss / 1024


def _check(floors: list[tuple[Case, dict[str, Timing]]]) -> int:
    worse = 0
    for case, found in floors:
        # The better ratio counts: a busy machine makes only one of them worse, a regression both.
        ratio = min(found["tool"].wall / found["floor"].wall, found["tool"].cpu / found["floor"].cpu)
        bad = ratio > case.goals["tool"] * MARGIN
        worse += bad
        print(f"{'WORSE' if bad else 'ok':6} {ratio:5.2f} of at most {case.goals['tool'] * MARGIN:5.2f}  {case.name}")
    return 1 if worse else 0


@contextlib.contextmanager
def _server(program: str, *arguments: int) -> Iterator[None]:
    """A server; the first argument is its port."""
    with subprocess.Popen([sys.executable, str(cases.HERE / program), *map(str, arguments)]) as process:
        try:
            for _ in range(100):
                with contextlib.suppress(OSError):
                    _ask("GET", "/_stats", arguments[0])
                    break
                time.sleep(0.1)
            yield
        finally:
            process.terminate()


def _ask(method: str, path: str, port: int) -> Any:
    request = urllib.request.Request(f"http://127.0.0.1:{port}{path}", method=method)
    with urllib.request.urlopen(request, timeout=60) as response:
        return json.load(response)


if __name__ == "__main__":
    sys.exit(main())
