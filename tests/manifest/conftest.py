from __future__ import annotations

import textwrap
from typing import TYPE_CHECKING, Protocol

import pytest

from reconciler.errors import ManifestError
from reconciler.manifest.reader import read_manifests

if TYPE_CHECKING:
    from pathlib import Path


class Write(Protocol):
    def __call__(self, text: str | bytes, name: str = "accounts.yaml") -> str: ...


class Complain(Protocol):
    def __call__(self, *texts: str | bytes) -> list[str]: ...


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The working directory of the test, so that file names in messages are short."""
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.fixture
def write(folder: Path) -> Write:
    """Writes a YAML file and returns its name."""

    def _write(text: str | bytes, name: str = "accounts.yaml") -> str:
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(text if isinstance(text, bytes) else textwrap.dedent(text).encode())
        return name

    return _write


@pytest.fixture
def complain(write: Write) -> Complain:
    """Reads the texts as files a.yaml, b.yaml, … and returns every problem as one line."""

    def _complain(*texts: str | bytes) -> list[str]:
        names = [write(text, f"{letter}.yaml") for letter, text in zip("abcdef", texts, strict=False)]
        with pytest.raises(ManifestError) as caught:
            read_manifests(names)
        return [
            f"{problem.kind} | {problem}" + (f" | {problem.hint}" if problem.hint else "")
            for problem in caught.value.problems
        ]

    return _complain
