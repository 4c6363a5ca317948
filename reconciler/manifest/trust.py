"""Reads trust files, and writes one that allows what the manifests use."""

from __future__ import annotations

import os
from dataclasses import replace
from typing import TYPE_CHECKING, Final

from reconciler.errors import ManifestError, Problem, file_order
from reconciler.manifest.events import UnreadableError
from reconciler.manifest.files import Source, read_file
from reconciler.manifest.loader import load
from reconciler.manifest.places import located
from reconciler.manifest.sheet import unreadable_problem
from reconciler.model.account import Globs
from reconciler.model.display import display_path
from reconciler.model.trust import Limits, Trust, TrustedServer

if TYPE_CHECKING:
    from reconciler.manifest.loader import Loaded
    from reconciler.manifest.trust_document import TrustDocument

_LARGEST: Final = 1024 * 1024
_ROOT: Final = "trust"


def read_trust(name: str) -> Trust:
    """Reads a trust file.

    Raises:
        ManifestError: With everything that is wrong in it, by line and column.
    """
    source = read_file(name, largest=_LARGEST)
    if isinstance(source, Problem):
        raise ManifestError(_without_content(source, name))
    try:
        loaded = load(source.data)
    except UnreadableError as failure:
        raise ManifestError(unreadable_problem(failure, name)) from None
    return _trust(_document(source, loaded), name)


def _without_content(problem: Problem, name: str) -> Problem:
    """The problem of a file that cannot be read, if need be without what was given in place of its name."""
    shown = display_path(name)
    if shown == name:
        return problem
    message = f"the trust file {shown}: {problem.message}"
    hint = "--trust and RECONCILER_TRUST take the path of a file, not its content"
    return replace(problem, message=message, hint=hint, position=None)


def _document(source: Source, loaded: Loaded) -> TrustDocument:
    from pydantic import ValidationError

    from reconciler.manifest.complaints import issue_from
    from reconciler.manifest.trust_document import TrustDocument

    issues = []
    document = None
    try:
        document = TrustDocument.model_validate(loaded.value)
    except ValidationError as failure:
        for error in failure.errors(include_url=False):
            issue = issue_from(error, source, (_ROOT,))
            issues.append(replace(issue, spot=replace(issue.spot, path=issue.spot.path[1:])))
    problems = located(issues, [source] if loaded.irregular else [])
    if problems or document is None:
        raise ManifestError(*sorted(problems, key=file_order))
    return document


def _trust(document: TrustDocument, name: str) -> Trust:
    folder = os.path.dirname(os.path.abspath(name))  # noqa: PTH100, PTH120 - links are followed when paths are compared
    return Trust(
        servers=tuple(
            TrustedServer(
                server.url,
                tuple(server.env),
                tuple(os.path.join(folder, pattern) for pattern in server.files),  # noqa: PTH118 - as above
            )
            for server in document.servers
        ),
        commands=tuple(document.commands),
        smtp_servers=tuple(document.smtp_servers),
        recipients=Globs(tuple(document.recipients)),
        limits=Limits(document.limits.max_deletes, Globs(tuple(document.limits.protect))),
        file=name,
    )
