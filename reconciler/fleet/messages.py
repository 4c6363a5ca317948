"""What travels through the broker: one message for each server, and one result. Neither contains a secret.

Whoever can write to the broker can send any message. So a message can name a server, and narrow what is done there.
What is done, with which secrets, and where they go is decided by the manifests and the trust file of the worker alone.
"""

from __future__ import annotations

import json
import re
from dataclasses import asdict, dataclass, fields
from enum import StrEnum
from typing import Any, Final

from reconciler.model.on_failure import OnFailure

_LARGEST: Final = 1024 * 1024
"""Bytes of a message as JSON."""

_NAME: Final = re.compile(r"[!-~]{1,253}")
_HEX: Final = re.compile(r"[0-9a-f]{0,64}")
_MOST_REQUESTS: Final = 256
_LONGEST: Final = 24 * 3600.0
_MOST_GLOBS: Final = 1000
_MOST_ADDRESSES: Final = 20_000


class Mode(StrEnum):
    """What a worker does with a server."""

    PLAN = "plan"
    APPLY = "apply"
    TEST = "test"


class InvalidMessageError(ValueError):
    """A message that no client of this version sends. It says what is wrong, without the value."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Limits:
    """What a message may narrow; there is nothing in it that could widen a run.

    Attributes:
        only: Address patterns; empty for all accounts.
        addresses: Exactly the addresses that may be written; empty for all that ``only`` names.
        no_prune: Whether nothing is deleted.
        on_failure: As for ``apply``.
        parallelism: The most requests to the server at a time. The worker's own limit holds too.
        timeout: Seconds that one request may take; likewise.
        lock_timeout: Seconds to wait for another run on the server.
        needs_client: Whether no write starts once the client's heartbeat has stopped.
        lists_accounts: Whether the result has all accounts and their order, without secrets: for a client that
            remembers them. This neither narrows nor widens anything.
    """

    only: tuple[str, ...] = ()
    addresses: tuple[str, ...] = ()
    no_prune: bool = False
    on_failure: OnFailure = OnFailure.CONTINUE
    parallelism: int = 10
    timeout: float = 30.0
    lock_timeout: float = 60.0
    needs_client: bool = False
    lists_accounts: bool = False

    @classmethod
    def parse(cls, value: object) -> Limits:
        """Reads the options of a message.

        Raises:
            InvalidMessageError: There is an option that is not in this list, or a value that is not allowed.
        """
        found = _members(value, cls)
        for name in ("no_prune", "needs_client", "lists_accounts"):
            if not isinstance(found[name], bool):
                raise InvalidMessageError(f"{name} has a wrong value")
        if type(found["parallelism"]) is not int or not 1 <= found["parallelism"] <= _MOST_REQUESTS:
            raise InvalidMessageError("parallelism has a wrong value")
        try:
            on_failure = OnFailure(found["on_failure"])
        except ValueError:
            raise InvalidMessageError("on_failure has a wrong value") from None
        return cls(
            only=_strings(found["only"], _MOST_GLOBS),
            addresses=_strings(found["addresses"], _MOST_ADDRESSES),
            no_prune=found["no_prune"],
            on_failure=on_failure,
            parallelism=found["parallelism"],
            timeout=_seconds(found["timeout"]),
            lock_timeout=_seconds(found["lock_timeout"]),
            needs_client=found["needs_client"],
            lists_accounts=found["lists_accounts"],
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class Message:
    """A request to plan, apply or test one server.

    Attributes:
        run: The run's identifier.
        server: The server's name.
        commit: The client's version of the manifests, for people who look at the message: workers compare digests.
        manifest_digest: ``reconciler.manifest.digest`` of the server, as the client has it.
        plan_digest: The digest of the approved changes; empty if nothing is written.
    """

    run: str
    server: str
    mode: Mode
    commit: str
    manifest_digest: str
    plan_digest: str
    options: Limits

    @property
    def key(self) -> str:
        """What the message is about, within all runs."""
        return f"{self.run}:{self.mode}:{self.server}"

    def document(self) -> dict[str, Any]:
        """The message as it is sent."""
        return asdict(self)

    @classmethod
    def parse(cls, value: object) -> Message:
        """Reads a message.

        Raises:
            InvalidMessageError: It is too large, has an unknown key, lacks one, or has a value that is not allowed.
        """
        if len(json.dumps(value)) > _LARGEST:
            raise InvalidMessageError(f"the message is larger than {_LARGEST} bytes")
        found = _members(value, cls)
        texts = {name: found[name] for name in ("run", "server", "commit", "manifest_digest", "plan_digest")}
        for name, text in texts.items():
            pattern = _NAME if name == "server" else _HEX
            if not isinstance(text, str) or not pattern.fullmatch(text):
                raise InvalidMessageError(f"{name} has a wrong value")
        if not found["run"]:
            raise InvalidMessageError("run has a wrong value")
        try:
            mode = Mode(found["mode"])
        except ValueError:
            raise InvalidMessageError("mode has a wrong value") from None
        if mode is Mode.APPLY and not found["plan_digest"]:
            raise InvalidMessageError("there is no digest of an approved plan")
        return cls(mode=mode, options=Limits.parse(found["options"]), **texts)


def _members(value: object, wanted: type[Limits | Message]) -> dict[str, Any]:
    names = {one.name for one in fields(wanted)}
    if not isinstance(value, dict) or set(value) != names:
        raise InvalidMessageError(f"{wanted.__name__.lower()} has missing or unknown keys")
    return value


def _strings(value: object, most: int) -> tuple[str, ...]:
    if not isinstance(value, list) or len(value) > most or not all(isinstance(one, str) for one in value):
        raise InvalidMessageError("a list of addresses has a wrong value")
    return tuple(value)


def _seconds(value: object) -> float:
    if isinstance(value, bool) or not isinstance(value, int | float) or not 0 <= value <= _LONGEST:
        raise InvalidMessageError("a duration has a wrong value")
    return float(value)
