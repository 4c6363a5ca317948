"""Starts and controls the fault server, and lists the faults that it supports."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from typing import TYPE_CHECKING, Any, Final, Self

from reconciler.model.fields import FIELDS
from reconciler.model.secret import Secret

if TYPE_CHECKING:
    from collections.abc import Sequence
    from types import TracebackType

    from reconciler.model.account import Fields


REFUSALS: Final = ("refused", "down")
"""The port is closed: for a moment, or until further notice."""

BEFORE: Final = (
    *REFUSALS,
    "reset_before",
    "timeout_before",
    "500_before",
    "502_before",
    "503_retry_after",
    "429_retry_after",
    "html_before",
    "401",
)
"""The request has no effect."""

AFTER: Final = (
    "reset_after",
    "timeout_after",
    "500_after",
    "502_after",
    "truncated",
    "cut_off",
    "html_after",
)
"""The request has its effect; its response does not arrive as it should."""

LATE: Final = "late"
"""The client gives up first, and only then the request has its effect."""

HELD: Final = ("held_before", "held_after", "held_late")
"""The request is held, before or after its effect, until the client is gone; ``held_late`` has its effect then."""

FALSE: Final = "response"
"""The response is one of ``false_responses``."""

KINDS: Final = (*BEFORE, *AFTER, LATE)


def fault(kind: str, at: int, times: int = 1, **more: str) -> dict[str, Any]:
    """A fault, as the server reads it."""
    return {"kind": kind, "at": at, "times": times, **more}


class FaultServerControl:
    """A fault server in a process of its own; a context manager."""

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
        self._process.wait(60)
        self._process.stdout.close()

    def reset(
        self, seed: Sequence[object], faults: Sequence[object] = (), options: dict[str, Any] | None = None
    ) -> str:
        """Replaces the server's accounts and faults; returns its URL."""
        port = self._send("reset", seed=list(seed), faults=list(faults), options=options or {})["port"]
        return f"http://127.0.0.1:{port}"

    def arm(self, *faults: dict[str, Any]) -> None:
        """Replaces the faults, and counts requests from 0 again."""
        self._send("arm", faults=list(faults))

    def state(self) -> tuple[list[dict[str, Any]], list[dict[str, Any]]]:
        """The accounts, and the requests since the last ``arm``, once no request is in flight."""
        state = self._send("state")
        return state["accounts"], state["log"]

    def accounts(self) -> dict[int, Fields]:
        """The accounts by id, even while requests are in flight."""
        return accounts_by_id(self._send("peek")["accounts"])

    def write(self, account_id: int | None, settings: dict[str, Any] | None) -> None:
        """Creates (without an id), replaces or deletes (without settings) an account as the administrator."""
        self._send("write", account_id=account_id, fields=settings)

    def expire(self) -> None:
        """Expires every access token."""
        self._send("expire")

    def deeds(self) -> list[dict[str, Any]]:
        """What the administrator has done since the last ``reset``, and how they left each account."""
        deeds: list[dict[str, Any]] = self._send("state")["deeds"]
        return deeds

    def held(self) -> str:
        """Waits until a request is held; returns its line."""
        return str(self._send("held")["line"])

    def _send(self, do: str, **more: object) -> dict[str, Any]:
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.write(json.dumps({"do": do, **more}) + "\n")
        self._process.stdin.flush()
        response: dict[str, Any] = json.loads(self._process.stdout.readline())
        assert "error" not in response, response
        return response


def accounts_by_id(rows: Sequence[dict[str, Any]]) -> dict[int, Fields]:
    """The accounts in rows of the store."""
    found: dict[int, Fields] = {}
    for row in rows:
        password = None if row["password"] is None else Secret(row["password"])
        found[row["id"]] = {**{name: row[name] for name in FIELDS}, "password": password}
    return found
