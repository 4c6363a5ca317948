"""The JSON Schemas of the JSON documents, as they are shipped."""

from __future__ import annotations

from pathlib import Path
from typing import Literal


def schema_text(document: Literal["plan", "result"]) -> str:
    """The schema of ``plan --format json``, or of ``apply`` and ``test --format json`` (draft 2020-12)."""
    return Path(__file__).with_name(f"{document}.schema.json").read_text(encoding="utf-8")
