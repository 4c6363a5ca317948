"""Which document comes in which formats, and who renders it. A renderer is imported when its format is asked for."""

from __future__ import annotations

from enum import StrEnum
from typing import Final


class Format(StrEnum):
    """What ``--format`` takes."""

    TEXT = "text"
    JSON = "json"


PLAN_FORMATS: Final = (Format.TEXT, Format.JSON)
RESULT_FORMATS: Final = (Format.TEXT, Format.JSON)
