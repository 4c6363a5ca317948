"""Reads trust files, and writes one that allows what the manifests use."""

from __future__ import annotations

import os
from dataclasses import replace
from typing import TYPE_CHECKING, Any, Final

from reconciler.errors import ManifestError, Problem, file_order
from reconciler.manifest.events import YamlError
from reconciler.manifest.files import Source, read_file
from reconciler.manifest.loader import load
from reconciler.manifest.parsed_file import validate
from reconciler.model.account import Globs
from reconciler.model.display import display_path
from reconciler.model.trust import Limits, Trust, TrustedServer

if TYPE_CHECKING:
    from collections.abc import Mapping

    from reconciler.manifest.loader import Loaded

_LARGEST: Final = 1024 * 1024


def read_trust(name: str) -> Trust:
    """Reads a trust file.

    Raises:
        ManifestError: With everything that is wrong in it, by line and column.
    """
    source = read_file(name, largest=_LARGEST)
    if isinstance(source, Problem):
        raise ManifestError(_without_content(source, name))
    try:
        loaded = load(source.data, name)
    except YamlError as error:
        raise ManifestError(error.problem(name)) from None
    return _trust(_document(source, loaded), name)


def _without_content(problem: Problem, name: str) -> Problem:
    """The problem of a file that cannot be read, if need be without what was given in place of its name."""
    shown = display_path(name)
    if shown == name:
        return problem
    message = f"the trust file {shown}: {problem.message}"
    hint = "--trust and RECONCILER_TRUST take the path of a file, not its content"
    return replace(problem, message=message, hint=hint, position=None)


def _document(source: Source, loaded: Loaded) -> dict[str, Any]:
    from reconciler.manifest.trust_document import TRUST_SHAPE

    document, errors = validate(loaded.value, TRUST_SHAPE)
    if document is None or loaded.irregular:
        from reconciler.manifest.messages import issue_from
        from reconciler.manifest.positions import locate

        issues = [issue_from(error, source, shape=TRUST_SHAPE) for error in errors]
        problems = locate(issues, [source] if loaded.irregular else [])
        raise ManifestError(*sorted(problems, key=file_order))
    return document


def _trust(document: Mapping[str, Any], name: str) -> Trust:
    folder = os.path.dirname(os.path.abspath(name))  # noqa: PTH100, PTH120 - links are followed when paths are compared
    limits = document.get("limits", {})
    return Trust(
        servers=tuple(
            TrustedServer(
                server["url"],
                tuple(server.get("env", ())),
                tuple(os.path.join(folder, pattern) for pattern in server.get("files", ())),  # noqa: PTH118 - as above
            )
            for server in document.get("servers", ())
        ),
        commands=tuple(document.get("commands", ())),
        smtp_servers=tuple(document.get("smtp_servers", ())),
        recipients=Globs(tuple(document.get("recipients", ()))),
        limits=Limits(limits.get("max_deletes"), Globs(tuple(limits.get("protect", ())))),
        file=name,
    )
