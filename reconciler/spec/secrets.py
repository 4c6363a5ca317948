"""Secret references to secrets: variables, files and commands."""

from __future__ import annotations

import os
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final, NamedTuple

from reconciler.errors import Problem, SecretError
from reconciler.model.account import Account
from reconciler.model.desired import AccessToken, Credentials, DesiredAccount, Login, RefreshToken
from reconciler.model.secret import Secret, SecretReference
from reconciler.spec.commands import COMMAND_TIMEOUT, CommandError, Commands
from reconciler.spec.places import lines_of
from reconciler.spec.shown import escaped
from reconciler.spec.values import is_unicode

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from reconciler.model.desired import Origin

_LARGEST_FILE: Final = 1024 * 1024
_WORKERS: Final = 8


@dataclass(frozen=True, slots=True)
class _Failure:
    kind: str
    reason: str
    hint: str


class _Use(NamedTuple):
    """A reference, and what needs it."""

    reference: SecretReference
    address: str | None = None
    origin: Origin | None = None


def resolve_accounts(
    accounts: Sequence[DesiredAccount],
    *,
    environ: Mapping[str, str],
    allow_commands: bool,
    command_timeout: float = COMMAND_TIMEOUT,
) -> tuple[DesiredAccount, ...]:
    """The accounts with every password reference replaced by the secret.

    Args:
        accounts: From ``read_desired``.
        environ: Where ``env`` references look, and what commands get as their environment.
        allow_commands: Whether commands may run.
        command_timeout: Seconds for one command.

    Raises:
        SecretError: With a problem for every reference that fails.
    """
    uses = [
        _Use(password, entry.account.email, entry.origin)
        for entry in accounts
        if isinstance(password := entry.account.fields.get("password"), SecretReference)
    ]
    resolver = _Resolver(environ, allow_commands=allow_commands, command_timeout=command_timeout)
    secrets = iter(resolver.secrets(uses))
    return tuple(
        _with_password(entry, next(secrets))
        if isinstance(entry.account.fields.get("password"), SecretReference)
        else entry
        for entry in accounts
    )


def resolve_credentials(
    credentials: Credentials,
    *,
    environ: Mapping[str, str],
    allow_commands: bool,
    command_timeout: float = COMMAND_TIMEOUT,
) -> Credentials:
    """The credentials with every reference replaced by the secret; arguments and errors as ``resolve_accounts``."""
    parts = [credentials.username, credentials.password] if isinstance(credentials, Login) else [credentials.token]
    resolver = _Resolver(environ, allow_commands=allow_commands, command_timeout=command_timeout)
    secrets = iter(resolver.secrets([_Use(part) for part in parts if isinstance(part, SecretReference)]))
    found = [next(secrets) if isinstance(part, SecretReference) else part for part in parts]
    if isinstance(credentials, Login):
        return Login(found[0], found[1])
    return AccessToken(found[0]) if isinstance(credentials, AccessToken) else RefreshToken(found[0])


def _with_password(entry: DesiredAccount, password: Secret) -> DesiredAccount:
    account = entry.account
    fields = {**account.fields, "password": password}
    return DesiredAccount(Account(fields, account.id, account.extra), entry.origin, entry.renamed_from, entry.test)


class _Resolver:
    """Looks every distinct reference up once."""

    def __init__(self, environ: Mapping[str, str], *, allow_commands: bool, command_timeout: float) -> None:
        self._environ = environ
        self._allow_commands = allow_commands
        self._commands = Commands(environ, command_timeout)

    def secrets(self, uses: Sequence[_Use]) -> list[Secret]:
        """The secret of every reference, distinct commands in parallel. Raises ``SecretError``."""
        keys = [_identity(use.reference) for use in uses]
        distinct = {key: use.reference for key, use in zip(keys, uses, strict=True)}
        commands = {key: reference for key, reference in distinct.items() if reference.kind == "command"}
        found = {key: self._look_up(distinct[key]) for key in distinct.keys() - commands.keys()}
        if commands:
            found.update(zip(commands, self._look_up_side_by_side(tuple(commands.values())), strict=True))
        failures = {key: value for key, value in found.items() if isinstance(value, _Failure)}
        if failures:
            used = zip(keys, uses, strict=True)
            raise SecretError(*_problems((use, failures[key]) for key, use in used if key in failures))
        known = {key: value for key, value in found.items() if isinstance(value, Secret)}
        return [known[key] for key in keys]

    def _look_up_side_by_side(self, references: Sequence[SecretReference]) -> list[Secret | _Failure]:
        from concurrent.futures import ThreadPoolExecutor

        pool = ThreadPoolExecutor(min(_WORKERS, len(references)), "secret")
        try:
            return list(pool.map(self._look_up, references))
        finally:
            # Nothing is left to end, unless Ctrl-C came in between: then nobody waits for a command any more.
            pool.shutdown(wait=False, cancel_futures=True)
            self._commands.end()

    def _look_up(self, reference: SecretReference) -> Secret | _Failure:
        if reference.kind == "env":
            found = self._variable(reference)
        elif reference.kind == "file":
            found = _content(reference)
        else:
            found = self._output(reference)
        if isinstance(found, _Failure):
            return found
        return Secret(found) if found else _Failure("secret_empty", "it is empty", "give it a value")

    def _variable(self, reference: SecretReference) -> str | _Failure:
        name = reference.target[0]
        if name not in self._environ:
            return _Failure("secret_unset", "the variable is not set", f"set {escaped(name)} in the environment")
        value = self._environ[name]
        if is_unicode(value):
            return value
        return _Failure("secret_unset", "the variable is not valid UTF-8", f"set {escaped(name)} anew")

    def _output(self, reference: SecretReference) -> str | _Failure:
        if not self._allow_commands:
            hint = "pass --allow-commands where the YAML is trusted: whoever may change it may run any command"
            return _Failure("commands_not_allowed", "commands are not allowed to run", hint)
        try:
            output = self._commands.output_of(reference.target, _folder(reference))
        except CommandError as error:
            return _Failure("secret_command", str(error), "run the command by hand to see what is wrong")
        return _decoded(output, "secret_command", "its output")


def _content(reference: SecretReference) -> str | _Failure:
    path = os.path.join(_folder(reference), reference.target[0])  # noqa: PTH118 - one style with _folder
    try:
        with open(path, "rb") as stream:  # noqa: PTH123 - as above
            data = stream.read(_LARGEST_FILE + 1)
    except OSError as error:
        hint = "the path is relative to the YAML file; check it and its permissions"
        return _Failure("secret_file", f"the file cannot be read: {error.strerror}", hint)
    if len(data) > _LARGEST_FILE:
        return _Failure("secret_file", "the file is larger than 1 MiB", "is this the file you mean?")
    return _decoded(data, "secret_file", "the file")


def _decoded(data: bytes, kind: str, what: str) -> str | _Failure:
    try:
        text = data.decode()
    except UnicodeDecodeError:
        return _Failure(kind, f"{what} is not valid UTF-8", "a secret is text")
    return text.removesuffix("\n").removesuffix("\r") if text.endswith("\n") else text


def _folder(reference: SecretReference) -> str:
    return os.path.dirname(os.path.abspath(reference.file))  # noqa: PTH100, PTH120 - names stay as the user wrote them


def _identity(reference: SecretReference) -> tuple[object, ...]:
    where = None if reference.kind == "env" else _folder(reference)
    return reference.kind, reference.target, where


def _problems(failed: Iterable[tuple[_Use, _Failure]]) -> list[Problem]:
    by_file: dict[str, list[tuple[_Use, _Failure]]] = {}
    for use, failure in failed:
        by_file.setdefault(use.reference.file, []).append((use, failure))
    problems = []
    for file, uses in sorted(by_file.items()):
        lines = lines_of(file, {use.reference.path for use, _ in uses})
        problems += [_problem(use, failure, lines.get(use.reference.path)) for use, failure in uses]
    return sorted(problems, key=lambda problem: (problem.file or "", problem.line or 0))


def _problem(use: _Use, failure: _Failure, line: int | None) -> Problem:
    fallback = use.origin.line if use.origin else None
    return Problem(
        kind=failure.kind,
        message=f"{escaped(str(use.reference), 200)}: {failure.reason}",
        hint=failure.hint,
        address=use.address,
        file=use.reference.file,
        line=fallback if line is None else line,
    )
