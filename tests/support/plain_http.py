"""httpx for plain HTTP: loading the authorities, which only TLS needs, takes longer than most requests."""

from __future__ import annotations

import ssl
from functools import partial

import httpx

NO_AUTHORITIES = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)

Client = partial(httpx.Client, verify=NO_AUTHORITIES)
get = partial(httpx.get, verify=NO_AUTHORITIES)
head = partial(httpx.head, verify=NO_AUTHORITIES)
options = partial(httpx.options, verify=NO_AUTHORITIES)
post = partial(httpx.post, verify=NO_AUTHORITIES)
request = partial(httpx.request, verify=NO_AUTHORITIES)
