"""Checks that the YAML uses only what it may use, before anything is resolved, run or sent.

Some rules always hold: a reference must not name our own credentials, or what the system shows about processes. Without
a trust file, files with secrets must be near the YAML. With one, everything that the YAML uses must be listed in it.
"""

from __future__ import annotations

import os
import re
from dataclasses import replace
from typing import TYPE_CHECKING, Final, NamedTuple, TypeAlias

from reconciler.errors import Kind, NotTrustedError, Problem, file_order
from reconciler.manifest.discovery import AllowedRoots, file_identity, is_below, system_folder
from reconciler.manifest.values import is_own
from reconciler.model.display import shorten
from reconciler.model.secret import SecretReference
from reconciler.model.server import parts_of
from reconciler.model.trust import escaped_pattern, path_matches, smtp_servers_of

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping, Sequence

    from reconciler.errors import Position
    from reconciler.model.desired import Desired, DesiredAccount
    from reconciler.model.trust import Trust

# ruff: noqa: PTH100, PTH117, PTH118, PTH120 - paths are strings, as in files.py

Refusal: TypeAlias = tuple[str, str]
"""The reason why something must not be used, and a hint."""

_LIST_IT: Final = "list it in the trust file if this is intended, or use another one"
_SECRETS_FOLDER: Final = "/run/secrets"
_WILDCARD: Final = r"[*?]|\[[*?\[$]\]"


class TrustCheckContext(NamedTuple):
    """What is about to be done with the YAML.

    Attributes:
        paths: The files and folders that the user named; ``None`` if it does not matter yet where files are.
        within: The only folder that the paths allow; ``None`` for the paths and the working directory.
        url: The server that passwords go to; ``None`` if it is not known, or does not matter without a trust file.
        name: The server's name; ``${name}`` in a trust file.
        own_files: The files that command-line options name.
        to_email: The recipient of all test mails, if the command line names one.
    """

    paths: Sequence[str] | None
    environ: Mapping[str, str]
    url: str | None = None
    name: str = ""
    own_files: Sequence[str] = ()
    to_email: str | None = None
    within: str | None = None


def check_trust(desired: Desired, trust: Trust | None, request: TrustCheckContext) -> None:
    """Checks that the YAML uses only what it may use.

    Raises:
        NotTrustedError: With everything that it must not use, by position.
    """
    problems = list(_refused_references(desired, trust, request))
    if trust:
        problems += _refused_destinations(desired, trust, request)
    if problems:
        raise NotTrustedError(*_grouped(problems))


def references_of(desired: Desired) -> Iterator[tuple[SecretReference, DesiredAccount | None]]:
    """Every reference of the YAML, with the account whose password it is."""
    for part in parts_of(desired.server.auth).values():
        if isinstance(part, SecretReference):
            yield part, None
    for entry in desired.accounts:
        password = entry.account.fields.get("password")
        if isinstance(password, SecretReference):
            yield password, entry


def files_of(desired: Desired) -> frozenset[str]:
    """The files that the YAML names: those with secrets, the private CA, the client certificate."""
    certificate = desired.server.client_cert
    tls = [desired.server.ca_file, *((certificate.cert, certificate.key) if certificate else ())]
    secrets = [reference.path for reference, _ in references_of(desired) if reference.kind == "file"]
    return frozenset([*secrets, *filter(None, tls)])


def _refused_references(desired: Desired, trust: Trust | None, request: TrustCheckContext) -> Iterator[Problem]:
    rules = _ReferenceRules(trust, request)
    known: dict[object, Refusal | None] = {}  # thousands of accounts may share one reference
    for reference, holder in references_of(desired):
        # The YAML's credentials are not used if another server is meant.
        used = holder is not None or request.url in {None, desired.server.url}
        key = (used, reference.key)
        if key not in known:
            known[key] = rules.refusal(reference, used=used)
        if refusal := known[key]:
            yield _problem(shorten(str(reference), 200), refusal, reference.position, holder)


def _secrets_folders(environ: Mapping[str, str]) -> list[str]:
    """The folders outside the given paths that secrets may be in."""
    credentials = environ.get("CREDENTIALS_DIRECTORY", "")
    folders = [_SECRETS_FOLDER, credentials] if os.path.isabs(credentials) else [_SECRETS_FOLDER]
    return [os.path.realpath(folder) for folder in folders]


class _ReferenceRules:
    """Decides which references may be used."""

    def __init__(self, trust: Trust | None, request: TrustCheckContext) -> None:
        self._trust = trust
        self._url, self._name = request.url, request.name
        # When only checking, the files may not exist on this machine, and the one that applies may have a trust file.
        self._near = None if request.paths is None else AllowedRoots(request.paths, request.within)
        self._own = {file_identity(name) for name in request.own_files}
        self._secrets = _secrets_folders(request.environ) if self._near else []
        patterns = trust.files(request.url, request.name) if trust else ()
        self._patterns = [_FilePattern.of(pattern, self._near) for pattern in patterns]

    def refusal(self, reference: SecretReference, *, used: bool) -> Refusal | None:
        """Why the reference must not be used; ``None`` if it may. One that is not ``used`` need not be listed."""
        trust = self._trust if used else None
        if reference.kind == "env":
            return self._variable(reference.target[0], trust)
        if reference.kind == "file":
            return self._file(reference.path, trust)
        if trust and not trust.lists_command(self._url, self._name, reference.target):
            return f"{trust.file} does not list the command line for this server", _LIST_IT
        return None

    def _variable(self, name: str, trust: Trust | None) -> Refusal | None:
        if is_own(name):
            message = "RECONCILER_ variables are for this program, and are never sent on as secrets"
            return message, "give the secret a variable of its own"
        if trust and not trust.lists_variable(self._url, self._name, name):
            return f"{trust.file} does not list the variable for this server", _LIST_IT
        return None

    def _file(self, path: str, trust: Trust | None) -> Refusal | None:
        real = os.path.realpath(path)
        if system := system_folder(os.path.abspath(path)) or system_folder(real):
            return f"nothing below {system} is read", "name a regular file that contains the secret alone"
        if self._own and file_identity(path) in self._own:
            message = "an option names this file: it is for this program, and is never sent on as a secret"
            return message, "give the secret a file of its own"
        if trust:
            if any(pattern.lists(path, real) for pattern in self._patterns):
                return None
            return f"{trust.file} does not list the file for this server", _LIST_IT
        if self._near is None or self._near.contain(real) or any(is_below(real, folder) for folder in self._secrets):
            return None
        allowed = self._near.described.replace(" and ", ", ")
        return (
            f"the file is outside {allowed}, /run/secrets and $CREDENTIALS_DIRECTORY",
            "move it there, or list it in a trust file (--trust)",
        )


class _FilePattern(NamedTuple):
    """A pattern of files, with the links in its fixed part resolved."""

    pattern: str
    folder: str

    @classmethod
    def of(cls, pattern: str, near: AllowedRoots | None) -> _FilePattern:
        wildcard = re.search(_WILDCARD, pattern)
        if wildcard is None:
            real = _resolved(pattern, near)
            return cls(escaped_pattern(real), os.path.dirname(real))
        fixed, _, rest = pattern[: wildcard.start()].rpartition("/")
        real = _resolved(fixed or "/", near)
        return cls(f"{escaped_pattern(real.rstrip('/'))}/{rest}{pattern[wildcard.start() :]}", real)

    def lists(self, path: str, real: str) -> bool:
        """Whether the file that a path leads to is listed, or the path itself, if it leads below the same folder.

        Kubernetes makes a secret a link to a file in a hidden folder beside it.
        """
        if path_matches(self.pattern, real):
            return True
        parent, name = os.path.split(path)
        return is_below(real, self.folder) and path_matches(self.pattern, os.path.join(os.path.realpath(parent), name))


def _resolved(path: str, near: AllowedRoots | None) -> str:
    """A listed path with its links resolved, except for links out of the folders that a pull request may change."""
    real = os.path.realpath(path)
    return path if near and near.contain(path) and not near.contain(real) else real


def _refused_destinations(desired: Desired, trust: Trust, request: TrustCheckContext) -> Iterator[Problem]:
    """The server, recipients and SMTP servers that are not listed, and a limit that is too high."""
    if request.url is not None and not trust.lists_url(request.url, request.name):
        hint = "list it under `servers` of the trust file if credentials and passwords may go there"
        position = desired.server.position if desired.server.url == request.url else None
        yield _problem(f"the server {shorten(request.url, 60)}", (f"{trust.file} does not list it", hint), position)
    limit, declared = trust.limits.max_deletes, desired.policy.max_deletes
    position = desired.settings.get(("policy", "max_deletes"))
    if limit and position and declared.exceeds(limit):
        hint = f"write {limit} or less, or raise the limit in the trust file"
        yield _problem(f"max_deletes: {declared}", (f"it exceeds the limit of {trust.file}, {limit}", hint), position)
    for option, to_email, position, holder in _recipients(desired, request):
        if to_email and not trust.lists_recipient(to_email):
            refusal = (f"{trust.file} does not list the recipient of test mails", _LIST_IT)
            yield _problem(f"{option} {shorten(to_email, 60)}", refusal, position, holder)
    for entry in desired.accounts:
        fields = entry.account.fields
        for field, host in smtp_servers_of(fields) if fields.get("password") else ():
            if not trust.lists_smtp_server(host):
                reason = f"{trust.file} does not list the SMTP server, and the account has a password"
                yield _problem(f"{field} {shorten(host, 60)}", (reason, _LIST_IT), entry.position_of(field), entry)


def _recipients(
    desired: Desired, request: TrustCheckContext
) -> Iterator[tuple[str, str | None, Position | None, DesiredAccount | None]]:
    """The recipients of test mails: where each is given, the address, its position and its account."""
    yield "--to-email", request.to_email, None, None
    yield "to_email", desired.policy.test.to_email, desired.settings.get(("policy", "test", "to_email")), None
    for entry in desired.accounts:
        yield "to_email", entry.test.to_email, entry.position_of("to_email"), entry


def _problem(
    subject: str, refusal: Refusal, position: Position | None, holder: DesiredAccount | None = None
) -> Problem:
    reason, hint = refusal
    return Problem(
        kind=Kind.NOT_TRUSTED,
        message=f"{subject}: {reason}",
        hint=hint,
        address=holder.account.email if holder else None,
        position=position,
    )


def _grouped(problems: Iterable[Problem]) -> list[Problem]:
    """The problems in file order; equal problems of several accounts in one file become one."""
    groups: dict[tuple[str, str | None], list[Problem]] = {}
    for problem in problems:
        groups.setdefault((problem.message, problem.position and problem.position.file), []).append(problem)
    return sorted((_counted(group[0], len(group)) for group in groups.values()), key=file_order)


def _counted(problem: Problem, count: int) -> Problem:
    if problem.address is None or count == 1:
        return problem
    return replace(problem, message=f"{problem.message} ({count} accounts use it)")
