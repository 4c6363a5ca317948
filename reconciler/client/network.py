"""Where a server is, and whether a token may travel there."""

from __future__ import annotations

import errno
import os
import ssl
import stat
from typing import TYPE_CHECKING

import httpx

from reconciler.errors import ApiError, InvalidValueError, Kind
from reconciler.model.display import display_path
from reconciler.model.server import is_loopback, normal_url

if TYPE_CHECKING:
    from reconciler.model.server import ClientCertificate


def checked(url: str, *, insecure_http: bool) -> httpx.URL:
    """``url`` as an origin that requests may go to.

    Raises:
        ApiError: It is no origin (``bad_url``), or plain http to another machine (``insecure_http``).
    """
    try:
        parsed = httpx.URL(normal_url(url))
    except InvalidValueError as error:
        message = f"the server's URL is invalid: {error.message}"
        raise ApiError.of(message, kind=Kind.BAD_URL, hint=error.hint) from None
    host = parsed.raw_host.decode("ascii")  # not `host`, which fails for an A-label that decodes to nothing
    if parsed.scheme == "http" and not insecure_http and not is_loopback(host):
        message = f"plain http to {host} would show the token and the passwords to the network"
        raise ApiError.of(message, kind=Kind.INSECURE_HTTP, hint="Use https, or accept the risk with --insecure-http.")
    return parsed


def tls_context(origin: httpx.URL, ca_file: str | None, certificate: ClientCertificate | None = None) -> ssl.SSLContext:
    """How the server's certificate is verified, and what is shown to a server that asks who is there.

    Args:
        origin: The server.
        ca_file: Certificates that alone are trusted; ``None`` for the usual authorities.
        certificate: The client's own.

    Raises:
        ApiError: ``ca_file`` or ``certificate`` cannot be used (``ca_file``, ``client_cert``).
    """
    if origin.scheme == "http":
        # Never used; and one that trusts nobody is quick to make.
        return ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context = _verifying(ca_file)
    # From 3.13 on, Python refuses authorities without some extensions, which many private ones do not have.
    context.verify_flags &= ~ssl.VERIFY_X509_STRICT
    if certificate is not None:
        _show(certificate, context)
    return context


def _verifying(ca_file: str | None) -> ssl.SSLContext:
    try:
        if ca_file:
            _check_regular(ca_file)
        return ssl.create_default_context(cafile=ca_file) if ca_file else httpx.create_ssl_context()
    except (OSError, ValueError) as error:
        reason = "it holds no certificate in PEM form" if isinstance(error, ssl.SSLError) else _reason(error)
        message = f"the CA file {display_path(ca_file) if ca_file else 'of SSL_CERT_FILE'} cannot be used: {reason}"
        raise ApiError.of(message, kind=Kind.CA_FILE, hint="It is a file of certificates in PEM form.") from None


class _EncryptedError(Exception):
    """A private key asks for its password."""


def _show(certificate: ClientCertificate, context: ssl.SSLContext) -> None:
    def refuse() -> str:
        # Without this, OpenSSL would ask on the terminal, and hang where nobody is.
        raise _EncryptedError

    try:
        for name in filter(None, (certificate.cert, certificate.key)):
            _check_regular(name)
        context.load_cert_chain(certificate.cert, certificate.key, password=refuse)
    except _EncryptedError:
        reason = "its key is encrypted"
        hint = "Decrypt it (openssl pkey -in KEY -out PLAIN) into a file that this user alone can read."
    except (OSError, ValueError) as error:
        reason = _reason(error)
        hint = "It is a certificate in PEM form, and its private key, in one file or, in the YAML, in two."
        if isinstance(error, ssl.SSLError):
            mismatch = error.reason == "KEY_VALUES_MISMATCH"
            reason = "its key is another one's" if mismatch else "it lacks a certificate or a key in PEM form"
    else:
        return
    names = " with the key ".join(map(display_path, filter(None, (certificate.cert, certificate.key))))
    raise ApiError.of(f"the client certificate {names} cannot be used: {reason}", kind=Kind.CLIENT_CERT, hint=hint)


def _check_regular(name: str) -> None:
    """OpenSSL would wait for a pipe or a terminal, which a committed link can lead to."""
    if not stat.S_ISREG(os.stat(name).st_mode):  # noqa: PTH116 - names stay as the user wrote them
        raise OSError(errno.EINVAL, "this is not a regular file")


def _reason(error: OSError | ValueError) -> str:
    return (error.strerror if isinstance(error, OSError) else None) or error.__class__.__name__
