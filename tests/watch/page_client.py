"""Reads the watcher's pages over HTTP, and what they show."""

from __future__ import annotations

import socket
from html.parser import HTMLParser
from urllib.parse import urlsplit

SECRET = "hook-secret-canary-0123456789"
TOKEN = "page-token-canary-0123456789"

_EMPTY = frozenset({"meta", "link", "input", "br"})


class Element:
    """An element of a page, with its text and its descendants."""

    def __init__(self, tag: str, attributes: dict[str, str]) -> None:
        self.tag = tag
        self.attributes = attributes
        self.children: list[Element | str] = []

    @property
    def text(self) -> str:
        parts = (child if isinstance(child, str) else child.text for child in self.children)
        return " ".join(" ".join(parts).split())

    def all(self, tag: str, css_class: str = "") -> list[Element]:
        found: list[Element] = []
        for child in self.children:
            if isinstance(child, Element):
                classes = child.attributes.get("class", "").split()
                if child.tag == tag and (not css_class or css_class in classes):
                    found.append(child)
                found += child.all(tag, css_class)
        return found


class _Parser(HTMLParser):
    def __init__(self) -> None:
        super().__init__()
        self.open = [Element("", {})]

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        element = Element(tag, {name: value or "" for name, value in attrs})
        self.open[-1].children.append(element)
        if tag not in _EMPTY:
            self.open.append(element)

    def handle_endtag(self, tag: str) -> None:
        assert self.open[-1].tag == tag, "elements overlap"
        self.open.pop()

    def handle_data(self, data: str) -> None:
        self.open[-1].children.append(data)


def parse(html: str) -> Element:
    """The page's root; every element must be closed properly."""
    parser = _Parser()
    parser.feed(html)
    parser.close()
    assert len(parser.open) == 1, "an element is not closed"
    return parser.open[0]


def raw(url: str, request: bytes) -> bytes:
    """Everything that the server responds to exactly these bytes, until it closes the connection."""
    address = urlsplit(url)
    with socket.create_connection((address.hostname, address.port), timeout=20) as connection:
        connection.sendall(request)
        received = b""
        try:
            while part := connection.recv(65536):
                received += part
        except ConnectionResetError:
            pass
        return received
