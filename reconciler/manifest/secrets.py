"""Secret references to secrets: variables, files and commands."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final, NamedTuple

from reconciler.errors import InvalidValueError, Kind, Problem, SecretError, file_order
from reconciler.manifest.commands import COMMAND_TIMEOUT, Commands, SecretCommandError
from reconciler.manifest.files import NotRegularError, TooLargeError, read_bytes
from reconciler.manifest.references import folder_of, path_of, secret_text
from reconciler.manifest.values import is_own
from reconciler.model.account import Account
from reconciler.model.desired import DesiredAccount
from reconciler.model.display import shorten
from reconciler.model.secret import Secret, SecretReference
from reconciler.model.server import AccessToken, Credentials, Login, RefreshToken

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

_LARGEST_FILE: Final = 64 * 1024
_WORKERS: Final = 8


@dataclass(frozen=True, slots=True)
class _Failure:
    kind: str
    reason: str
    hint: str


class _Use(NamedTuple):
    """A reference that fails: how many need it, and the first account of them, if it is an account."""

    reference: SecretReference
    needed: int
    holder: DesiredAccount | None = None


def resolve_accounts(
    accounts: Sequence[DesiredAccount],
    *,
    environ: Mapping[str, str],
    allow_commands: bool,
    command_timeout: float = COMMAND_TIMEOUT,
) -> tuple[DesiredAccount, ...]:
    """The accounts with every password reference replaced by the secret.

    Args:
        accounts: From ``read_manifests``.
        environ: Where ``env`` references look, and what commands get as their environment.
        allow_commands: Whether commands may run.
        command_timeout: Seconds for one command.

    Raises:
        SecretError: With a problem for every distinct reference that fails, where it is needed first.
    """
    holders, references = [], []
    for entry in accounts:
        if isinstance(password := entry.account.fields.get("password"), SecretReference):
            holders.append(entry)
            references.append(password)
    resolver = _Resolver(environ, allow_commands=allow_commands, command_timeout=command_timeout)
    secrets = iter(resolver.secrets(references, holders))
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
    secrets = iter(resolver.secrets([part for part in parts if isinstance(part, SecretReference)]))
    found = [next(secrets) if isinstance(part, SecretReference) else part for part in parts]
    if isinstance(credentials, Login):
        return Login(found[0], found[1])
    return AccessToken(found[0]) if isinstance(credentials, AccessToken) else RefreshToken(found[0])


def without_secrets(accounts: Sequence[DesiredAccount]) -> tuple[DesiredAccount, ...]:
    """The accounts with references alone as passwords, for a plan that does not compare them."""
    return tuple(
        _with_password(entry, SecretReference("literal", (), entry.position))
        if isinstance(entry.account.fields.get("password"), Secret)
        else entry
        for entry in accounts
    )


def _with_password(entry: DesiredAccount, password: Secret | SecretReference) -> DesiredAccount:
    account = entry.account
    fields = {**account.fields, "password": password}
    return DesiredAccount(Account(fields, account.id, account.extra), entry.position, entry.renamed_from, entry.test)


class _Resolver:
    """Looks every distinct reference up once."""

    def __init__(self, environ: Mapping[str, str], *, allow_commands: bool, command_timeout: float) -> None:
        self._environ = environ
        self._allow_commands = allow_commands
        # What a pull request can run must not see our own credentials.
        own = {name: value for name, value in environ.items() if not is_own(name)}
        self._commands = Commands(own, command_timeout)

    def secrets(self, references: Sequence[SecretReference], holders: Sequence[DesiredAccount] = ()) -> list[Secret]:
        """The secret of every reference, distinct commands in parallel.

        Args:
            references: May stand for the same secret, which is then looked up once.
            holders: The accounts that they belong to, where they do.

        Raises:
            SecretError: With a problem for every distinct reference that fails.
        """
        distinct: dict[tuple[object, ...], int] = {}  # where each stands first
        firsts = [distinct.setdefault(_identity(one), index) for index, one in enumerate(references)]
        commands = [index for index in distinct.values() if references[index].kind == "command"]
        found = {
            index: self._look_up(one) for index in distinct.values() if (one := references[index]).kind != "command"
        }
        if commands:
            outputs = self._look_up_side_by_side([references[index] for index in commands])
            found.update(zip(commands, outputs, strict=True))
        failures = {index: value for index, value in found.items() if isinstance(value, _Failure)}
        if failures:
            counts = Counter(firsts)
            uses = [_Use(references[index], counts[index], *holders[index : index + 1]) for index in failures]
            raise SecretError(*sorted(map(_problem, uses, failures.values()), key=file_order))
        known = {index: value for index, value in found.items() if isinstance(value, Secret)}
        return [known[index] for index in firsts]

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
        return (
            Secret(found, reference.source) if found else _Failure(Kind.SECRET_EMPTY, "it is empty", "give it a value")
        )

    def _variable(self, reference: SecretReference) -> str | _Failure:
        name = reference.target[0]
        if name not in self._environ:
            return _Failure(Kind.SECRET_UNSET, "the variable is not set", f"set {shorten(name, 60)} in the environment")
        return _bare(self._environ[name], "the variable")

    def _output(self, reference: SecretReference) -> str | _Failure:
        if not self._allow_commands:
            hint = "pass --allow-commands where the YAML is trusted: whoever may change it may run any command"
            return _Failure(Kind.COMMANDS_NOT_ALLOWED, "commands are not allowed to run", hint)
        try:
            output = self._commands.output_of(reference.target, folder_of(reference))
        except SecretCommandError as error:
            return _Failure(Kind.SECRET_COMMAND, str(error), "run the command by hand to see what is wrong")
        return _decoded(output, Kind.SECRET_COMMAND, "its output")


def _content(reference: SecretReference) -> str | _Failure:
    path = path_of(reference)
    try:
        data = read_bytes(path, _LARGEST_FILE)
    except NotRegularError:
        return _Failure(Kind.SECRET_FILE, "this is not a regular file", "name a file; a pipe or a device may never end")
    except TooLargeError:
        return _Failure(Kind.SECRET_FILE, "the file is larger than 64 KiB", "is this the file you mean?")
    except OSError as error:
        hint = "the path is relative to the YAML file; check it and its permissions"
        return _Failure(Kind.SECRET_FILE, f"the file cannot be read: {error.strerror}", hint)
    return _decoded(data, Kind.SECRET_FILE, "the file")


def _decoded(data: bytes, kind: str, what: str) -> str | _Failure:
    try:
        return _bare(data.decode(), what)
    except UnicodeDecodeError:
        return _Failure(kind, f"{what} is not valid UTF-8", "a secret is text; save it as UTF-8")


def _bare(text: str, what: str) -> str | _Failure:
    try:
        return secret_text(text)
    except InvalidValueError as error:
        return _Failure(Kind.BAD_SECRET, f"{what} {error.message}", error.hint)


def _identity(reference: SecretReference) -> tuple[object, ...]:
    where = None if reference.kind == "env" else folder_of(reference)
    return reference.kind, reference.target, where


def _problem(use: _Use, failure: _Failure) -> Problem:
    holder = use.holder
    many = f" ({use.needed} accounts need it)" if holder and use.needed > 1 else ""
    return Problem(
        kind=failure.kind,
        message=f"{shorten(str(use.reference), 200)}: {failure.reason}{many}",
        hint=failure.hint,
        address=holder.account.email if holder else None,
        position=use.reference.position,
    )
