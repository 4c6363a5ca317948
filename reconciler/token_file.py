"""A token in a file. If the server replaces a refresh token, the file gets the new one, even if other runs use it."""

from __future__ import annotations

import os
import stat
import time
from contextlib import contextmanager, nullcontext, suppress
from pathlib import Path
from typing import TYPE_CHECKING, Final

from reconciler.errors import InvalidValueError, Kind, Problem, SecretError
from reconciler.model.display import display_path
from reconciler.model.secret import LARGEST_SECRET, Secret, secret_text

if TYPE_CHECKING:
    from collections.abc import Iterator, MutableMapping
    from contextlib import AbstractContextManager

    from reconciler.model.ports import Notifier

_LOCK_TIMEOUT: Final = 30.0
_LOCK_PAUSE: Final = 0.05


class _WarningTokenKeeper:
    """What the keepers of a refresh token have in common."""

    def __init__(self, notifier: Notifier) -> None:
        self._notifier = notifier
        self._has_refused = False

    def refuse(self, reason: str) -> None:
        """Warns, once, that the server replaced the token by one that cannot be used."""
        if self._has_refused:
            return
        self._has_refused = True
        message = f"the server replaced the refresh token, and the new one cannot be used: it {reason}"
        hint = "this run goes on with the previous one; if it is refused, make a new key in the server's interface"
        self._notifier.warn(Problem(kind=Kind.REFRESH_TOKEN_LOST, message=message, hint=hint))


class ReadOnlyTokenKeeper(_WarningTokenKeeper):
    """The keeper of a refresh token from a source that cannot be written to, such as a variable.

    Args:
        source: Where it came from.
        notifier: Prints that the token was replaced.
        key: Stands for the token and for the server that may have it.
        replaced: By key, the token that the server gave last. A process with several runs passes it to all of them.
    """

    def __init__(
        self,
        source: str,
        notifier: Notifier,
        key: object = None,
        replaced: MutableMapping[object, Secret] | None = None,
    ) -> None:
        super().__init__(notifier)
        self._source = source
        self._key = key
        self._replaced = {} if replaced is None else replaced

    def locked(self) -> AbstractContextManager[Secret | None]:
        """Does not wait for other runs. Yields the token that an earlier run of this process got, if any."""
        return nullcontext(self._replaced.get(self._key))

    def store(self, token: Secret) -> None:
        """Keeps the token as long as the process lives. Warns, once, that only this process knows it."""
        is_known = self._key in self._replaced
        self._replaced[self._key] = token
        if is_known:
            return
        message = f"the server replaced the refresh token; the one from {self._source} may not work again"
        hint = (
            "keep the token in a file and name it with --refresh-token-file: the new one is then written there;"
            " make a new key in the server's interface now"
        )
        self._notifier.warn(Problem(kind=Kind.REFRESH_TOKEN_REPLACED, message=message, hint=hint))


class FileTokenKeeper(_WarningTokenKeeper):
    """A file that contains a token and nothing else; the keeper of a refresh token."""

    def __init__(self, path: str, notifier: Notifier) -> None:
        super().__init__(notifier)
        self._path = path
        self._known = ""

    def read(self) -> Secret:
        """The token.

        Raises:
            SecretError: The file cannot be read, or contains something else.
        """
        token = read_token(self._path)
        self._known = token.reveal()
        return token

    @contextmanager
    def locked(self) -> Iterator[Secret | None]:
        """Locks the file, so that parallel runs exchange one at a time; yields the token that another run stored."""
        with _locked(self._path):
            yield self._left_by_others()

    def _left_by_others(self) -> Secret | None:
        if not os.path.isfile(self._path):  # noqa: PTH113 - a pipe can be read only once
            return None
        known = self._known
        with suppress(SecretError):
            token = self.read()
            return None if token.reveal() == known else token
        return None

    def store(self, token: Secret) -> None:
        """Writes the token to the file, as a whole or not at all."""
        try:
            _replace(Path(self._path).resolve(), token.reveal())
        except (OSError, RuntimeError, ValueError) as error:
            reason = (error.strerror if isinstance(error, OSError) else None) or "it is not a file that can be written"
            message = f"the server replaced the refresh token, and {self._path} cannot be written: {reason}"
            hint = (
                "this run goes on with it; make the file writable, and put a new key from the server's interface"
                " into it before the next run"
            )
            self._notifier.warn(Problem(kind=Kind.REFRESH_TOKEN_LOST, message=message, hint=hint))
        else:
            self._known = token.reveal()
            self._notifier.note(f"wrote {self._path}: the server replaced the refresh token")


def secret_from_string(name: str, text: str) -> Secret:
    """The secret in a variable or a file that the user names, by the rules of ``secret_text``.

    Args:
        name: What messages call it.
        text: Its content.

    Raises:
        SecretError: It cannot be a secret, or is empty.
    """
    try:
        secret = secret_text(text)
    except InvalidValueError as error:
        raise SecretError.of(f"{name} {error.message}", kind=Kind.BAD_SECRET, hint=error.hint) from None
    if not secret:
        raise SecretError.of(f"{name} is empty", kind=Kind.SECRET_EMPTY, hint="put the secret into it")
    return Secret(secret)


def read_token(path: str) -> Secret:
    """The secret in a file that contains nothing else.

    Raises:
        SecretError: The file cannot be read, or contains something else.
    """
    from reconciler.manifest.files import read_bytes

    name = display_path(path)
    try:
        text = read_bytes(path, LARGEST_SECRET, allow_pipe=True).decode()
    except (OSError, ValueError) as error:
        reason = (error.strerror if isinstance(error, OSError) else None) or "not a text file"
        hint = "name a file that this user can read, with the secret alone in it"
        raise SecretError.of(f"cannot read {name}: {reason}", kind=Kind.SECRET_FILE, hint=hint) from None
    return secret_from_string(name, text)


def _replace(target: Path, token: str) -> None:
    """Replaces a file's token, and keeps its line ending, its mode, its owner and its links."""
    from reconciler.manifest.files import replace_file

    status = target.stat()
    if not stat.S_ISREG(status.st_mode):
        raise ValueError("not a file")
    if not os.access(target, os.W_OK):
        raise PermissionError(13, os.strerror(13))
    with target.open("rb") as file:
        before = file.read(LARGEST_SECRET)
    data = token.encode() + before[len(before.removesuffix(b"\n").removesuffix(b"\r")) :]
    if status.st_nlink == 1:
        with suppress(OSError):  # the owner cannot be kept, or the folder is read-only
            replace_file(target, data, mode=stat.S_IMODE(status.st_mode), owner=(status.st_uid, status.st_gid))
            return
    with target.open("r+b") as file:
        file.write(data)
        file.truncate()
        file.flush()
        os.fsync(file.fileno())


@contextmanager
def _locked(path: str) -> Iterator[None]:
    """Holds a lock on the file, which other runs may replace. If that is impossible, continues without it."""
    descriptor = _lock(path)
    try:
        yield
    finally:
        if descriptor is not None:
            os.close(descriptor)


def _lock(path: str) -> int | None:
    import fcntl

    end = time.monotonic() + _LOCK_TIMEOUT
    while os.path.isfile(path) and time.monotonic() < end:  # noqa: PTH113 - a pipe can be opened only once
        try:
            descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
        except OSError:
            return None
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            if os.path.samestat(os.fstat(descriptor), os.stat(path)):  # noqa: PTH116 - a descriptor
                return descriptor
        except BlockingIOError:
            time.sleep(_LOCK_PAUSE)
        except OSError:
            os.close(descriptor)
            return None
        os.close(descriptor)
    return None
