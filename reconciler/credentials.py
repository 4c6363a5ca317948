"""Decides which credentials, which CA and which client certificate may go to which server.

A credential is sent only to the server that it was given for. The YAML's credentials go to the YAML's URL. Those from
options and environment go to a URL that comes from there too, or that the trust file lists: anyone who can change the
YAML must not be able to choose who receives them.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final, NamedTuple, TypeVar

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
    parts_of,
)
from reconciler.token_file import FileTokenKeeper, ReadOnlyTokenKeeper, secret_from_string

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, MutableMapping

    from reconciler.model.ports import Notifier, TokenKeeper
    from reconciler.model.redaction import Redactor
    from reconciler.model.trust import Trust

T = TypeVar("T")

_SHORTEST_KEY: Final = 8
_LOGIN: Final = ("RECONCILER_USERNAME", "RECONCILER_PASSWORD")
_VARIABLES: Final[tuple[tuple[type[Credentials], tuple[str, ...]], ...]] = (
    (AccessToken, ("RECONCILER_TOKEN",)),
    (RefreshToken, ("RECONCILER_REFRESH_TOKEN",)),
    (Login, _LOGIN),
)
"""The variables of each kind of credentials; the first kind that is complete is used."""


@dataclass(frozen=True, slots=True)
class ServerOptions:
    """The command line's options for the server.

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


class ServerAccess(NamedTuple):
    """A server, and what may be sent to it.

    Attributes:
        keeper: Stores the refresh token between runs, if the server replaces it.
    """

    server: Server
    credentials: Credentials
    keeper: TokenKeeper | None
    ca_file: str | None
    client_certificate: ClientCertificate | None


class CredentialSelector(NamedTuple):
    """Everything that may name a server or hold a credential for it, and the rules that choose among them.

    Attributes:
        config: The YAML's ``server:`` block.
        options: The command line's.
        resolve: Replaces the references in the YAML's credentials by secrets.
        notifier: Prints warnings while credentials are used.
        replaced: The refresh tokens that servers have replaced in this process; see ``ReadOnlyTokenKeeper``.
        in_fleet: Whether the server is one of several. Only the YAML can give it credentials then, whatever the trust
            file lists: those from outside are for one server.
    """

    config: ServerConfig
    options: ServerOptions
    environ: Mapping[str, str]
    trust: Trust | None
    resolve: Callable[[Credentials], Credentials]
    notifier: Notifier
    replaced: MutableMapping[object, Secret] | None = None
    in_fleet: bool = False

    def select(self) -> ServerAccess:
        """Chooses the server and its credentials. Options win over the environment, which wins over the YAML.

        Raises:
            ApiError: No server is named, no credentials are given, or those that are may not go to it.
            SecretError: The credentials cannot be read.
        """
        config = self.config
        url = effective_url(self.options.url, self.environ, config.url)
        is_given = _given_url(self.options.url, self.environ) is not None
        self._warn_about_override(url)
        server = config.as_server(url)
        is_listed = self.trust is not None and self.trust.lists_url(url, server.name)
        approved = is_given or (is_listed and not self.in_fleet)
        credentials, keeper = self._outside_credentials(url, approved=approved)
        from_yaml = credentials is None and config.url is not None and _normalized(config.url) == url
        if config.auth is not None and from_yaml:
            credentials = self.resolve(config.auth)
            keeper = self._read_only("the YAML's `server.auth`", credentials, url)
        if credentials is None:
            raise self._no_credentials(url, approved=approved)
        outside = is_given or not from_yaml
        return ServerAccess(
            server=server,
            credentials=credentials,
            keeper=keeper,
            ca_file=self._tls_setting("ca_file", config.ca_file, str, own=from_yaml, outside=outside),
            client_certificate=self._tls_setting(
                "client_cert", config.client_cert, ClientCertificate, own=from_yaml, outside=outside
            ),
        )

    def _warn_about_override(self, url: str) -> None:
        """Warns if the environment names another server than the YAML: the variable may be left from another task."""
        declared = url if self.config.url is None else _normalized(self.config.url)
        if self.options.url is None and declared != url:
            message = f"RECONCILER_URL names the server, {url}, and `server.url` is not used: {declared}"
            hint = f"unset RECONCILER_URL if the server of the YAML is meant, or give `--url {url}`"
            position = self.config.position
            self.notifier.warn(Problem(kind=Kind.URL_OVERRIDDEN, message=message, hint=hint, position=position))

    def _outside_credentials(self, url: str, *, approved: bool) -> tuple[Credentials | None, TokenKeeper | None]:
        """The credentials from options and environment, if they may go to ``url``."""
        for option, path, kind in (
            ("--token-file", self.options.token_file, AccessToken),
            ("--refresh-token-file", self.options.refresh_token_file, RefreshToken),
        ):
            if path is not None:
                if not approved:
                    raise self._not_approved(option, url)
                keeper = FileTokenKeeper(path, self.notifier)
                return kind(keeper.read()), keeper
        found = _credential_variables(self.environ) if approved else None
        if found is None:
            return None, None
        from_secrets, names = found
        credentials = from_secrets(*(secret_from_string(name, self.environ[name]) for name in names))
        return credentials, self._read_only(names[0], credentials, url)

    def _read_only(self, source: str, credentials: Credentials, url: str) -> TokenKeeper:
        """What keeps a new refresh token. Another server never gets it, even if it was given the same first one."""
        token = credentials.token if isinstance(credentials, RefreshToken) else None
        return ReadOnlyTokenKeeper(source, self.notifier, (url, token), self.replaced)

    def _tls_setting(
        self, key: str, declared: T | None, make: Callable[[str], T], *, own: bool, outside: bool
    ) -> T | None:
        """The setting ``key`` that applies. If one is given and does not apply, that is reported.

        Args:
            key: Its name in the YAML.
            declared: The YAML's.
            make: Makes the setting from an option or variable.
            own: Whether the YAML's applies.
            outside: Whether those of options and environment apply.
        """
        option, variable = f"--{key.replace('_', '-')}", f"RECONCILER_{key.upper()}"
        given: str | None = getattr(self.options, key)
        if given is not None and not outside:
            message = f"{option} is for a URL, or credentials, that are not the YAML's; here both are"
            hint = f"write `server.{key}` in the YAML, or set RECONCILER_URL"
            raise ApiError.of(message, kind=Kind.TLS_SETTING_NOT_USED, hint=hint)
        given = given or self.environ.get(variable)
        if given and outside:
            return make(given)
        if given:
            message = f"{variable} is not used: URL and credentials are the YAML's"
            self._warn(message, f"write `server.{key}` in the YAML")
        if declared is not None and not own:
            message = f"`server.{key}` is not used: URL or credentials do not come from the YAML"
            self._warn(message, f"give {option} or {variable}")
        return declared if own else None

    def _warn(self, message: str, hint: str) -> None:
        self.notifier.warn(Problem(kind=Kind.TLS_SETTING_NOT_USED, message=message, hint=hint))

    def _no_credentials(self, url: str, *, approved: bool) -> ApiError:
        complete = _credential_variables(self.environ)
        if complete and not approved:
            return self._not_approved(" and ".join(complete[1]), url)
        hint = "set RECONCILER_REFRESH_TOKEN (or RECONCILER_TOKEN, or RECONCILER_USERNAME and RECONCILER_PASSWORD)"
        if not approved:
            hint = f"write `server.auth` in the YAML, or set RECONCILER_URL={url} and RECONCILER_REFRESH_TOKEN"
        if self.in_fleet:
            hint = "write `server.auth` in the YAML: each server of a fleet needs credentials of its own"
        message = f"no credentials for {url}"
        if self.config.auth is not None:
            message += f": the YAML's `auth` is for {self.config.url}, and is not sent anywhere else"
        half = next((name for name in _LOGIN if self.environ.get(name)), None)
        if half and not complete:
            message += f"; {half} is set alone, and the other half of the login is missing"
        return ApiError.of(message, kind=Kind.NO_CREDENTIALS, hint=hint)

    def _not_approved(self, what: str, url: str) -> ApiError:
        hint = "give this server a `server.auth` of its own in the YAML"
        if not self.in_fleet:
            hint += f"; or set RECONCILER_URL={url} (or --url), or list the URL in a trust file (--trust)"
        message = f"{what} may not be sent to {url}: only the YAML names this server"
        position = self.config.position
        return ApiError(Problem(kind=Kind.URL_NOT_APPROVED, message=message, hint=hint, position=position))


def effective_url(option: str | None, environ: Mapping[str, str], declared: str | None) -> str:
    """The URL from ``--url``, the environment or the YAML, in its normal form.

    Raises:
        ApiError: There is none, or it is not a server's.
    """
    given = _given_url(option, environ)
    return _normalized(declared or "" if given is None else given)


def _given_url(option: str | None, environ: Mapping[str, str]) -> str | None:
    return option if option is not None else environ.get("RECONCILER_URL") or None


def _normalized(url: str) -> str:
    url = url.strip()
    if not url:
        hint = "set `server.url` in the YAML, RECONCILER_URL, or --url"
        raise ApiError.of("no server is named", kind=Kind.NO_SERVER, hint=hint)
    try:
        return normal_url(url)
    except InvalidValueError as error:
        message = f"{re.split('[?#]', url)[0]!r} is not a server's URL: {error.message}"
        hint = error.hint
        if "@" in url:
            message = "the server's URL contains a user name or password"
            hint = "use RECONCILER_USERNAME and RECONCILER_PASSWORD, or a token"
        raise ApiError.of(message, kind=Kind.BAD_URL, hint=hint) from None


def _credential_variables(environ: Mapping[str, str]) -> tuple[type[Credentials], tuple[str, ...]] | None:
    """The kind of credentials that variables give, and the variables."""
    return next((found for found in _VARIABLES if all(environ.get(name) for name in found[1])), None)


def remember_credentials(credentials: Credentials, redactor: Redactor) -> None:
    """Makes ``redactor`` mask the credentials wherever they occur."""
    for name, part in parts_of(credentials).items():
        # A user name that is an address or a word must stay readable in reports.
        if isinstance(part, Secret) and (name != "username" or _is_key(part.reveal())):
            redactor.add(part)


def _is_key(username: str) -> bool:
    return len(username) >= _SHORTEST_KEY and "@" not in username
