"""YAML to the desired set, and back."""

from __future__ import annotations


def schema_text() -> str:
    """The shipped JSON Schema of the manifest. The text needs no pydantic, in contrast to what it is generated from."""
    from importlib.resources import files

    return files(__name__).joinpath("manifest.schema.json").read_text(encoding="utf-8")
