"""Which proxy the environment names for a server, and which servers ``NO_PROXY`` exempts."""

from __future__ import annotations

import re
from ipaddress import ip_network
from typing import TYPE_CHECKING, Final
from urllib.request import getproxies

import httpx

from reconciler.errors import ApiError, Kind
from reconciler.model.account import readable
from reconciler.model.secret import Secret
from reconciler.model.server import is_loopback, parse_ip

if TYPE_CHECKING:
    from reconciler.model.redaction import Redactor

_HTTPS_PORT: Final = 443
_LAST_PORT: Final = 65535
_BRACKETS: Final = re.compile(r"\[([^\]]*)\](/\d+)?(?::(\d+))?")


def proxy_for(origin: httpx.URL) -> str | None:
    """The proxy that the environment names for ``origin``.

    There is none for plain http, where it would see the token, and none for this machine, which is another one as seen
    from a proxy.

    Raises:
        ApiError: It is of a kind that is not supported (``proxy``).
    """
    proxies = getproxies()
    proxy = proxies.get("https") or proxies.get("all")
    host = origin.raw_host.decode("ascii")
    if not proxy or origin.scheme == "http" or is_loopback(host):
        return None
    if any(exempts(proxies.get("no", ""), name, origin.port or _HTTPS_PORT) for name in {host, readable(host)}):
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
    return url


def exempts(no_proxy: str, host: str, port: int) -> bool:
    """Whether ``NO_PROXY`` names a server; its forms are those of curl, and of Go's httpproxy."""
    name = host.lower().rstrip(".")
    return any(_names(entry, name, port) for entry in re.split(r"[,\s]+", no_proxy.lower()) if entry)


def _names(entry: str, host: str, port: int) -> bool:
    name, only_port = _parts(entry)
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


def _parts(entry: str) -> tuple[str, int | None]:
    """A name, address or network, and the port if one is given."""
    if match := _BRACKETS.fullmatch(entry):
        return match[1] + (match[2] or ""), int(match[3]) if match[3] else None
    name, colon, port = entry.rpartition(":")
    if colon and ":" not in name and port.isdecimal():
        return name, int(port)
    return entry, None


def without_login(proxy: str) -> str:
    """A proxy's URL as it may be shown."""
    url = httpx.URL(proxy)
    return str(url.copy_with(username=None, password=None, path="/", query=None, fragment=None)).rstrip("/")


def remember_login(proxy: str, redactor: Redactor) -> None:
    """Lets ``redactor`` mask the proxy's password wherever it turns up."""
    if password := httpx.URL(proxy).password:
        redactor.add(Secret(password))
