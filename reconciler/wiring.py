"""The composition root: puts YAML, secrets, server and planner together for the commands."""

from __future__ import annotations

import os
import re
import threading
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from reconciler.errors import ApiError, Problem, SecretError
from reconciler.model.change import Plan, Server
from reconciler.model.desired import NO_GLOBS, AccessToken, Credentials, Desired, Login, RefreshToken, ServerSpec
from reconciler.model.secret import Secret

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from contextlib import AbstractContextManager

    from reconciler.api.connect import Connection
    from reconciler.model.desired import DesiredAccount, Globs
    from reconciler.model.ports import AccountReader, AccountWriter
    from reconciler.model.redaction import Redactor
    from reconciler.model.trust import Trust
    from reconciler.plan.builder import PlanOptions
    from reconciler.spec.approval import Request


_KEY_LENGTH = 8
_USER_INFO = re.compile("https?://[^/?#]*@", re.IGNORECASE)


@dataclass(frozen=True, slots=True)
class ServerFlags:
    """What the command line says about the server.

    Attributes:
        timeout: Seconds for one request.
    """

    url: str | None = None
    token_file: str | None = None
    refresh_token_file: str | None = None
    timeout: float = 30.0
    insecure_http: bool = False


@dataclass(frozen=True, slots=True)
class Surroundings:
    """What a run takes from outside besides its arguments.

    Attributes:
        trust: What the YAML may use; ``None`` without a trust file.
    """

    redactor: Redactor
    environ: Mapping[str, str] = field(default_factory=lambda: os.environ)
    stop: threading.Event = field(default_factory=threading.Event)
    trust: Trust | None = None

    def may_run(self, *, allow_commands: bool) -> bool:
        """Whether commands of references run: ``--allow-commands`` was given, or the trust file lists them all."""
        return allow_commands or self.trust is not None


@dataclass(frozen=True, slots=True, kw_only=True)
class LoadOptions:
    """What the command line says about the YAML.

    Attributes:
        only: Addresses to which everything is narrowed; empty for all.
        allow_commands: Whether the commands of references run.
        url: The server of ``--url``.
        to_email: The recipient of ``--to-email``.
        no_secrets: Whether passwords stay references, so that none is compared.
    """

    only: Globs = NO_GLOBS
    allow_commands: bool = False
    url: str | None = None
    to_email: str | None = None
    no_secrets: bool = False


def check(paths: Sequence[str], surroundings: Surroundings) -> Desired:
    """Reads the YAML, and makes sure that it uses nothing it must not; resolves nothing.

    Raises:
        SpecError: For everything that is wrong in the YAML.
        NotTrustedError: For everything that it must not use.
    """
    from reconciler.spec.approval import Request, approve
    from reconciler.spec.desired import read_desired

    desired = read_desired(paths)
    url = desired.server.url
    name = _name_of(desired.server, url)
    approve(desired, surroundings.trust, Request(paths=None, environ=surroundings.environ, url=url, name=name))
    return desired


def load(paths: Sequence[str], surroundings: Surroundings, options: LoadOptions) -> Desired:
    """Reads the YAML, makes sure that it uses nothing it must not, and resolves the passwords of accounts in scope.

    Raises:
        SpecError: For everything that is wrong in the YAML.
        NotTrustedError: For everything that it must not use. Nothing was resolved, run or sent.
        SecretError: For every reference that cannot be resolved.
    """
    from reconciler.plan.builder import in_scope
    from reconciler.spec.approval import approve
    from reconciler.spec.desired import read_desired
    from reconciler.spec.secrets import resolve_accounts, without_secrets

    desired = read_desired(paths)
    approve(desired, surroundings.trust, _request(paths, desired.server, surroundings, options))
    if options.no_secrets:
        _remember(desired.accounts, surroundings.redactor)
        return replace(desired, accounts=without_secrets(desired.accounts))
    only = options.only
    wanted = [one for one in desired.accounts if in_scope(one, only)]
    others = [one for one in desired.accounts if not in_scope(one, only)]
    allow_commands = surroundings.may_run(allow_commands=options.allow_commands)
    resolved = resolve_accounts(wanted, environ=surroundings.environ, allow_commands=allow_commands)
    _remember([*resolved, *others], surroundings.redactor)
    return replace(desired, accounts=(*resolved, *others))


def _request(paths: Sequence[str], spec: ServerSpec, surroundings: Surroundings, options: LoadOptions) -> Request:
    from reconciler.spec.approval import Request

    url = None
    if surroundings.trust:
        url = _normalized(options.url or surroundings.environ.get("RECONCILER_URL") or spec.url or "")
    return Request(
        paths=paths,
        environ=surroundings.environ,
        url=url,
        name=_name_of(spec, url),
        to_email=options.to_email,
    )


def _name_of(spec: ServerSpec, url: str | None) -> str:
    return spec.name or (urlsplit(url).hostname if url else "") or ""


def connect(
    spec: ServerSpec,
    flags: ServerFlags,
    surroundings: Surroundings,
    *,
    allow_commands: bool = False,
    parallelism: int = 10,
) -> tuple[Server, Connection]:
    """Decides which server is meant and with which credentials; flags win over environment, which wins over YAML.

    The YAML's credentials and CA go to the YAML's server alone.

    Raises:
        ApiError: Where no server, or no credentials for it, are named.
        SecretError: Where the credentials cannot be read.
    """
    from reconciler.api.connect import Connection

    given = flags.url or surroundings.environ.get("RECONCILER_URL")
    url = _normalized(given or spec.url or "")
    is_from_yaml = spec.url is not None and _normalized(spec.url) == url
    credentials = _credentials(flags, surroundings.environ)
    if credentials is None and spec.auth is not None and is_from_yaml:
        from reconciler.spec.secrets import resolve_credentials

        credentials = resolve_credentials(
            spec.auth,
            environ=surroundings.environ,
            allow_commands=surroundings.may_run(allow_commands=allow_commands),
        )
    if credentials is None:
        raise _no_credentials(url, spec, surroundings.environ)
    _remember_credentials(credentials, surroundings.redactor)
    name = (spec.name if is_from_yaml or given is None else None) or urlsplit(url).hostname or url
    return Server(name, url), Connection(
        url=url,
        credentials=credentials,
        ca_file=spec.ca_file if is_from_yaml else None,
        timeout=flags.timeout,
        parallelism=parallelism,
        insecure_http=flags.insecure_http,
        passwords=spec.passwords,
        redactor=surroundings.redactor,
        stop=surroundings.stop,
    )


def reading(connection: Connection) -> AbstractContextManager[AccountReader]:
    """Opens the server for reading; what comes back has no way to write."""
    from reconciler.api.connect import open_reader

    return open_reader(connection)


def writing(connection: Connection) -> AbstractContextManager[AccountWriter]:
    """Opens the server for reading and writing."""
    from reconciler.api.connect import open_writer

    return open_writer(connection)


def plan(desired: Desired, reader: AccountReader, server: Server, options: PlanOptions) -> Plan:
    """Fetches the current state and plans."""
    from reconciler.plan.builder import build_plan
    from reconciler.spec.collection import paused_collection

    with paused_collection():
        return build_plan(desired, reader.list_accounts(), server, options)


def _normalized(url: str) -> str:
    if not url:
        message = "no server is named"
        hint = "set `server.url` in the YAML, RECONCILER_URL, or --url"
        raise ApiError(Problem(kind="no_server", message=message, hint=hint))
    from reconciler.spec.values import BadValueError, server_url

    try:
        return server_url(url.strip())
    except BadValueError:
        raise ApiError(_bad_url(url.strip())) from None


def _bad_url(url: str) -> Problem:
    if _USER_INFO.match(url):
        message = "the server's URL holds a user name or password"
        hint = "use RECONCILER_USERNAME and RECONCILER_PASSWORD, or a token"
        return Problem(kind="bad_url", message=message, hint=hint)
    message = f"{_without_secrets(url)!r} is not a server's URL"
    return Problem(kind="bad_url", message=message, hint="write it like https://fw.example.com")


def _without_secrets(url: str) -> str:
    return re.split("[?#]", url.rpartition("@")[2])[0]


def _credentials(flags: ServerFlags, environ: Mapping[str, str]) -> Credentials | None:
    if flags.token_file:
        return AccessToken(_from_file(flags.token_file))
    if flags.refresh_token_file:
        return RefreshToken(_from_file(flags.refresh_token_file))
    if token := environ.get("RECONCILER_TOKEN"):
        return AccessToken(Secret(token))
    if token := environ.get("RECONCILER_REFRESH_TOKEN"):
        return RefreshToken(Secret(token))
    username, password = environ.get("RECONCILER_USERNAME"), environ.get("RECONCILER_PASSWORD")
    if username and password:
        return Login(Secret(username), Secret(password))
    return None


def _from_file(path: str) -> Secret:
    try:
        text = Path(path).read_text(encoding="utf-8").strip()
    except (OSError, UnicodeDecodeError) as error:
        reason = error.strerror if isinstance(error, OSError) else "not a text file"
        hint = "name a file that this user can read, with the secret alone in it"
        raise SecretError(Problem(kind="secret_file", message=f"cannot read {path}: {reason}", hint=hint)) from error
    if not text:
        raise SecretError(Problem(kind="secret_empty", message=f"{path} is empty", hint="put the secret into it"))
    if len(text.split()) > 1:
        message, hint = f"{path} holds more than a token", "put the token into it, and nothing else"
        raise SecretError(Problem(kind="secret_file", message=message, hint=hint))
    return Secret(text)


def _no_credentials(url: str, spec: ServerSpec, environ: Mapping[str, str]) -> ApiError:
    hint = "set RECONCILER_REFRESH_TOKEN (or RECONCILER_TOKEN, or RECONCILER_USERNAME and RECONCILER_PASSWORD)"
    if spec.auth is not None:
        where = f"for {spec.url}" if spec.url else "without a `server.url` beside it"
        message = f"no credentials for {url}: the YAML's `auth` is {where}, and is not sent anywhere else"
    else:
        message, hint = f"no credentials for {url}", f"{hint}, or `server.auth` in the YAML"
    given = [name for name in ("RECONCILER_USERNAME", "RECONCILER_PASSWORD") if environ.get(name)]
    if given:
        message = f"{message}; {given[0]} is set alone, and the other half of the login is missing"
    return ApiError(Problem(kind="no_credentials", message=message, hint=hint))


def _remember(accounts: Sequence[DesiredAccount], redactor: Redactor) -> None:
    for one in accounts:
        password = one.account.fields.get("password")
        if isinstance(password, Secret):
            redactor.add(password)


def _remember_credentials(credentials: Credentials, redactor: Redactor) -> None:
    secrets = [credentials.password, credentials.username] if isinstance(credentials, Login) else [credentials.token]
    for secret in secrets:
        # A user name that is an address, or a word, has to stay readable where reports speak of it.
        if isinstance(secret, Secret) and (secret is secrets[0] or _is_key(secret.reveal())):
            redactor.add(secret)


def _is_key(username: str) -> bool:
    return len(username) >= _KEY_LENGTH and "@" not in username
