"""What a bug leaves behind for its report: the traceback in a file, without secrets."""

from __future__ import annotations

import os
import platform
import tempfile
import traceback
from typing import TYPE_CHECKING

from reconciler import __version__

if TYPE_CHECKING:
    from reconciler.model.redaction import Redactor


def write_crash_log(bug: BaseException, redactor: Redactor) -> str:
    """Writes the traceback to a new file that only its owner can read.

    Returns:
        The file's path, or words that say that none could be written.
    """
    frames = "".join(traceback.format_exception(bug))
    text = f"reconciler {__version__}, Python {platform.python_version()}, {platform.platform()}\n\n{frames}"
    try:
        handle, path = tempfile.mkstemp(prefix="reconciler-crash-", suffix=".log")
        with os.fdopen(handle, "w", encoding="utf-8", errors="backslashreplace") as file:
            file.write(redactor.redact(text))
    except OSError:
        return "the command line (the crash log could not be written)"
    return path
