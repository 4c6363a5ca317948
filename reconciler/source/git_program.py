"""Runs the git program: without questions, without what a repository could run, and never beyond a time limit."""

from __future__ import annotations

import os
import re
import select
import signal
import subprocess
import sys
import tempfile
import threading
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from typing import IO, TYPE_CHECKING, Final

from reconciler.errors import Kind, SourceError
from reconciler.manifest.values import is_own
from reconciler.model.display import sanitize
from reconciler.model.redaction import Redactor

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence
    from pathlib import Path

_OPTIONS: Final = (
    "--no-pager",
    "--literal-pathspecs",
    *("-c", "core.hooksPath=/dev/null"),
    *("-c", "core.fsmonitor=false"),
    *("-c", "submodule.recurse=false"),
    *("-c", "credential.interactive=false"),
    *("-c", "maintenance.auto=false"),  # see Repository.tidy
    *("-c", "gc.autoDetach=false"),  # a detached process would outlive the time limit
)

_PROTOCOLS: Final = "file:git:http:https:ssh"
"""Others are programs, such as ``ext::``, which runs any command."""

_LOCAL: Final = frozenset(
    [
        "GIT_ALTERNATE_OBJECT_DIRECTORIES",
        "GIT_COMMON_DIR",
        "GIT_CONFIG",
        "GIT_DIR",
        "GIT_EXTERNAL_DIFF",
        "GIT_GRAFT_FILE",
        "GIT_INDEX_FILE",
        "GIT_NAMESPACE",
        "GIT_OBJECT_DIRECTORY",
        "GIT_PREFIX",
        "GIT_QUARANTINE_PATH",
        "GIT_REPLACE_REF_BASE",
        "GIT_SHALLOW_FILE",
        "GIT_WORK_TREE",
    ]
)
"""Variables that name another repository, as in a hook. Those that configure git stay."""

_LEAST_SPACE: Final = 16 * 1024
_DISK_FULL: Final = ("No space left on device", "Disk quota exceeded")
_USER_INFORMATION: Final = re.compile(r"(?<=://)[^/\s@]*(?:@[^/\s@]*)*@")
_NOISE: Final = re.compile(
    r"^(?:fatal|error): (?:Could not read from remote repository\.$)?"
    r"|^Please make sure you have the correct access rights$|^and the repository exists\.$",
    re.MULTILINE,
)
_LONGEST_OUTPUT: Final = 1024 * 1024
_LONGEST_REASON: Final = 400


class GitError(SourceError):
    """A git command failed.

    Attributes:
        reason: What git printed, safe to show.
    """

    reason = ""


@dataclass(frozen=True, slots=True)
class _Result:
    code: int
    output: str
    errors: str


class Git:
    """The git program. One thread runs commands; ``end`` may be called from any.

    Credentials come from git's own configuration: credential helpers, the SSH agent, ``http.extraHeader``.
    """

    def __init__(self, folder: Path, timeout: float, environ: Mapping[str, str] | None = None) -> None:
        """Takes the working directory of all commands, the seconds that each may take, and the environment."""
        self._folder = folder
        self._timeout = timeout
        self._environ = _environment(os.environ if environ is None else environ)
        self._environ["GIT_CEILING_DIRECTORIES"] = os.path.realpath(folder.parent)  # the folder may be in a repository
        self._lock = threading.Lock()
        self._process: subprocess.Popen[bytes] | None = None
        self._ended = False
        self._asks_nothing = False

    def run(self, *arguments: str, environ: Mapping[str, str] | None = None) -> str:
        """The standard output of a command.

        Raises:
            GitError: It failed.
            SourceError: It took too long, the disk is full, or git is not installed.
        """
        result = self._run(arguments, environ or {})
        if result.code:
            raise self._failure(_command(arguments), result)
        return result.output

    def ask(self, *arguments: str, environ: Mapping[str, str] | None = None) -> str | None:
        """The standard output of a command; ``None`` if it ends with 1, which means no.

        Raises:
            GitError: It ended with any other code.
            SourceError: As ``run``.
        """
        result = self._run(arguments, environ or {})
        if result.code not in {0, 1}:
            raise self._failure(_command(arguments), result)
        return None if result.code else result.output

    def end(self) -> None:
        """Kills the command that runs, and lets none start any more."""
        with self._lock:
            self._ended = True
            if self._process is not None:
                _kill(self._process)

    def _run(self, arguments: Sequence[str], environ: Mapping[str, str]) -> _Result:
        self._forbid_questions_of_ssh()
        return self._finished(arguments, {**self._environ, **environ})

    def _forbid_questions_of_ssh(self) -> None:
        """Makes ssh fail rather than ask, unless the user has configured how to call it."""
        if self._asks_nothing or "GIT_SSH_COMMAND" in self._environ or "GIT_SSH" in self._environ:
            return
        if self._finished(("config", "--get", "core.sshCommand"), self._environ).code:
            self._environ["GIT_SSH_COMMAND"] = "ssh -o BatchMode=yes"
        self._asks_nothing = True

    def _finished(self, arguments: Sequence[str], environ: Mapping[str, str]) -> _Result:
        # Not pipes: a background process that a helper leaves behind, such as a shared SSH connection, keeps them open.
        with _buffer() as output, _buffer() as errors:
            with self._started(arguments, environ, output, errors) as process:
                if not _has_ended(process, self._timeout):
                    raise self._timed_out(arguments)
            if self._ended:
                raise _stopped()
            return _Result(process.returncode, _text(output), _text(errors))

    @contextmanager
    def _started(
        self, arguments: Sequence[str], environ: Mapping[str, str], output: IO[bytes], errors: IO[bytes]
    ) -> Iterator[subprocess.Popen[bytes]]:
        with self._lock:
            if self._ended:
                raise _stopped()
            try:
                process = self._process = subprocess.Popen(  # noqa: S603 - arguments of ours, after which nothing is an option
                    ["git", *_OPTIONS, *arguments],  # noqa: S607 - the user's git
                    cwd=self._folder,
                    env=dict(environ),
                    stdin=subprocess.DEVNULL,
                    stdout=output,
                    stderr=errors,
                    start_new_session=True,
                )
            except OSError as error:
                raise _not_started(error) from None
        try:
            yield process
        finally:
            with self._lock:
                self._process = None
            if process.returncode is None:
                _kill(process)
                process.wait()

    def _failure(self, command: str, result: _Result) -> SourceError:
        if any(words in result.errors for words in _DISK_FULL) or self._is_disk_full():
            return disk_full()
        # Git prints URLs as the user's `url.*.insteadOf` rewrites them, which may contain credentials.
        errors = _USER_INFORMATION.sub("", _NOISE.sub("", result.errors))
        reason = sanitize(errors, Redactor(), _LONGEST_REASON) or f"exit code {result.code}"
        error = GitError.of(f"git {command} failed: {reason}", kind=Kind.GIT_FAILED, hint=_hint(result.errors))
        error.reason = reason
        return error

    def _is_disk_full(self) -> bool:
        """Whether nothing can be written: git does not always say why it could not write a file."""
        status = os.statvfs(self._folder)
        return status.f_bavail * status.f_frsize < _LEAST_SPACE or (status.f_files > 0 and status.f_favail == 0)

    def _timed_out(self, arguments: Sequence[str]) -> SourceError:
        message = f"git {_command(arguments)} took longer than {self._timeout:g} seconds"
        hint = "check whether the remote can be reached, and whether it responds"
        return SourceError.of(message, kind=Kind.GIT_TIMEOUT, hint=hint)


def disk_full() -> SourceError:
    """The error if the state directory cannot take more data."""
    hint = "free some space on the disk of the state directory"
    return SourceError.of("no space is left for the Git repository", kind=Kind.DISK_FULL, hint=hint)


def _environment(environ: Mapping[str, str]) -> dict[str, str]:
    """The environment of git and of what it starts, without our own credentials."""
    kept = {
        name: value
        for name, value in environ.items()
        if name not in _LOCAL and not name.startswith("GIT_TRACE") and not is_own(name)
    }
    fixed = {
        "GCM_INTERACTIVE": "never",
        "GIT_ALLOW_PROTOCOL": _PROTOCOLS,
        "GIT_NO_REPLACE_OBJECTS": "1",
        "GIT_TERMINAL_PROMPT": "0",
        "LC_ALL": "C",
    }
    return {**kept, **fixed}


def _buffer() -> IO[bytes]:
    """A file in memory if possible: the disk may be full."""
    if sys.platform == "linux":
        return os.fdopen(os.memfd_create("git"), "w+b")
    return tempfile.TemporaryFile()


def _has_ended(process: subprocess.Popen[bytes], timeout: float) -> bool:
    """Waits for the end of a process. ``Popen.wait`` alone notices it late, and a fetch takes ten commands."""
    if sys.platform == "linux":
        with suppress(OSError):  # old kernels, and sandboxes
            _wait(os.pidfd_open(process.pid), timeout)
            timeout = 0
    with suppress(subprocess.TimeoutExpired):
        process.wait(timeout)
    return process.returncode is not None


def _wait(descriptor: int, timeout: float) -> None:
    try:
        waiting = select.poll()
        waiting.register(descriptor, select.POLLIN)
        waiting.poll(timeout * 1000)
    finally:
        os.close(descriptor)


def _text(buffer: IO[bytes]) -> str:
    buffer.seek(0)
    return buffer.read(_LONGEST_OUTPUT).decode(errors="replace")


def _kill(process: subprocess.Popen[bytes]) -> None:
    """Kills a command and everything that it started."""
    with suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGKILL)


def _command(arguments: Sequence[str]) -> str:
    """The name of the command, without the options of git before it."""
    return next(argument for argument in arguments if not argument.startswith("-") and "=" not in argument)


_NO_CREDENTIALS: Final = (
    "could not read Username",
    "could not read Password",
    "unable to get password from user",  # Git 2.55
    "Permission denied",
)


def _hint(errors: str) -> str:
    if any(words in errors for words in _NO_CREDENTIALS):
        return "give git credentials for this URL: a credential helper, an SSH key, or http.extraHeader"
    if "Host key verification failed" in errors:
        return "add the host's key to the known_hosts file of the current user"
    return "run git ls-remote with the same URL as the same user to see what is wrong"


def _not_started(error: OSError) -> SourceError:
    if isinstance(error, FileNotFoundError) and error.filename == "git":
        return SourceError.of("the git program is not installed", kind=Kind.GIT_MISSING, hint="install git")
    return SourceError.of(
        f"git cannot be started: {error.strerror}", kind=Kind.GIT_FAILED, hint="check the state directory"
    )


def _stopped() -> SourceError:
    return SourceError.of("the fetch was stopped", kind=Kind.INTERRUPTED)
