"""A token in a file. The refresh token there is replaced if the server gives a new one, safely beside other runs."""

from __future__ import annotations

import os
import stat
import time
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Final

from reconciler.errors import Problem, SecretError
from reconciler.model.display import display_path
from reconciler.model.secret import Secret

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from contextlib import AbstractContextManager

_LARGEST: Final = 64 * 1024
_PATIENCE: Final = 30.0
_PAUSE: Final = 0.05


@dataclass(frozen=True, slots=True)
class Voice:
    """How to reach the user while a connection is in use.

    Attributes:
        warn: Prints a warning.
        note: Prints a remark.
    """

    warn: Callable[[Problem], None] = lambda _problem: None
    note: Callable[[str], None] = lambda _text: None


class TokenElsewhere:
    """A refresh token that came from where nothing can be written.

    Args:
        origin: Where it came from.
        voice: Says that the token was replaced.
    """

    def __init__(self, origin: str, voice: Voice) -> None:
        self._origin = origin
        self._voice = voice
        self._warned = False

    def turn(self) -> AbstractContextManager[None]:
        """Waits for nobody."""
        return nullcontext()

    def store(self, token: Secret) -> None:  # noqa: ARG002 - it must not be shown
        """Warns, once, that the token is known to this run alone."""
        if not self._warned:
            self._warned = True
            self._voice.warn(
                Problem(
                    kind="refresh_token_replaced",
                    message=f"the server replaced the refresh token; the one from {self._origin} may not work again",
                    hint="keep the token in a file and name it with --refresh-token-file: the new one is then written"
                    " there; make a new key in the server's interface now",
                )
            )


class TokenFile:
    """A file with a token, and nothing else, in it."""

    def __init__(self, path: str, voice: Voice) -> None:
        self._path = path
        self._voice = voice
        self._seen = ""

    def read(self) -> Secret:
        """The token.

        Raises:
            SecretError: The file cannot be read, or holds something else.
        """
        self._seen = _token(self._path)
        return Secret(self._seen)

    @contextmanager
    def turn(self) -> Iterator[Secret | None]:
        """Locks the file, so that runs side by side exchange one token after the other."""
        with _locked(self._path):
            yield self._left_by_others()

    def _left_by_others(self) -> Secret | None:
        if not os.path.isfile(self._path):  # noqa: PTH113 - a pipe can be read only once
            return None
        try:
            token = _token(self._path)
        except SecretError:
            return None
        if token == self._seen:
            return None
        self._seen = token
        return Secret(token)

    def store(self, token: Secret) -> None:
        """Writes the token to the file, as a whole or not at all."""
        try:
            _replace(Path(self._path).resolve(), token.reveal())
        except (OSError, RuntimeError, ValueError) as error:
            reason = (error.strerror if isinstance(error, OSError) else None) or "it is not a file that can be written"
            self._voice.warn(
                Problem(
                    kind="refresh_token_lost",
                    message=f"the server replaced the refresh token, and {self._path} cannot be written: {reason}",
                    hint="this run goes on with it; let the file be written, and put a new key from the server's"
                    " interface into it before the next run",
                )
            )
        else:
            self._seen = token.reveal()
            self._voice.note(f"wrote {self._path}: the server replaced the refresh token")


def _token(path: str) -> str:
    from reconciler.manifest.files import read_bytes
    from reconciler.manifest.references import given_secret

    name = display_path(path)
    try:
        text = read_bytes(path, _LARGEST, allow_pipe=True).decode()
    except (OSError, ValueError) as error:
        reason = (error.strerror if isinstance(error, OSError) else None) or "not a text file"
        hint = "name a file that this user can read, with the secret alone in it"
        raise SecretError(Problem(kind="secret_file", message=f"cannot read {name}: {reason}", hint=hint)) from None
    return given_secret(name, text).reveal()


def _replace(target: Path, token: str) -> None:
    """Replaces a file's token, and keeps its line ending, its mode and its owner."""
    status = target.stat()
    if not stat.S_ISREG(status.st_mode):
        raise ValueError("not a file")
    with target.open("rb") as file:
        text = file.read(_LARGEST)
    data = token.encode() + text[len(text.removesuffix(b"\n").removesuffix(b"\r")) :]
    if status.st_nlink > 1 or not _swap(target, data, status):
        # Another name of the file, its owner, or a folder that takes no new file: written in place, it stays the same.
        with target.open("r+b") as file:
            file.write(data)
            file.truncate()
            file.flush()
            os.fsync(file.fileno())


def _swap(target: Path, data: bytes, status: os.stat_result) -> bool:
    """Puts a new file in the place of ``target``; ``False`` where it could not be the same but for its content."""
    if not os.access(target, os.W_OK):
        raise PermissionError(13, os.strerror(13))
    from tempfile import mkstemp

    scratch: Path | None = None
    try:
        handle, name = mkstemp(dir=target.parent, prefix=f".{target.name}.")
        scratch = Path(name)
        with os.fdopen(handle, "wb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
            os.fchown(file.fileno(), status.st_uid, status.st_gid)
            os.fchmod(file.fileno(), stat.S_IMODE(status.st_mode))
        scratch.replace(target)
    except OSError:
        if scratch is not None:
            scratch.unlink(missing_ok=True)
        return False
    return True


@contextmanager
def _locked(path: str) -> Iterator[None]:
    """Holds a lock on the file while others may replace it; goes without where that is impossible."""
    descriptor = _lock(path)
    try:
        yield
    finally:
        if descriptor is not None:
            os.close(descriptor)


def _lock(path: str) -> int | None:
    import fcntl

    end = time.monotonic() + _PATIENCE
    while os.path.isfile(path):  # noqa: PTH113 - a pipe can be opened only once
        try:
            descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
        except OSError:
            return None
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            if os.path.samestat(os.fstat(descriptor), os.stat(path)):  # noqa: PTH116 - a descriptor
                return descriptor
        except BlockingIOError:
            time.sleep(_PAUSE)
        except OSError:
            os.close(descriptor)
            return None
        os.close(descriptor)
        if time.monotonic() > end:
            return None
    return None
