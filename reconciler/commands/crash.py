"""What a bug leaves behind for its report: where it happened, in a file, without secrets."""

from __future__ import annotations

import os
import platform
import tempfile
import threading
import traceback
from typing import TYPE_CHECKING, Final

from reconciler.applying.result import internal_error
from reconciler.model.redaction import without_labelled
from reconciler.version import VERSION

if TYPE_CHECKING:
    from collections.abc import Iterator

    from reconciler.model.redaction import Redactor

_TELLING: Final = (AttributeError, ImportError, NameError, NotImplementedError, TypeError)
"""Exceptions whose message names parts of the program. That of any other may be the very value that it stumbled on,
and a value that is not known as a secret yet cannot be masked."""


class CrashReporter:
    """Explains the bugs that end a single step or test. One that ends many is logged once. Thread-safe."""

    def __init__(self, redactor: Redactor) -> None:
        self._redactor = redactor
        self._lock = threading.Lock()
        self._logs: dict[str, str] = {}

    def explain(self, bug: Exception) -> str:
        """Logs the bug; returns what the report says of it."""
        told = "\n".join(_told(bug))
        with self._lock:
            if told not in self._logs:
                self._logs[told] = write_crash_log(bug, self._redactor)
            return f"{internal_error(bug)}; please report it with {self._logs[told]}, after looking through it"


def write_crash_log(bug: BaseException, redactor: Redactor) -> str:
    """Writes the traceback to a new file that only its owner can read.

    Returns:
        The file's path, or words that say that none could be written.
    """
    frames = "\n".join(_told(bug))
    text = f"reconciler {VERSION}, Python {platform.python_version()}, {platform.platform()}\n\n{frames}"
    try:
        handle, path = tempfile.mkstemp(prefix="reconciler-crash-", suffix=".log")
        with os.fdopen(handle, "w", encoding="utf-8", errors="backslashreplace") as file:
            file.write(without_labelled(redactor.redact(text)))
    except OSError:
        return "the command line (the crash log could not be written)"
    return path


def _told(bug: BaseException) -> Iterator[str]:
    """The exception and what it came from, the last first."""
    seen: set[int] = set()
    one: BaseException | None = bug
    while one is not None and id(one) not in seen:
        seen.add(id(one))
        message = str(one) if isinstance(one, _TELLING) else "(its message is left out: it may hold a secret)"
        yield f"{type(one).__module__}.{type(one).__qualname__}: {message}"
        yield "".join(traceback.format_tb(one.__traceback__))
        one = one.__cause__ or one.__context__
