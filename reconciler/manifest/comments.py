"""Values that end at a ``#`` because they are not quoted: what follows is a comment, and seldom meant to be one."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Final

from reconciler.errors import Kind
from reconciler.manifest.issues import Issue, NodeRef, Path
from reconciler.model.secret import Secret

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from reconciler.manifest.sheet import ParsedFile

_SUSPECT: Final = re.compile(rb"[ \t]#")
_NAME: Final = re.compile(rb"name[\"']?:[^\n]*[^\s][ \t]+#[^\s#]")


def cut_off(sheets: Sequence[ParsedFile]) -> Iterator[Issue]:
    """Warnings at literal secrets, and at names, after which a comment begins. What was cut off is not shown."""
    for sheet in sheets:
        paths = list(_paths(sheet)) if _SUSPECT.search(sheet.source.data) else []
        if not paths:
            continue
        from reconciler.manifest.survey import survey

        found = survey(sheet.source, paths, thorough=False)
        for path in paths:
            comment = found.comments.get(path)
            if comment and (path[-1] != "name" or comment[1:2].strip()):
                message = f"the {path[-1]} ends before the #: what was cut off there is a comment"
                hint = "put the value in quotes if the # belongs to it"
                yield Issue(kind=Kind.CUT_OFF, message=message, hint=hint, spot=NodeRef(sheet.source, path))


def _paths(sheet: ParsedFile) -> Iterator[Path]:
    names = _NAME.search(sheet.source.data) is not None
    blocks: list[tuple[Path, dict[str, object]]] = [
        (("server", "auth"), sheet.block("server", "auth")),
        (("server",), sheet.block("server")),
        (("defaults",), sheet.block("defaults")),
        *((("accounts", row.index), row.given) for row in sheet.rows),
    ]
    for path, block in blocks:
        yield from ((*path, key) for key, value in block.items() if isinstance(value, Secret))
        if names and "name" in block:
            yield (*path, "name")
