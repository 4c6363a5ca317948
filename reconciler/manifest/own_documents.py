"""Recognises the documents that reconciler itself writes, and its trust file, so that a folder may hold them."""

from __future__ import annotations

from typing import Final

_JOURNAL: Final = b'{"at": "'
_TRUST_KEYS: Final = frozenset({"servers", "commands", "smtp_servers", "recipients", "limits"})
_KINDS: Final = (
    ("terraform_version", "a plan in Terraform's format"),
    ("resource_changes", "a plan"),
    ("results", "a result"),
    ("valid", "the result of a validation"),
)


def is_journal(data: bytes) -> bool:
    """Whether a text is a journal of ``apply``."""
    return data.startswith(_JOURNAL)


def own_document(value: object) -> str | None:
    """What kind of our own documents a loaded file is; ``None`` for a manifest, and for anything else."""
    if isinstance(value, list):
        return "a GitLab report" if value and all(map(_is_gitlab_finding, value)) else None
    if not isinstance(value, dict):
        return None
    if "format_version" in value:
        return next((name for key, name in _KINDS if key in value), None)
    if "json-schema.org" in str(value.get("$schema")):
        return "a JSON Schema"
    keys = value.keys() - {"version"}
    return "a trust file" if keys and keys <= _TRUST_KEYS else None


def _is_gitlab_finding(item: object) -> bool:
    return isinstance(item, dict) and str(item.get("check_name")).startswith("reconciler:")
