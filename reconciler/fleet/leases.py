"""Claims, leases and heartbeats in Redis or Valkey: what keeps a server from being processed twice.

The engine delivers messages; it fences nothing. All of this therefore works with plain commands, whatever engine
delivers the messages::

    run:RUN              the client's heartbeat: "go", or "stop" if no new write may start
    claim:RUN:MODE:NAME  who may work on a server in this run: the first that sets it, and nobody after that
    alive:RUN:MODE:NAME  the heartbeat of the worker that works on it
    hold:RUN:MODE:NAME   why nothing more may be written to a server in this run
    lease:HASH           who may write to a server, in any run
"""

from __future__ import annotations

import secrets
import threading
import time
from dataclasses import dataclass
from hashlib import sha256
from typing import TYPE_CHECKING, Any, Final

from reconciler.errors import Kind, LockedError, Problem, UnreachableError, WithheldError

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from reconciler.fleet.broker import BrokerAddress

LEASE_SECONDS: Final = 30.0
RENEWAL_SECONDS: Final = 10.0
_MARGIN: Final = 3.0
"""Seconds before a lease expires from which on nothing is sent: a request takes time to arrive."""

ALIVE_SECONDS: Final = 15.0
BEAT_SECONDS: Final = 3.0
CLIENT_SECONDS: Final = 30.0
CLAIM_SECONDS: Final = 2 * 24 * 3600
"""Longer than a message can exist: see ``engine``."""

_PAUSE: Final = 0.5
_SOCKET_TIMEOUT: Final = 5.0
_GO: Final = "go"
_STOP: Final = "stop"

_CLAIM: Final = """
if redis.call('SET', KEYS[1], ARGV[1], 'NX', 'EX', ARGV[2]) then
  if ARGV[3] ~= '' then redis.call('SET', KEYS[2], ARGV[1], 'PX', ARGV[3]) end
  return 1
end
return 0
"""
_RENEW: Final = """
if redis.call('GET', KEYS[1]) == ARGV[1] then return redis.call('PEXPIRE', KEYS[1], ARGV[2]) end
return 0
"""
_RELEASE: Final = """
if redis.call('GET', KEYS[1]) == ARGV[1] then return redis.call('DEL', KEYS[1]) end
return 0
"""


def now() -> float:
    """Seconds on a clock that also counts while this process or this machine is suspended."""
    clock = getattr(time, "CLOCK_BOOTTIME", time.CLOCK_MONOTONIC)
    return time.clock_gettime(clock)


@dataclass(frozen=True, slots=True)
class ClaimState:
    """What is known about one message.

    Attributes:
        owner: Who has claimed it; empty if nobody has.
        is_alive: Whether the worker that claimed it still works on it.
    """

    owner: str
    is_alive: bool


class Coordination:
    """A connection to the broker. Safe for threads.

    Its methods raise ``UnreachableError`` if the broker does not respond.
    """

    def __init__(self, address: BrokerAddress) -> None:
        import redis

        self._errors = (redis.RedisError, OSError)
        self._shown = address.shown
        self._redis: Any = redis.Redis.from_url(
            address.url.reveal(),
            socket_timeout=_SOCKET_TIMEOUT,
            socket_connect_timeout=_SOCKET_TIMEOUT,
            decode_responses=True,
            **address.tls_options,
        )
        self._scripts = {text: self._redis.register_script(text) for text in (_CLAIM, _RENEW, _RELEASE)}

    def close(self) -> None:
        """Closes the connections."""
        self._redis.close()

    def check(self) -> None:
        """Makes sure that the broker responds, and that it can be written to: it may be full."""
        self._ask(lambda: self._redis.set(_key("check", "client"), _GO, px=_ms(CLIENT_SECONDS)))

    def begin(self, run: str) -> None:
        """Starts the heartbeat of a run."""
        self._ask(lambda: self._redis.set(_key("run", run), _GO, px=_ms(CLIENT_SECONDS)))

    def beat(self, run: str, *, stop: bool) -> bool:
        """Renews the heartbeat of a run. Returns false if it was gone: the broker lost it, or it was late."""
        key, value = _key("run", run), _STOP if stop else _GO
        return bool(self._ask(lambda: self._redis.set(key, value, px=_ms(CLIENT_SECONDS), get=True)))

    def end(self, run: str) -> None:
        """Ends the heartbeat of a run: workers take none of its messages any more."""
        self._ask(lambda: self._redis.delete(_key("run", run)))

    def run_state(self, run: str) -> tuple[bool, bool]:
        """Whether the client of a run is alive, and whether it has asked to stop."""
        value = self._ask(lambda: self._redis.get(_key("run", run)))
        return value is not None, value == _STOP

    def claim(self, key: str, owner: str, *, works: bool) -> bool:
        """Takes a claim, unless somebody has it.

        Args:
            key: ``Message.key``.
            owner: Who takes it.
            works: Whether the owner starts to work. The client does not: it keeps others from starting.
        """
        arguments = [owner, CLAIM_SECONDS, _ms(ALIVE_SECONDS) if works else ""]
        return bool(self._script(_CLAIM, [_key("claim", key), _key("alive", key)], arguments))

    def hold(self, key: str, why: str) -> None:
        """Keeps the worker that works on a claim from starting any more writes."""
        self._ask(lambda: self._redis.set(_key("hold", key), why, ex=CLAIM_SECONDS))

    def may_write(self, run: str, key: str) -> tuple[bool, str]:
        """Whether the client of a run is alive, and why it holds the writes on a claim; empty if it does not."""
        alive, why = self._ask(lambda: self._redis.mget(_key("run", run), _key("hold", key)))
        return alive is not None, why or ""

    def keep_alive(self, key: str, owner: str) -> None:
        """Renews the heartbeat of the work on a claim."""
        self._ask(lambda: self._redis.set(_key("alive", key), owner, px=_ms(ALIVE_SECONDS)))

    def claims(self, keys: Sequence[str]) -> list[ClaimState]:
        """The state of many claims at one moment."""
        names = [_key(prefix, key) for prefix in ("claim", "alive") for key in keys]
        values = self._ask(lambda: self._redis.mget(names)) if names else []
        pairs = zip(values[: len(keys)], values[len(keys) :], strict=True)
        return [ClaimState(owner or "", alive is not None) for owner, alive in pairs]

    def lengths(self, queues: Sequence[str]) -> list[int]:
        """The number of messages in each queue that no worker has taken."""

        def ask() -> list[int]:
            with self._redis.pipeline(transaction=False) as pipeline:
                for queue in queues:
                    pipeline.llen(queue)
                return list(map(int, pipeline.execute()))

        found: list[int] = self._ask(ask)
        return found

    def take_lease(self, name: str, token: str) -> bool:
        """Takes the lease of a server, unless somebody has it."""
        return bool(self._ask(lambda: self._redis.set(_key("lease", name), token, nx=True, px=_ms(LEASE_SECONDS))))

    def renew_lease(self, name: str, token: str) -> bool:
        """Extends a lease. Returns false if it is not ours any more."""
        return bool(self._script(_RENEW, [_key("lease", name)], [token, _ms(LEASE_SECONDS)]))

    def release_lease(self, name: str, token: str) -> None:
        """Gives a lease back, if it is still ours."""
        self._script(_RELEASE, [_key("lease", name)], [token])

    def _script(self, text: str, keys: list[str], arguments: list[Any]) -> Any:  # noqa: ANN401 - Redis's
        return self._ask(lambda: self._scripts[text](keys=keys, args=arguments))

    def _ask(self, command: Callable[[], Any]) -> Any:  # noqa: ANN401 - Redis's
        try:
            return command()
        except self._errors as error:
            message = f"the broker {self._shown} does not respond ({type(error).__name__})"
            hint = "check that it runs, and the address, password and CA file of --engine"
            problem = Problem(kind=Kind.BROKER, message=message, hint=hint)
        raise UnreachableError(problem)


class Lease:
    """The right to write to one server, which must be renewed while it is used.

    At the moment when a write is sent, the broker is asked, and the clock after that. So a process that was suspended
    in between sends nothing when it goes on.
    """

    def __init__(self, coordination: Coordination, url: str, on_lost: Callable[[], None]) -> None:
        """Takes the server's URL, normalized, and what to do once the lease is lost."""
        self._coordination = coordination
        self._name = sha256(url.encode()).hexdigest()
        self._url = url
        self._token = secrets.token_hex(16)
        self._on_lost = on_lost
        self._deadline = 0.0
        self._is_lost = False
        self._released = threading.Event()

    def acquire(self, timeout: float, stop: threading.Event) -> None:
        """Waits for the lease, and renews it from then on.

        Raises:
            LockedError: Another run had it all the time.
            UnreachableError: The broker does not respond.
        """
        end = now() + timeout
        while True:
            asked_at = now()
            if self._coordination.take_lease(self._name, self._token):
                break
            left = end - now()
            if left <= 0 or stop.wait(min(_PAUSE, left)):
                message = f"another run holds the lease of {self._url}; nothing was written"
                hint = f"wait for it to end; the lease of a worker that died expires after {LEASE_SECONDS:g} seconds"
                raise LockedError(Problem(kind=Kind.LOCKED, message=message, hint=hint))
        self._deadline = asked_at + LEASE_SECONDS - _MARGIN
        threading.Thread(target=self._renew, name="lease", daemon=True).start()

    def check(self) -> None:
        """Asks the broker whether the lease is still ours, and extends it.

        Raises:
            WithheldError: It is not, or the broker did not respond in time. Nothing may be written.
        """
        while True:
            self.check_clock()
            try:
                self._extend()
            except UnreachableError:
                self._released.wait(_PAUSE)
            else:
                break
        self.check_clock()

    def check_clock(self) -> None:
        """Makes sure, without asking anyone, that the lease has not expired.

        Raises:
            WithheldError: It may have.
        """
        if self._is_lost or now() >= self._deadline:
            self._lose()
            message = "this worker's lease of the server was lost, and another run may be writing"
            raise WithheldError(Problem(kind=Kind.LEASE_LOST, message=message, hint="run again; it converges"))

    def release(self) -> None:
        """Gives the lease back."""
        self._released.set()
        if not self._is_lost:
            try:
                self._coordination.release_lease(self._name, self._token)
            except UnreachableError:
                return  # it expires by itself

    def _extend(self) -> None:
        asked_at = now()
        if self._coordination.renew_lease(self._name, self._token):
            self._deadline = max(self._deadline, asked_at + LEASE_SECONDS - _MARGIN)
        else:
            self._lose()

    def _renew(self) -> None:
        pause = RENEWAL_SECONDS
        while not self._released.wait(pause) and not self._is_lost:
            if now() >= self._deadline:
                self._lose()
                return
            try:
                self._extend()
                pause = RENEWAL_SECONDS
            except UnreachableError:
                pause = _PAUSE

    def _lose(self) -> None:
        if not self._is_lost and not self._released.is_set():
            self._is_lost = True
            self._on_lost()


def _key(kind: str, name: str) -> str:
    return f"reconciler:{kind}:{name}"


def _ms(seconds: float) -> int:
    return int(seconds * 1000)
