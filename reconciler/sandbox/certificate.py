"""A throw-away certificate authority for the SMTP sink, made once in a process, when it is first needed."""

from __future__ import annotations

import ssl
from functools import cache

import trustme


@cache
def _authority() -> trustme.CA:
    return trustme.CA(organization_name="Reconciler sandbox")


@cache
def server_context() -> ssl.SSLContext:
    """The TLS settings of the sink."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    _authority().issue_cert("localhost", "127.0.0.1").configure_cert(context)
    return context


@cache
def client_context() -> ssl.SSLContext:
    """The TLS settings of who talks to the sink.

    The certificate has to be signed by the throw-away authority. The host name is not checked: every name leads to the
    sink, and no certificate can carry them all.
    """
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = False
    _authority().configure_trust(context)
    return context
