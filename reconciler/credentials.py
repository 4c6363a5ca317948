"""Decides which credentials, which CA and which client certificate may go to which server.

A credential is sent only to the server that it was given for. The YAML's go to the YAML's URL; those of flags and
environment go to a URL from there too, or to one that the trust file lists: whoever can change the YAML must not be
able to choose who gets them.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final, TypeVar
from urllib.parse import urlsplit

from reconciler.errors import ApiError, InvalidValueError, Kind, Problem
from reconciler.model.secret import Secret
from reconciler.model.server import (
    AccessToken,
    ClientCertificate,
    Credentials,
    Login,
    RefreshToken,
    Server,
    ServerConfig,
    normal_url,
)
from reconciler.token_file import TokenElsewhere, TokenFile

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from reconciler.model.ports import TokenKeeper
    from reconciler.model.redaction import Redactor
    from reconciler.token_file import Voice

T = TypeVar("T")

_KEY_LENGTH: Final = 8
_LOGIN: Final = ("RECONCILER_USERNAME", "RECONCILER_PASSWORD")


@dataclass(frozen=True, slots=True)
class ServerOptions:
    """What the command line says about the server.

    Attributes:
        ca_file: A private CA for a URL, or credentials, that are not the YAML's.
        client_cert: A file with a client certificate and its key, likewise.
        timeout: Seconds for one request.
    """

    url: str | None = None
    token_file: str | None = None
    refresh_token_file: str | None = None
    ca_file: str | None = None
    client_cert: str | None = None
    timeout: float = 30.0
    insecure_http: bool = False

    def own_files(self, environ: Mapping[str, str]) -> tuple[str, ...]:
        """The files with credentials that options and variables name for this program alone."""
        certificate = self.client_cert or environ.get("RECONCILER_CLIENT_CERT")
        return tuple(filter(None, (self.token_file, self.refresh_token_file, certificate)))


@dataclass(frozen=True, slots=True, kw_only=True)
class Sources:
    """Everything that may name a server, or hold a credential for it.

    Attributes:
        config: The YAML's ``server:`` block.
        resolve: Replaces the references in the YAML's credentials by secrets.
        lists_url: Whether the trust file lists a URL; ``None`` without a trust file.
        voice: Prints what has to be said about credentials while they are used.
    """

    config: ServerConfig
    flags: ServerOptions
    environ: Mapping[str, str]
    resolve: Callable[[Credentials], Credentials]
    lists_url: Callable[[str], bool] | None
    voice: Voice


@dataclass(frozen=True, slots=True, kw_only=True)
class Access:
    """A server, and what may be sent to it.

    Attributes:
        keeper: Where the refresh token is kept between runs, should the server replace it.
    """

    server: Server
    credentials: Credentials
    keeper: TokenKeeper
    ca_file: str | None = None
    client_certificate: ClientCertificate | None = None


def access_to_server(sources: Sources) -> Access:
    """Decides which server is meant and with which credentials; flags win over environment, which wins over YAML.

    Raises:
        ApiError: No server is named, no credentials for it, or some that may not go to it.
        SecretError: The credentials cannot be read.
    """
    config, flags, environ = sources.config, sources.flags, sources.environ
    given = _given_url(flags.url, environ)
    url = meant_url(flags.url, environ, config.url)
    is_own = config.url is not None and _normalized(config.url) == url
    approved = given is not None or (sources.lists_url is not None and sources.lists_url(url))
    credentials, keeper = _outside_credentials(sources, url, approved=approved)
    from_yaml = credentials is None and config.auth is not None and is_own
    if config.auth is not None and from_yaml:
        credentials = sources.resolve(config.auth)
        keeper = TokenElsewhere("the YAML's `server.auth`", sources.voice)
    if credentials is None:
        raise _no_credentials(url, sources, approved=approved)
    scope = _Scope(own=from_yaml, outside=given is not None or not from_yaml, warn=sources.voice.warn)
    ca_file = flags.ca_file or environ.get("RECONCILER_CA_FILE") or None
    certificate = flags.client_cert or environ.get("RECONCILER_CLIENT_CERT")
    shown = ClientCertificate(certificate) if certificate else None
    return Access(
        server=Server(config.name or urlsplit(url).hostname or url, url),
        credentials=credentials,
        keeper=keeper,
        ca_file=scope.choose("ca_file", config.ca_file, flags.ca_file, ca_file),
        client_certificate=scope.choose("client_cert", config.client_cert, flags.client_cert, shown),
    )


@dataclass(frozen=True, slots=True)
class _Scope:
    """Which TLS settings apply: those of the YAML (``own``), those of flags and environment (``outside``), or both."""

    own: bool
    outside: bool
    warn: Callable[[Problem], None]

    def choose(self, key: str, own: T | None, flag: str | None, outside: T | None) -> T | None:
        """The setting ``key`` that applies; one that is given and does not apply is never passed over in silence."""
        option, variable = f"--{key.replace('_', '-')}", f"RECONCILER_{key.upper()}"
        if flag is not None and not self.outside:
            message = f"{option} is for a URL, or credentials, that are not the YAML's; here both are"
            hint = f"write `server.{key}` in the YAML, or set RECONCILER_URL"
            raise ApiError(Problem(kind=Kind.TLS_SETTING_NOT_USED, message=message, hint=hint))
        if outside is not None and self.outside:
            return outside
        if outside is not None:
            message = f"{variable} is not used: URL and credentials are the YAML's"
            self.warn(
                Problem(kind=Kind.TLS_SETTING_NOT_USED, message=message, hint=f"write `server.{key}` in the YAML")
            )
        if own is not None and not self.own:
            message = f"`server.{key}` is not used: URL or credentials do not come from the YAML"
            self.warn(Problem(kind=Kind.TLS_SETTING_NOT_USED, message=message, hint=f"give {option} or {variable}"))
        return own if self.own else None


def meant_url(flag: str | None, environ: Mapping[str, str], config: str | None) -> str:
    """The URL that is meant by ``--url``, the environment or the YAML, in one spelling.

    Raises:
        ApiError: There is none, or it is no server's.
    """
    given = _given_url(flag, environ)
    return _normalized(config or "" if given is None else given)


def _given_url(flag: str | None, environ: Mapping[str, str]) -> str | None:
    return flag if flag is not None else environ.get("RECONCILER_URL") or None


def _normalized(url: str) -> str:
    if not url.strip():
        message = "no server is named"
        hint = "set `server.url` in the YAML, RECONCILER_URL, or --url"
        raise ApiError(Problem(kind=Kind.NO_SERVER, message=message, hint=hint))
    try:
        return normal_url(url.strip())
    except InvalidValueError as error:
        raise ApiError(_bad_url(url.strip(), error.message, error.hint)) from None


def _bad_url(url: str, reason: str, hint: str) -> Problem:
    if "@" in url:
        message = "the server's URL contains a user name or password"
        hint = "use RECONCILER_USERNAME and RECONCILER_PASSWORD, or a token"
    else:
        message = f"{re.split('[?#]', url)[0]!r} is not a server's URL: {reason}"
    return Problem(kind=Kind.BAD_URL, message=message, hint=hint)


def _outside_credentials(sources: Sources, url: str, *, approved: bool) -> tuple[Credentials | None, TokenKeeper]:
    """The credentials of flags and environment, if they may go to ``url``."""
    flags, voice = sources.flags, sources.voice
    flag = "--token-file" if flags.token_file is not None else "--refresh-token-file"
    path = flags.refresh_token_file if flags.token_file is None else flags.token_file
    nowhere = TokenElsewhere("", voice)
    if not approved:
        if path is not None:
            raise _not_approved(flag, url, sources.config)
        return None, nowhere
    if path is None:
        credentials = _environment_credentials(sources.environ)
        return credentials, TokenElsewhere("RECONCILER_REFRESH_TOKEN", voice)
    if path == flags.token_file:
        return AccessToken(TokenFile(path, voice).read()), nowhere
    keeper = TokenFile(path, voice)
    return RefreshToken(keeper.read()), keeper


def _environment_credentials(environ: Mapping[str, str]) -> Credentials | None:
    if environ.get("RECONCILER_TOKEN"):
        return AccessToken(_variable_secret(environ, "RECONCILER_TOKEN"))
    if environ.get("RECONCILER_REFRESH_TOKEN"):
        return RefreshToken(_variable_secret(environ, "RECONCILER_REFRESH_TOKEN"))
    username, password = _LOGIN
    if environ.get(username) and environ.get(password):
        return Login(_variable_secret(environ, username), _variable_secret(environ, password))
    return None


def _variable_secret(environ: Mapping[str, str], name: str) -> Secret:
    from reconciler.manifest.references import given_secret

    return given_secret(name, environ[name])


def _no_credentials(url: str, sources: Sources, *, approved: bool) -> ApiError:
    """Why there is nothing to show to the server at ``url``."""
    config, environ = sources.config, sources.environ
    if not approved and _environment_credentials(environ) is not None:
        return _not_approved(_variable(environ), url, config)
    hint = "set RECONCILER_REFRESH_TOKEN (or RECONCILER_TOKEN, or RECONCILER_USERNAME and RECONCILER_PASSWORD)"
    if not approved:
        hint = f"write `server.auth` in the YAML, or set RECONCILER_URL={url} and RECONCILER_REFRESH_TOKEN"
    message = f"no credentials for {url}"
    if config.auth is not None:
        message += f": the YAML's `auth` is for {config.url}, and is not sent anywhere else"
    given = [name for name in _LOGIN if environ.get(name)]
    if given and _environment_credentials(environ) is None:
        message = f"{message}; {given[0]} is set alone, and the other half of the login is missing"
    return ApiError(Problem(kind=Kind.NO_CREDENTIALS, message=message, hint=hint))


def _variable(environ: Mapping[str, str]) -> str:
    names = ("RECONCILER_TOKEN", "RECONCILER_REFRESH_TOKEN")
    return next((name for name in names if environ.get(name)), " and ".join(_LOGIN))


def _not_approved(what: str, url: str, config: ServerConfig) -> ApiError:
    message = f"{what} may not be sent to {url}: only the YAML names this server"
    hint = (
        f"set RECONCILER_URL={url} (or --url), give this server a `server.auth` of its own in the YAML,"
        " or list the URL in a trust file (--trust)"
    )
    problem = Problem(kind=Kind.URL_NOT_APPROVED, message=message, hint=hint, position=config.position)
    return ApiError(problem)


def remember_credentials(credentials: Credentials, redactor: Redactor) -> None:
    """Lets ``redactor`` mask the credentials wherever they turn up."""
    secrets = [credentials.password, credentials.username] if isinstance(credentials, Login) else [credentials.token]
    for secret in secrets:
        # A user name that is an address, or a word, has to stay readable where reports speak of it.
        if isinstance(secret, Secret) and (secret is secrets[0] or _is_key(secret.reveal())):
            redactor.add(secret)


def _is_key(username: str) -> bool:
    return len(username) >= _KEY_LENGTH and "@" not in username
