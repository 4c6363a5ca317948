"""An answer's body, read within bounds, whatever the server sends."""

from __future__ import annotations

import zlib
from dataclasses import dataclass
from io import BytesIO
from typing import TYPE_CHECKING

from reconciler.client.failure import UnreadableError

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    import httpx

BODY_LIMIT = 256 * 1024 * 1024
"""The most bytes of a decoded body; a list of a million accounts is about as large."""
_PIECE = 1024 * 1024
_GZIP = 16 + zlib.MAX_WBITS


@dataclass(frozen=True, slots=True)
class Answer:
    """What the server said, complete."""

    status: int
    headers: httpx.Headers
    body: bytes

    @property
    def good(self) -> bool:
        """Whether the server did what it was asked."""
        return 200 <= self.status < 300  # noqa: PLR2004 - 2XX

    @property
    def is_html(self) -> bool:
        """Whether this is a page for people, such as a log-in page, which an API does not send."""
        declared = self.headers.get("content-type", "").lower().startswith("text/html")
        return bool(self.body.strip()) and (declared or self.body.lstrip()[:1] == b"<")


def receive(response: httpx.Response, limit: int = BODY_LIMIT) -> Answer:
    """Reads the rest of ``response``.

    Raises:
        UnreadableError: The body is larger than ``limit`` bytes, or in an encoding that was not asked for.
        httpx.HTTPError: The connection broke.
    """
    # httpx would decode any number of nested encodings, each a thousand times its input, before a limit is checked.
    encoding = response.headers.get("content-encoding", "").strip().lower()
    declared = response.headers.get("content-length", "")
    if declared.isdecimal() and int(declared) > limit:
        raise _too_large(limit)
    pieces: Iterable[bytes] = response.stream  # type: ignore[assignment]  # a transport's answer streams synchronously
    if encoding in {"gzip", "x-gzip"}:
        pieces = _unzipped(pieces)
    elif encoding not in {"", "identity"}:
        raise UnreadableError("the response is in an encoding that was not asked for")
    return Answer(response.status_code, response.headers, _joined(pieces, limit))


def _joined(pieces: Iterable[bytes], limit: int) -> bytes:
    kept = BytesIO()  # grows where it is, so that a large body is never in memory twice
    for piece in pieces:
        if kept.tell() + len(piece) > limit:
            raise _too_large(limit)
        kept.write(piece)
    return kept.getvalue()


def _too_large(limit: int) -> UnreadableError:
    return UnreadableError(f"the response is larger than {limit // 1024**2} MiB")


def _unzipped(pieces: Iterable[bytes]) -> Iterator[bytes]:
    decoder = zlib.decompressobj(_GZIP)
    try:
        for piece in pieces:
            rest = piece
            while rest:
                yield decoder.decompress(rest, _PIECE)
                rest = decoder.unconsumed_tail
        yield decoder.flush()
    except zlib.error:
        raise UnreadableError("the response is not the gzip that it says it is") from None
    if not decoder.eof or decoder.unused_data:
        raise UnreadableError("the response's gzip ends too early, or goes on after its end")
