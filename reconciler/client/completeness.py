"""Refuses a list that may have another page: a plan made from it would create the accounts on that page again."""

from __future__ import annotations

import re
from http import HTTPStatus
from typing import TYPE_CHECKING, Final

from reconciler.errors import ApiError, Kind
from reconciler.model.display import sanitize

if TYPE_CHECKING:
    from reconciler.client.transport import Response
    from reconciler.model.redaction import Redactor

_TOTALS: Final = ("X-Total-Count", "X-Total", "Total-Count")
_NUMBER: Final = re.compile("[0-9]{1,18}")
_RANGE: Final = r"(?:(?P<unit>[^\s/]+)\s+)?(?:(?P<first>[0-9]{1,18})-(?P<last>[0-9]{1,18})|\*)/(?P<total>[0-9]{1,18})"
"""RFC 9110, section 14.4; servers that count items leave out the unit."""

_LINK_PART: Final = re.compile(
    r"""
      <[^>]*>                                                                 # the target
    | (?P<name>[^\s=;,"<>]+) \s*=\s* (?: "(?P<quoted>(?:[^"\\]|\\.)*)" | (?P<token>[^\s;,"<>]*) )
    | [\s;,] | [^\s=;,"<>]+                                                   # separators, parameters without a value
    """,
    re.VERBOSE,
)
"""RFC 8288, section 3, and slightly more. Anything that does not match is malformed."""


def check_status(response: Response, redactor: Redactor) -> None:
    """Raises ``ApiError`` unless the response to the list call has status 200."""
    if response.status != HTTPStatus.OK:
        raise _incomplete(f"its status is {response.status}, not 200", redactor)


def check_headers(response: Response, count: int, redactor: Redactor) -> None:
    """Raises ``ApiError`` if the headers report, or may report, more than ``count`` accounts.

    A header that cannot be parsed counts as an incomplete list.
    """
    headers = response.headers
    for value in headers.get_list("Content-Range"):
        if not _is_whole(value.strip(), count):
            raise _incomplete(f"Content-Range: {value} (with {count} account{'' if count == 1 else 's'})", redactor)
    for value in headers.get_list("Link"):
        if _has_next_page(value):
            raise _incomplete('it has a Link to a next page (rel="next")', redactor)
    for name in _TOTALS:
        values = {value.strip() for value in headers.get_list(name, split_commas=True)}
        if len(values) > 1 or any(not _NUMBER.fullmatch(value) or int(value) > count for value in values):
            raise _incomplete(
                f"{name}: {', '.join(sorted(values))} (with {count} account{'' if count == 1 else 's'})", redactor
            )


def _is_whole(content_range: str, count: int) -> bool:
    found = re.fullmatch(_RANGE, content_range)
    if not found:
        return False
    first, last, total = found["first"], found["last"], int(found["total"])
    if first is None:
        return total == count == 0
    in_bytes = (found["unit"] or "").lower() == "bytes"
    return int(first) == 0 and int(last) + 1 >= total and (in_bytes or total <= count)


def _has_next_page(link: str) -> bool:
    """Whether a Link header names a next page. A malformed one does if it contains "next" anywhere."""
    position = 0
    while position < len(link):
        part = _LINK_PART.match(link, position)
        if part is None:
            return "next" in link.lower()
        if (part["name"] or "").lower() == "rel" and "next" in _relations(part["quoted"], part["token"]):
            return True
        position = part.end()
    return False


def _relations(quoted: str | None, token: str | None) -> list[str]:
    text = re.sub(r"\\(.)", r"\1", quoted) if quoted is not None else (token or "").strip("'")
    return text.lower().split()


def _incomplete(seen: str, redactor: Redactor) -> ApiError:
    message = f"the response to the list call may be incomplete: {sanitize(seen, redactor)}"
    hint = "a plan needs every account: ask the server's vendor for the whole list, or check the proxy in between"
    return ApiError.of(message, kind=Kind.INCOMPLETE_LIST, hint=hint)
