"""Resolves references to secrets: variables, files and commands."""

from __future__ import annotations

import os
import threading
import time
from collections import Counter
from contextlib import suppress
from typing import TYPE_CHECKING, Final, NamedTuple, TypeAlias, cast

from reconciler.errors import InvalidValueError, Kind, Problem, SecretError, file_order
from reconciler.manifest.files import file_problem, read_bytes
from reconciler.manifest.secret_commands import HEARTBEAT, SecretCommandError, SecretCommands
from reconciler.model.desired import DesiredAccount
from reconciler.model.display import shorten
from reconciler.model.secret import LARGEST_SECRET, Secret, SecretReference, secret_text
from reconciler.model.server import parts_of, with_parts

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from reconciler.model.server import Credentials

    Use: TypeAlias = tuple[SecretReference, DesiredAccount | None]
    """A reference, and the account if it is an account's password."""

    LookUpError: TypeAlias = InvalidValueError | KeyError | UnicodeDecodeError | OSError | SecretCommandError
    """Why a look-up fails."""

COMMAND_TIMEOUT: Final = 30.0
"""Seconds."""

_WORKERS: Final = 8
_PATIENCE: Final = 2.0
"""Seconds that commands have to end after they were killed."""

_SOURCES: Final = {
    "env": ("the variable", Kind.SECRET_UNSET),
    "file": ("the file", Kind.SECRET_FILE),
    "command": ("its output", Kind.SECRET_COMMAND),
}
"""What messages call the source of a secret, and the kind of error if there is none."""

_NOT_IN_REPOSITORY: Final = (
    "the repository has no such file; one outside needs an absolute path, and a trust file that lists it",
    "if the file is outside the repository, write its absolute path and list it in a trust file (--trust)",
)
"""The reason and the hint for a file that may be beside a watcher, where the tutorial has it, but is not in Git."""


def without_secrets(accounts: Sequence[DesiredAccount]) -> tuple[DesiredAccount, ...]:
    """The accounts with each literal password replaced by a reference, for a plan that does not compare passwords."""
    return tuple(
        _with_password(entry, SecretReference("literal", (), entry.position))
        if isinstance(entry.account.fields.get("password"), Secret)
        else entry
        for entry in accounts
    )


def _with_password(entry: DesiredAccount, password: Secret | SecretReference) -> DesiredAccount:
    return DesiredAccount(entry.account.with_fields({"password": password}), *entry[1:])


class FailedReference(NamedTuple):
    """The reason why a reference gives no secret."""

    kind: Kind
    reason: str
    hint: str

    @classmethod
    def of(cls, error: LookUpError, reference: SecretReference, within: str | None = None) -> FailedReference:
        """The reason that an exception gives; ``within`` is the repository that the reference is in, if any."""
        what, kind = _SOURCES[reference.kind]
        match error:
            case InvalidValueError():
                kind, reason, hint = Kind.BAD_SECRET, f"{what} {error.message}", error.hint
            case KeyError():
                reason, hint = f"{what} is not set", f"set {shorten(reference.target[0], 60)} in the environment"
            case UnicodeDecodeError():
                reason, hint = f"{what} is not valid UTF-8", "a secret is text; save it as UTF-8"
            case OSError():
                reason = file_problem(reference.path, error).message
                hint = _path_hint(reference)
                if within is not None and isinstance(error, FileNotFoundError) and not _is_absolute(reference):
                    reason, hint = _NOT_IN_REPOSITORY
            case SecretCommandError():
                reason, hint = str(error), error.hint
        return cls(kind, reason, hint)

    def problem(self, use: Use, count: int) -> Problem:
        """The problem of a reference that occurs ``count`` times, reported where it is used first."""
        reference, holder = use
        many = f" ({count} accounts need it)" if holder and count > 1 else ""
        hint = self.hint
        if holder and self.kind is Kind.SECRET_UNSET:
            hint += "; without `password:`, an account that exists keeps its password"
        return Problem(
            kind=self.kind,
            message=f"{shorten(str(reference), 200)}: {self.reason}{many}",
            hint=hint,
            address=holder.account.email if holder else None,
            position=reference.position,
        )


def _is_absolute(reference: SecretReference) -> bool:
    return os.path.isabs(reference.target[0])  # noqa: PTH117 - paths stay as the user wrote them


def _path_hint(reference: SecretReference) -> str:
    if _is_absolute(reference):
        return "check the path and its permissions"
    return "the path is relative to the YAML file; check it and its permissions"


class SecretResolver:
    """Replaces references by secrets, and looks up every distinct reference once.

    Args:
        environ: The variables for ``env`` references, and the environment of commands.
        allow_commands: Whether commands may run.
        command_timeout: Seconds for one command.
        stop: Ends the commands when it is set.
        within: The repository that the manifests are in; ``None`` if they were not read from one.
    """

    def __init__(
        self,
        environ: Mapping[str, str],
        *,
        allow_commands: bool,
        command_timeout: float = COMMAND_TIMEOUT,
        stop: threading.Event | None = None,
        within: str | None = None,
    ) -> None:
        self._environ = environ
        self._allow_commands = allow_commands
        self._within = within
        self._is_over = threading.Event()
        self._commands = SecretCommands(environ, command_timeout, [self._is_over, *([stop] if stop else [])])

    def accounts(self, accounts: Sequence[DesiredAccount]) -> tuple[DesiredAccount, ...]:
        """The accounts with every password reference replaced by the secret.

        Raises:
            SecretError: With a problem for every distinct reference that fails, where it is used first.
        """
        passwords = [entry.account.fields.get("password") for entry in accounts]
        uses: list[Use] = [
            (password, entry)
            for password, entry in zip(passwords, accounts, strict=True)
            if isinstance(password, SecretReference)
        ]
        secrets = iter(self._secrets(uses))
        return tuple(
            _with_password(entry, next(secrets)) if isinstance(password, SecretReference) else entry
            for password, entry in zip(passwords, accounts, strict=True)
        )

    def credentials(self, credentials: Credentials) -> Credentials:
        """The credentials with every reference replaced by the secret; errors as for accounts."""
        references = {name: part for name, part in parts_of(credentials).items() if isinstance(part, SecretReference)}
        secrets = self._secrets([(reference, None) for reference in references.values()])
        return with_parts(credentials, dict(zip(references, secrets, strict=True)))

    def _secrets(self, uses: Sequence[Use]) -> list[Secret]:
        """The secret of every reference; distinct commands run in parallel.

        Raises:
            SecretError: With a problem for every distinct reference that fails.
        """
        keys = [reference.key for reference, _ in uses]
        first = dict(zip(reversed(keys), reversed(uses), strict=True))
        commands = [key for key, (reference, _) in first.items() if reference.kind == "command"]
        found = {key: self._look_up(first[key][0]) for key in first.keys() - commands}
        if commands:
            found.update(zip(commands, self._look_up_in_parallel([first[key][0] for key in commands]), strict=True))
        failures = {key: value for key, value in found.items() if isinstance(value, FailedReference)}
        if failures:
            counts = Counter(keys)
            problems = [failure.problem(first[key], counts[key]) for key, failure in failures.items()]
            raise SecretError(*sorted(problems, key=file_order))
        return [cast("Secret", found[key]) for key in keys]

    def _look_up_in_parallel(self, references: Sequence[SecretReference]) -> list[Secret | FailedReference]:
        from concurrent.futures import Future, ThreadPoolExecutor, wait

        pool = ThreadPoolExecutor(min(_WORKERS, len(references)), "secret")
        futures: list[Future[Secret | FailedReference]] = []
        try:
            futures += (pool.submit(self._look_up, reference) for reference in references)
            return [future.result() for future in futures]
        finally:
            # A command still runs here only after Ctrl-C, which does not reach it, as it has a session of its own. The
            # process must not end before it is killed.
            self._is_over.set()
            pool.shutdown(wait=False, cancel_futures=True)
            end = time.monotonic() + _PATIENCE
            while (left := [one for one in futures if not one.done()]) and time.monotonic() < end:
                with suppress(KeyboardInterrupt):  # a program that forwards Ctrl-C sends it a second time
                    wait(left, timeout=HEARTBEAT)

    def _look_up(self, reference: SecretReference) -> Secret | FailedReference:
        if reference.kind == "command" and not self._allow_commands:
            hint = "pass --allow-commands if the YAML is trusted: anyone who may change it can run any command"
            return FailedReference(Kind.COMMANDS_NOT_ALLOWED, "commands are not allowed to run", hint)
        try:
            secret = secret_text(self._text(reference))
        except (InvalidValueError, KeyError, UnicodeDecodeError, OSError, SecretCommandError) as error:
            return FailedReference.of(error, reference, self._within)
        if not secret:
            return FailedReference(Kind.SECRET_EMPTY, "it is empty", "give it a value")
        return Secret(secret, reference.source)

    def _text(self, reference: SecretReference) -> str:
        if reference.kind == "env":
            return self._environ[reference.target[0]]
        if reference.kind == "file":
            return read_bytes(reference.path, LARGEST_SECRET).decode()
        return self._commands.output_of(reference.target, reference.folder).decode()
