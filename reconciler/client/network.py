"""The network below HTTP: allowed URLs, TLS, client certificates and proxies."""

from __future__ import annotations

import errno
import os
import re
import ssl
import stat
from functools import cache, lru_cache
from ipaddress import ip_network
from typing import TYPE_CHECKING, Final
from urllib.request import getproxies

import httpx

from reconciler.errors import ApiError, InvalidValueError, Kind
from reconciler.model.account import readable
from reconciler.model.display import display_path
from reconciler.model.secret import Secret
from reconciler.model.server import is_loopback, normal_url, parse_ip

if TYPE_CHECKING:
    from reconciler.model.redaction import Redactor
    from reconciler.model.server import ClientCertificate

_HTTPS_PORT: Final = 443
_LAST_PORT: Final = 65535
_SHARED_CONTEXTS: Final = 16
_BRACKETS: Final = r"\[([^\]]*)\](/\d+)?(?::(\d+))?"


def checked_origin(url: str, *, insecure_http: bool) -> httpx.URL:
    """The server's URL, if requests may go there.

    Raises:
        ApiError: It is not a server's URL (``bad_url``), or plain http to another machine (``insecure_http``).
    """
    try:
        parsed = httpx.URL(normal_url(url))
    except InvalidValueError as error:
        message = f"the server's URL is invalid: {error.message}"
        raise ApiError.of(message, kind=Kind.BAD_URL, hint=error.hint) from None
    host = parsed.raw_host.decode("ascii")  # not `host`, which fails for an A-label that decodes to nothing
    if parsed.scheme == "http" and not insecure_http and not is_loopback(host):
        message = f"plain http to {host} would show the token and the passwords to the network"
        raise ApiError.of(message, kind=Kind.INSECURE_HTTP, hint="use https, or accept the risk with --insecure-http")
    return parsed


def tls_context(origin: httpx.URL, ca_file: str | None, certificate: ClientCertificate | None = None) -> ssl.SSLContext:
    """Decides how the server's certificate is verified, and which certificate the client presents.

    Args:
        origin: The server.
        ca_file: The only certificates that are trusted; ``None`` for httpx's default authorities.
        certificate: The client's own.

    Raises:
        ApiError: ``ca_file`` or ``certificate`` cannot be used (``ca_file``, ``client_cert``).
    """
    if origin.scheme == "http":
        return _context_for_http()
    named = (ca_file, *((certificate.cert, certificate.key) if certificate else ()))
    variables = tuple(map(os.environ.get, ("SSL_CERT_FILE", "SSL_CERT_DIR")))  # httpx reads them
    return _shared_context(ca_file, certificate, (variables, *map(_state_of, (*named, *variables))))


@cache
def _context_for_http() -> ssl.SSLContext:
    return ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)  # for plain http; loading no authorities saves time


@lru_cache(_SHARED_CONTEXTS)
def _shared_context(ca_file: str | None, certificate: ClientCertificate | None, _state: object) -> ssl.SSLContext:
    """One context for all servers with the same files in the same state: its authorities take 1 MiB and 10 ms."""
    context = _verifying_context(ca_file)
    # Since 3.13, Python rejects authorities that lack certain extensions, as many private ones do.
    context.verify_flags &= ~ssl.VERIFY_X509_STRICT
    if certificate is not None:
        _load_certificate(certificate, context)
    return context


def _state_of(name: str | None) -> object:
    """Changes when a file does."""
    try:
        found = os.stat(name) if name else None  # noqa: PTH116 - names stay as the user wrote them
    except (OSError, ValueError):
        return None
    return found and (found.st_dev, found.st_ino, found.st_size, found.st_mtime_ns, found.st_ctime_ns)


def _verifying_context(ca_file: str | None) -> ssl.SSLContext:
    try:
        if ca_file:
            _check_regular(ca_file)
        return ssl.create_default_context(cafile=ca_file) if ca_file else httpx.create_ssl_context()
    except (OSError, ValueError) as error:
        reason = "it contains no certificate in PEM format" if isinstance(error, ssl.SSLError) else _reason(error)
        message = f"the CA file {display_path(ca_file) if ca_file else 'of SSL_CERT_FILE'} cannot be used: {reason}"
        raise ApiError.of(message, kind=Kind.CA_FILE, hint="it must contain certificates in PEM format") from None


class _EncryptedKeyError(Exception):
    """A private key needs a password."""


def _load_certificate(certificate: ClientCertificate, context: ssl.SSLContext) -> None:
    def refuse() -> str:
        # Without this, OpenSSL would ask for a password on the terminal, and hang if there is none.
        raise _EncryptedKeyError

    try:
        for name in filter(None, (certificate.cert, certificate.key)):
            _check_regular(name)
        context.load_cert_chain(certificate.cert, certificate.key, password=refuse)
    except _EncryptedKeyError:
        reason = "its key is encrypted"
        hint = "decrypt it (openssl pkey -in KEY -out PLAIN) into a file that only this user can read"
    except (OSError, ValueError) as error:
        reason = _reason(error)
        hint = "it must be a certificate and its private key in PEM format, in one file or, in the YAML, in two"
        if isinstance(error, ssl.SSLError):
            mismatch = error.reason == "KEY_VALUES_MISMATCH"
            reason = "the key does not match" if mismatch else "it lacks a certificate or a key in PEM format"
    else:
        return
    names = " with the key ".join(map(display_path, filter(None, (certificate.cert, certificate.key))))
    raise ApiError.of(f"the client certificate {names} cannot be used: {reason}", kind=Kind.CLIENT_CERT, hint=hint)


def _check_regular(name: str) -> None:
    """Refuses anything but a regular file: through a committed link, OpenSSL could wait for a pipe or a terminal."""
    if not stat.S_ISREG(os.stat(name).st_mode):  # noqa: PTH116 - names stay as the user wrote them
        raise OSError(errno.EINVAL, "this is not a regular file")


def _reason(error: OSError | ValueError) -> str:
    return (error.strerror if isinstance(error, OSError) else None) or error.__class__.__name__


def proxy_for(origin: httpx.URL, redactor: Redactor) -> str | None:
    """The proxy that the environment names for ``origin``; ``redactor`` masks its password from now on.

    Plain http uses none, because the proxy would see the token. Loopback uses none, because a proxy's loopback is
    another machine.

    Raises:
        ApiError: It is of a kind that is not supported (``proxy``).
    """
    host = origin.raw_host.decode("ascii")
    if origin.scheme == "http" or is_loopback(host):
        return None
    proxies = getproxies()
    proxy = proxies.get("https") or proxies.get("all")
    if not proxy:
        return None
    if any(is_exempt(proxies.get("no", ""), name, origin.port or _HTTPS_PORT) for name in {host, readable(host)}):
        return None
    url = proxy if "://" in proxy else f"http://{proxy}"
    try:
        parsed = httpx.Proxy(url).url
        supported = parsed.scheme in {"http", "https"} and bool(parsed.host) and (parsed.port or 1) <= _LAST_PORT
    except (httpx.InvalidURL, ValueError):
        supported = False
    if not supported:
        message = "the proxy in HTTPS_PROXY or ALL_PROXY is not an http proxy"
        hint = "write it like http://proxy.example.com:3128, or name the server in NO_PROXY"
        raise ApiError.of(message, kind=Kind.PROXY, hint=hint)
    if password := httpx.URL(url).password:
        redactor.add(Secret(password))
    return url


def is_exempt(no_proxy: str, host: str, port: int) -> bool:
    """Whether ``NO_PROXY`` names a server. The accepted forms are those of curl and of Go's httpproxy."""
    name = host.lower().rstrip(".")
    return any(_matches(entry, name, port) for entry in re.split(r"[,\s]+", no_proxy.lower()) if entry)


def _matches(entry: str, host: str, port: int) -> bool:
    name, only_port = _split_port(entry)
    if only_port is not None and only_port != port:
        return False
    if name == "*":
        return True
    if (address := parse_ip(host)) is not None:
        try:
            return address in ip_network(name, strict=False)
        except ValueError:
            return False
    bare = name.removeprefix("*").strip(".")
    return bool(bare) and (host.endswith(f".{bare}") or (host == bare and not name.startswith("*")))


def _split_port(entry: str) -> tuple[str, int | None]:
    """A name, address or network, and the port if one is given."""
    if match := re.fullmatch(_BRACKETS, entry):
        return match[1] + (match[2] or ""), int(match[3]) if match[3] else None
    name, colon, port = entry.rpartition(":")
    if colon and ":" not in name and port.isdecimal():
        return name, int(port)
    return entry, None


def without_login(proxy: str) -> str:
    """A proxy's URL without user name and password."""
    url = httpx.URL(proxy)
    return str(url.copy_with(username=None, password=None, path="/", query=None, fragment=None)).rstrip("/")
