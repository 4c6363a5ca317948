"""What all web pages of this program have in common: their templates, their style, and a policy that allows no more."""

from __future__ import annotations

import base64
import hashlib
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from jinja2 import Environment, FileSystemLoader, StrictUndefined
from markupsafe import Markup

from reconciler.model.display import display_sentence
from reconciler.report.kind_pages import with_pages
from reconciler.version import VERSION

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping, Sequence

    from reconciler.errors import Problem
    from reconciler.report.formats import RenderContext

FOOTER: Final = f"Made by reconciler {VERSION}. Secrets are not part of this page."
WEB_FOLDER: Final = Path(__file__).with_name("web")


def render_page(
    template: str, styles: Sequence[str], script: str, contents: Mapping[str, Any], context: RenderContext
) -> str:
    """A page as one file: its style and its script are in it."""
    style, code = (web_files(*(WEB_FOLDER / name for name in names)) for names in (styles, ("page.js", script)))
    return (
        templates()
        .get_template(template)
        .render(
            policy=_policy(style, code),
            style=style,
            script=code,
            moment=context.started_at.isoformat(timespec="seconds"),
            moment_words=f"{context.started_at:%Y-%m-%d %H:%M} UTC",
            footer=FOOTER,
            **contents,
        )
    )


@cache
def templates(*folders: Path) -> Environment:
    """The templates in these folders, and those that all pages share. Everything that they show is escaped."""
    return Environment(
        loader=FileSystemLoader((*folders, WEB_FOLDER)),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
    )


def web_files(*files: Path) -> Markup:
    """Styles or scripts of this program, joined: not escaped."""
    return Markup("".join(file.read_text(encoding="utf-8") for file in files))  # noqa: S704


def source_hash(code: str) -> str:
    """A style or a script as a Content-Security-Policy names it."""
    return f"'sha256-{base64.b64encode(hashlib.sha256(code.encode()).digest()).decode()}'"


def _policy(style: str, script: str) -> str:
    """A Content-Security-Policy that allows this page's own style and script, and nothing else."""
    return (
        f"default-src 'none'; style-src {source_hash(style)}; script-src {source_hash(script)}; img-src data:;"
        " base-uri 'none'; form-action 'none'"
    )


def problem_words(problems: Iterable[Problem]) -> Iterator[dict[str, str]]:
    """Problems for the template, safe to show; each kind with the address of its page."""
    for one, page in with_pages(problems):
        kind = one.kind if page else ""
        yield {"message": display_sentence(str(one)), "hint": display_sentence(one.hint), "kind": kind, "page": page}


def tile(kind: str, count: int) -> dict[str, object]:
    """The number of changes of one kind."""
    return {"kind": kind, "count": count, "number": f"{count:,}", "words": f"to {kind}"}
