"""Responses that a server should not send: every documented form of success against every other one."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass, field
from itertools import product
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

ACCOUNTS: Final = "/api/email/accounts"
CALLS: Final = ("list", "get", "create", "update", "delete", "test")
WRITES: Final = ("create", "update", "delete", "test")

LITERALS: Final[Mapping[str, str]] = {
    "empty": "",
    "false": "false",
    "null": "null",
    "true": "true",
    "object": "{}",
    "array": "[]",
    "no_success": '{"success": false}',
    "success": '{"success": true}',
    "errors": '{"errors": [{"field": "email", "type": "rule", "msg": "Não é permitido"}]}',
    "text": '"ok"',
    "zero": "0",
    "page": "<html><body>Please log in</body></html>",
}
"""Bodies that contain no account."""

BODIES: Final = ("honest", "echo", "another", "another_id", "stale", *LITERALS)
"""``honest`` is what a correct server would send; without an effect, it is the echo of a write that was not stored."""

LIST_BODIES: Final = ("short", "twice", *LITERALS)
"""``short`` leaves out the last accounts, as a page would; ``twice`` repeats the first one."""

PARTIAL: Final[tuple[tuple[int, Mapping[str, str]], ...]] = (
    (206, {}),
    (200, {"Content-Range": "items 0-5/9"}),
    (200, {"Content-Range": "items 0-5/*"}),
    (200, {"Content-Range": "items 1-9/9"}),
    (200, {"Link": '</api/email/accounts?page=2>; rel="next"'}),
    (200, {"Link": "</api/email/accounts>; rel=first, </api/email/accounts?page=2>; title=x; REL=Next"}),
    (200, {"X-Total-Count": "99"}),
    (200, {"X-Total": "99"}),
    (200, {"Total-Count": "99"}),
)
"""Status and headers that show that a list is not complete."""

REFUSALS: Final = (400, 401, 403, 404, 409, 429, 500, 503)
"""Statuses that report that nothing was done."""

SUCCESS: Final[Mapping[str, frozenset[tuple[int, str]]]] = {
    "list": frozenset({(200, "honest")}),
    "get": frozenset({(200, "honest")}),
    "create": frozenset({(200, "honest"), (201, "honest")}),
    "update": frozenset({(200, "honest")}),
    "delete": frozenset(product((200, 204), ("empty", "true", "null"))),
    "test": frozenset(product((200, 204), ("empty", "true", "null"))),
}
"""What the vendor documents, or leaves open, as success: status and body."""


@dataclass(frozen=True)
class Response:
    """One response to one call.

    Attributes:
        effect: Whether the server does what it was asked to do.
        at: Which request of this call it is for.
        times: How many requests of this call in a row get it.
    """

    call: str
    status: int
    body: str
    effect: bool = True
    headers: Mapping[str, str] = field(default_factory=dict)
    at: int = 0
    times: int = 1

    def __str__(self) -> str:
        headers = "".join(f" {name}: {value}" for name, value in self.headers.items())
        effect = "" if self.effect else " without effect"
        return f"{self.call} {self.at}x{self.times} {self.status} {self.body}{headers}{effect}"

    @property
    def documented(self) -> bool:
        """Whether the server does what it was asked to do, and reports it in a documented way."""
        return self.effect and (self.status, self.body) in SUCCESS[self.call]

    def fault(self) -> dict[str, Any]:
        """The fault as the fault server reads it."""
        return {"kind": "response", "at": self.at, "times": self.times, "call": self.call, "response": asdict(self)}


def documented() -> list[Response]:
    """Every form of success."""
    forms = [Response(call, status, body) for call, pairs in SUCCESS.items() for status, body in sorted(pairs)]
    complete: list[Mapping[str, str]] = [
        {"Content-Range": "items 0-3/4"},
        {"X-Total-Count": "4"},
        {"Link": '</api/email/accounts?page=1>; rel="prev"'},
    ]
    return [*forms, *(Response("list", 200, "honest", headers=headers) for headers in complete)]


def false_responses() -> Iterator[Response]:
    """Every other one, once at the first request of its call; for the list, at each of the first three."""
    for call, status, body, effect in product(WRITES, (200, 201, 202, 204, 206), BODIES, (True, False)):
        response = Response(call, status, body, effect)
        is_empty = status == 204 or (body == "stale" and call in {"create", "test"})
        if not response.documented and (not is_empty or body == "empty"):
            yield response
    for call, status, body, effect in product(WRITES, REFUSALS, ("errors", "empty"), (True, False)):
        yield Response(call, status, body, effect)
    for status, body in product((200, 201, 202, 206, 400, 401, 403, 404, 500), BODIES):
        if (status, body) != (200, "honest"):
            yield Response("get", status, body)
    yield from _false_lists()


def _false_lists() -> Iterator[Response]:
    for at, body in product(range(3), LIST_BODIES):
        yield Response("list", 200, body, at=at)
    for at, (status, headers), body in product(range(3), PARTIAL, ("honest", "short")):
        yield Response("list", status, body, headers=headers, at=at)


def body_of(
    shape: str, *, sent: Mapping[str, Any], honest: bytes, former: Mapping[str, Any], another: Mapping[str, Any]
) -> bytes:
    """The body of a false response.

    Args:
        shape: One of ``BODIES`` or ``LIST_BODIES``.
        sent: The request's body, with the id that the path names or the next one.
        honest: The body of the true response; empty if the request was not carried out.
        former: The account before the request.
        another: Some other account.
    """
    if shape in LITERALS:
        return LITERALS[shape].encode()
    if shape in {"short", "twice"}:
        accounts = json.loads(honest)
        return json.dumps(accounts[: len(accounts) // 2] if shape == "short" else accounts + accounts[:1]).encode()
    shapes = {"honest": honest or _json(sent), "echo": _json({name: sent[name] for name in sent if name != "id"})}
    if shape in shapes:
        return shapes[shape]
    return _json({"another": another, "another_id": {**sent, "id": another.get("id")}, "stale": former}[shape])


def _json(body: Mapping[str, Any]) -> bytes:
    return json.dumps(body).encode() if body else b""
