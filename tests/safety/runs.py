"""Runs the command line in this process and gathers everything that it leaves behind."""

from __future__ import annotations

import contextlib
import io
import os
import signal
import tempfile
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from reconciler import cli

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from pathlib import Path


class _Stream(io.TextIOWrapper):
    """A stream in memory, as a pipe would be."""

    def __init__(self) -> None:
        super().__init__(io.BytesIO(), encoding="utf-8", write_through=True)

    @property
    def text(self) -> str:
        buffer = self.buffer
        assert isinstance(buffer, io.BytesIO)
        return buffer.getvalue().decode("utf-8", "replace")


@dataclass
class Desk:
    """Where somebody works.

    Attributes:
        inputs: What is given; secrets may be in it.
        outputs: The working directory, and the folder of temporary files: no secret may be in it.
    """

    inputs: Path
    outputs: Path
    environ: dict[str, str] = field(default_factory=dict)

    def run(self, *arguments: str, environ: Mapping[str, str] | None = None) -> Traces:
        """Runs the command in this process."""
        for path in self.outputs.iterdir():
            path.unlink()
        out, err = _Stream(), _Stream()
        with _surroundings(self.outputs, {**self.environ, **(environ or {})}), _streams(out, err):
            try:
                cli.main(arguments)
            except SystemExit as ended:
                code = int(ended.code or 0)
        return Traces(code, {"stdout": out.text, "stderr": err.text, **self.files()})

    def files(self) -> dict[str, str]:
        """What lies in ``outputs``."""
        return {path.name: path.read_bytes().decode("utf-8", "replace") for path in self.outputs.iterdir()}


@dataclass(frozen=True)
class Traces:
    """What a run leaves behind: texts by the stream or file that they are in."""

    code: int
    texts: Mapping[str, str]

    @property
    def whole(self) -> str:
        return "\n".join(f"{name}\n{text}" for name, text in self.texts.items())


@contextlib.contextmanager
def _surroundings(folder: Path, environ: Mapping[str, str]) -> Iterator[None]:
    kept = dict(os.environ)
    handlers = {number: signal.getsignal(number) for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP)}
    tempdir = tempfile.tempdir
    inherited = {name: value for name, value in kept.items() if name.startswith(("PATH", "COV", "XDG_STATE"))}
    try:
        os.environ.clear()
        os.environ.update({**inherited, **environ})
        tempfile.tempdir = str(folder)
        with contextlib.chdir(folder):
            yield
    finally:
        os.environ.clear()
        os.environ.update(kept)
        tempfile.tempdir = tempdir
        for number, handler in handlers.items():
            signal.signal(number, handler)


@contextlib.contextmanager
def _streams(out: io.TextIOBase, err: io.TextIOBase) -> Iterator[None]:
    with (
        open(os.devnull, encoding="utf-8") as nothing,  # noqa: PTH123 - a device
        contextlib.redirect_stdout(out),
        contextlib.redirect_stderr(err),
        _stdin(nothing),
    ):
        yield


@contextlib.contextmanager
def _stdin(stream: io.TextIOWrapper) -> Iterator[None]:
    import sys

    kept, sys.stdin = sys.stdin, stream
    try:
        yield
    finally:
        sys.stdin = kept
