"""A user who types into a program on a pseudo-terminal."""

from __future__ import annotations

import os
import pty
import re
import select
import struct
import subprocess
import termios
import time
from fcntl import ioctl
from typing import TYPE_CHECKING, Self

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

_PATIENCE = 20.0
_CONTROLS = re.compile(rb"\x1b\[[0-9;?]*[A-Za-z]|\x1b[=>]|\x1b\][^\x07]*\x07|\r|\x07|.\x08")


class Terminal:
    """A program on a pseudo-terminal of 200 columns."""

    def __init__(self, command: Sequence[str], folder: Path, environ: Mapping[str, str]) -> None:
        self._seen = b""
        self._terminal, end = pty.openpty()
        ioctl(end, termios.TIOCSWINSZ, struct.pack("HHHH", 50, 200, 0, 0))
        self._process = subprocess.Popen(
            command, cwd=folder, env=dict(environ), stdin=end, stdout=end, stderr=end, start_new_session=True
        )
        os.close(end)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._process.kill()
        self._process.wait()
        os.close(self._terminal)

    def type(self, keys: str) -> None:
        self._seen = b""
        os.write(self._terminal, keys.encode())

    def wait_for(self, text: str) -> str:
        """Reads until ``text`` is on the screen; returns what was written since the last keys."""
        until = time.monotonic() + _PATIENCE
        while text not in self._screen() and time.monotonic() < until:
            if select.select([self._terminal], [], [], max(0.0, until - time.monotonic()))[0]:
                self._seen += os.read(self._terminal, 4096)
        assert text in self._screen()
        return self._screen()

    def _screen(self) -> str:
        return _CONTROLS.sub(b"", self._seen).decode(errors="replace")
