"""Which document comes in which formats, and who renders it. A renderer is imported when its format is asked for."""

from __future__ import annotations

import importlib
from enum import StrEnum
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from reconciler.report.subject import DocumentKind, Setting


class Format(StrEnum):
    """What ``--format`` takes."""

    TEXT = "text"
    JSON = "json"
    MARKDOWN = "markdown"
    HTML = "html"
    GITHUB = "github"
    GITLAB = "gitlab"
    JUNIT = "junit"
    TFPLAN = "tfplan"


_RENDERERS: Final[Mapping[DocumentKind, Mapping[Format, str]]] = {
    "validation": {
        Format.TEXT: "to_text:validation",
        Format.JSON: "to_json:validation",
        Format.GITHUB: "to_github:validation",
        Format.GITLAB: "to_gitlab:validation",
    },
    "plan": {
        Format.TEXT: "to_text:plan",
        Format.JSON: "to_json:plan",
        Format.MARKDOWN: "to_markdown:plan",
        Format.HTML: "to_html:plan",
        Format.GITHUB: "to_github:plan",
        Format.GITLAB: "to_gitlab:plan",
        Format.TFPLAN: "to_tfplan:plan",
    },
    "result": {
        Format.TEXT: "to_text:result",
        Format.JSON: "to_json:result",
        Format.MARKDOWN: "to_markdown:result",
        Format.GITHUB: "to_github:result",
        Format.GITLAB: "to_gitlab:result",
        Format.JUNIT: "to_junit:result",
    },
}
"""For each document and format the module of this package and its function, ``(subject, setting) -> text``."""

VALIDATION_FORMATS: Final = tuple(_RENDERERS["validation"])
PLAN_FORMATS: Final = tuple(_RENDERERS["plan"])
RESULT_FORMATS: Final = tuple(_RENDERERS["result"])


def renderer(kind: DocumentKind, chosen: Format) -> Callable[[Any, Setting], str]:
    """The function that writes a document of this kind.

    Args:
        kind: Which document; its subject is the one of that name in ``report/subject.py``.
        chosen: One of the formats that this document comes in.
    """
    module, _, function = _RENDERERS[kind][chosen].partition(":")
    found: Callable[[Any, Setting], str] = getattr(importlib.import_module(f"reconciler.report.{module}"), function)
    return found
