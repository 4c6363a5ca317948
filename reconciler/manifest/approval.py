"""Whether the YAML may use what it uses: checked before anything is resolved, run or sent.

Some rules hold always: a reference must not lead to our own credentials, or to what the system shows about processes.
Without a trust file, files have to be near the YAML. With one, whatever it does not list is an error.
"""

from __future__ import annotations

import os
import re
from collections import defaultdict
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final, NamedTuple

from reconciler.errors import Kind, NotTrustedError, Problem, file_order
from reconciler.manifest.locations import Locations, file_identity, is_below, system_folder
from reconciler.manifest.references import path_of
from reconciler.manifest.values import is_own
from reconciler.model.display import shorten
from reconciler.model.secret import SecretReference
from reconciler.model.server import Login
from reconciler.model.trust import escaped_pattern, path_matches, smtp_servers_of

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from reconciler.errors import Position
    from reconciler.model.desired import Desired, DesiredAccount
    from reconciler.model.server import Credentials
    from reconciler.model.trust import Trust

_LIST_IT: Final = "list it in the trust file if this is meant, or change the YAML"
_SECRETS: Final = "/run/secrets"
_WILDCARD: Final = re.compile(r"[*?]|\[[*?\[]\]")


@dataclass(frozen=True, slots=True, kw_only=True)
class Request:
    """What is about to be done with the YAML.

    Attributes:
        paths: The files and folders that the user named; ``None`` if it does not matter yet where files are.
        url: The server that passwords go to; ``None`` if it is not known, or does not matter without a trust file.
        name: How that server is called; ``${name}`` in a trust file.
        own_files: Files that options of the command line name.
        to_email: Who receives all test mails, if the command line says so.
    """

    paths: Sequence[str] | None
    environ: Mapping[str, str]
    url: str | None = None
    name: str = ""
    own_files: Sequence[str] = ()
    to_email: str | None = None


class _Refusal(NamedTuple):
    """Something that must not be used, where the YAML says it.

    Attributes:
        subject: What it is; equal ones are reported together.
        position: Where it is written; ``None`` if an option names it.
    """

    subject: str
    reason: str
    hint: str
    position: Position | None = None
    holder: DesiredAccount | None = None


def approve(desired: Desired, trust: Trust | None, request: Request) -> None:
    """Makes sure that the YAML uses nothing that it must not.

    Raises:
        NotTrustedError: With everything that it must not use, each with its place.
    """
    refusals = list(_references(desired, trust, request))
    if trust:
        refusals += _destinations(desired, trust, request)
    if refusals:
        raise NotTrustedError(*_problems(refusals))


def references_of(desired: Desired) -> Iterator[tuple[SecretReference, DesiredAccount | None]]:
    """Every reference of the YAML, with the account whose password it is."""
    for part in _parts(desired.server.auth):
        if isinstance(part, SecretReference):
            yield part, None
    for account in desired.accounts:
        password = account.account.fields.get("password")
        if isinstance(password, SecretReference):
            yield password, account


def files_of(desired: Desired) -> frozenset[str]:
    """The files that the YAML names beside itself: those with secrets, the private CA, the client certificate."""
    named = {path_of(reference) for reference, _ in references_of(desired) if reference.kind == "file"}
    certificate = desired.server.client_cert
    others = [desired.server.ca_file, *((certificate.cert, certificate.key) if certificate else ())]
    return frozenset({*named, *filter(None, others)})


def _parts(credentials: Credentials | None) -> tuple[object, ...]:
    if credentials is None:
        return ()
    return (credentials.username, credentials.password) if isinstance(credentials, Login) else (credentials.token,)


def _references(desired: Desired, trust: Trust | None, request: Request) -> Iterator[_Refusal]:
    judge = _Judge(trust, request)
    reasons: dict[tuple[object, ...], tuple[str, str] | None] = {}  # thousands of accounts may share one reference
    for reference, holder in references_of(desired):
        # The YAML's credentials are not used if another server is meant.
        used = holder is not None or request.url in {None, desired.server.url}
        key = (used, reference.kind, reference.target, os.path.dirname(reference.position.file))  # noqa: PTH120 - as path_of
        if key not in reasons:
            reasons[key] = judge.refusal(reference, used=used)
        if reason := reasons[key]:
            yield _Refusal(shorten(str(reference), 200), *reason, reference.position, holder)


class _Judge:
    """Says of references why they must not be used."""

    def __init__(self, trust: Trust | None, request: Request) -> None:
        self._trust = trust
        self._url = request.url
        # Files may be elsewhere on the machine that uses them, which may have a trust file.
        self._near = None if request.paths is None else Locations(request.paths)
        credentials = request.environ.get("CREDENTIALS_DIRECTORY", "")
        folders = [_SECRETS, credentials] if os.path.isabs(credentials) else [_SECRETS]  # noqa: PTH117 - as path_of
        self._own = {file_identity(name) for name in request.own_files}
        self._secrets = [os.path.realpath(folder) for folder in folders]
        patterns = trust.files(request.url, request.name) if trust else ()
        self._patterns = [_Pattern.of(pattern, self._near) for pattern in patterns]

    def refusal(self, reference: SecretReference, *, used: bool) -> tuple[str, str] | None:
        """The reason and what to do; ``None`` if the reference may be used. One that is not used need not be listed."""
        trust = self._trust if used else None
        if reference.kind == "env":
            return self._variable(reference.target[0], trust)
        if reference.kind == "file":
            return self._file(path_of(reference), trust)
        if trust and not trust.lists_command(reference.target):
            return f"{trust.file} does not list the command line", _LIST_IT
        return None

    def _variable(self, name: str, trust: Trust | None) -> tuple[str, str] | None:
        if is_own(name):
            message = "a RECONCILER_ variable is for this program, and never becomes a secret that is sent on"
            return message, "give the secret a variable of its own"
        if trust and not trust.lists_variable(self._url, name):
            return f"{trust.file} does not list the variable for this server", _LIST_IT
        return None

    def _file(self, path: str, trust: Trust | None) -> tuple[str, str] | None:
        real = os.path.realpath(path)
        if system := system_folder(os.path.abspath(path)) or system_folder(real):  # noqa: PTH100 - as path_of
            return f"nothing below {system} is read", "name a regular file that holds the secret alone"
        if file_identity(path) in self._own:
            message = "an option names this file: it is for this program, and never becomes a secret that is sent on"
            return message, "give the secret a file of its own"
        if trust:
            if any(pattern.lists(path, real) for pattern in self._patterns):
                return None
            return f"{trust.file} does not list the file for this server", _LIST_IT
        if self._near is None or self._near.contain(real) or any(is_below(real, one) for one in self._secrets):
            return None
        hint = "move it there, or list it in a trust file (--trust)"
        where = "the given paths, the working directory, /run/secrets and $CREDENTIALS_DIRECTORY"
        return f"it leads out of {where}", hint


class _Pattern(NamedTuple):
    """A pattern of files, with the links in its fixed part followed."""

    pattern: str
    folder: str

    @classmethod
    def of(cls, pattern: str, near: Locations | None) -> _Pattern:
        found = _WILDCARD.search(pattern)
        if found is None:
            real = _followed(pattern, near)
            return cls(escaped_pattern(real), os.path.dirname(real))  # noqa: PTH120 - as path_of
        fixed, _, rest = pattern[: found.start()].rpartition("/")
        real = _followed(fixed or "/", near)
        return cls(f"{escaped_pattern(real.rstrip('/'))}/{rest}{pattern[found.start() :]}", real)

    def lists(self, path: str, real: str) -> bool:
        """Whether the file is listed: the one that a name leads to, or the name, if it leads to below the same folder.

        Kubernetes makes a secret a link to a file in a hidden folder beside it.
        """
        if path_matches(self.pattern, real):
            return True
        parent, name = os.path.split(path)
        beside = os.path.join(os.path.realpath(parent), name)  # noqa: PTH118
        return is_below(real, self.folder) and path_matches(self.pattern, beside)


def _followed(path: str, near: Locations | None) -> str:
    """A listed path with its links followed, but not out of the folders that a pull request may change."""
    real = os.path.realpath(path)
    return path if near and near.contain(path) and not near.contain(real) else real


def _destinations(desired: Desired, trust: Trust, request: Request) -> Iterator[_Refusal]:
    """Where the YAML would send secrets and mails, and more deletes than anybody allowed."""
    yield from _server(desired, trust, request)
    yield from _limits(desired, trust)
    if request.to_email and not trust.lists_recipient(request.to_email):
        subject = f"--to-email {shorten(request.to_email, 60)}"
        yield _Refusal(
            subject, f"{trust.file} does not list the recipient", "list it in the trust file if this is meant"
        )
    test = ("policy", "test", "to_email")
    if (to := desired.policy.test.to_email) and not trust.lists_recipient(to):
        yield _refused_recipient(to, trust, desired.settings.get(test))
    for account in desired.accounts:
        if (to := account.test.to_email) and not trust.lists_recipient(to):
            yield _refused_recipient(to, trust, account.position_of("to_email"), account)
        fields = account.account.fields
        if fields.get("password"):
            for field, host in smtp_servers_of(fields):
                if not trust.lists_smtp_server(host):
                    reason = f"{trust.file} does not list the SMTP server, and the account has a password"
                    subject = f"{field} {shorten(host, 60)}"
                    yield _Refusal(subject, reason, _LIST_IT, account.position_of(field), account)


def _server(desired: Desired, trust: Trust, request: Request) -> Iterator[_Refusal]:
    if request.url is None or trust.lists_url(request.url):
        return
    path = ("server", "url")
    position = desired.settings.get(path) if desired.server.url == request.url else None
    hint = "list it under `servers` of the trust file if credentials and passwords may go there"
    yield _Refusal(f"the server {shorten(request.url, 60)}", f"{trust.file} does not list it", hint, position)


def _limits(desired: Desired, trust: Trust) -> Iterator[_Refusal]:
    path = ("policy", "max_deletes")
    limit, declared = trust.limits.max_deletes, desired.policy.max_deletes
    if limit and path in desired.settings and declared.exceeds(limit):
        reason = f"it exceeds the limit of {trust.file}, {limit}"
        hint = f"write {limit} or less, or raise the limit in the trust file"
        yield _Refusal(f"max_deletes: {declared}", reason, hint, desired.settings[path])


def _refused_recipient(
    to: str, trust: Trust, position: Position | None, holder: DesiredAccount | None = None
) -> _Refusal:
    reason = f"{trust.file} does not list the recipient of test mails"
    return _Refusal(f"to_email {shorten(to, 60)}", reason, _LIST_IT, position, holder)


def _problems(refusals: Sequence[_Refusal]) -> list[Problem]:
    grouped: dict[tuple[str, str, str | None], list[_Refusal]] = defaultdict(list)
    for refusal in refusals:
        grouped[refusal.subject, refusal.reason, refusal.position and refusal.position.file].append(refusal)
    return sorted((_problem(group[0], len(group)) for group in grouped.values()), key=file_order)


def _problem(refusal: _Refusal, count: int) -> Problem:
    holder = refusal.holder
    many = f" ({count} accounts have it)" if holder and count > 1 else ""
    return Problem(
        kind=Kind.NOT_TRUSTED,
        message=f"{refusal.subject}: {refusal.reason}{many}",
        hint=refusal.hint,
        address=holder.account.email if holder else None,
        position=refusal.position,
    )
