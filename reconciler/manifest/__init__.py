"""Reads the desired set from YAML, and writes accounts as YAML."""

from __future__ import annotations


def schema_text() -> str:
    """The shipped JSON Schema of the manifest. Reading it does not import the validator; generating it does."""
    from importlib.resources import files

    return files(__name__).joinpath("manifest.schema.json").read_text(encoding="utf-8")
