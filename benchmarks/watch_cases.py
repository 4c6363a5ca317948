"""A watcher: the cost of a round that finds nothing to do, against a plan of the same fleet; and that of waiting."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import fleet_cases
from cases import TOOL, Case

if TYPE_CHECKING:
    from collections.abc import Sequence

SIZE: Final = 1000
GOAL: Final = 1.2
MOST_IDLE: Final = 0.01
"""The part of a core that a watcher may use while nothing is due."""

IDLE_SECONDS: Final = 30.0
_TICKS: Final = os.sysconf("SC_CLK_TCK")


def quiet_round(folder: Path, size: int) -> Case:
    """A round of a running watcher; ``tool`` is not a command line, but what ``Watch.round`` measures."""
    plan = fleet_cases.plan(folder, size, 0.0)
    return Case(
        name=f"watch, a round on {size} servers without changes, against their plan",
        runs={"floor": [*plan.runs["tool"], "-q", "-o", os.devnull]},
        goals={"tool": GOAL},
        environment=plan.environment,
        port=plan.port,
    )


class Watch:
    """A watcher that has ended its first round; a context manager.

    Args:
        source: Its arguments that name the manifests.
        folder: For its state.
        environment: Its variables, in addition to ours.
    """

    def __init__(self, source: Sequence[str], folder: Path, environment: dict[str, str]) -> None:
        self._process = subprocess.Popen(
            [
                *(TOOL, "watch", *source, "--interval", "1h", "--listen", "127.0.0.1:0"),
                *("--log-format", "json", "--state-dir", str(folder)),
            ],
            env={**os.environ, "MAIL_PASSWORD": "a-password", **environment},
            stderr=subprocess.PIPE,
            text=True,
        )

    def __enter__(self) -> Watch:
        self._wait()
        return self

    def __exit__(self, *_: object) -> None:
        self._process.terminate()
        self._process.communicate()

    def round(self) -> tuple[float, float, float]:
        """Begins a round on all servers; returns its wall time, its CPU time, and the memory in MiB."""
        wall, cpu = time.perf_counter(), self._cpu()
        self._process.send_signal(signal.SIGHUP)
        results = self._wait()
        assert set(results) == {"unchanged"}, results
        return time.perf_counter() - wall, self._cpu() - cpu, self._memory()

    def idle(self, seconds: float) -> float:
        """The part of a core that it uses while nothing is due."""
        time.sleep(3)  # new paths are looked at again
        wall, cpu = time.perf_counter(), self._cpu()
        time.sleep(seconds)
        return (self._cpu() - cpu) / (time.perf_counter() - wall)

    def _wait(self) -> dict[str, Any]:
        """Waits for the end of a round; returns the numbers of servers, by result."""
        assert self._process.stderr
        for line in self._process.stderr:
            event = json.loads(line)
            if event["event"] == "round_finished":
                return event["results"]  # type: ignore[no-any-return]
        raise AssertionError("the watcher has ended")

    def _cpu(self) -> float:
        """CPU seconds so far, with those of children that have ended."""
        fields = Path(f"/proc/{self._process.pid}/stat").read_text().rpartition(")")[2].split()
        return sum(map(int, fields[11:15])) / _TICKS

    def _memory(self) -> float:
        pages = int(Path(f"/proc/{self._process.pid}/statm").read_text().split()[1])
        return pages * os.sysconf("SC_PAGE_SIZE") / 1024**2


def idle_parts(folder: Path) -> dict[str, float]:
    """The part of a core that a watcher uses while nothing is due, by the kind of its source."""
    name = f"fleet-{SIZE}"
    sources = {"files": [str(folder / name)], "a Git repository": ["--git", _repository(folder), "--path", name]}
    found = {}
    for kind, source in sources.items():
        with Watch(source, folder / f"idle {kind}", {"KEY": "an-access-key"}) as watch:
            found[kind] = watch.idle(IDLE_SECONDS)
    return found


def _repository(folder: Path) -> str:
    """The URL of a repository with the fleet."""
    repository = folder / "fleet.git"
    git = ["git", "-c", "user.name=bench", "-c", "user.email=bench@example.com", f"--git-dir={repository}"]
    subprocess.run([*git, "init", "-q", "--initial-branch=main"], check=True)
    for arguments in (["add", f"fleet-{SIZE}"], ["commit", "-q", "-m", "fleet"]):
        subprocess.run([*git, f"--work-tree={folder}", *arguments], cwd=folder, check=True)
    return f"file://{repository}"
