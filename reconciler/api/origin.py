"""Where a server is, and whether a token may travel there."""

from __future__ import annotations

import ssl
from ipaddress import ip_address
from typing import Final
from urllib.request import getproxies, proxy_bypass

import httpx

from reconciler.errors import ApiError

_LAST_PORT: Final = 65535
_FORM: Final = "It is written https://HOST or https://HOST:PORT."


def checked(url: str, *, insecure_http: bool) -> httpx.URL:
    """``url`` as an origin that requests may go to.

    Raises:
        ApiError: It is no origin (``bad_url``), or plain http to another machine (``insecure_http``).
    """
    try:
        parsed = httpx.URL(url)
    except (httpx.InvalidURL, ValueError):
        raise ApiError.of("the server's URL cannot be read", kind="bad_url", hint=_FORM) from None
    if parsed.port is not None and not 0 < parsed.port <= _LAST_PORT:
        raise ApiError.of("the server's URL has a port that does not exist", kind="bad_url", hint=_FORM)
    if parsed.userinfo:
        hint = "Name them under server.auth, as references."
        raise ApiError.of("the server's URL holds credentials", kind="bad_url", hint=hint)
    if (
        parsed.scheme not in {"http", "https"}
        or not parsed.host
        or parsed.raw_path not in {b"/", b""}
        or parsed.fragment
    ):
        raise ApiError.of("the server's URL is not just a scheme, a host and a port", kind="bad_url", hint=_FORM)
    if parsed.scheme == "http" and not insecure_http and not is_loopback(parsed.host):
        message = f"plain http to {parsed.host} would show the token and the passwords to the network"
        raise ApiError.of(message, kind="insecure_http", hint="Use https, or accept the risk with --insecure-http.")
    return parsed


def is_loopback(host: str) -> bool:
    """Whether ``host`` is this machine: ``localhost``, 127.0.0.0/8 or ::1."""
    try:
        return host == "localhost" or ip_address(host).is_loopback
    except ValueError:
        return False


def tls_context(origin: httpx.URL, ca_file: str | None) -> ssl.SSLContext:
    """How the server's certificate is verified: by ``ca_file`` alone, or by the usual authorities.

    Raises:
        ApiError: ``ca_file`` cannot be used (``ca_file``).
    """
    if origin.scheme == "http":
        # Never used; and one that trusts nobody is quick to make.
        return ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    try:
        return ssl.create_default_context(cafile=ca_file) if ca_file else httpx.create_ssl_context()
    except (OSError, ValueError) as error:
        reason = "it holds no certificate in PEM form" if isinstance(error, ssl.SSLError) else error.__class__.__name__
        if isinstance(error, OSError) and error.strerror and not isinstance(error, ssl.SSLError):
            reason = error.strerror
        message = f"the CA file {ca_file or 'of SSL_CERT_FILE'} cannot be used: {reason}"
        raise ApiError.of(message, kind="ca_file", hint="It is a file of certificates in PEM form.") from None


def proxy_for(origin: httpx.URL) -> str | None:
    """The proxy that the environment names for ``origin``; none for plain http, where it would see the token.

    Raises:
        ApiError: It is of a kind that is not supported (``proxy``).
    """
    if origin.scheme == "http" or is_loopback(origin.host) or proxy_bypass(origin.host):
        return None
    proxies = getproxies()
    proxy = proxies.get("https") or proxies.get("all")
    if not proxy:
        return None
    url = proxy if "://" in proxy else f"http://{proxy}"
    try:
        parsed = httpx.Proxy(url).url
        supported = parsed.scheme in {"http", "https"} and (parsed.port or 1) <= _LAST_PORT
    except (httpx.InvalidURL, ValueError):
        supported = False
    if not supported:
        raise ApiError.of(
            "the proxy in HTTPS_PROXY or ALL_PROXY is not an http proxy", kind="proxy", hint="Set NO_PROXY?"
        )
    return url
