"""The other end of the faulty server: starts the process, and tells it what to do."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from typing import TYPE_CHECKING, Any, Self

if TYPE_CHECKING:
    from collections.abc import Sequence
    from types import TracebackType


def fault(kind: str, at: int, times: int = 1, **more: str) -> dict[str, Any]:
    """A fault as the server takes it."""
    return {"kind": kind, "at": at, "times": times, **more}


class Remote:
    """A faulty server in a process of its own; a context manager."""

    def __enter__(self) -> Self:
        environ = {name: value for name, value in os.environ.items() if not name.startswith("COV")}
        self._process = subprocess.Popen(
            [sys.executable, "-m", "tests.support.fault_server"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            env=environ,
        )
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.close()
        self._process.wait(10)
        self._process.stdout.close()

    def reset(
        self, seed: Sequence[object], faults: Sequence[object] = (), options: dict[str, Any] | None = None
    ) -> str:
        """Begins anew with these accounts; returns the URL."""
        port = self._tell("reset", seed=list(seed), faults=list(faults), options=options or {})["port"]
        return f"http://127.0.0.1:{port}"

    def arm(self, *faults: dict[str, Any]) -> None:
        """Puts these faults in place of those that are on; requests are counted from 0 again."""
        self._tell("arm", faults=list(faults))

    def state(self) -> tuple[list[dict[str, Any]], list[dict[str, Any]]]:
        """The accounts as they are, and the requests since the last ``arm``, once nothing is under way any more."""
        state = self._tell("state")
        return state["accounts"], state["log"]

    def peek(self) -> list[dict[str, Any]]:
        """The accounts as they are, whatever is under way."""
        accounts: list[dict[str, Any]] = self._tell("peek")["accounts"]
        return accounts

    def write(self, account_id: int | None, settings: dict[str, Any] | None) -> None:
        """Lets the administrator create (without an id), replace or delete (without settings) an account right now."""
        self._tell("write", account_id=account_id, settings=settings)

    def expire(self) -> None:
        """Lets every access token expire."""
        self._tell("expire")

    def deeds(self) -> list[dict[str, Any]]:
        """What the administrator has done since the last ``reset``, and how each deed left the account."""
        deeds: list[dict[str, Any]] = self._tell("state")["deeds"]
        return deeds

    def held(self) -> str:
        """Waits until a request is held, and says which."""
        return str(self._tell("held")["line"])

    def _tell(self, do: str, **more: object) -> dict[str, Any]:
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.write(json.dumps({"do": do, **more}) + "\n")
        self._process.stdin.flush()
        answer: dict[str, Any] = json.loads(self._process.stdout.readline())
        assert "error" not in answer, answer
        return answer
