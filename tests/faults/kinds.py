"""What can go wrong with one request."""

from __future__ import annotations

from typing import Final

REFUSALS: Final = ("refused", "down")
"""The port is closed: for a moment, or until further notice."""

BEFORE: Final = (
    *REFUSALS,
    "reset_before",
    "timeout_before",
    "500_before",
    "502_before",
    "503_retry_after",
    "429_retry_after",
    "html_before",
    "401",
)
"""The request has no effect."""

AFTER: Final = (
    "reset_after",
    "timeout_after",
    "500_after",
    "502_after",
    "truncated",
    "cut_off",
    "html_after",
)
"""The request has its effect; its answer does not arrive as it should."""

LATE: Final = "late"
"""The client gives up first, and only then the request has its effect."""

HELD: Final = ("held_before", "held_after", "held_late")
"""The request is held, before or after its effect, until the client is gone; ``held_late`` has its effect then."""

FALSE: Final = "response"
"""The response is one of ``false_responses``."""

KINDS: Final = (*BEFORE, *AFTER, LATE)
