"""Sends notifications: the only module that imports apprise.

Every URL in the notify file is a secret. Apprise writes URLs into its log, so that goes nowhere.
"""

from __future__ import annotations

import logging
import re
import time
import warnings
from dataclasses import dataclass, field
from hashlib import blake2b
from threading import Thread, local
from typing import TYPE_CHECKING, Any, Final

from reconciler.errors import Kind, MissingExtraError, Position, Problem, ReconcilerError, StateError
from reconciler.model.display import display_path
from reconciler.watch.conditions import notification

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from datetime import datetime

    from reconciler.watch.conditions import Conditions
    from reconciler.watch.outbox import Message, Outbox

_LARGEST: Final = 256 * 1024
_LOGGERS: Final = ("apprise", "requests", "urllib3")
_CERTAIN: Final = re.compile("Max retries exceeded|refused|unreachable|Name or service not known|getaddrinfo")
_UNCERTAIN: Final = re.compile(
    "timed out|timeout|abort|disconnect|reset|unexpectedly closed|EOF|Broken pipe", re.IGNORECASE
)
_READ_TIMEOUT: Final = 20.0
_TEST_HINT: Final = "test the URL with the program apprise: apprise --body test URL"


@dataclass(frozen=True, slots=True)
class Receiver:
    """Where notifications go.

    Attributes:
        line: The line of the notify file.
        url: A secret.
        service: Apprise's object for the URL.
    """

    line: int
    url: str = field(repr=False)
    service: Any = field(repr=False)


def read_receivers(path: str) -> tuple[Receiver, ...]:
    """The receivers in a notify file: one URL on each line; lines that begin with ``#`` are comments.

    Raises:
        MissingExtraError: The extra ``notify`` is not installed.
        ReconcilerError: The file cannot be read, contains no URL, or one that apprise does not know.
    """
    with warnings.catch_warnings():  # of the modules of apprise's many services, which the first URL imports
        warnings.simplefilter("ignore")
        receivers = _receivers(path, _apprise())
    warnings.filterwarnings("ignore", module="urllib3")  # warns of hosts whose certificate is not verified
    if not receivers:
        raise _invalid(path, "the notify file contains no URL")
    return receivers


def _receivers(path: str, apprise: Any) -> tuple[Receiver, ...]:  # noqa: ANN401 - apprise has no types
    asset = apprise.AppriseAsset(async_mode=False, storage_mode="memory", app_id="reconciler", app_desc="reconciler")
    receivers = []
    for number, line in enumerate(_read(path).split("\n"), 1):
        if (url := line.strip()) and not url.startswith("#"):
            service = _service(apprise, url, asset)
            if service is None:
                raise _invalid(path, "this is not a URL that apprise knows", number)
            receivers.append(Receiver(number, url, service))
    return tuple(receivers)


def _read(path: str) -> str:
    from reconciler.manifest.files import TooLargeError, read_bytes

    try:
        return read_bytes(path, _LARGEST, allow_pipe=True).decode("utf-8-sig")
    except TooLargeError:
        raise _invalid(path, "the notify file is larger than 256 KiB") from None
    except UnicodeDecodeError:
        raise _invalid(path, "the notify file is not a text file in UTF-8") from None
    except (OSError, ValueError) as error:
        reason = (error.strerror if isinstance(error, OSError) else None) or "it is not a file"
        raise _invalid(path, f"the notify file cannot be read: {reason}") from None


def _invalid(path: str, message: str, line: int | None = None) -> ReconcilerError:
    hint = "write one apprise URL on each line, such as mailtos://USER:PASSWORD@example.com"
    return ReconcilerError(
        Problem(kind=Kind.NOTIFY_FILE, message=message, hint=hint, position=Position(display_path(path), line))
    )


def _apprise() -> Any:  # noqa: ANN401 - it has no types
    """Imports apprise and silences everything that could show a URL."""
    for name in _LOGGERS:
        logger = logging.getLogger(name)
        logger.propagate = False
        logger.handlers[:] = [_LOG if name == "apprise" else logging.NullHandler()]
    try:
        import apprise
    except ModuleNotFoundError as error:
        if error.name != "apprise":
            raise
        message = "notifications are not installed: run `pip install 'email-account-reconciler[notify]'`"
        raise MissingExtraError.of(message, kind=Kind.MISSING_EXTRA) from None
    logging.getLogger("apprise").setLevel(logging.DEBUG)  # ``_LOG`` reads all of it
    return apprise


def _service(apprise: Any, url: str, asset: Any) -> Any:  # noqa: ANN401 - apprise has no types
    """Apprise's object for a URL; ``None`` if it does not know the URL."""
    try:
        service = apprise.Apprise.instantiate(url, asset=asset)
    except Exception:  # noqa: BLE001 - the message may contain the URL
        return None
    if service is None:
        return None
    service.retry = 0  # a delivery whose outcome is not certain must not be repeated
    service.socket_read_timeout = max(_READ_TIMEOUT, service.socket_read_timeout)
    if service.overflow_mode == apprise.OverflowMode.UPSTREAM:
        service.overflow_mode = apprise.OverflowMode.TRUNCATE
    one = apprise.Apprise(asset=asset)
    one.add(service)
    return one


class _Log(logging.Handler):
    """Reads apprise's log, which tells whether a failed delivery may have arrived. It keeps nothing of it.

    Attributes:
        delivery: Of each thread: ``may_have_arrived``.
    """

    def __init__(self) -> None:
        super().__init__(logging.DEBUG)
        self.delivery = local()

    def emit(self, record: logging.LogRecord) -> None:
        """Reads a line."""
        try:
            text = record.getMessage()
        except Exception:  # noqa: BLE001 - a mistake in the log must not disturb the delivery
            return
        is_sent = text.startswith("Sent ")  # to one of several recipients
        is_broken = text.startswith("Socket Exception") and _UNCERTAIN.search(text) and not _CERTAIN.search(text)
        if is_sent or is_broken:
            self.delivery.may_have_arrived = True


_LOG: Final = _Log()


class Notifier:
    """Notifies changes of state: at most one message a round to each receiver, and each change once.

    What is sent is recorded before it is sent. After a crash, or if the outcome of a delivery is not certain, it is not
    sent again: silence is better than an alarm that rings twice. Deliveries run in threads of their own, at most one
    for each receiver, so that a receiver that hangs delays nothing.

    Args:
        receivers: At least one.
        outbox: Of the watcher's state.
        source: What the manifests come from, safe to show.
        warn: Called, from any thread, when a receiver begins to fail, or nothing can be recorded.

    Raises:
        StateError: The state cannot be written.
    """

    def __init__(
        self, receivers: Sequence[Receiver], outbox: Outbox, *, source: str, warn: Callable[[Problem], None]
    ) -> None:
        salt = outbox.salt()
        self._receivers = {_key(receiver, salt): receiver for receiver in receivers}
        self._outbox = outbox
        self._source = source
        self._warn = warn
        self._threads: dict[str, Thread] = {}
        self._failing: set[str] = set()
        self._is_unrecorded = False
        outbox.begin(self._receivers)

    def notify(self, conditions: Conditions, now: datetime) -> None:
        """Notifies what has changed, at the end of a round, and what could not be delivered before. Does not wait."""
        try:
            states, message = notification(self._outbox.conditions(), conditions, now, self._source)
            self._outbox.record(states, message, self._receivers)
            for key in self._receivers:
                self._deliver(key)
        except StateError as error:
            if not self._is_unrecorded:
                self._is_unrecorded = True
                self._problem("nothing is notified, because it cannot be recorded", error.reason)
        else:
            self._is_unrecorded = False

    def close(self, timeout: float) -> None:
        """Waits for deliveries that are under way, up to ``timeout`` seconds."""
        end = time.monotonic() + timeout
        for thread in list(self._threads.values()):
            thread.join(max(0.0, end - time.monotonic()))

    def _deliver(self, key: str) -> None:
        if (thread := self._threads.get(key)) and thread.is_alive():
            return
        if messages := self._outbox.claim(key):
            line = self._receivers[key].line
            thread = Thread(target=self._send, args=(key, messages), name=f"notify-{line}", daemon=True)
            self._threads[key] = thread
            thread.start()

    def _send(self, key: str, messages: Sequence[Message]) -> None:
        receiver = self._receivers[key]
        is_delivered, may_have_arrived = _send(receiver.service, messages)
        try:
            if is_delivered or may_have_arrived:
                self._outbox.delivered(key, messages)
            else:
                self._outbox.give_back(key, messages)
        except StateError as error:
            self._problem(f"the outcome of the notification to line {receiver.line} cannot be recorded", error.reason)
        if is_delivered:
            self._failing.discard(key)
        elif may_have_arrived:
            self._problem(
                f"the receiver in line {receiver.line} of the notify file did not confirm a notification; it is not"
                " sent again, because it may have arrived"
            )
        elif key not in self._failing:
            self._failing.add(key)
            self._problem(
                f"a notification to line {receiver.line} of the notify file could not be delivered; it is sent again"
                " after the next round"
            )

    def _problem(self, message: str, reason: str = "") -> None:
        message = f"{message}: {reason}" if reason else message
        self._warn(Problem(kind=Kind.NOTIFICATION, message=message, hint="" if reason else _TEST_HINT))


def _key(receiver: Receiver, salt: bytes) -> str:
    """What stands for a receiver in the state. It reveals nothing about the URL."""
    return blake2b(receiver.url.encode("utf-8", "surrogatepass"), key=salt, digest_size=8).hexdigest()


def _send(service: Any, messages: Sequence[Message]) -> tuple[bool, bool]:  # noqa: ANN401 - apprise has no types
    """Delivers messages as one. Returns whether it was delivered, and if not, whether it may have been."""
    *earlier, newest = messages
    body = "\n\n".join(
        [newest.body, *(f"Not delivered at {one.at:%Y-%m-%d %H:%M} UTC:\n{one.body}" for one in earlier)]
    )
    _LOG.delivery.may_have_arrived = False
    try:
        is_delivered = service.notify(body=body, title=newest.title, notify_type=newest.severity, body_format="text")
    except Exception:  # noqa: BLE001 - the message may contain the URL
        return False, True
    return is_delivered is True, _LOG.delivery.may_have_arrived
