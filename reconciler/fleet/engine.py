"""Delivers messages and results with Celery, on Redis or Valkey. The only module that imports Celery.

What Celery has to guarantee is little: that it does not deliver a message twice in the ordinary course of things, and
that it executes nothing but our one task. Claims and leases do the rest.
"""

from __future__ import annotations

import json
import logging
import os
import socket
from typing import TYPE_CHECKING, Any, Final

from reconciler.errors import Kind, MissingExtraError, Problem, ReconcilerError, UnreachableError
from reconciler.fleet.remote import DEFAULT_QUEUE

try:
    from celery import Celery, states
    from celery.app.trace import setup_worker_optimizations
    from celery.exceptions import OperationalError
    from celery.loaders.base import BaseLoader
    from celery.worker import WorkController
    from celery.worker import state as worker_state
    from kombu.entity import Queue
except ImportError as _error:
    _message = f"the engine needs {_error.name}, which the extra `celery` installs"
    _hint = "pip install 'email-account-reconciler[celery]'"
    raise MissingExtraError.of(_message, kind=Kind.MISSING_EXTRA, hint=_hint) from None

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from reconciler.fleet.broker import BrokerAddress
    from reconciler.fleet.messages import Message

_TASK: Final = "reconciler.process_server"
_VISIBILITY: Final = 24 * 3600
"""Seconds until a message that was fetched and not acknowledged is delivered again: far more than a message lives."""

_RESULT_LIFETIME: Final = 24 * 3600
_CLOCK_SKEW: Final = 300.0
"""Seconds by which the clocks of client and worker may differ before a message expires too early."""

_SOCKET_TIMEOUT: Final = 10.0
_NO_MESSAGE: Final = (ValueError, LookupError, TypeError, AttributeError, RecursionError)
"""What reading an entry of a queue raises that is not a message. Whoever may write to the broker can put one there."""


def _settings(address: BrokerAddress) -> dict[str, Any]:
    """Celery's settings; each is explained in its user guide under "Configuration and defaults"."""
    transport = {
        "visibility_timeout": _VISIBILITY,
        "socket_timeout": _SOCKET_TIMEOUT,
        "socket_connect_timeout": _SOCKET_TIMEOUT,
    }
    url, tls = address.url.reveal(), address.tls_options
    return {
        "broker_url": url,
        "result_backend": url,
        **({"broker_use_ssl": tls, "redis_backend_use_ssl": tls} if tls else {}),
        # At most once: a message is acknowledged before it is processed, and never put back.
        "task_acks_late": False,
        "task_reject_on_worker_lost": False,
        "task_publish_retry": False,
        "worker_prefetch_multiplier": 1,
        "worker_disable_prefetch": True,
        # With Redis, all three have to be the same; otherwise the shortest counts.
        "broker_transport_options": transport,
        "result_backend_transport_options": {"visibility_timeout": _VISIBILITY},
        "visibility_timeout": _VISIBILITY,
        # JSON alone, in both directions.
        "accept_content": ["json"],
        "result_accept_content": ["json"],
        "task_serializer": "json",
        "result_serializer": "json",
        "task_track_started": True,
        "result_expires": _RESULT_LIFETIME,
        "result_backend_thread_safe": True,  # one for all threads: a watcher has new ones in each round
        "redis_socket_timeout": _SOCKET_TIMEOUT,
        "redis_socket_connect_timeout": _SOCKET_TIMEOUT,
        # Nobody controls workers through the broker: commands could stop them or change their limits.
        "worker_enable_remote_control": False,
        "worker_send_task_events": False,
        "task_send_sent_event": False,
        "worker_hijack_root_logger": False,
        "worker_redirect_stdouts": False,
        "broker_connection_retry_on_startup": True,
        "broker_connection_max_retries": None,
        "broker_channel_error_retry": True,  # a broker that has become a replica refuses commands
        "worker_cancel_long_running_tasks_on_connection_loss": False,
        "task_default_queue": DEFAULT_QUEUE,
        "task_create_missing_queues": True,
        "enable_utc": True,
    }


class _Loader(BaseLoader):  # type: ignore[misc]  # Celery has no types
    """Reads no settings: the default one imports the module that ``CELERY_CONFIG_MODULE`` names."""

    def read_configuration(self, env: str = "") -> dict[str, Any]:  # noqa: ARG002 - Celery's signature
        return {}


class _Application(Celery):  # type: ignore[misc]  # Celery has no types
    """Sends messages and stores results where the address says.

    Celery itself prefers ``CELERY_BROKER_URL``, ``CELERY_RESULT_BACKEND`` and the like to its settings. Whoever sets
    one for another program would move our messages to a server that nobody has named, perhaps without TLS.
    """

    def __init__(self, address: BrokerAddress) -> None:
        super().__init__("reconciler", set_as_current=False, fixups=[], loader=_Loader)
        self._url = address.url
        self.backend_cls = address.url.reveal()
        self.conf.update(_settings(address))

    def connection_for_read(self, url: str | None = None, **options: Any) -> Any:  # noqa: ANN401, ARG002 - Celery's
        return super().connection_for_read(self._url.reveal(), **options)

    def connection_for_write(self, url: str | None = None, **options: Any) -> Any:  # noqa: ANN401, ARG002 - Celery's
        return super().connection_for_write(self._url.reveal(), **options)


class CeleryTransport:
    """Implements ``Transport``: sends messages, and reads results."""

    def __init__(self, address: BrokerAddress) -> None:
        self._app = _Application(address)
        self._shown = address.shown
        # Results are read when it is time. Celery would subscribe to each, on a connection from which nobody reads.
        backend: Any = self._app.backend
        backend.on_task_call = lambda *_arguments: None

    def send(self, message: Message, queue: str, expires: float) -> str:
        """Sends a message once; see ``Transport.send``."""
        try:
            sent = self._app.send_task(
                _TASK,
                (message.document(),),
                queue=queue,
                expires=expires + _CLOCK_SKEW,
                argsrepr="",
                kwargsrepr="",
                retry=False,
            )
        except (OperationalError, OSError) as error:
            problem = Problem(kind=Kind.BROKER, message=f"{self._shown} took no message ({type(error).__name__})")
        else:
            return str(sent.id)
        raise UnreachableError(problem)

    def results(self, identifiers: Sequence[str]) -> list[dict[str, Any] | None]:
        """What has arrived; see ``Transport.results``. Read as JSON: Celery would import what a result names."""
        backend: Any = self._app.backend
        keys = [backend.get_key_for_task(one) for one in identifiers]
        try:
            found = backend.client.mget(keys) if keys else []
        except Exception as error:  # noqa: BLE001 - redis-py's errors, which only one module imports
            problem = Problem(kind=Kind.BROKER, message=f"{self._shown} does not respond ({type(error).__name__})")
        else:
            return [None if one is None else _result(one) for one in found]
        raise UnreachableError(problem)

    def forget(self, identifiers: Sequence[str]) -> None:
        """Deletes results that were read. If that fails, they expire."""
        backend: Any = self._app.backend
        try:
            if identifiers:
                backend.client.delete(*map(backend.get_key_for_task, identifiers))
        except Exception:  # noqa: BLE001, S110 - as above
            pass

    def close(self) -> None:
        """Closes the connections."""
        self._app.close()


def _result(text: bytes) -> dict[str, Any] | None:
    """A stored result; ``None`` if there is none so far. Empty if the message expired on its way."""
    try:
        stored = json.loads(text)
        status, result = stored["status"], stored["result"]
    except (ValueError, LookupError, TypeError, RecursionError):
        return {"unreadable": True}
    if status == states.REVOKED:
        return {}
    if status not in states.READY_STATES:
        return None
    return result if status == states.SUCCESS and isinstance(result, dict) and result else {"failed": True}


class CeleryWorker:
    """Takes messages from queues, and processes each in a thread, until it is told to stop.

    Threads, and not processes: a worker waits for servers most of the time, and all threads share one copy of the
    manifests. So there is one process to kill: if it ends, all servers in progress on it become unknown. To limit that,
    start several workers.

    Args:
        address: The broker.
        queues: The queues' names.
        concurrency: The number of messages at a time.
        process: Processes a message, and returns its result. Must not raise.
        log: Takes what Celery reports, with its level.
    """

    def __init__(
        self,
        address: BrokerAddress,
        queues: Sequence[str],
        concurrency: int,
        process: Callable[[object], dict[str, Any]],
        log: Callable[[str, int], None],
    ) -> None:
        app = self._app = _Application(address)
        self._shown = address.shown
        make_queue: Any = Queue
        app.conf.task_queues = [make_queue(name) for name in queues]
        # A message can name any task that is registered. Celery's own are not needed.
        app.finalize()
        for name in [name for name in app.tasks if name.startswith("celery.")]:
            app.tasks.unregister(name)
        app.task(process, name=_TASK, max_retries=0, ignore_result=False, typing=False, shared=False)
        app.finalize()
        self._handler = _LogHandler(log)
        self._concurrency = concurrency
        self._worker: Any = None

    def run(self) -> None:
        """Processes messages until ``stop`` is called; then those that have begun are finished.

        Raises:
            ReconcilerError: An error that does not pass has ended Celery.
        """
        loggers = [logging.getLogger(name) for name in ("celery", "kombu", "amqp")]
        for logger in loggers:
            logger.addHandler(self._handler)
            logger.setLevel(logging.WARNING)
            logger.propagate = False
        name = f"reconciler-{os.getpid()}@{socket.gethostname()}"
        setup_worker_optimizations(self._app, name)  # makes the application known to the threads of the pool
        self._worker = WorkController(
            app=self._app,
            pool_cls="threads",
            concurrency=self._concurrency,
            hostname=name,
            loglevel="WARNING",
            without_gossip=True,
            without_mingle=True,
            without_heartbeat=True,
            task_events=False,
        )
        consumer = self._worker.consumer
        consumer.channel_errors = (*consumer.channel_errors, *_NO_MESSAGE)  # it drops the entry, and connects again
        self._worker.start()
        if self._worker.exitcode:
            message = f"the engine has ended; {self._shown} cannot be used, or this is a bug in Celery"
            hint = "the log has the reason (event=engine); correct it, and start the worker again"
            raise ReconcilerError.of(message, kind=Kind.ENGINE, hint=hint)

    def stop(self) -> None:
        """Takes no message any more. A signal handler may call it."""
        worker_state.should_stop = 0


class _LogHandler(logging.Handler):
    def __init__(self, log: Callable[[str, int], None]) -> None:
        super().__init__(logging.WARNING)
        self._log = log

    def emit(self, record: logging.LogRecord) -> None:
        # Without the traceback: it could contain values.
        self._log(record.getMessage(), record.levelno)
