"""A watcher in a process of its own: its log, its page, and what it costs."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import time
import urllib.error
import urllib.request
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tests.support.fork_server import RECONCILER

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

Event = dict[str, Any]


@dataclass
class WatchProcess:
    """A watcher.

    Attributes:
        events: What it has logged, with the time in seconds as ``at``.
        log_text: The same as it was written.
    """

    folder: Path
    arguments: Sequence[str]
    environ: Mapping[str, str]
    events: list[Event] = field(default_factory=list)
    log_text: str = ""

    def start(self) -> None:
        """Starts a process, which appends to the same log."""
        self._log = (self.folder / "watch.log").open("ab")
        self._read_from = self._log.tell()
        self.process = subprocess.Popen(
            [str(RECONCILER), "watch", *self.arguments],
            cwd=self.folder,
            env={"PATH": os.environ["PATH"], "PYTHONUTF8": "1", **self.environ},
            stdin=subprocess.DEVNULL,
            stdout=self._log,
            stderr=self._log,
        )

    @property
    def state_dir(self) -> Path:
        return self.folder / "state"

    def read(self) -> list[Event]:
        """Reads new lines of the log; returns their events."""
        with (self.folder / "watch.log").open("rb") as file:
            file.seek(self._read_from)
            data = file.read()
        data = data[: data.rfind(b"\n") + 1]
        self._read_from += len(data)
        text = data.decode()
        self.log_text += text
        found = []
        for line in text.splitlines():
            assert line.startswith("{"), f"not a line of JSON: {line}"
            event = json.loads(line)
            found.append({**event, "at": datetime.fromisoformat(event["time"]).timestamp()})
        self.events += found
        return found

    def wait_for(self, name: str, seconds: float = 60) -> Event:
        """Waits for the next event of this name."""
        end = time.monotonic() + seconds
        while time.monotonic() < end:
            assert self.is_running(), f"the watcher has ended: {self.log_text[-3000:]}"
            for event in self.read():
                if event["event"] == name:
                    return event
            time.sleep(0.05)
        raise AssertionError(f"no event {name}: {self.log_text[-3000:]}")

    @property
    def url(self) -> str:
        """Where the page is."""
        at = next(one for one in reversed(self.events) if one["event"] == "listening")
        return str(re.findall(r"http://[^ ]+?/?$", at["message"])[0].rstrip("/"))

    def get(self, path: str, token: str) -> str:
        """A page, whatever its status."""
        request = urllib.request.Request(self.url + path, headers={"Authorization": f"Bearer {token}"})  # noqa: S310 - of this test
        try:
            with urllib.request.urlopen(request, timeout=30) as response:  # noqa: S310 - of this test
                return str(response.read().decode())
        except urllib.error.HTTPError as error:
            return str(error.read().decode())

    def post(self, path: str, body: bytes, headers: Mapping[str, str]) -> int:
        """The status of the response."""
        request = urllib.request.Request(self.url + path, method="POST", data=body, headers=dict(headers))  # noqa: S310 - of this test
        try:
            with urllib.request.urlopen(request, timeout=30) as response:  # noqa: S310 - of this test
                return int(response.status)
        except urllib.error.HTTPError as error:
            return error.code

    def memory(self) -> float:
        """Resident memory in MiB."""
        status = Path(f"/proc/{self.process.pid}/status").read_text()
        return int(re.findall(r"VmRSS:\s+(\d+)", status)[0]) / 1024

    def descriptors(self) -> int:
        """Open descriptors, without those of connections and of children that come and go."""
        return len(list(Path(f"/proc/{self.process.pid}/fd").iterdir()))

    def is_running(self) -> bool:
        """Whether it has not ended."""
        return self.process.poll() is None

    def stop(self) -> int:
        """Ends it as a service manager does; returns the exit code."""
        return self._end(signal.SIGTERM)

    def kill(self) -> None:
        """Ends it at once."""
        self._end(signal.SIGKILL)

    def _end(self, number: int) -> int:
        self.process.send_signal(number)
        code = self.process.wait(30)
        self.read()
        self._log.close()
        return code
