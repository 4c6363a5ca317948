"""Which proxy the environment names for a server, and which servers ``NO_PROXY`` exempts."""

from __future__ import annotations

import re
from ipaddress import IPv4Address, IPv6Address, ip_address, ip_network
from typing import TYPE_CHECKING, Final
from urllib.request import getproxies

import httpx

from reconciler.errors import ApiError, Kind
from reconciler.model.secret import Secret

if TYPE_CHECKING:
    from reconciler.model.redaction import Redactor

_HTTPS_PORT: Final = 443
_LAST_PORT: Final = 65535
_BRACKETS: Final = re.compile(r"\[([^\]]*)\](/\d+)?(?::(\d+))?")


def is_loopback(host: str) -> bool:
    """Whether ``host`` is this machine: ``localhost``, 127.0.0.0/8 or ::1."""
    address = _address(host)
    return host == "localhost" or (address is not None and address.is_loopback)


def proxy_for(origin: httpx.URL) -> str | None:
    """The proxy that the environment names for ``origin``.

    There is none for plain http, where it would see the token, and none for this machine, which is another one as seen
    from a proxy.

    Raises:
        ApiError: It is of a kind that is not supported (``proxy``).
    """
    proxies = getproxies()
    proxy = proxies.get("https") or proxies.get("all")
    if not proxy or origin.scheme == "http" or is_loopback(origin.host):
        return None
    hosts = {origin.host, origin.raw_host.decode("ascii")}
    if any(exempts(proxies.get("no", ""), host, origin.port or _HTTPS_PORT) for host in hosts):
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
    if (address := _address(host)) is not None:
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


def _address(host: str) -> IPv4Address | IPv6Address | None:
    try:
        address = ip_address(host)
    except ValueError:
        return None
    return getattr(address, "ipv4_mapped", None) or address


def without_login(proxy: str) -> str:
    """A proxy's URL as it may be shown."""
    url = httpx.URL(proxy)
    return str(url.copy_with(username=None, password=None, path="/", query=None, fragment=None)).rstrip("/")


def remember_login(proxy: str, redactor: Redactor) -> None:
    """Lets ``redactor`` mask the proxy's password wherever it turns up."""
    if password := httpx.URL(proxy).password:
        redactor.add(Secret(password))
